"""What the kernel counts of itself, as plain numbers: for metrics, and for whoever asks whether it does its work."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernel.flow.engine import Engine


def figures_of(engine: Engine, now: float) -> dict[str, Any]:
    """All of it is at hand: nothing is read from the store. What is counted, is so since the kernel's start.

    ``store_batches``: operation -> (how many rows the batches had, how long they took), as Tallies.
    """
    recorder = engine.recorder
    dropped: Counter[str] = Counter()
    for one in engine.bus.subscriptions:
        dropped[one.name] += one.dropped
    return {
        "concurrency": engine.pool.concurrency,
        "running": len(engine.pool.busy),
        "claimed": len(engine.ready),
        "stuck": len(engine.pool.stuck),
        "outcomes_unwritten": recorder.unwritten,
        "store_troubled": bool(recorder.trouble),
        "store_batches": dict(recorder.batches),
        "schedules": len(engine.scheduler.entries),
        "schedules_overdue_seconds": engine.scheduler.overdue_seconds(now),
        "ticks": dict(recorder.ticks),
        "events_dropped": dict(dropped),
    }
