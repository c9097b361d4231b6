"""Holds the runs that are claimed and not begun, most urgent first. Filled by the claimer, emptied by the worker pool.

Whoever pops has a free slot of the kernel already; here the limits of queue and job decide which run may take it.
"""

from __future__ import annotations

from heapq import heappop, heappush, nlargest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kernel.flow.catalog import Catalog
    from kernel.model.job import Job
    from kernel.model.rate import RateLimit
    from kernel.model.run import Claimed

UNLIMITED = 1 << 30
_Entry = tuple[float, str, "Claimed"]


class Limits:
    """Counts what is claimed and what runs, for queues and jobs that have a limit; without limits it counts nothing.

    Limits by key, and rates, the store counts, over all kernels, and on a store that several kernels share those of jobs
    and queues too, unless they are said to hold for each kernel: ``key_limits`` … ``queue_limits`` are as in ``Claim``.
    """

    def __init__(self, catalog: Catalog, *, is_shared: bool = False) -> None:
        self._catalog = catalog
        self._is_shared = is_shared
        self._version = -1
        self._by_job: dict[str, int] = {}
        self._by_queue: dict[str, int] = {}
        self._jobs: dict[str, int] = {}
        self._claimed: dict[tuple[str, str], int] = {}
        self._running: dict[tuple[str, str], int] = {}
        self.are_set = False
        self.key_limits: dict[str, int] = {}
        self.job_rates: dict[str, RateLimit] = {}
        self.queue_rates: dict[str, RateLimit] = {}
        self.key_rates: dict[str, RateLimit] = {}
        self.job_limits: dict[str, int] = {}
        self.queue_limits: dict[str, int] = {}
        self._counted: set[tuple[str, str]] = set()
        """The lanes whose runs the store counts as begun once they are claimed."""
        self._has_held_back = False
        self.on_room: Callable[[], None] = lambda: None
        """A run of such a lane has begun, which others of it may have waited for."""

    @property
    def count_claims(self) -> bool:
        """Whether there are lanes of which a claim counts as the beginning."""
        return bool(self._counted)

    def give_place(self, runs: Iterable[Claimed]) -> bool:
        """Whether the end of one of these may let another run of its job or queue begin, in whatever kernel."""
        if not (self.job_limits or self.queue_limits):
            return False
        return any(run.job in self.job_limits or run.queue in self.queue_limits for run in runs)

    def refresh(self, ready: Iterable[Claimed], running: Iterable[Claimed]) -> bool:
        """Takes the limits from the catalog when that has changed, and counts anew; whether it had."""
        if self._version == self._catalog.version:
            return False
        self._version = self._catalog.version
        jobs, queues = self._catalog.jobs, self._catalog.queues
        self._jobs = dict.fromkeys(jobs, UNLIMITED)
        self._read_policies(jobs.values())
        self.queue_rates = {name: queue.rate_limit for name, queue in queues.items() if queue.rate_limit is not None}
        self._by_queue = {name: queue.concurrency for name, queue in queues.items() if queue.concurrency is not None}
        self.queue_limits = {
            name: limit for name, limit in self._by_queue.items()
            if self._is_shared and queues[name].concurrency_scope == "all"
        }  # fmt: skip
        self._counted = {("job", name) for name in (*self.job_rates, *self.key_rates, *self.job_limits)}
        self._counted |= {("queue", name) for name in (*self.queue_rates, *self.queue_limits)}
        for kind, name in self._counted:  # so that these are counted here too
            (self._by_job if kind == "job" else self._by_queue).setdefault(name, UNLIMITED)
        self.are_set = bool(self._by_job or self._by_queue)
        self._claimed.clear()
        self._running.clear()
        for run in ready:
            self.claimed(run)
        for run in running:
            self.claimed(run)
            self._count(self._running, run, 1)
        return True

    def _read_policies(self, jobs: Iterable[Job]) -> None:
        self._by_job, self.key_limits, self.job_limits, self.job_rates, self.key_rates = {}, {}, {}, {}, {}
        for job in jobs:
            policies = job.policies
            if policies.at_once is not None:
                (self._by_job if policies.concurrency_by is None else self.key_limits)[job.name] = policies.at_once
                if self._is_shared and policies.concurrency_by is None and policies.scope == "all":
                    self.job_limits[job.name] = policies.at_once
            if policies.rate_limit is not None:
                (self.job_rates if policies.rate_limit_by is None else self.key_rates)[job.name] = policies.rate_limit

    def rooms(self, at_once: int = UNLIMITED) -> tuple[dict[str, int], dict[str, int]]:
        """Job -> room and queue -> room for the next claim.

        ``at_once``: how many more runs the kernel has slots for. For a rate a claim is the beginning, and for a limit over
        all kernels it takes a place from the others. Where there are slots the claim itself says so of rates, and of a lane
        with such a limit no more are claimed; where there are none a single run of a lane is, which takes the next slot.
        """
        jobs = self._jobs
        if self._by_job:
            jobs = dict(jobs)
            for job, limit in self._by_job.items():
                jobs[job] = max(0, limit - self._claimed.get(("job", job), 0))
        queues = {
            queue: max(0, limit - self._claimed.get(("queue", queue), 0)) for queue, limit in self._by_queue.items()
        }
        self._has_held_back = bool(self._counted) and at_once <= 0
        if self._counted:
            jobs = dict(jobs)
            for lane in self._counted:
                rooms = jobs if lane[0] == "job" else queues
                held = self._claimed.get(lane, 0) - self._running.get(lane, 0)
                if at_once <= 0:
                    rooms[lane[1]] = min(rooms[lane[1]], max(0, 1 - held))
                elif lane[1] in (self.job_limits if lane[0] == "job" else self.queue_limits):
                    rooms[lane[1]] = min(rooms[lane[1]], at_once)
        return jobs, queues

    @property
    def have_cut_short(self) -> bool:
        """Whether a limit has left no room at the last claim: then the store may have more of that job or queue.

        Of limits over all kernels it is told otherwise: by ``give_place``, and by the other kernels.
        """
        if self._has_held_back:
            return True
        limits = (
            *((("job", name), limit) for name, limit in self._by_job.items() if name not in self.job_limits),
            *((("queue", name), limit) for name, limit in self._by_queue.items() if name not in self.queue_limits),
        )
        return any(self._claimed.get(key, 0) >= limit for key, limit in limits)

    def concern(self, run: Claimed) -> bool:
        """Whether the run's job or queue has a limit."""
        return run.job in self._by_job or run.queue in self._by_queue

    def may_start(self, run: Claimed) -> bool:
        return self._running.get(("job", run.job), 0) < self._by_job.get(run.job, UNLIMITED) and self._running.get(
            ("queue", run.queue), 0
        ) < self._by_queue.get(run.queue, UNLIMITED)

    def claimed(self, run: Claimed) -> None:
        self._count(self._claimed, run, 1)

    def started(self, run: Claimed) -> None:
        self._count(self._running, run, 1)
        if self._has_held_back and (("job", run.job) in self._counted or ("queue", run.queue) in self._counted):
            self.on_room()

    def ended(self, run: Claimed) -> None:
        self._count(self._running, run, -1)
        self._count(self._claimed, run, -1)

    def given_back(self, run: Claimed) -> None:
        self._count(self._claimed, run, -1)

    def _count(self, counts: dict[tuple[str, str], int], run: Claimed, by: int) -> None:
        # What has no limit is not counted: when one is set, all is counted anew.
        if run.job in self._by_job:
            counts["job", run.job] = counts.get(("job", run.job), 0) + by
        if run.queue in self._by_queue:
            counts["queue", run.queue] = counts.get(("queue", run.queue), 0) + by


