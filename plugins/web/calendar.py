"""A schedule's day as a lane of 24 hours: single ticks as marks, many as a band, each with what became of it in words."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HOUR, DAY = 3600.0, 86400.0
HOURS = 24
WIDTH_OF_HOUR = 5.0
WIDTH, HEIGHT = HOURS * WIDTH_OF_HOUR, 26.0
MOST_MARKS = 12
"""A day with more ticks than these, or with two in one hour, is shown as bands."""
_MOST_TROUBLES = 8
_BOTTOM, _MIDDLE, _TOP = 24.0, 14.0, 4.5

COMING = "coming"
FATES = {
    "failed": "the run failed for good", "expired": "the run had not begun in time", "missed": "too late, not made up for",
    "cancelled": "the run was cancelled", "skipped": "the run before went on", "retrying": "the run waits to be tried again",
    "running": "the run goes on", "waiting": "the run waits to begin", "degraded": "completed, without a part of it",
    "folded": "a later tick ran for it", "disabled": "nobody knew the job", "paused": "the schedule was paused",
    "ran": "it ran; the run is no longer kept", "completed": "the run completed", COMING: "still to come",
}  # fmt: skip
"""What may become of a tick, and what that means; what one should know of first stands first."""
_RANK = {fate: rank for rank, fate in enumerate(FATES)}
_QUIET = {"completed", "ran", "degraded", "running", "waiting", "retrying", COMING}
_OF_STATE = {"queued": "waiting", "scheduled": "waiting", "blocked": "waiting"}
UNSETTLED = {"running", "waiting", "retrying"}
"""These change by themselves."""


class Line(NamedTuple):
    """A line of the ledger: ``count`` ticks from ``first`` to ``last`` had one fate."""

    schedule: str
    first: float
    last: float
    count: int  # type: ignore[assignment] # hides tuple.count, which nobody asks of a line
    fate: str
    reason: str = ""
    run: str | None = None


class Hour(NamedTuple):
    """What became of a schedule's ticks in one hour. ``lines``: a few of them, for where they can be shown one by one."""

    fates: Mapping[str, int]
    lines: Sequence[Line] = ()

    @property
    def total(self) -> int:
        return sum(self.fates.values())


class Ahead(NamedTuple):
    """The ticks that come in an hour: the first, and how many."""

    first: float
    count: int  # type: ignore[assignment] # as above


class Mark(NamedTuple):
    """``fate`` says its shape."""

    x: float
    y: float
    fate: str
    title: str
    is_small: bool = False


class Band(NamedTuple):
    """Hours in a row that are alike."""

    x: float
    y: float
    width: float
    height: float
    fate: str
    title: str


class Day(NamedTuple):
    """``bars``: runs that go on, from their tick until now. ``text``: all of it in words; empty for a day without ticks."""

    bands: Sequence[Band]
    marks: Sequence[Mark]
    bars: Sequence[Band]
    text: str


def fate_of(result: str, state: str | None, *, degraded: bool = False) -> str:
    """Of a tick whose ledger line has this result, and whose run is in this state; None when it is no longer kept."""
    if result != "run":
        return result if result in FATES else "missed"
    if state is None:
        return "ran"
    if degraded:
        return "degraded"
    fate = _OF_STATE.get(state, state)
    return fate if fate in FATES else "ran"


def share_of(line: Line, since: float, until: float) -> int:
    """How many of the line's ticks lie in [since, until); those of a range are taken to be evenly apart."""
    if line.count <= 1 or line.last <= line.first:
        return line.count if since <= line.first < until else 0
    step = (line.last - line.first) / (line.count - 1)
    before = [max(0, min(line.count, math.ceil((at - line.first) / step - 1e-6))) for at in (since, until)]
    return max(0, before[1] - before[0])


