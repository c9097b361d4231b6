"""Cron expressions, and the instants at which they are due in a zone: Debian cron's rule at every clock change."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from kernel.model.cron_fields import fields_of
from kernel.model.cron_hints import refusal
from kernel.model.cron_times import DAY, HORIZON_YEARS, WallTimes, wall_times
from kernel.model.cron_words import notes_on, words_of
from kernel.model.errors import ConfigError, shown
from kernel.model.zones import Stretch, stretch_at, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

# A larger change of the clock is a correction, such as a skipped day: nothing is made up or held back for it.
_LARGEST_SHIFT = 3 * 3600
_HORIZON = HORIZON_YEARS * 366 * DAY
_FIRST = int(datetime(2, 1, 1, tzinfo=UTC).timestamp())
_LAST = int(datetime(9900, 1, 1, tzinfo=UTC).timestamp())


@dataclass(frozen=True, slots=True)
class CronExpression:
    """A checked expression; ``fields`` are six, seconds first, with macros, names and ``H`` as plain numbers.

    With a fixed time, neither minute nor hour starting with a star, it is due once whatever the clock does: at the
    end of the gap that took its time away, and the first time when its time comes twice. Otherwise it follows the
    wall clock: not due in a gap, due in both passes of a repeated hour.
    """

    text: str
    fields: tuple[str, ...]
    _times: WallTimes = field(repr=False)
    _is_fixed: bool = field(repr=False)

    @classmethod
    def parse(cls, text: str, *, name: str = "") -> CronExpression:
        """ConfigError says what to write instead. ``H`` is spread by ``name``, a schedule's."""
        if not isinstance(text, str):
            raise ConfigError(f'{shown(text)} is no cron expression: expected text such as "0 3 * * *"')
        return _parsed(text, name if "H" in text.upper() else "")

    @property
    def notes(self) -> tuple[str, ...]:
        """What may surprise in this expression, though it is right."""
        return notes_on(self.fields)

    def describe(self) -> str:
        return words_of(self.fields)

    def next_after(self, instant: float, zone: ZoneInfo) -> float | None:
        """The first due instant after ``instant``, in epoch seconds; None when there is none within 50 years."""
        second = math.floor(min(max(instant, _FIRST), _LAST)) + 1
        horizon = min(second + _HORIZON, _LAST)
        while second < horizon:
            stretch = stretch_at(zone, second)
            due = self._first_within(stretch, second)
            if due is not None:
                return float(due)
            second = stretch.end
        return None

    def ticks_between(self, after: float, until: float, zone: ZoneInfo) -> Iterator[float]:
        """The due instants in (after, until], in order."""
        due = self.next_after(after, zone)
        while due is not None and due <= until:
            yield due
            due = self.next_after(due, zone)

    def _first_within(self, stretch: Stretch, second: int) -> int | None:
        """The first due instant of one stretch at or after a second of it."""
        wall = second + stretch.offset
        if self._is_fixed and 0 < abs(stretch.offset - stretch.before) <= _LARGEST_SHIFT:
            # What the clocks would show at the start had they been left alone: times before it have had their turn.
            unchanged = stretch.start + stretch.before
            if second == stretch.start and self._is_due_between(unchanged, wall):
                return second
            wall = max(wall, unchanged)
        due = self._times.first_from(wall)
        if due is None or due - stretch.offset >= stretch.end:
            return None
        return due - stretch.offset

    def _is_due_between(self, first: int, end: int) -> bool:
        """Whether a wall time in [first, end) is due: one that a gap takes away."""
        due = self._times.first_from(first)
        return due is not None and due < end


@lru_cache(maxsize=4096)
def _parsed(text: str, name: str) -> CronExpression:
    fields = fields_of(text, name)
    times = wall_times(fields)
    if times is None:
        day, month, weekday = fields[3:]
        found = f"no date within {HORIZON_YEARS} years has day of month {day}, month {month} and day of week {weekday}"
        raise refusal(text, f"it is never due: {found}. Write a date that the month has; L is its last one")
    is_fixed = not fields[1].startswith("*") and not fields[2].startswith("*")
    return CronExpression(text, fields, times, is_fixed)


def upcoming(
    expression: str | CronExpression, *, timezone: str = "UTC", after: datetime, count: int = 5, name: str = ""
) -> list[datetime]:
    """The next ``count`` due instants after an aware datetime, as datetimes of the zone; fewer if no more come."""
    if isinstance(expression, str):
        expression = CronExpression.parse(expression, name=name)
    zone = zone_of(timezone)
    if not isinstance(after, datetime) or after.utcoffset() is None:
        raise ConfigError(f'{shown(after)} has no offset: expected an aware datetime, such as "2026-01-31T09:00+01:00"')
    found: list[datetime] = []
    due = expression.next_after(after.timestamp(), zone)
    while due is not None and len(found) < count:
        found.append(datetime.fromtimestamp(due, zone))
        due = expression.next_after(due, zone)
    return found
