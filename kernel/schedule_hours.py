"""How many ticks each schedule has in each hour ahead: for calendars, where a schedule may tick every second."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from kernel.model.run import iso
from kernel.model.schedule import Timing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernel.model.schedule import ScheduleRow

HOUR = 3600.0
_MINUTE = 60.0


async def hours_ahead(rows: Iterable[ScheduleRow], since: float, until: float) -> list[dict[str, Any]]:
    """Of the ticks in (since, until] a line for each schedule and hour that has any, in order: the first, and how many."""
    found = []
    for row in rows:
        timing = Timing(row.schedule, row.anchor)
        at = timing.next_after(max(since, row.looked_until))
        while at is not None and at <= until:
            end = min((at // HOUR + 1) * HOUR, math.nextafter(until, math.inf))
            count = count_of(timing, at, end)
            found.append({"schedule": row.name, "job": row.schedule.job, "at": iso(at), "count": count})
            at = timing.next_after(math.nextafter(end, -math.inf))
        await asyncio.sleep(0)  # so that many that tick often do not hold up the loop
    return found


def count_of(timing: Timing, first: float, end: float) -> int:
    """How many ticks lie in [first, end); ``first`` is one of them.

    Cron has the same seconds in each of its minutes: those of one whole minute are counted, and then its minutes.
    """
    if timing.kind != "cron":
        whole = timing.span(math.nextafter(first, -math.inf), math.nextafter(end, -math.inf), 0)
        return 0 if whole is None else whole.count
    count, of_a_minute = 0, 0
    at: float | None = first
    while at is not None and at < end:
        minute = at // _MINUTE * _MINUTE
        is_whole = minute >= first // _MINUTE * _MINUTE + _MINUTE and minute + _MINUTE <= end
        stop = min(minute + _MINUTE, end)
        if not (is_whole and of_a_minute):
            here = sum(1 for _ in timing.between(math.nextafter(at, -math.inf), math.nextafter(stop, -math.inf)))
            of_a_minute = here if is_whole else 0
        else:
            here = of_a_minute
        count += here
        at = timing.next_after(math.nextafter(stop, -math.inf))
    return count
