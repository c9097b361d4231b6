"""Runs that have ended: kept until they are pruned, and never more of a job than its ``Keep`` would leave."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from kernel.model.job import Keep

from .rows import end_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kernel.model.run import Run

    from .rows import Done, End

TIDY_FROM = 64


class Shelf:
    """The ended runs of one job, in the order in which they ended; those that were retried since are passed over."""

    __slots__ = ("_completed", "_failed", "_forget", "_full", "_gone", "_most", "_noted", "_runs")

    def __init__(self, runs: dict[str, Done], noted: set[str], forget: Callable[[str], None]) -> None:
        self._runs = runs
        self._noted = noted
        self._forget = forget
        self._completed: deque[End] = deque()
        self._failed: deque[End] = deque()
        self._gone = 0
        self.allow(Keep().count)

    def __len__(self) -> int:
        return len(self._completed) + len(self._failed) - self._gone

    def allow(self, most: int) -> None:
        """Bounds how many may stand here."""
        self._most = most
        # Dropping an eighth at a time costs less than one at each end.
        self._full = most + most // 8

    def add(self, end: End) -> None:
        (self._completed if end.state == "completed" else self._failed).append(end)
        if len(self._completed) + len(self._failed) > self._full:
            self.drop_to(self._most)

    def leave(self) -> None:
        """A run that stood here waits again."""
        self._gone += 1
        if self._gone > TIDY_FROM and self._gone > len(self):
            self._completed = deque(end for end in self._completed if self._stands(end))
            self._failed = deque(end for end in self._failed if self._stands(end))
            self._gone = 0

    def drop_to(self, count: int) -> None:
        """Drops the oldest until no more than so many are left."""
        if not self._failed and not self._gone and not self._noted:
            # As it is most of the time; the same as below, and quicker.
            runs, completed = self._runs, self._completed
            for _ in range(len(completed) - count):
                del runs[completed.popleft().id]
        while len(self) > count:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        completed, failed = self._first(self._completed), self._first(self._failed)
        if failed is None or (completed is not None and _finished(completed) <= _finished(failed)):
            self._drop(self._completed)
        else:
            self._drop(self._failed)

    def drop_old(self, keep: Keep, now: float, limit: int) -> int:
        """Drops what ``keep`` does not keep, at most so many; returns how many."""
        before = len(self)
        least = max(before - limit, 0)
        for ends, seconds in ((self._completed, keep.completed_seconds), (self._failed, keep.failed_seconds)):
            while len(self) > least and (first := self._first(ends)) and _finished(first) < now - seconds:
                self._drop(ends)
        self.drop_to(max(least, keep.count))
        return before - len(self)

    def _first(self, ends: deque[End]) -> End | None:
        while self._gone and ends and not self._stands(ends[0]):
            ends.popleft()
            self._gone -= 1
        return ends[0] if ends else None

    def _drop(self, ends: deque[End]) -> None:
        run_id = ends.popleft().id
        del self._runs[run_id]
        if self._noted and run_id in self._noted:
            self._noted.remove(run_id)
            self._forget(run_id)

    def _stands(self, end: End) -> bool:
        done = self._runs.get(end.id)
        return done is not None and end_of(done) is end


class EndedRuns:
    def __init__(self, forget: Callable[[str], None]) -> None:
        """``forget`` is called with each run in ``noted`` that is dropped."""
        self.runs: dict[str, Done] = {}
        self.noted: set[str] = set()
        """The few runs, ended or not, of which more is kept elsewhere."""
        self._forget = forget
        self._shelves: dict[str, Shelf] = {}

    def add(self, job: str, end: End, done: Done) -> None:
        """``end`` is how ``done`` ended."""
        self.runs[end.id] = done
        shelf = self._shelves.get(job)
        if shelf is None:
            shelf = self._shelves[job] = Shelf(self.runs, self.noted, self._forget)
        shelf.add(end)

    def remove(self, run: Run) -> None:
        """``run`` waits again."""
        del self.runs[run.id]
        self._shelves[run.job].leave()

    def prune(self, keep: Mapping[str, Keep], default: Keep, now: float, limit: int) -> int:
        """Drops what is not kept, at most so many; returns how many."""
        dropped = 0
        for job, shelf in list(self._shelves.items()):
            kept = keep.get(job, default)
            # Between prunes a job that may keep more than usual does so.
            shelf.allow(max(Keep().count, kept.count))
            dropped += shelf.drop_old(kept, now, limit - dropped)
            if not shelf:
                del self._shelves[job]
        return dropped


def _finished(end: End) -> float:
    return end.finished or 0.0
