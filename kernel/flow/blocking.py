"""Which jobs have blocked the kernel's loop so often that their attempts run in threads. Told by the watchdog, asked by the runner.

Three blocks within an hour are enough, for a job that says ``when_blocking="thread"``; it holds until the plugin is
switched off, or the kernel ends.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from typing import TYPE_CHECKING

from kernel.model.duration import words
from kernel.model.events import JobMoved

if TYPE_CHECKING:
    from kernel.contracts.clock import Clock
    from kernel.flow.catalog import Catalog
    from kernel.flow.event_bus import EventBus

log = logging.getLogger(__name__)

MOST_BLOCKS = 3
WITHIN_SECONDS = 3600.0


class BlockingJobs:
    """``moved``: the full names of the jobs whose attempts run in threads."""

    def __init__(self, catalog: Catalog, bus: EventBus, clock: Clock) -> None:
        self._catalog = catalog
        self._bus = bus
        self._clock = clock
        self._blocks: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MOST_BLOCKS))
        self.moved: set[str] = set()

    def blocked(self, name: str) -> None:
        """The job has blocked the loop once more."""
        job = self._catalog.jobs.get(name)
        if job is None or job.policies.when_blocking != "thread" or name in self.moved:
            return
        now = self._clock.elapsed()
        blocks = self._blocks[name]
        blocks.append(now)
        if len(blocks) == MOST_BLOCKS and now - blocks[0] < WITHIN_SECONDS:
            self._move(name)

    def forget(self, plugin: str) -> None:
        """The plugin goes off: what its jobs will do when it comes back is not known."""
        mine = {name for name in (*self._blocks, *self.moved) if name.partition(".")[0] == plugin}
        self.moved -= mine
        for name in mine:
            self._blocks.pop(name, None)

    def _move(self, name: str) -> None:
        del self._blocks[name]
        self.moved.add(name)
        reason = f"it has blocked the event loop {MOST_BLOCKS} times within {words(WITHIN_SECONDS)}"
        log.warning(
            "%s: %s; from now on its attempts run in threads, each on a loop of its own",
            name,
            reason,
            extra={"job": name},
        )
        self._bus.publish(JobMoved(self._clock.now(), name, reason))
