"""The order of claims: queued runs in lanes, and the most urgent of all lanes that have room."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING

from .rows import ID, JOB, PRIORITY, QUEUE, STATE, URGENCY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kernel.contracts.store import Claim

    from .rows import Waits

Key = tuple[float, str]
"""(urgency, id): the order of claims."""

TIDY_FROM = 64
"""Fewer runs than this that have left are not worth tidying up."""


class Lane:
    """The queued runs of one queue, job and priority.

    They nearly always come in the order of their claims and stand in a deque; a heap takes those that come late. A run
    that leaves otherwise than by a claim is only counted, and passed over in its turn or tidied up with others.
    """

    __slots__ = ("_gone", "_late", "_ready", "_runs", "job", "priority", "queue")

    def __init__(self, queue: str, job: str, priority: int, runs: dict[str, Waits]) -> None:
        """``runs``: all waiting runs by id; a run that is not there any more has left."""
        self.queue = queue
        self.job = job
        self.priority = priority
        self._runs = runs
        self._ready: deque[Waits] = deque()
        self._late: list[Key] = []
        self._gone = 0

    def __len__(self) -> int:
        return len(self._ready) + len(self._late) - self._gone

    def add(self, run: Waits) -> None:
        ready = self._ready
        if ready:
            last = ready[-1]
            urgency = run[URGENCY]
            if urgency < last[URGENCY] or (urgency == last[URGENCY] and run[ID] < last[ID]):
                heappush(self._late, (urgency, run[ID]))
                return
        ready.append(run)

    def leave(self) -> None:
        """A run of this lane is not among the waiting ones any more."""
        self._gone += 1
        if self._gone > TIDY_FROM and self._gone > len(self):
            self._tidy()

    def head(self) -> Key | None:
        """The key of the first run."""
        if self._gone:
            self._pass_over()
        ready, late = self._ready, self._late
        if not ready:
            return late[0] if late else None
        first = _key_of(ready[0])
        return late[0] if late and late[0] < first else first

    def take(self, into: list[Waits], most: int, bound: Key | None) -> Key | None:
        """Moves the first runs, at most so many, that come before ``bound``; returns the key of the one after them."""
        if not self._late and not self._gone:
            return self._take_ready(into, most, bound)
        head = self.head()
        while head is not None and most > 0 and (bound is None or head < bound):
            into.append(self._pop(head))
            most -= 1
            head = self.head()
        return head

    def _take_ready(self, into: list[Waits], most: int, bound: Key | None) -> Key | None:
        """The same when all stand in order, as they do most of the time."""
        ready, runs = self._ready, self._runs
        for _ in range(min(most, len(ready))):
            run = ready[0]
            if bound is not None and (run[URGENCY], run[ID]) >= bound:
                break
            del runs[run[ID]]
            into.append(run)
            ready.popleft()
        return _key_of(ready[0]) if ready else None

    def _pop(self, head: Key) -> Waits:
        if self._late and self._late[0] == head:
            heappop(self._late)
        else:
            self._ready.popleft()
        return self._runs.pop(head[1])

    def _pass_over(self) -> None:
        ready, late = self._ready, self._late
        while ready and not self._is_here(ready[0]):
            ready.popleft()
            self._gone -= 1
        while late and not self._is_queued_as(late[0]):
            heappop(late)
            self._gone -= 1

    def _tidy(self) -> None:
        late = {key for key in self._late if self._is_queued_as(key)}
        self._ready = deque(run for run in self._ready if self._is_here(run) and _key_of(run) not in late)
        self._late = list(late)
        heapify(self._late)
        self._gone = 0

    def _is_here(self, run: Waits) -> bool:
        return self._runs.get(run[ID]) is run

    def _is_queued_as(self, key: Key) -> bool:
        run = self._runs.get(key[1])
        return run is not None and run[STATE] == "queued" and run[URGENCY] == key[0]


class Lanes:
    """All lanes that have runs."""

    def __init__(self, runs: dict[str, Waits]) -> None:
        self._runs = runs
        self._lanes: dict[tuple[str, str, int], Lane] = {}

    def lane_of(self, run: Waits) -> Lane:
        """The lane that ``run`` belongs to; one that did not exist is made, to be filled at once."""
        key = (run[QUEUE], run[JOB], run[PRIORITY])
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(*key, self._runs)
        return lane

    def leave(self, run: Waits) -> None:
        lane = self._lanes[run[QUEUE], run[JOB], run[PRIORITY]]
        lane.leave()
        if not lane:
            self._drop(lane)

    def oldest(self) -> Iterator[Waits]:
        """The first run of each lane; since a lane has one priority, it was due first of all in it."""
        for lane in self._lanes.values():
            head = lane.head()
            if head is not None:
                yield self._runs[head[1]]

    def take(self, claim: Claim, left: Callable[[str, int], None]) -> list[Waits]:
        """Takes out what ``claim`` asks for, in order; ``left`` is told how many have left which queue."""
        last = None if claim.before is None else (claim.before, "")
        if len(self._lanes) == 1:
            return self._take_of_one(claim, last, left)
        jobs, queues = dict(claim.jobs), dict(claim.queues)
        heads = self._heads(jobs, queues)
        taken: list[Waits] = []
        while heads and (before := len(taken)) < claim.limit:
            key, lane = heads[0]
            if last is not None and key >= last:
                break
            most = min(claim.limit - before, jobs[lane.job], queues.get(lane.queue, claim.limit))
            if most <= 0:
                heappop(heads)
                continue
            head = lane.take(taken, most, _bound(last, heads))
            count = len(taken) - before
            jobs[lane.job] -= count
            if lane.queue in queues:
                queues[lane.queue] -= count
            left(lane.queue, count)
            if head is None:
                heappop(heads)
                self._drop(lane)
            else:
                heapreplace(heads, (head, lane))
        return taken

    def _take_of_one(self, claim: Claim, last: Key | None, left: Callable[[str, int], None]) -> list[Waits]:
        """The same where there is but one lane, as there is most of the time."""
        [lane] = self._lanes.values()
        taken: list[Waits] = []
        most = min(claim.limit, claim.jobs.get(lane.job, 0), claim.queues.get(lane.queue, claim.limit))
        if lane.take(taken, most, last) is None:
            self._drop(lane)
        left(lane.queue, len(taken))
        return taken

    def _heads(self, jobs: dict[str, int], queues: dict[str, int]) -> list[tuple[Key, Lane]]:
        heads = [
            (lane.head(), lane)
            for lane in self._lanes.values()
            if jobs.get(lane.job, 0) > 0 and queues.get(lane.queue, 1) > 0
        ]
        found = [(key, lane) for key, lane in heads if key is not None]
        heapify(found)
        return found

    def _drop(self, lane: Lane) -> None:
        del self._lanes[lane.queue, lane.job, lane.priority]


def _key_of(run: Waits) -> Key:
    return run[URGENCY], run[ID]


def _bound(last: Key | None, heads: list[tuple[Key, Lane]]) -> Key | None:
    """Up to where the first lane may be taken from before another one, or ``last``, comes first."""
    for key, _ in heads[1:3]:
        if last is None or key < last:
            last = key
    return last
