"""SIGTERM and SIGINT end the kernel step by step; SIGHUP reads plugins.toml again; SIGUSR1 prints all stacks."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

HURRY_SECONDS = 2.0
_LATE_SECONDS = 0.5
_CLOSING_SECONDS = 15.0
"""Beyond the grace: for plugins to stop and for outcomes to be written."""


class StopSignals:
    """Hands signals to the loop. Plain handlers and timer threads, not those of the loop: a job that blocks it must not
    keep the process from ending, and a plugin may take the loop's own wake-up for itself.

    First: ``on_stop``. Second: ``on_hurry``, and the end within 2 s. Third: the end at once.
    """

    def __init__(
        self,
        *,
        on_stop: Callable[[], None],
        on_hurry: Callable[[], None],
        on_reload: Callable[[], None],
        grace_seconds: Callable[[], float],
        force: Callable[[str], None],
    ) -> None:
        self.count = 0
        self._on_stop = on_stop
        self._on_hurry = on_hurry
        self._on_reload = on_reload
        self._grace_seconds = grace_seconds
        self._force = force
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: list[threading.Timer] = []

    def listen(self) -> None:
        """From here on, on the running loop."""
        self._loop = asyncio.get_running_loop()
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._reload)
        faulthandler.register(signal.SIGUSR1, all_threads=True)

    def close(self) -> None:
        for timer in self._timers:
            timer.cancel()

    def stop(self) -> None:
        """As the first SIGTERM does."""
        if self.count == 0:
            self._stop(signal.SIGTERM, None)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        # Between two bytecodes of whatever the main thread does: only what is safe there.
        self.count += 1
        if self.count == 1:
            self._end_after(self._grace_seconds() + HURRY_SECONDS + _CLOSING_SECONDS, "it did not end after its grace")
            self._tell(self._on_stop)
        elif self.count == 2:
            self._end_after(HURRY_SECONDS + _LATE_SECONDS, "it did not end within 2 s of the second signal")
            self._tell(self._on_hurry)
        else:
            os._exit(1)

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self._tell(self._on_reload)

    def _tell(self, callback: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)

    def _end_after(self, seconds: float, why: str) -> None:
        timer = threading.Timer(seconds, self._force, [why])
        timer.daemon = True
        self._timers.append(timer)
        timer.start()
