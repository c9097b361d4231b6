"""The alarm that says "look at the clock" when the earliest tick is due. Made on aiocron; the only file that knows it.

aiocron by itself takes its anchor once, so that a clock step shifts it for ever, and fires once for each tick that a
blocked loop has missed. Here it is armed from our own instants and says nothing but "look": what is due, the
scheduler decides.
"""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import TYPE_CHECKING

import aiocron

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.contracts.clock import Clock, Timer


class Alarm(aiocron.Cron):  # type: ignore[misc] # aiocron has no types
    """Calls ``look`` at the instant it was armed for, not before by the wall clock, and once however late it is."""

    def __init__(self, look: Callable[[], None], clock: Clock) -> None:
        super().__init__("* * * * *", look, tz=UTC, loop=asyncio.get_running_loop())
        self._look = look
        self._clock = clock
        self.due: float | None = None
        self.rung_for: float | None = None
        """The first instant that it has rung for and nobody has answered: whoever has looked sets it to None."""

    def arm(self, due: float | None) -> None:
        """To be woken at ``due`` (epoch seconds), or not at all; replaces what was set before."""
        self.stop()
        self.due = due
        if due is not None:
            self.handle: Timer | None = self._clock.call_in(self.get_next(), self.call_next)

    def rearm(self) -> None:
        """The wall clock may have moved against elapsed time: waits anew for the same instant."""
        self.arm(self.due)

    def get_next(self) -> float:
        """Seconds from now until the alarm is due."""
        return 0.0 if self.due is None else max(self.due - self._clock.now(), 0.0)

    def call_next(self) -> None:
        self.handle = None
        if self.due is None:
            return
        if self.due > self._clock.now():  # woken early: a timer's rounding, or a clock set back
            self.rearm()
            return
        self.rung_for, self.due = self.due if self.rung_for is None else self.rung_for, None
        self._look()
