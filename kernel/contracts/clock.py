"""Time as the kernel sees it; a test, or a simulation, puts in a clock that is told the time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    def now(self) -> float:
        """The wall clock: epoch seconds. It may step."""

    def elapsed(self) -> float:
        """Seconds that only grow, those of a suspended machine included; their zero means nothing."""

    def call_in(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Calls back on the loop after so many elapsed seconds (at once when not positive)."""


class SystemClock:
    """The machine's own clocks, timers on the running loop."""

    _elapsed_id = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def now(self) -> float:
        return time.time()

    def elapsed(self) -> float:
        return time.clock_gettime(self._elapsed_id)

    def call_in(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(max(seconds, 0.0), callback)


async def sleep(clock: Clock, seconds: float) -> None:
    """Waits until the clock says that so much time has passed."""
    woken = asyncio.get_running_loop().create_future()
    timer = clock.call_in(seconds, lambda: None if woken.done() else woken.set_result(None))
    try:
        await woken
    finally:
        timer.cancel()
