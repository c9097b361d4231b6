"""What commands print: tables for people, JSON for programs, messages on stderr."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TextIO

STATE_STYLES = {
    "running": "cyan", "retrying": "yellow", "completed": "green", "degraded": "yellow", "failed": "bold red",
    "cancelled": "magenta", "expired": "magenta", "stuck": "bold red", "enabled": "green", "broken": "bold red",
    "quarantined": "bold yellow",
    "off": "dim", "paused": "yellow", "healthy": "green", "unhealthy": "bold red",
    "closed": "green", "open": "bold red", "half_open": "yellow", "alive": "green", "stopping": "yellow",
    "lost": "bold red", "late": "bold red", "failing": "bold red", "blocked": "bold red", "unknown": "bold red",
    "long": "yellow",
}  # fmt: skip
"""How a state looks on a terminal, wherever one is shown."""

_GAP = "  "
_NARROWEST = 12


class Column(NamedTuple):
    """``is_whole``: never cut nor folded, on the narrowest terminal neither, as an id that will be copied."""

    title: str
    is_whole: bool = True
    is_number: bool = False


def tell(text: str) -> None:
    """A message, beside the output."""
    print(text, file=sys.stderr)  # noqa: T201 - printing is what a command does


def say(text: str) -> None:
    print(text)  # noqa: T201 - printing is what a command does


def print_json(value: Any) -> None:
    """One JSON document."""
    say(as_json_text(value, indent=2))


def as_json_text(value: Any, indent: int | None = None) -> str:
    """JSON as stdout can carry it: letters as they are where that is UTF-8."""
    return json.dumps(value, indent=indent, ensure_ascii=not is_utf8(sys.stdout))


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """Rows under their titles; ``empty`` is told instead when there are none."""
    if not rows:
        tell(empty)
        return
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(column.title), *(len(row[at]) for row in cells)) for at, column in enumerate(columns)]
    if is_terminal(sys.stdout):
        _print_rich(columns, cells, widths)
    else:
        for row in [[column.title for column in columns], *cells]:
            aligned = [_aligned(*cell) for cell in zip(row, columns, widths, strict=True)]
            say(_GAP.join(aligned).rstrip())


def print_fields(fields: Mapping[str, Any]) -> None:
    """One name and value a line; a value of several lines stands indented below its name."""
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        text = value if isinstance(value, str) else _text(value)
        lines = [clean(line) for line in text.splitlines()] or ["-"]
        if len(lines) == 1:
            say(f"{name:<{width}}  {lines[0]}")
        else:
            say("\n".join([name, *(f"    {line}" for line in lines)]))


def moment(instant: str | None) -> str:
    """ISO 8601 in UTC as `2026-01-31 09:00:00Z`."""
    return "-" if instant is None else instant.replace("T", " ")[:19] + "Z"


def plain(value: Any) -> str:
    """A value as the cell of a table: one line, and no character that could drive the terminal."""
    return clean(" ".join(_text(value).split())) or "-"


def clean(text: str) -> str:
    return (
        text
        if text.isprintable()
        else "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    )


def is_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "") == "utf8"


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colours(stream: TextIO) -> bool:
    """On a terminal, unless NO_COLOR says not to."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def _text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case int() | float():
            return str(value)
        case _:
            return as_json_text(value)


def _aligned(cell: str, column: Column, width: int) -> str:
    return cell.rjust(width) if column.is_number else cell.ljust(width)


def _print_rich(columns: Sequence[Column], cells: Sequence[Sequence[str]], widths: Sequence[int]) -> None:
    from rich.console import Console  # noqa: PLC0415 - 50 ms, for a terminal only
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    console = Console()
    least = [
        width if column.is_whole else min(width, _NARROWEST) for column, width in zip(columns, widths, strict=True)
    ]
    needed = sum(least) + len(_GAP) * (len(least) - 1)
    if needed > console.width:
        console = Console(width=needed)
    table = Table(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), header_style="bold")
    for column, width in zip(columns, least, strict=True):
        table.add_column(
            column.title,
            justify="right" if column.is_number else "left",
            min_width=width,
            no_wrap=column.is_whole,
            overflow="fold",
        )
    for row in cells:
        table.add_row(*(Text(cell, STATE_STYLES.get(cell, "")) for cell in row))
    console.print(table)
