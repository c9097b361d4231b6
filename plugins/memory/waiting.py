"""All waiting runs: which are queued in which lane, which become due when, and which expire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.model.run import Run, RunState

from .instants import Instants
from .lanes import Lanes, earliest
from .rows import DUE, EXTRA, ID, JOB, NO_KEYS, PRIORITY, QUEUE, STATE, keys_of, with_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernel.contracts.store import Claim

    from .lane import Lane
    from .rates import Rates
    from .rows import Waits

NOT_DUE = (RunState.SCHEDULED, RunState.RETRYING)


class QueueSize:
    """How many runs wait in a queue; those that are in no other state are queued."""

    __slots__ = ("blocked", "retrying", "scheduled", "waiting")

    def __init__(self) -> None:
        self.waiting = self.scheduled = self.retrying = self.blocked = 0

    @property
    def queued(self) -> int:
        return self.waiting - self.scheduled - self.retrying - self.blocked

    def by_state(self) -> tuple[tuple[RunState, int], ...]:
        return (
            (RunState.QUEUED, self.queued),
            (RunState.SCHEDULED, self.scheduled),
            (RunState.RETRYING, self.retrying),
            (RunState.BLOCKED, self.blocked),
        )


class Waiting:
    def __init__(self, rates: Rates) -> None:
        self.runs: dict[str, Waits] = {}
        self.sizes: dict[str, QueueSize] = {}
        self._lanes = Lanes(self.runs, rates)
        self._due = Instants(self.runs, _due_of)
        self._expiries = Instants(self.runs, expires_of)

    def size(self, queue: str) -> int:
        size = self.sizes.get(queue)
        return 0 if size is None else size.waiting

    def oldest_due(self) -> dict[str, float]:
        """For each queue, when the first of its queued runs was due."""
        found: dict[str, float] = {}
        for run in self._lanes.oldest():
            found[run[QUEUE]] = min(run[DUE], found.get(run[QUEUE], run[DUE]))
        return found

    def next_due(self) -> float | None:
        """When there may be something to claim that there was not at the last claim."""
        return earliest(self._due.first(), self._lanes.room_at())

    # In

    def add_all(self, runs: Mapping[str, Waits]) -> None:
        """Runs that have just been enqueued."""
        self.runs.update(runs)
        lane: Lane | None = None
        size: QueueSize | None = None
        queue = ""
        for run in runs.values():
            if size is None or run[QUEUE] != queue:
                queue = run[QUEUE]
                size = self.sizes.setdefault(queue, QueueSize())
            size.waiting += 1
            extra = run[EXTRA]
            if run[STATE] != "queued":
                self._put_aside(run, size)
            elif extra is not None and keys_of(run) != NO_KEYS:
                self._lanes.add(run)
            else:
                if lane is None or run[JOB] != lane.job or queue != lane.queue or run[PRIORITY] != lane.priority:
                    lane = self._lanes.lane_of(run)
                lane.add(run)
            if extra is not None and (expires := expires_of(run)) is not None:
                self._expiries.add(expires, run[ID])

    def add(self, run: Waits) -> None:
        """Any run, also one that has been claimed before."""
        self.runs[run[ID]] = run
        size = self.sizes.setdefault(run[QUEUE], QueueSize())
        size.waiting += 1
        if run[STATE] == "queued":
            self._lanes.add(run)
        else:
            self._put_aside(run, size)
        if (expires := expires_of(run)) is not None:
            self._expiries.add(expires, run[ID])

    def queue_due(self, now: float) -> None:
        """What has become due is queued."""
        while (run := self._due.pop(now)) is not None:
            self._count(run, -1)
            self._become_queued(run)

    def let_go(self, run: Waits, now: float) -> None:
        """A blocked run is blocked no more."""
        self._count(run, -1)
        if run[DUE] <= now:
            self._become_queued(run)
            return
        scheduled = self.runs[run[ID]] = with_state(run, RunState.SCHEDULED)
        self._put_aside(scheduled, self.sizes[run[QUEUE]])

    def _become_queued(self, run: Waits) -> None:
        queued = self.runs[run[ID]] = with_state(run, RunState.QUEUED)
        self._lanes.add(queued)

    def _put_aside(self, run: Waits, size: QueueSize) -> None:
        """Where a run that is not queued waits: blocked ones nowhere, the others for their instant."""
        if run[STATE] == RunState.BLOCKED:
            size.blocked += 1
            return
        if run[STATE] == RunState.SCHEDULED:
            size.scheduled += 1
        else:
            size.retrying += 1
        self._due.add(run[DUE], run[ID])

    # Out

    def take(self, claim: Claim) -> list[Waits]:
        """Takes out what is claimed."""
        taken = self._lanes.take(claim, self._left)
        if self._expiries:
            self._expiries.leave(sum(expires_of(run) is not None for run in taken))
        return taken

    def has_ended(self, job: str, key: str) -> None:
        """A run with this concurrency key runs no more."""
        self._lanes.keys.end(job, key)

    def expires_by(self, now: float) -> bool:
        """Whether there is a run to expire."""
        first = self._expiries.first()
        return first is not None and first <= now

    def take_expired(self, now: float) -> list[Waits]:
        expired = []
        while (run := self._expiries.pop(now)) is not None:
            self._take_out(run)
            expired.append(run)
        return expired

    def remove(self, run: Waits) -> None:
        self._take_out(run)
        if expires_of(run) is not None:
            self._expiries.leave()

    def _take_out(self, run: Waits) -> None:
        del self.runs[run[ID]]
        if run[STATE] == "queued":
            self._lanes.leave(run)
        else:
            self._count(run, -1)
            if run[STATE] != RunState.BLOCKED:
                self._due.leave()
        self._left(run[QUEUE], 1)

    def _count(self, run: Waits, by: int) -> None:
        size = self.sizes[run[QUEUE]]
        if run[STATE] == RunState.BLOCKED:
            size.blocked += by
        elif run[STATE] == RunState.SCHEDULED:
            size.scheduled += by
        else:
            size.retrying += by

    def _left(self, queue: str, count: int) -> None:
        size = self.sizes[queue]
        size.waiting -= count
        if not size.waiting:
            del self.sizes[queue]


def expires_of(run: Waits) -> float | None:
    """When it expires; never once it has begun."""
    if isinstance(run, Run) and run.attempt:
        return None
    extra = run[EXTRA]
    return None if extra is None else extra.expires


def _due_of(run: Waits) -> float | None:
    return run[DUE] if run[STATE] in NOT_DUE else None
