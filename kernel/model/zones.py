"""Time zones by name, and their time cut into stretches that keep one offset to UTC."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from kernel.model.errors import ConfigError, nearest, shown

DAY = 86_400
_BLOCK = 366 * DAY
_NAME = re.compile(r"(?!posix/|right/)[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Stretch:
    """The instants ``start <= instant < end``, all of one offset: wall time is instant + offset, in seconds.

    ``before`` is the offset just before ``start``. Where no clock was changed it equals ``offset``: long
    stretches are cut in pieces, and one clock change belongs to the pieces of a day around it.
    """

    start: int
    end: int
    offset: int
    before: int


def zone_of(name: str) -> ZoneInfo:
    """The zone of this name. ConfigError, with the nearest name, when there is none or it is no plain name."""
    if not isinstance(name, str):
        raise ConfigError(f'{shown(name)} is no time zone: expected a name such as "Europe/Berlin"')
    return _zone_of(name)


@lru_cache(maxsize=1024)
def _zone_of(name: str) -> ZoneInfo:
    if _NAME.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass  # a folder, a file that is no zone, or nothing: all the same to who wrote the name
    near = nearest(name[:100], available_timezones())
    raise ConfigError(f'{shown(name)} is no time zone: expected a name such as "UTC" or "Europe/Berlin".{near}')


def stretch_at(zone: ZoneInfo, instant: int) -> Stretch:
    """The stretch around ``instant``; it ends at the next clock change of the zone, or sooner."""
    stretches = _stretches_of(zone, instant // _BLOCK)
    index = 0
    while stretches[index].end <= instant:
        index += 1
    return stretches[index]


@lru_cache(maxsize=4096)
def _stretches_of(zone: ZoneInfo, block: int) -> tuple[Stretch, ...]:
    """The stretches of one block of time and of the day before it.

    The offset is looked at once a day. That finds every change: none of the world's zones has ever changed
    twice within four days. The day before lets the first stretch know of a change that it still has to heed.
    """
    begin, end = (block * _BLOCK) - DAY, (block + 1) * _BLOCK
    before = offset = offset_at(zone, begin)
    found = []
    for day in range(begin, end, DAY):
        if offset_at(zone, day + DAY) == offset:
            continue
        change = _change_within(zone, day)
        if change < end:
            found.append(Stretch(begin, change, offset, before))
            begin, before, offset = change, offset, offset_at(zone, change)
    return (*found, Stretch(begin, end, offset, before))


def _change_within(zone: ZoneInfo, day: int) -> int:
    offset = offset_at(zone, day)
    return day + bisect_left(range(DAY), True, key=lambda second: offset_at(zone, day + second) != offset)


def offset_at(zone: ZoneInfo, instant: int) -> int:
    """Seconds that the zone's wall clock is ahead of UTC at this instant."""
    offset = datetime.fromtimestamp(instant, zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0
