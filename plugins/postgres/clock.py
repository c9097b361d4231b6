"""The database's clock, by which all kernels go, as seen from this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.contracts.store import KernelRow

_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Seconds that only grow, those of a suspended machine included."""
    return time.clock_gettime(_ELAPSED)


class ServerClock:
    """Held against elapsed time, so that it stays right when somebody sets this machine's clock. Of all threads.

    ``wall`` is this machine's clock.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._ahead_of_elapsed: float | None = None

    def was_read(self, now: float, begun: float, ended: float) -> None:
        """The server said ``now`` at some moment between these two of ``elapsed``."""
        ahead = now - (begun + ended) / 2
        # An answer that took long says little of when it was given: what it may be wrong by is no news.
        if self._ahead_of_elapsed is None or abs(ahead - self._ahead_of_elapsed) > (ended - begun) / 2:
            self._ahead_of_elapsed = ahead

    @property
    def offset(self) -> float:
        """What is to be added to this machine's clock, as it is set now; 0.0 when nothing is known."""
        ahead = self._ahead_of_elapsed
        return 0.0 if ahead is None else ahead - (self._wall() - elapsed())

    def of(self, kernel: KernelRow) -> KernelRow:
        """The row with its instants, which are by this machine's clock, by the server's."""
        offset = self.offset
        return kernel._replace(started=kernel.started + offset, seen=kernel.seen + offset)
