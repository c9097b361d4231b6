"""Holds the runs that are claimed and not begun, most urgent first. Filled by the claimer, emptied by the worker pool.

Whoever pops has a free slot of the kernel already; here the limits of queue and job decide which run may take it.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kernel.flow.catalog import Catalog
    from kernel.model.run import Claimed

UNLIMITED = 1 << 30
_Entry = tuple[float, str, "Claimed"]


class Limits:
    """Counts what is claimed and what runs, for queues and jobs that have a limit."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._version = -1
        self._by_job: dict[str, int] = {}
        self._by_queue: dict[str, int] = {}
        self._jobs: dict[str, int] = {}
        self._claimed: dict[tuple[str, str], int] = {}
        self._running: dict[tuple[str, str], int] = {}

    def rooms(self) -> tuple[dict[str, int], dict[str, int]]:
        """Job -> room and queue -> room for the next claim: free slots plus one such batch."""
        self._refresh()
        jobs = self._jobs
        if self._by_job:
            jobs = dict(jobs)
            for job, limit in self._by_job.items():
                jobs[job] = max(0, 2 * limit - self._claimed.get(("job", job), 0))
        queues = {
            queue: max(0, 2 * limit - self._claimed.get(("queue", queue), 0)) for queue, limit in self._by_queue.items()
        }
        return jobs, queues

    @property
    def are_set(self) -> bool:
        self._refresh()
        return bool(self._by_job or self._by_queue)

    def limited(self, run: Claimed) -> bool:
        return run.job in self._by_job or run.queue in self._by_queue

    def may_start(self, run: Claimed) -> bool:
        return self._running.get(("job", run.job), 0) < self._by_job.get(run.job, UNLIMITED) and self._running.get(
            ("queue", run.queue), 0
        ) < self._by_queue.get(run.queue, UNLIMITED)

    def claimed(self, run: Claimed) -> None:
        self._count(self._claimed, run, 1)

    def started(self, run: Claimed) -> None:
        self._count(self._running, run, 1)

    def ended(self, run: Claimed) -> None:
        self._count(self._running, run, -1)
        self._count(self._claimed, run, -1)

    def given_back(self, run: Claimed) -> None:
        self._count(self._claimed, run, -1)

    def holders(self) -> dict[tuple[str, str], int]:
        """("job" or "queue", name) -> how many run there now."""
        return {key: count for key, count in self._running.items() if count}

    def _count(self, counts: dict[tuple[str, str], int], run: Claimed, by: int) -> None:
        # Counted for every job and queue once a limit exists anywhere, so that one set later starts from the truth.
        for key in (("job", run.job), ("queue", run.queue)):
            counts[key] = counts.get(key, 0) + by

    def _refresh(self) -> None:
        if self._version == self._catalog.version:
            return
        self._version = self._catalog.version
        self._jobs = dict.fromkeys(self._catalog.jobs, UNLIMITED)
        self._by_job = {
            name: job.policies.concurrency
            for name, job in self._catalog.jobs.items()
            if job.policies.concurrency is not None
        }
        self._by_queue = {
            name: queue.concurrency for name, queue in self._catalog.queues.items() if queue.concurrency is not None
        }


class ReadyQueue:
    """Claimed runs in the order (urgency, id); those whose queue or job is full stand aside, one lane each."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._heap: list[_Entry] = []
        self._aside: dict[tuple[str, str], list[_Entry]] = {}
        self._aside_count = 0

    def __len__(self) -> int:
        return len(self._heap) + self._aside_count

    def push(self, runs: Iterable[Claimed]) -> None:
        for run in runs:
            self._limits.claimed(run)
            heappush(self._heap, (run.urgency, run.id, run))

    def pop(self) -> Claimed | None:
        """The most urgent run that may start now, counted as started; None when there is none."""
        heap = self._heap
        limits = self._limits
        while heap:
            entry = heappop(heap)
            run = entry[2]
            if not limits.limited(run):
                limits.started(run)
                return run
            if limits.may_start(run):
                limits.started(run)
                return run
            heappush(self._aside.setdefault((run.queue, run.job), []), entry)
            self._aside_count += 1
        return None

    def ended(self, run: Claimed) -> None:
        """A slot came free: the head of each lane that shares the run's queue or job may try again."""
        self._limits.ended(run)
        if self._aside_count:
            for lane in [lane for lane in self._aside if lane[0] == run.queue or lane[1] == run.job]:
                waiting = self._aside[lane]
                heappush(self._heap, heappop(waiting))
                self._aside_count -= 1
                if not waiting:
                    del self._aside[lane]

    def worst(self) -> float | None:
        """The largest urgency held, None when empty."""
        entries = [*self._heap, *(entry for lane in self._aside.values() for entry in lane)]
        return max(entry[0] for entry in entries) if entries else None

    def take(self, which: Callable[[Claimed], bool]) -> list[Claimed]:
        """Takes out the runs for which ``which`` holds, to be given back to the store."""
        every = [*self._heap, *(entry for lane in self._aside.values() for entry in lane)]
        taken = [entry[2] for entry in every if which(entry[2])]
        if taken:
            self._heap = sorted(entry for entry in every if not which(entry[2]))
            self._aside, self._aside_count = {}, 0
            for run in taken:
                self._limits.given_back(run)
        return taken

    def free_all(self) -> None:
        """Limits have changed: whatever stands aside may try again."""
        for lane in self._aside.values():
            for entry in lane:
                heappush(self._heap, entry)
        self._aside, self._aside_count = {}, 0