def arrange(begin: float, hours: Mapping[int, Hour], ahead: Mapping[int, Ahead], now: float) -> Day:
    """The day that begins at ``begin``; ``hours`` and ``ahead`` by their number since 1970, those of other days are left out."""
    first = int(begin // HOUR)
    past = {number: hours[number] for number in range(first, first + HOURS) if number in hours}
    coming = {number: ahead[number] for number in range(first, first + HOURS) if number in ahead}
    total = sum(hour.total for hour in past.values()) + sum(one.count for one in coming.values())
    is_single = total <= MOST_MARKS and all(
        (past[number].total if number in past else 0) + (coming[number].count if number in coming else 0) <= 1
        for number in past.keys() | coming.keys()
    )
    if is_single:
        bands: list[Band] = []
        marks = [_mark(begin, line) for hour in past.values() for line in hour.lines]
        marks += [Mark(_x(begin, one.first), _MIDDLE, COMING, f"{_at(one.first)} {COMING}") for one in coming.values()]
    else:
        bands, marks = _bands(begin, past, coming)
    return Day(bands, marks, list(_bars(begin, past, now)), _words(past, coming))


def _x(begin: float, at: float) -> float:
    return round((at - begin) / HOUR * WIDTH_OF_HOUR, 1)


def _at(at: float) -> str:
    form = "%H:%M" if at % 60 < 1 else "%H:%M:%S"
    return datetime.fromtimestamp(at, UTC).strftime(form)


def _mark(begin: float, line: Line) -> Mark:
    why = f": {line.reason}" if line.reason else ""
    return Mark(_x(begin, max(line.first, begin)), _MIDDLE, line.fate, f"{_at(line.first)} {line.fate}{why}")


def _bands(begin: float, past: Mapping[int, Hour], coming: Mapping[int, Ahead]) -> tuple[list[Band], list[Mark]]:
    """Hours that are alike are one band; beside what most ticks of an hour became, a mark tells the worst."""
    pieces: list[tuple[int, str, float, Counter[str]]] = []
    troubles: list[Mark] = []
    for number in sorted(past.keys() | coming.keys()):
        fates = Counter(past[number].fates if number in past else {})
        if number in coming:
            fates[COMING] += coming[number].count
        most = min(fates, key=lambda fate: (-fates[fate], _RANK[fate]))
        pieces.append((number, most, _height(fates.total()), fates))
        worst = min(fates, key=lambda fate: _RANK[fate])
        if worst not in _QUIET and worst != most:
            x = _x(begin, number * HOUR) + WIDTH_OF_HOUR / 2
            troubles.append(Mark(x, _TOP, worst, f"{_span(number, number)} {_counted(fates)}", is_small=True))
    bands: list[Band] = []
    marks: list[Mark] = []
    at = 0
    while at < len(pieces):
        number, fate, height, fates = pieces[at]
        end, total = at, Counter(fates)
        while end + 1 < len(pieces) and pieces[end + 1][:3] == (pieces[end][0] + 1, fate, height):
            end += 1
            total += pieces[end][3]
        x, width = _x(begin, number * HOUR), (end - at + 1) * WIDTH_OF_HOUR
        title = f"{_span(number, pieces[end][0])} {_counted(total)}"
        bands.append(Band(x + 0.4, _BOTTOM - height, width - 0.8, height, fate, title))
        if fate not in {"completed", COMING}:
            marks.append(Mark(round(x + width / 2, 1), _TOP, fate, title, is_small=True))
        at = end + 1
    return bands, marks + _fewer(troubles)


def _fewer(marks: list[Mark]) -> list[Mark]:
    """Marks that stand close to one another say no more than some of them."""
    step = -(-len(marks) // _MOST_TROUBLES) or 1
    return marks[::step]


def _height(count: int) -> float:
    """Steps, so that hours with about as many ticks become one band."""
    for most, height in ((1, 3.0), (4, 6.0), (12, 9.0), (60, 12.0)):
        if count <= most:
            return height
    return 15.0


def _span(first: int, last: int) -> str:
    return f"{_at(first * HOUR)} to {_at((last + 1) * HOUR)}"


def _bars(begin: float, past: Mapping[int, Hour], now: float) -> Iterable[Band]:
    for hour in past.values():
        for line in hour.lines:
            if line.fate == "running" and line.first < now:
                x, end = _x(begin, max(line.first, begin)), _x(begin, min(now, begin + DAY))
                title = f"the run of {_at(line.first)} goes on"
                yield Band(x, _MIDDLE - 1.5, max(round(end - x, 1), 1.0), 3.0, "running", title)


def _words(past: Mapping[int, Hour], coming: Mapping[int, Ahead]) -> str:
    fates: Counter[str] = Counter()
    for hour in past.values():
        fates.update(hour.fates)
    fates[COMING] += sum(one.count for one in coming.values())
    return _counted(fates)


def _counted(fates: Mapping[str, int]) -> str:
    """Worst first."""
    return ", ".join(f"{fates[fate]:,} {fate}" for fate in FATES if fates.get(fate, 0))


class Bunch(NamedTuple):
    """Schedules that tick in the same minute, ``at`` its first second."""

    at: float
    schedules: Sequence[str]


def bunches(ticks: Iterable[tuple[float, str]], leave_out: set[str], least: int = 3, most: int = 5) -> list[Bunch]:
    """The busiest minutes, busiest first. ``leave_out``: what ticks so often that it is in every minute anyway."""
    found: dict[float, set[str]] = {}
    for at, schedule in ticks:
        if schedule not in leave_out:
            found.setdefault(at // 60 * 60, set()).add(schedule)
    busy = sorted((-len(names), at) for at, names in found.items() if len(names) >= least)
    return [Bunch(at, sorted(found[at])) for _, at in busy[:most]]
