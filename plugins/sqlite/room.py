"""How many runs wait in each queue: an estimate from what passes through this process, counted anew when it matters."""

from __future__ import annotations

import time
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING

from kernel.model.errors import StoreFullError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.model.run import NewRun

    from .database import Database

_COUNTS_SHARE = 20
"""A count may be repeated after this many times its own length: counting a full queue takes at most a 20th of the time."""


class Room:
    """Estimates are never too low by what this process does; what others do shows at the next count."""

    def __init__(self) -> None:
        self._waiting: dict[str, int] = {}
        self._again_at: dict[str, float] = {}

    def forget(self) -> None:
        """A transaction was rolled back, or another process wrote: the estimates may be wrong."""
        self._waiting.clear()

    def check(self, database: Database, runs: Sequence[NewRun], room: Mapping[str, int]) -> None:
        """StoreFullError when ``runs`` would fill a queue past its ``room``."""
        for queue, count in Counter(map(attrgetter("queue"), runs)).items():
            most = room.get(queue)
            if most is None:
                continue
            waiting = self._waiting.get(queue)
            if waiting is None or waiting + count > most:
                waiting = self._count(database, queue, waiting)
            if waiting + count > most:
                raise StoreFullError(
                    f'queue "{queue}" is full: {waiting:,} runs wait in it and {most:,} may; '
                    "wait for it to drain, or raise queues." + queue + ".max_waiting"
                )
            self._waiting[queue] = waiting + count

    def left(self, queue: str, count: int) -> None:
        """So many runs of the queue wait no longer."""
        if queue in self._waiting:
            self._waiting[queue] -= count

    def came_back(self, queue: str, count: int) -> None:
        self.left(queue, -count)

    def _count(self, database: Database, queue: str, estimate: int | None) -> int:
        begun = time.monotonic()
        if estimate is not None and begun < self._again_at.get(queue, 0.0):
            return estimate
        found: int = database.value("waiting", queue)
        ended = time.monotonic()
        self._again_at[queue] = ended + (ended - begun) * _COUNTS_SHARE
        return found
