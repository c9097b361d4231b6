"""Time as the kernel sees it; a test, or a simulation, puts in a clock that is told the time."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

JITTER_SECONDS = 0.05
"""By so much a measured clock may be wrong."""
STEP_SECONDS = 0.5
"""What the wall clock moves by against elapsed time is a step from here on; less is taken for drift."""
_AT_ONE_MOMENT_SECONDS = 0.1


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    def now(self) -> float:
        """The wall clock: epoch seconds. It may step."""

    def elapsed(self) -> float:
        """Seconds that only grow, those of a suspended machine included; their zero means nothing."""

    def call_in(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Calls back on the loop after so many elapsed seconds (at once when not positive)."""

    def correct(self, offset: float) -> None:
        """``now`` shall be the machine's wall clock plus so many seconds: the one of a store, by which all kernels go.

        May be told again and again; what is within the error of measuring changes nothing.
        """


class SystemClock:
    """The machine's own clocks, timers on the running loop. Once it is corrected, ``now`` does not follow the wall clock."""

    _elapsed_id = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    _ahead_of_elapsed: float | None = None
    _not_before = -math.inf

    def now(self) -> float:
        if self._ahead_of_elapsed is None:
            return time.time()
        now = time.clock_gettime(self._elapsed_id) + self._ahead_of_elapsed
        return now if now > self._not_before else self._not_before  # noqa: FURB136 - max takes as long as all the rest

    def elapsed(self) -> float:
        return time.clock_gettime(self._elapsed_id)

    def call_in(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(max(seconds, 0.0), callback)

    def correct(self, offset: float) -> None:
        # Held against elapsed time: what is set on this machine between two measurements moves nothing.
        ahead = self._wall_ahead_of_elapsed() + offset
        before = self._ahead_of_elapsed
        if before is None:
            self._ahead_of_elapsed = ahead
        elif abs(ahead - before) > JITTER_SECONDS:
            # A little back is waited for, so that no instant comes twice; much is a step, and seen as one by the watch.
            self._not_before = self.now() if before - STEP_SECONDS <= ahead < before else -math.inf
            self._ahead_of_elapsed = ahead

    def _wall_ahead_of_elapsed(self) -> float:
        """Both read at one moment: the process may be stopped in between."""
        while True:
            before = self.elapsed()
            wall = self._wall()
            if self.elapsed() - before < _AT_ONE_MOMENT_SECONDS:
                return wall - before

    def _wall(self) -> float:
        """The machine's, of which ``correct`` speaks."""
        return time.time()


async def sleep(clock: Clock, seconds: float) -> None:
    """Waits until the clock says that so much time has passed."""
    woken = asyncio.get_running_loop().create_future()
    timer = clock.call_in(seconds, lambda: None if woken.done() else woken.set_result(None))
    try:
        await woken
    finally:
        timer.cancel()
