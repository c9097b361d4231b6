"""What became of ticks by the hour, read from the store's ledger little by little, and kept."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel import StoreError

from .calendar import HOUR, UNSETTLED, Hour, Line, fate_of, share_of
from .wording import epoch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernel import Kernel

PAGE = 500
"""Lines that are read at once."""
_PAGES_OF_AN_HOUR = 50
LOOK_SECONDS = 0.03
"""So long a page waits; what is missing then is read meanwhile, for the next."""
_KEPT_HOURS = 24 * 10
_LINES = 8
_SETTLED_SECONDS = 600.0
_FRESH_SECONDS = 1.0
_SHARE = 20.0
_REST = 3.0


class _Read(NamedTuple):
    """An hour of all schedules. ``until``: when it is to be read again."""

    schedules: Mapping[str, Hour]
    until: float


class Ledger:
    """However many schedules tick, and however often: a page waits for one look, not for all of the ledger."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._hours: dict[int, _Read] = {}
        self._is_dense = False
        self._reading: asyncio.Task[None] | None = None

    async def look(self, since: float, until: float) -> bool:
        """Reads the hours of [since, until) that are missing or have changed, newest first; whether all are there now."""
        now = self._kernel.clock.now()
        end = int(min(until, now) // HOUR) + (min(until, now) % HOUR > 0)
        wanted = range(int(since // HOUR), end)
        if self._reading is None and self._newest_stale(wanted):
            self._reading = asyncio.create_task(self._read_all(wanted), name="mainspring:web:ledger")
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=LOOK_SECONDS)
        return all(hour in self._hours for hour in wanted)

    async def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    def of(self, schedule: str) -> dict[int, Hour]:
        """The hours that have been read, by their number since 1970; those without a tick are left out."""
        return {number: read.schedules[schedule] for number, read in self._hours.items() if schedule in read.schedules}

    def newest(self, schedule: str) -> Line | None:
        for number in sorted(self._hours, reverse=True):
            hour = self._hours[number].schedules.get(schedule)
            if hour is not None and hour.lines:
                return hour.lines[0]
        return None

    def forget(self) -> None:
        """After a change that the newest hours show."""
        for number in sorted(self._hours)[-2:]:
            self._hours[number] = self._hours[number]._replace(until=0.0)

    def _newest_stale(self, wanted: range) -> tuple[int, int] | None:
        """The newest hours in a row that are to be read: [first, end)."""
        elapsed = self._kernel.clock.elapsed()
        found: list[int] = []
        for hour in reversed(wanted):
            if hour not in self._hours or self._hours[hour].until <= elapsed:
                found.append(hour)
            elif found:
                break
        return (found[-1], found[0] + 1) if found else None

    async def _read_all(self, wanted: range) -> None:
        start = time.perf_counter()
        try:
            with contextlib.suppress(StoreError):  # the next look tries it again
                while stale := self._newest_stale(wanted):
                    began = time.perf_counter()
                    await self._read(*stale)
                    if time.perf_counter() - start > LOOK_SECONDS:  # nobody waits for the rest of it
                        await asyncio.sleep((time.perf_counter() - began) * _REST)
            oldest = self._kernel.clock.now() // HOUR - _KEPT_HOURS
            for hour in [hour for hour in self._hours if hour < oldest]:
                del self._hours[hour]
        finally:
            self._reading = None

    async def _read(self, first: int, end: int) -> None:
        began = time.perf_counter()
        first = end - 1 if self._is_dense else first
        lines, is_cut = await self._page(first * HOUR, end * HOUR)
        while is_cut and end - first > 1:
            # Of what is cut off a range may reach into the newest hours: fewer of them are read anew.
            first = min(end - 1, max(int(lines[-1].first // HOUR) + 1, first + (end - first + 3) // 4))
            lines, is_cut = await self._page(first * HOUR, end * HOUR)
        self._is_dense = is_cut
        if is_cut:
            lines = await self._whole_hour(first, lines)
        cost = (time.perf_counter() - began) / (end - first) * _SHARE
        self._keep(lines, first, end, cost)

    async def _whole_hour(self, hour: int, lines: list[Line]) -> list[Line]:
        found = {(line.schedule, line.first): line for line in lines}
        until = lines[-1].first
        for _ in range(_PAGES_OF_AN_HOUR):
            lines, is_cut = await self._page(hour * HOUR, max(until, hour * HOUR))
            known = len(found)
            found |= {(line.schedule, line.first): line for line in lines}
            if not is_cut or until <= hour * HOUR:
                break
            # All that begin at the same instant may be more than a page.
            until = lines[-1].first if len(found) > known else until - 1.0
        return list(found.values())

    async def _page(self, since: float, until: float) -> tuple[list[Line], bool]:
        told = await self._kernel.control.schedules_ticks(since=since, until=until, limit=PAGE)
        return [line for one in told["ticks"] if (line := line_of(one))], told["is_cut"]

    def _keep(self, lines: list[Line], first: int, end: int, cost: float) -> None:
        fates: dict[int, dict[str, Counter[str]]] = {hour: {} for hour in range(first, end)}
        shown: dict[tuple[int, str], list[Line]] = {}
        for line in lines:
            for hour in range(max(first, int(line.first // HOUR)), min(end, int(line.last // HOUR) + 1)):
                if count := share_of(line, hour * HOUR, (hour + 1) * HOUR):
                    fates[hour].setdefault(line.schedule, Counter())[line.fate] += count
                    few = shown.setdefault((hour, line.schedule), [])
                    if len(few) < _LINES:
                        few.append(line)
        now, elapsed = self._kernel.clock.now(), self._kernel.clock.elapsed()
        for hour, counts in fates.items():
            is_fresh = (hour + 1) * HOUR > now - 60.0
            is_settled = not any(UNSETTLED & one.keys() for one in counts.values())
            seconds = _FRESH_SECONDS if is_fresh else _SETTLED_SECONDS if is_settled else _FRESH_SECONDS * 10
            found = {name: Hour(one, shown[hour, name]) for name, one in counts.items()}
            self._hours[hour] = _Read(found, elapsed + max(seconds, cost))


def line_of(told: Mapping[str, Any]) -> Line | None:
    """As control.schedules_ticks tells it."""
    first, last = epoch(told["first_at"]), epoch(told["last_at"])
    if first is None or last is None:
        return None
    fate = fate_of(told["result"], told["state"], degraded=told["degraded"])
    return Line(told["schedule"], first, last, told["count"], fate, told["reason"] or "", told["run"])
