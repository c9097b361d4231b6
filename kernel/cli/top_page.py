"""The page of ``mainspring top``: a picture arranged as lines of styled text, without a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from kernel.cli.output import STATE_STYLES, plain
from kernel.cli.top_fit import Line, Span, body_of, cut, width_of
from kernel.cli.top_tables import age, tables_of
from kernel.model.counted import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]
NO_KERNEL = "no kernel is alive: start one by `mainspring run`"

_GAP = "  "
_DOT = " · "
_ASCII = str.maketrans({"━": "=", "─": "-", "·": "|", "…": "~", "\N{REPLACEMENT CHARACTER}": "?"})


def page_of(
    picture: Json, columns: int | None, rows: int | None, *, is_utf8: bool = True, foot: str = ""
) -> list[Line]:
    """At most ``rows`` lines of at most ``columns`` cells. None: as wide as it needs, and of each table the first rows.

    Where there is little room the header stays, then what is running and what is wrong; the foot and blank lines go first.
    """
    now = datetime.fromisoformat(picture["at"])
    head = _head(picture, now, columns)
    has_foot = bool(foot) and (rows is None or rows >= len(head) + 6)
    room = None if rows is None else max(rows - len(head) - has_foot, 0)
    lines = [*head, *body_of(tables_of(picture, now, columns), columns, room)]
    if has_foot:
        lines += [[] for _ in range(max((rows or 0) - 1 - len(lines), 0))]
        lines.append([Span(foot, "dim")])
    lines = [cut(line, columns) for line in lines[:rows]]
    return lines if is_utf8 else [[Span(span.text.translate(_ASCII), span.style) for span in line] for line in lines]


def _head(picture: Json, now: datetime, columns: int | None) -> list[Line]:
    clock = now.astimezone().strftime("as of %H:%M:%S" if picture["trouble"] else "%H:%M:%S")
    name = [Span("mainspring", "bold"), Span(_GAP), Span(plain(picture["store"]), "dim")]
    if columns is not None:
        name = cut(name, columns - len(clock) - len(_GAP))
        name.append(Span(" " * max(columns - len(clock) - width_of(name), 0)))
    else:
        name.append(Span(_GAP))
    # In trouble nobody knows how the kernels are just now.
    state = [Span(plain(picture["trouble"]), "bold red")] if picture["trouble"] else _state_of(picture, now)
    lines = [[*name, Span(clock)], _joined(state, columns)]
    is_known = picture["kernels"] or not picture["trouble"]
    return [*lines, _joined(_figures(picture), columns)] if is_known else lines


def _state_of(picture: Json, now: datetime) -> list[Span]:
    kernels = picture["kernels"]
    living = [one for one in kernels if one["state"] != "lost"]
    if not living:
        return [Span(NO_KERNEL, "bold red")]
    word = {True: "healthy", False: "unhealthy", None: "health unknown"}[picture["healthy"]]
    found = [Span(word, STATE_STYLES.get(word, "yellow"))]
    oldest = min((one["started_at"] for one in living if one["started_at"]), default=None)
    if oldest is not None:
        found.append(Span(f"up {age(oldest, now)}"))
    if len(living) == 1:
        [only] = living
        stopping = ", stopping" if only["state"] == "stopping" else ""
        return [*found, Span(plain(f"kernel {only['kernel'][:8]} on {only['host']}, pid {only['pid']}{stopping}"))]
    return [*found, Span(counted(len(living), "kernel"))]


def _figures(picture: Json) -> list[Span]:
    running, concurrency = picture["running"], picture["concurrency"]
    found = [
        Span(f"{running:,} running" if concurrency is None else f"{running:,} of {concurrency:,} running"),
        Span(f"{picture['waiting']:,} waiting"),
    ]
    if rates := picture["rates"]:
        found.append(Span(f"{_rate(rates['completed'])} completed"))
        found.append(Span(f"{_rate(rates['failed'])} failed", "bold red" if rates["failed"] else ""))
    if picture["failed"] is not None:
        found.append(Span(f"{picture['failed']:,} {'' if rates else 'failed '}since start"))
    return found


def _rate(a_second: float) -> str:
    """A second, or a minute where it is slow; none are none."""
    if a_second and a_second < 1:
        return f"{a_second * 60:.0f}/min"
    return f"{a_second:,.0f}/s" if a_second >= 10 or not a_second else f"{a_second:.1f}/s"


def _joined(parts: Sequence[Span], columns: int | None) -> Line:
    """As many of them as there is room for."""
    line: Line = []
    for part in parts:
        longer = [*line, Span(_DOT, "dim"), part] if line else [part]
        if line and columns is not None and width_of(longer) > columns:
            break
        line = longer
    return line
