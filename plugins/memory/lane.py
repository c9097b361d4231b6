"""The queued runs of one queue, job and priority, in the order of claims."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, ClassVar

from .rows import ID, STATE, URGENCY, place_of

if TYPE_CHECKING:
    from .rows import Place, Waits

Key = tuple[float, str]
"""(urgency, id): the order of claims."""

TIDY_FROM = 64
"""Fewer runs than this that have left are not worth tidying up."""


class Lane:
    """The queued runs of one queue, job and priority.

    They nearly always come in the order of their claims and stand in a deque; a heap takes those that come late. A run
    that leaves otherwise than by a claim is only counted, and passed over in its turn or tidied up with others.
    """

    __slots__ = ("_gone", "_late", "_ready", "_runs", "job", "place", "priority", "queue")

    is_suspect: ClassVar[bool] = False

    def __init__(self, place: Place, runs: dict[str, Waits]) -> None:
        """``runs``: all waiting runs by id; a run that is not there any more has left."""
        self.place = place
        self.queue, self.job, self.priority = place[:3]
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
        return run is not None and run[STATE] == "queued" and run[URGENCY] == key[0] and place_of(run) == self.place


def _key_of(run: Waits) -> Key:
    return run[URGENCY], run[ID]
