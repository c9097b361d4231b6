"""The kernel's own health, from what it does: a process that is merely up may be doing no work."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from kernel.flow.membership import LEASE, NOT_RENEWED, RESCUE
from kernel.flow.notebook import READING, WRITING
from kernel.model.counted import counted
from kernel.model.errors import StoreError
from kernel.model.run import iso

if TYPE_CHECKING:
    from kernel.flow.engine import Engine

LATE_SECONDS = 5.0
STORE_SECONDS = 5.0
LAG_SECONDS = 1.0
_HOUR_SECONDS = 3600.0
_TROUBLES = {
    "outcomes": "the store does not take the outcomes of runs; {waiting} in memory, and no run begins meanwhile",
    WRITING: "the store does not take the progress, log and steps of runs; they wait in memory",
    READING: "the store does not give back the recorded steps of runs; the runs wait for them",
    "breakers": "the store does not take the state of circuit breakers; it waits in memory, and no open one is tried",
    "claims": "the store does not hand out runs; none begins meanwhile",
    "schedules": "the store does not take the ticks of schedules; they are caught up with later",
    RESCUE: "the store does not hand over what dead kernels had claimed",
    "changes": "the store does not say what others have changed, as cancelled runs, paused queues and schedules",
}
"""Part of the flow that is in trouble with the store -> what that means."""


async def judge_health(engine: Engine, plugins: list[dict[str, Any]], now: float) -> dict[str, Any]:
    """``healthy``, the ``problems`` in words, and figures. A broken plugin, a stall, a store that fails make it unhealthy."""
    problems = []
    lag = await _loop_lag()
    if lag > LAG_SECONDS:
        problems.append(f"the event loop answers {lag:.1f} s late")
    due = engine.scheduler.next_due
    overdue = 0.0 if due is None else max(now - due, 0.0)
    if overdue > LATE_SECONDS:
        problems.append(f"the schedules have not been looked at for {overdue:.0f} s after a tick was due")
    store = await _store_answers(engine)
    if store is not None:
        problems.append(f"the store does not answer: {store}")
    else:
        problems += [_trouble_in_words(part, engine) for part in engine.recorder.troubled if part != LEASE]
    if not engine.store.may_start:
        problems.append(NOT_RENEWED)
    problems += [f"plugin {one['plugin']} is broken: {one['reason']}" for one in plugins if one["state"] == "broken"]
    problems += [f"run {run} is stuck" for run in engine.pool.stuck]
    for name, off in ((name, engine.scheduler.off(name)) for name in sorted(engine.scheduler.entries)):
        if off is not None and off == ("disabled", "job unknown"):
            problems.append(f"the schedule {name} has a job that no plugin provides")
    return {
        "healthy": not problems,
        "problems": problems,
        "loop_lag_seconds": round(lag, 4),
        "running": len(engine.pool.busy),
        "claimed": len(engine.ready),
        "degraded_last_hour": dict(engine.recorder.degraded_within(_HOUR_SECONDS)),
        "breakers": engine.breakers.shut(),
        "outcomes_unwritten": engine.recorder.unwritten,
        "schedules": len(engine.scheduler.entries),
        "next_look_at": iso(due),
        "events_dropped": {one.name: one.dropped for one in engine.bus.subscriptions if one.dropped},
    }


def _trouble_in_words(part: str, engine: Engine) -> str:
    return _TROUBLES.get(part, "the store does not do what the kernel asks of it").format(
        waiting=counted(engine.recorder.unwritten, "waits", "wait")
    )


async def _loop_lag() -> float:
    began = time.monotonic()
    await asyncio.sleep(0)
    return time.monotonic() - began


async def _store_answers(engine: Engine) -> str | None:
    try:
        async with asyncio.timeout(STORE_SECONDS):
            await engine.store.signals()
    except TimeoutError:
        return f"not within {STORE_SECONDS:g} s"
    except StoreError as error:
        return str(error)
    return None
