"""The wall times that cron fields name: pure calendar, with no zone and no clock."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from cronsim import CronSim, CronSimError

DAY = 86_400
HORIZON_YEARS = 50
_EPOCH = date(1970, 1, 1).toordinal()
_A_MONDAY = datetime(2001, 1, 1)  # noqa: DTZ001 - wall time; the parser asks for a start and does not use it
_WEEKLY = sum(1 << day for day in range(0, 31, 7))


@dataclass(frozen=True, slots=True)
class WallTimes:
    """Sets of numbers as bits: bit 5 of ``minutes`` is minute 5. A wall time is a number of seconds since 1970.

    ``nth`` holds pairs of weekday and which one of the month, -1 for the last; Sunday is 0.
    ``both``: a day must fit by date and by weekday, as Debian has it when either field starts with a star.
    """

    seconds: int
    minutes: int
    hours: int
    dates: int
    months: int
    weekdays: int
    nth: frozenset[tuple[int, int]]
    last_day: bool
    last_weekday: bool
    both: bool
    every_day: bool
    earliest_in_hour: int
    earliest_in_day: int

    def first_from(self, wall: int) -> int | None:
        """The first wall time at or after ``wall``; None when none comes in 50 years."""
        today, second = divmod(wall, DAY)
        day = self._day_from(today)
        if day == today:
            time = self._time_from(second)
            if time >= 0:
                return today * DAY + time
            day = self._day_from(today + 1)
        return None if day is None else day * DAY + self.earliest_in_day

    def _time_from(self, second_of_day: int) -> int:
        """The first time of a day at or after a second of it; -1 when the day has none any more."""
        hour, rest = divmod(second_of_day, 3600)
        if self.hours >> hour & 1:
            minute, second = divmod(rest, 60)
            if self.minutes >> minute & 1 and (found := _first_bit(self.seconds, second)) >= 0:
                return hour * 3600 + minute * 60 + found
            if (found := _first_bit(self.minutes, minute + 1)) >= 0:
                return hour * 3600 + found * 60 + self.earliest_in_hour % 60
        found = _first_bit(self.hours, hour + 1)
        return found * 3600 + self.earliest_in_hour if found >= 0 else -1

    def _day_from(self, day: int) -> int | None:
        if self.every_day:
            return day
        first = date.fromordinal(day + _EPOCH)
        year, month, start = first.year, first.month, first.day
        for _ in range(HORIZON_YEARS * 12 + 1):
            if self.months >> month & 1 and (found := _first_bit(self._dates_of(year, month), start)) >= 0:
                return date(year, month, found).toordinal() - _EPOCH
            start, month = 1, month + 1
            if month > 12:
                year, month = year + 1, 1
        return None

    def _dates_of(self, year: int, month: int) -> int:
        """The dates of one month that fit, as bits."""
        monday_based, length = monthrange(year, month)
        by_date = self.dates
        if self.last_day:
            by_date |= 1 << length
        if self.last_weekday:
            by_date |= 1 << length - max(0, (monday_based + length - 1) % 7 - 4)
        by_weekday = self._dates_by_weekday((monday_based + 1) % 7, length)
        return (by_date & by_weekday if self.both else by_date | by_weekday) & (2 << length) - 2

    def _dates_by_weekday(self, weekday_of_first: int, length: int) -> int:
        found = 0
        for weekday in range(7):
            if self.weekdays >> weekday & 1:
                found |= _WEEKLY << 1 + (weekday - weekday_of_first) % 7
        for weekday, which in self.nth:
            first = 1 + (weekday - weekday_of_first) % 7
            found |= 1 << (first + (length - first) // 7 * 7 if which < 0 else first + (which - 1) * 7)
        return found


@lru_cache(maxsize=4096)
def wall_times(fields: tuple[str, ...]) -> WallTimes | None:
    """What six checked fields name; None when that never comes."""
    try:
        parsed = CronSim(" ".join(fields), _A_MONDAY)
    except CronSimError:
        return None  # the fields are checked: what is left to refuse is a day that none of the months has
    weekdays = {item % 7 for item in parsed.weekdays if isinstance(item, int)}
    nth = {(item[0] % 7, max(item[1], -1)) for item in parsed.weekdays if isinstance(item, tuple)}
    earliest_in_hour = min(parsed.minutes) * 60 + min(parsed.seconds)
    times = WallTimes(
        seconds=_bits(parsed.seconds),
        minutes=_bits(parsed.minutes),
        hours=_bits(parsed.hours),
        dates=_bits(parsed.days),
        months=_bits(parsed.months),
        weekdays=_bits(weekdays),
        nth=frozenset(nth),
        last_day=CronSim.LAST in parsed.days,
        last_weekday=CronSim.LAST_WEEKDAY in parsed.days,
        both=parsed.day_and,
        every_day=fields[3:] == ("*", "*", "*"),
        earliest_in_hour=earliest_in_hour,
        earliest_in_day=min(parsed.hours) * 3600 + earliest_in_hour,
    )
    return times if times.first_from(0) is not None else None


def _bits(numbers: set[int]) -> int:
    return sum(1 << number for number in numbers if number >= 0)


def _first_bit(bits: int, start: int) -> int:
    """The lowest number of a set that is at least ``start``; -1 when it has none."""
    rest = bits >> start
    return start + (rest & -rest).bit_length() - 1 if rest else -1
