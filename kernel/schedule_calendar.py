"""What a calendar of schedules shows: what became of the ticks of a span, and the ticks that come next."""

from __future__ import annotations

import asyncio
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import RunQuery
from kernel.model.run import iso
from kernel.model.schedule import Timing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernel.contracts.store import Store
    from kernel.model.run import Run
    from kernel.model.schedule import ScheduleRow

MOST_OF_ONE = 100
"""Coming ticks of one schedule that are told one by one; of the others there is a count."""
_MOST_COUNTED = 1_000
"""Ticks of cron are counted by going through them: of one schedule no more than these."""

Json = dict[str, Any]


async def past_ticks(store: Store, names: Sequence[str], since: float, until: float, limit: int) -> Json:
    """``ticks``: the ledger's lines that touch the span, newest first; ``is_cut`` when there are more than ``limit``."""
    lines = await store.ticks_of(names, since, until, limit + 1)
    ids = list(dict.fromkeys(line.run for line in lines if line.run is not None))
    runs: dict[str, Run] = {}
    if ids:
        runs = {run.id: run for run in await store.runs(RunQuery(ids=ids, limit=len(ids)))}
    ticks = []
    for line in lines[:limit]:
        run = runs.get(line.run or "")
        ticks.append(
            {
                "schedule": line.schedule,
                "first_at": iso(line.first),
                "last_at": iso(line.last),
                "count": line.count,
                "result": line.result,
                "reason": line.reason,
                "run": line.run,
                "state": None if run is None else str(run.state),
                "degraded": run is not None and run.degraded,
            }
        )
    return {"ticks": ticks, "is_cut": len(lines) > limit}


async def coming_ticks(rows: Sequence[ScheduleRow], now: float, until: float, limit: int) -> Json:
    """``ticks``: the next ones of these schedules up to ``until``, in order of time, at most ``limit``.

    ``more``: how many come after these, for each schedule that has any; at least so many unless ``is_exact``.
    """
    timings = {row.name: (Timing(row.schedule, row.anchor), max(row.looked_until, now)) for row in rows}
    jobs = {row.name: row.schedule.job for row in rows}
    lists = [_named(name, *timings[name], until) for name in sorted(timings)]
    found = list(islice(merge(*lists), limit))
    last = {name: at for at, name in found}
    more = []
    for name, (timing, after) in timings.items():
        count, is_exact = _count(timing, last.get(name, after), until)
        if count:
            more.append({"schedule": name, "more": count, "is_exact": is_exact})
            await asyncio.sleep(0)  # so that many that tick often do not hold up the loop
    ticks = [{"schedule": name, "job": jobs[name], "at": iso(at)} for at, name in found]
    return {"ticks": ticks, "more": sorted(more, key=lambda one: one["schedule"])}


def _named(name: str, timing: Timing, after: float, until: float) -> Iterator[tuple[float, str]]:
    return ((at, name) for at in islice(timing.between(after, until), MOST_OF_ONE))


def _count(timing: Timing, after: float, until: float) -> tuple[int, bool]:
    """How many ticks there are in (after, until], and whether all were counted."""
    if timing.kind == "cron":
        count = sum(1 for _ in islice(timing.between(after, until), _MOST_COUNTED))
        return count, count < _MOST_COUNTED
    span = timing.span(after, until, 0)
    return (0 if span is None else span.count), True
