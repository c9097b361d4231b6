"""SIGTERM and SIGINT end the kernel step by step; SIGHUP reads plugins.toml again; SIGUSR1 prints all stacks and tasks."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import math
import os
import select
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

HURRY_SECONDS = 2.0
_LATE_SECONDS = 0.5
_CLOSING_SECONDS = 15.0
"""Beyond the grace: for plugins to stop and for outcomes to be written."""
_NUDGES = 40
_NUDGE_SECONDS = 0.025


class StopSignals:
    """Hands signals to the loop. Plain handlers and a thread, not those of the loop: a job that blocks it must not keep
    the process from ending, and a plugin may take the loop's own wake-up for itself.

    First: ``on_stop``. Second: ``on_hurry``, and the end within 2 s. Third: the end at once.
    """

    def __init__(
        self,
        *,
        on_stop: Callable[[], None],
        on_hurry: Callable[[], None],
        on_reload: Callable[[], None],
        on_dump: Callable[[], None],
        grace_seconds: Callable[[], float],
        force: Callable[[str], None],
    ) -> None:
        self.count = 0
        self._on_stop = on_stop
        self._on_hurry = on_hurry
        self._on_reload = on_reload
        self._on_dump = on_dump
        self._grace_seconds = grace_seconds
        self._force = force
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadline, self._why = math.inf, ""
        self._is_closed = False
        self._nudged = 0
        self._thread: threading.Thread | None = None
        self._wakes, self._waking = socket.socketpair()
        self._waking.setblocking(False)

    def listen(self) -> None:
        """From here on, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._watch, name="mainspring-signals", daemon=True)
        self._thread.start()
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._reload)
        signal.signal(signal.SIGURG, self._was_nudged)
        signal.signal(signal.SIGUSR1, self._dump)
        # The stacks of threads are printed at once, also when the loop is blocked; then the handler of before is called.
        faulthandler.register(signal.SIGUSR1, all_threads=True, chain=True)

    def close(self) -> None:
        """Its thread ends; what signals do from here on is what they did before."""
        self._is_closed = True
        self._wake()
        if self._thread is not None:
            self._thread.join(_NUDGES * _NUDGE_SECONDS)
            signal.set_wakeup_fd(-1)
        self._waking.close()
        self._wakes.close()

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

    def _dump(self, _number: int, _frame: FrameType | None) -> None:
        self._tell(self._on_dump)

    def _tell(self, callback: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)

    def _end_after(self, seconds: float, why: str) -> None:
        deadline = time.monotonic() + seconds
        if deadline < self._deadline:
            self._deadline, self._why = deadline, why
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: then it is awake
            self._waking.send(b"\0")

    def _was_nudged(self, _number: int, _frame: FrameType | None) -> None:
        self._nudged += 1

    def _watch(self) -> None:
        """In a thread: forces the end at the deadline, and sees to it that the main thread takes notice of signals.

        Two signals that come at once are delivered to two threads: the second may be noted down while the main thread
        has gone back to a long sleep already, and only a signal of its own wakes it.
        """
        while not self._is_closed:
            wait = None if self._deadline == math.inf else max(0.0, self._deadline - time.monotonic())
            if not select.select([self._wakes], [], [], wait)[0]:
                self._force(self._why)
                return
            if any(self._wakes.recv(4096).replace(bytes([signal.SIGURG]), b"\0")):
                self._nudge()

    def _nudge(self) -> None:
        before = self._nudged
        for _ in range(_NUDGES):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGURG)
            time.sleep(_NUDGE_SECONDS)
            if self._nudged > before:
                return
