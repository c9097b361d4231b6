"""The next 24 hours as a list: what ticks at which time, and what ticks so often that one line says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .calendar import DAY, HOUR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

OFTEN = 6
"""A schedule with more ticks than these in a day has one line for all of them."""
MOST_OFTEN = 15
MOST_SLOTS = 40
"""Minutes that have a line each; with more of them each hour has one, so that the night is never cut off."""
MOST_NAMES = 8
_MINUTE = 60.0


class Tick(NamedTuple):
    at: float
    schedule: str


class Often(NamedTuple):
    schedule: str
    first: float


class Slot(NamedTuple):
    """What ticks in a minute, or in an hour. ``day``: its first second, where the slot is the first of another day."""

    at: float
    day: float | None
    ticks: Sequence[Tick]
    is_hour: bool = False

    @property
    def shown(self) -> Sequence[Tick]:
        return self.ticks[:MOST_NAMES]

    @property
    def rest(self) -> Sequence[Tick]:
        return self.ticks[MOST_NAMES:]


class Agenda(NamedTuple):
    """``often_left_out``: so many more that tick often have no line."""

    often: Sequence[Often]
    often_left_out: int
    slots: Sequence[Slot]


def agenda(ticks: Iterable[Tick], counts: Mapping[str, int], now: float) -> Agenda:
    """``counts``: of each schedule how many ticks there are, those that are not among ``ticks`` too."""
    first: dict[str, float] = {}
    rare = []
    for tick in sorted(ticks):
        first.setdefault(tick.schedule, tick.at)
        if counts[tick.schedule] <= OFTEN:
            rare.append(tick)
    often = sorted(Often(name, at) for name, at in first.items() if counts[name] > OFTEN)
    return Agenda(often[:MOST_OFTEN], max(len(often) - MOST_OFTEN, 0), _slots(rare, now))


def _slots(ticks: Sequence[Tick], now: float) -> list[Slot]:
    is_hour = len({tick.at // _MINUTE for tick in ticks}) > MOST_SLOTS
    width = HOUR if is_hour else _MINUTE
    found: dict[float, list[Tick]] = {}
    for tick in ticks:
        found.setdefault(tick.at // width * width, []).append(tick)
    slots, day = [], now // DAY
    for at, some in found.items():
        slots.append(Slot(at, at // DAY * DAY if at // DAY > day else None, some, is_hour))
        day = at // DAY
    return slots