class ReadyQueue:
    """Claimed runs in the order (urgency, id); those whose queue or job is full stand aside, one lane each."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._heap: list[_Entry] = []
        self._aside: dict[tuple[str, str], list[_Entry]] = {}
        self._aside_count = 0

    def __len__(self) -> int:
        return len(self._heap) + self._aside_count

    @property
    def startable(self) -> int:
        """How many are held but for those that stand aside: of these there is always enough."""
        return len(self._heap)

    def refresh_limits(self, running: Iterable[Claimed]) -> None:
        """To be called before a claim: if the limits have changed, whatever stands aside may try again."""
        if self._limits.refresh((entry[2] for entry in self._entries()), running):
            for lane in self._aside.values():
                for entry in lane:
                    heappush(self._heap, entry)
            self._aside, self._aside_count = {}, 0

    def push(self, runs: Iterable[Claimed]) -> None:
        counts = self._limits.are_set
        for run in runs:
            if counts:
                self._limits.claimed(run)
            heappush(self._heap, (run.urgency, run.id, run))

    def pop(self) -> Claimed | None:
        """The most urgent run that may start now, counted as started; None when there is none."""
        heap = self._heap
        if not self._limits.are_set:
            return heappop(heap)[2] if heap else None
        while heap:
            entry = heappop(heap)
            run = entry[2]
            if not self._limits.concern(run):
                return run
            if self._limits.may_start(run):
                self._limits.started(run)
                return run
            heappush(self._aside.setdefault((run.queue, run.job), []), entry)
            self._aside_count += 1
        return None

    def ended(self, run: Claimed) -> int:
        """A slot came free: the head of each lane that shares the run's queue or job may try again; how many do."""
        if not self._limits.are_set or not self._limits.concern(run):
            return 0
        self._limits.ended(run)
        if not self._aside_count:
            return 0
        lanes = [lane for lane in self._aside if lane[0] == run.queue or lane[1] == run.job]
        for lane in lanes:
            waiting = self._aside[lane]
            heappush(self._heap, heappop(waiting))
            self._aside_count -= 1
            if not waiting:
                del self._aside[lane]
        return len(lanes)

    def held(self) -> list[Claimed]:
        return [entry[2] for entry in self._entries()]

    def worst(self) -> float | None:
        """The largest urgency held, None when empty."""
        return max((entry[0] for entry in self._entries()), default=None)

    def least_urgent(self, count: int) -> list[Claimed]:
        return [entry[2] for entry in nlargest(count, self._entries())]

    def take(self, which: Callable[[Claimed], bool]) -> list[Claimed]:
        """Takes out the runs for which ``which`` holds, to be given back to the store."""
        every = self._entries()
        taken = [entry[2] for entry in every if which(entry[2])]
        if taken:
            gone = {run.id for run in taken}
            self._heap = sorted(entry for entry in every if entry[1] not in gone)
            self._aside, self._aside_count = {}, 0
            for run in taken:
                self._limits.given_back(run)
        return taken

    def _entries(self) -> list[_Entry]:
        return [*self._heap, *(entry for lane in self._aside.values() for entry in lane)]
