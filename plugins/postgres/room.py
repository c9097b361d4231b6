"""How many runs wait in each queue: an estimate from what passes through this process, counted anew when it matters."""

from __future__ import annotations

import time
from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING

from kernel.model.run import NewRun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .database import Database

_QUEUE = itemgetter(NewRun._fields.index("queue"))
_FRESH_SECONDS = 0.5
"""So long a count is trusted near the limit, though other kernels add to the queue too."""
_FAR_SECONDS = 10.0
"""So long it is trusted while not even half of the room is taken."""
_SHARE = 20
"""A long count is repeated after this many times its own length at the earliest: a full queue is not busy with counting."""
_LONG_SECONDS = 0.005


class _Count:
    __slots__ = ("again_at", "counted_at", "waiting")

    def __init__(self, waiting: int, counted_at: float, again_at: float) -> None:
        self.waiting = waiting
        self.counted_at = counted_at
        self.again_at = again_at


class Room:
    """Estimates are never too low by what this process adds; it does not see what is claimed, so they may be too high."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}

    def forget(self) -> None:
        """What was added may not have been written."""
        self._counts.clear()

    def surely_takes(self, runs: Sequence[NewRun], room: Mapping[str, int]) -> bool:
        """Whether all of ``runs`` fit for certain, as far as is known without asking; then they count as waiting."""
        added = Counter(map(_QUEUE, runs))
        now = time.monotonic()
        for queue in added.keys() & room.keys():
            known = self._counts.get(queue)
            if known is None:
                return False
            after, age = known.waiting + added[queue], now - known.counted_at
            if after > room[queue] or (age > _FRESH_SECONDS and (age > _FAR_SECONDS or after > room[queue] // 2)):
                return False
        self.add(added)
        return True

    async def waiting(self, database: Database, queue: str, most: int) -> int:
        """How many wait in the queue, counted now unless that takes too long to be done each time; up to ``most``."""
        known = self._counts.get(queue)
        begun = time.monotonic()
        if known is not None and begun < known.again_at:
            return known.waiting
        found: int = await database.value("waiting", queue, most)
        length = time.monotonic() - begun
        again_at = begun + length * _SHARE if length > _LONG_SECONDS else 0.0
        self._counts[queue] = _Count(found, begun, again_at)
        return found

    def add(self, added: Mapping[str, int]) -> None:
        for queue, number in added.items():
            if queue in self._counts:
                self._counts[queue].waiting += number

    def left(self, queues: Mapping[str, int]) -> None:
        """So many runs of each queue wait no longer."""
        for queue, number in queues.items():
            if queue in self._counts:
                self._counts[queue].waiting -= number
