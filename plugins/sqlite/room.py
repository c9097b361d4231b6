"""How many runs wait in each queue: an estimate from what passes through this process, counted anew when it matters."""

from __future__ import annotations

import math
import time
from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING

from kernel.model.run import NewRun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .database import Database

_QUEUE = itemgetter(NewRun._fields.index("queue"))
_SHARE = 20
"""A long count is repeated after this many times its own length at the earliest: a full queue is not busy with counting."""
_LONG_SECONDS = 0.001
_SHARED_SECONDS = 0.5
"""How long a count is trusted while others write too."""


class Room:
    """Estimates are never too low by what this process does; what others add shows within half a second."""

    def __init__(self) -> None:
        self._waiting: dict[str, int] = {}
        self._counted_at: dict[str, float] = {}
        self._again_at: dict[str, float] = {}
        self._others_wrote_at = -math.inf

    def forget(self) -> None:
        """A transaction was rolled back: the estimates may be wrong."""
        self._waiting.clear()

    def others_wrote(self, at: float) -> None:
        """Another process wrote at this instant of ``time.monotonic()``; inf: it may at any."""
        self._others_wrote_at = at

    def takes(self, database: Database, runs: Sequence[NewRun], room: Mapping[str, int]) -> bool:
        """Whether all of ``runs`` fit for certain; when they do, they count as waiting from now on."""
        added = Counter(map(_QUEUE, runs))
        for queue in added.keys() & room.keys():
            if self.waiting(database, queue, room[queue] - added[queue]) + added[queue] > room[queue]:
                return False
        self.add(added)
        return True

    def waiting(self, database: Database, queue: str, enough: int) -> int:
        """How many wait in the queue: counted anew unless ``enough`` are surely not exceeded."""
        known = self._waiting.get(queue)
        begun = time.monotonic()
        if known is not None and (begun < self._again_at[queue] or (known <= enough and self._is_own(queue, begun))):
            return known
        found: int = database.value("waiting", queue=queue)
        length = time.monotonic() - begun
        self._counted_at[queue] = begun
        self._again_at[queue] = begun + (length * _SHARE if length > _LONG_SECONDS else 0.0)
        self._waiting[queue] = found
        return found

    def _is_own(self, queue: str, now: float) -> bool:
        counted_at = self._counted_at[queue]
        return counted_at > self._others_wrote_at or now - counted_at < _SHARED_SECONDS

    def add(self, added: Mapping[str, int]) -> None:
        for queue, count in added.items():
            self.left(queue, -count)

    def left(self, queue: str, count: int) -> None:
        """So many runs of the queue wait no longer."""
        if queue in self._waiting:
            self._waiting[queue] -= count

    def came_back(self, queue: str, count: int) -> None:
        self.left(queue, -count)
