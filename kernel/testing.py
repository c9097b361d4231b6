"""For tests of plugins: a clock that is told the time, and waiting for what happens instead of sleeping."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import time
from typing import TYPE_CHECKING

from kernel.contracts.clock import JITTER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

START = 1_767_225_600.0
"""2026-01-01T00:00:00Z, a Thursday: where a FakeClock begins."""


class _Timer:
    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self._callback = callback
        # As the loop has it: a callback runs with the context variables of whoever asked for it.
        self._context = contextvars.copy_context()
        self.is_cancelled = False

    def call(self) -> None:
        self._context.run(self._callback)

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeClock:
    """Time stands still until ``advance``; ``step`` moves the wall clock alone, as an operator would."""

    def __init__(self, now: float = START) -> None:
        self._wall = now
        self._offset = 0.0
        self._elapsed = 1_000.0
        self._timers: list[tuple[float, int, _Timer]] = []
        self._count = 0

    def now(self) -> float:
        return self._wall + self._offset

    def correct(self, offset: float) -> None:
        if abs(offset - self._offset) > JITTER_SECONDS:
            self._offset = offset

    def elapsed(self) -> float:
        return self._elapsed

    def call_in(self, seconds: float, callback: Callable[[], None]) -> _Timer:
        timer = _Timer(self._elapsed + max(seconds, 0.0), callback)
        self._count += 1
        heapq.heappush(self._timers, (timer.due, self._count, timer))
        return timer

    def step(self, seconds: float) -> None:
        """The wall clock is set; elapsed time does not notice."""
        self._wall += seconds

    def skip(self, seconds: float) -> None:
        """Time passes and nobody gets a turn: a blocked loop, a suspended machine."""
        self._wall += seconds
        self._elapsed += seconds

    async def advance(self, seconds: float) -> None:
        """Time passes: timers fire in order, and what they wake gets its turns before time goes on."""
        target = self._elapsed + seconds
        await settle()
        while self._timers and self._timers[0][0] <= target:
            due, _, timer = heapq.heappop(self._timers)
            if timer.is_cancelled:
                continue
            self._pass(due)
            timer.call()
            await settle()
        self._pass(target)
        await settle()

    def _pass(self, until: float) -> None:
        if until > self._elapsed:
            self._wall += until - self._elapsed
            self._elapsed = until


async def settle(turns: int = 30) -> None:
    """Gives everything on the loop its turns; what waits for a thread or a socket is not waited for."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool], limit: float = 10.0) -> None:
    """Waits until ``condition`` holds, in real seconds; AssertionError after ``limit``."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {limit:g} s")
        await asyncio.sleep(0.002)
