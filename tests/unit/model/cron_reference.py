"""Cron's due instants by brute force, for comparison: a day's wall times, each mapped to the instants at which it is.

Knows plain expressions of five or six fields. Stands alone on purpose, and is to be right rather than fast.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall time has no zone
LARGEST_SHIFT = timedelta(hours=3)
WEEK = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
YEAR = ("", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
LIMITS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


class Plain(NamedTuple):
    """Each field as the set of what it names: numbers, and texts such as ``L``, ``5L`` and ``5#2``."""

    seconds: frozenset[int | str]
    minutes: frozenset[int | str]
    hours: frozenset[int | str]
    dates: frozenset[int | str]
    months: frozenset[int | str]
    weekdays: frozenset[int | str]
    both: bool
    fixed: bool

    @property
    def times_a_day(self) -> int:
        return len(self.seconds) * len(self.minutes) * len(self.hours)


def due_between(text: str, zone: ZoneInfo, after: float, until: float) -> list[int]:
    """The due instants in (after, until], in epoch seconds."""
    plain = parsed(text)
    first, last = (datetime.fromtimestamp(instant, zone).replace(tzinfo=None) for instant in (after, until))
    # Where clocks are put back, times outside of first and last belong here too: by as much as they are put back.
    # Within a day that is the difference between wall time and time gone by; over more there may be two changes.
    put_back = abs(last - first - timedelta(seconds=until - after)) if until - after < 86_400 else LARGEST_SHIFT
    found: set[int] = set()
    for wall in wall_times(plain, first - put_back, last + put_back):
        found.update(instants_of(wall, zone, fixed=plain.fixed))
    return sorted(instant for instant in found if after < instant <= until)


def instants_of(wall: datetime, zone: ZoneInfo, *, fixed: bool) -> list[int]:
    """When the clocks of the zone show ``wall``: never, once or twice, and for a fixed time Debian's rule."""
    # In a gap or a repeated hour fold says which offset: that before the change, or that after it.
    before, after = (wall.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    first, second = ((wall - offset - EPOCH) // timedelta(seconds=1) for offset in (before, after))
    is_adjusted = fixed and abs(after - before) <= LARGEST_SHIFT
    if after == before or (after < before and is_adjusted):
        return [first]
    if after < before:
        return [first, second]
    return [end_of_gap(second, first, zone)] if is_adjusted else []


def end_of_gap(before: int, after: int, zone: ZoneInfo) -> int:
    """The instant, between one before it and one not before it, at which the zone's clocks are put forward."""
    old = datetime.fromtimestamp(before, zone).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after


def wall_times(plain: Plain, first: datetime, last: datetime) -> Iterator[datetime]:
    """The wall times that are named, from the minute of ``first`` to that of ``last``."""
    day, a_minute = first.date(), timedelta(minutes=1)
    while day <= last.date():
        for hour in plain.hours if day_fits(plain, day) else ():
            for minute in plain.minutes:
                start = datetime(day.year, day.month, day.day, int(hour), int(minute))  # noqa: DTZ001 - as EPOCH
                if first - a_minute < start <= last:
                    yield from (start.replace(second=int(second)) for second in plain.seconds)
        day += timedelta(days=1)


def day_fits(plain: Plain, day: date) -> bool:
    if day.month not in plain.months:
        return False
    by_date = (
        day.day in plain.dates
        or ("L" in plain.dates and is_last(day))
        or ("LW" in plain.dates and is_last_weekday(day))
    )
    weekday = day.isoweekday() % 7
    is_last_of_its_kind = (day + timedelta(days=7)).month != day.month
    by_weekday = (
        weekday in plain.weekdays
        or (f"{weekday}L" in plain.weekdays and is_last_of_its_kind)
        or f"{weekday}#{(day.day - 1) // 7 + 1}" in plain.weekdays
    )
    return (by_date and by_weekday) if plain.both else (by_date or by_weekday)


def is_last(day: date) -> bool:
    return (day + timedelta(days=1)).month != day.month


def is_last_weekday(day: date) -> bool:
    rest = [day + timedelta(days=ahead) for ahead in range(1, 4)]
    return day.isoweekday() < 6 and all(later.month != day.month or later.isoweekday() > 5 for later in rest)


@cache
def parsed(text: str) -> Plain:
    words = text.upper().split()
    words = words if len(words) == 6 else ["0", *words]
    second, minute, hour, day, month, weekday = (
        numbers(word, low, high) for word, (low, high) in zip(words, LIMITS, strict=True)
    )
    return Plain(
        second,
        minute,
        hour,
        day,
        month,
        frozenset(of_week(item) for item in weekday),
        both=words[3].startswith("*") or words[5].startswith("*"),
        fixed=not words[1].startswith("*") and not words[2].startswith("*"),
    )


def of_week(item: int | str) -> int | str:
    """Sunday is 0, whether it is written 0, 7 or SUN."""
    if isinstance(item, int):
        return item % 7
    if "#" in item:
        day, which = item.split("#")
        return f"{value(day) % 7}#{which}"
    return f"{value(item[:-1]) % 7}L"


def numbers(word: str, low: int, high: int) -> frozenset[int | str]:
    found: set[int | str] = set()
    for entry in word.split(","):
        if entry in {"L", "LW"} or (entry.endswith("L") and entry != "JUL") or "#" in entry:
            found.add(entry)
            continue
        span, _, step = entry.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        end = value(last) if last else high if step else value(first)
        found.update(range(value(first), end + 1, int(step or 1)))
    return frozenset(found)


def value(word: str) -> int:
    if word in YEAR:
        return YEAR.index(word)
    return WEEK.index(word) if word in WEEK else int(word)
