"""The tables of ``mainspring top``: what stands in their rows, and how it looks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kernel.cli.output import STATE_STYLES, plain
from kernel.cli.top_fit import Column, Span, Table
from kernel.model.duration import words

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]

_BAR = 10
_WIDE_ENOUGH_FOR_IDS = 120
_ID_END = 12
_LONGEST = 500


def tables_of(picture: Json, now: datetime, columns: int | None) -> list[Table]:
    """The most important one first."""
    shown_id = _whole_id if columns is None or columns >= _WIDE_ENOUGH_FOR_IDS else _end_of_id
    of_runs = Column("RUNNING", len(shown_id("x" * 36)))
    failed = of_runs._replace(title="FAILED")
    wrong = [[Span(_short(problem), "bold red")] for problem in picture["problems"]]
    tables = [
        Table([Column("LATE OR WRONG", 13)], wrong),
        Table(
            [of_runs, Column("JOB", 12), Column("FOR", 4, is_number=True), Column("PROGRESS", 10, 1)],
            [_running(run, now, shown_id) for run in picture["runs"]],
            "nothing runs",
        ),
        Table(
            [failed, Column("JOB", 12), Column("AGO", 4, is_number=True), Column("ERROR", 10, 1)],
            [_failed(run, now, shown_id) for run in picture["failures"]],
            "no run that is kept has failed",
        ),
        Table(
            [Column("NEXT", 12), Column("IN", 4, is_number=True), Column("WHEN", 8, 1), Column("JOB", 8, 2)],
            [_next(one, now) for one in picture["next"]],
            "no schedule has a tick ahead",
        ),
        Table(
            [
                Column("QUEUE", 12), Column("QUEUED", 6, is_number=True), Column("OLDEST", 6, 1, is_number=True),
                Column("RUNNING", 7, is_number=True), Column("LATER", 5, 2, is_number=True), Column("STATE", 6),
            ],
            [_queue(queue, now) for queue in picture["queues"]],
            "no queue has a run",
        ),
    ]  # fmt: skip
    if len(picture["kernels"]) > 1:
        tables.append(
            Table(
                [
                    Column("KERNEL", 8), Column("STATE", 9), Column("RUNNING", 7, is_number=True),
                    Column("UP", 4, 1, is_number=True), Column("HOST", 8, 2), Column("PID", 5, 3, is_number=True),
                ],
                [_kernel(one, now) for one in picture["kernels"]],
            )
        )  # fmt: skip
    # In trouble nobody can say that there is nothing.
    return [table for table in tables if table.rows or (table.empty and not picture["trouble"])]


def _running(run: Json, now: datetime, shown_id: Callable[[str], str]) -> list[Span]:
    style = STATE_STYLES["stuck"] if run["stuck"] else ""
    return [
        Span(shown_id(run["id"]), "dim"),
        Span(_short(run["job"]), style),
        Span(age(run["started_at"], now)),
        _bar(run),
    ]


def _bar(run: Json) -> Span:
    if run["stuck"]:
        return Span("stuck", STATE_STYLES["stuck"])
    fraction = run["progress"]
    if fraction is None:
        return Span("" if run["attempt"] <= 1 else f"attempt {run['attempt']}", "dim")
    full = round(min(max(fraction, 0.0), 1.0) * _BAR)
    text = _short(run["progress_text"]) if run["progress_text"] else ""
    return Span(f"{'━' * full}{'─' * (_BAR - full)} {fraction:>4.0%}  {text}".rstrip(), STATE_STYLES["running"])


def _failed(run: Json, now: datetime, shown_id: Callable[[str], str]) -> list[Span]:
    error = run["error"]
    text = f"{error['type']}: {_first_line(error['message'])}" if error else ""
    ago = age(run["finished_at"], now)
    return [Span(shown_id(run["id"]), "dim"), Span(_short(run["job"])), Span(ago), Span(_short(text), "red")]


def _next(one: Json, now: datetime) -> list[Span]:
    ahead = (datetime.fromisoformat(one["next_at"]) - now).total_seconds()
    return [Span(_short(one["schedule"])), Span(length(ahead)), Span(_short(one["when"])), Span(_short(one["job"]))]


def _queue(queue: Json, now: datetime) -> list[Span]:
    state = Span("on", "dim")
    if queue["paused"]:
        until = queue["paused_until"]
        for_ = f" for {length((datetime.fromisoformat(until) - now).total_seconds())}" if until else ""
        state = Span(f"paused{for_}", STATE_STYLES["paused"])
    limit = queue["concurrency"]
    running = f"{queue['running']:,}" if limit is None else f"{queue['running']:,} of {limit:,}"
    later = queue["retrying"] + queue["scheduled"] + queue["blocked"]
    return [
        Span(_short(queue["queue"])), Span(f"{queue['queued']:,}"), Span(age(queue["oldest_due_at"], now)),
        Span(running), Span(f"{later:,}"), state,
    ]  # fmt: skip


def _kernel(one: Json, now: datetime) -> list[Span]:
    state = one["state"]
    if state == "alive" and one["healthy"] is not None:
        state = "healthy" if one["healthy"] else "unhealthy"
    limit = "" if one["concurrency"] is None else f" of {one['concurrency']:,}"
    return [
        Span(plain(one["kernel"])[:8]), Span(state, STATE_STYLES.get(state, "")), Span(f"{one['running']:,}{limit}"),
        Span(age(one["started_at"], now)), Span(_short(one["host"])), Span(str(one["pid"])),
    ]  # fmt: skip


def _whole_id(run: str) -> str:
    return plain(run)


def _end_of_id(run: str) -> str:
    """Ids begin with their time: it is the end that tells runs of one moment apart."""
    return plain(run) if len(run) <= _ID_END else f"…{plain(run)[-_ID_END:]}"


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0]


def _short(text: str) -> str:
    return plain(text[:_LONGEST])


def age(instant: str | None, now: datetime) -> str:
    if instant is None:
        return "-"
    try:
        began = datetime.fromisoformat(instant)
    except ValueError:  # beyond any calendar
        return "-"
    return length((now - began.astimezone(UTC)).total_seconds())


def length(seconds: float) -> str:
    return "now" if seconds < 0 else "0 s" if seconds < 1 else words(int(seconds))
