"""Waiting runs by an instant of theirs: when they become due, or when they expire."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .rows import Waits

TIDY_FROM = 64
"""Fewer runs than this that have left are not worth tidying up."""


class Instants:
    """A heap; runs that have left are only counted, and passed over in their turn or tidied up with others."""

    __slots__ = ("_at", "_gone", "_heap", "_runs")

    def __init__(self, runs: dict[str, Waits], at: Callable[[Waits], float | None]) -> None:
        """``runs``: all waiting runs by id. ``at``: the instant by which a run stands here, None when it does not."""
        self._runs = runs
        self._at = at
        self._heap: list[tuple[float, str]] = []
        self._gone = 0

    def __len__(self) -> int:
        return len(self._heap) - self._gone

    def add(self, at: float, run_id: str) -> None:
        heappush(self._heap, (at, run_id))

    def leave(self, count: int = 1) -> None:
        """So many runs do not stand here any more; told after they have left, all at once."""
        self._gone += count
        if self._gone > TIDY_FROM and self._gone > len(self):
            self._heap = list({entry for entry in self._heap if self._stands(entry)})
            heapify(self._heap)
            self._gone = 0

    def first(self) -> float | None:
        """The earliest instant."""
        heap = self._heap
        while self._gone and heap and not self._stands(heap[0]):
            heappop(heap)
            self._gone -= 1
        return heap[0][0] if heap else None

    def pop(self, now: float) -> Waits | None:
        """The first run whose instant has come; it must have left by the next call."""
        first = self.first()
        if first is None or first > now:
            return None
        return self._runs[heappop(self._heap)[1]]

    def _stands(self, entry: tuple[float, str]) -> bool:
        run = self._runs.get(entry[1])
        return run is not None and self._at(run) == entry[0]
