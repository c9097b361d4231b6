"""Tells systemd, or whoever set NOTIFY_SOCKET, how the kernel is: ready, reloading, stopping, and that it still works.

The protocol is that of sd_notify(3): one datagram of ``KEY=VALUE`` lines.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

from kernel.contracts.clock import SystemClock
from kernel.contracts.service import Periodic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class ServiceManager:
    """Without NOTIFY_SOCKET every call does nothing.

    With WATCHDOG_USEC a sign of life is sent twice in that time, as long as ``is_working`` says so: the loop turns, and
    the schedules are looked at when they are due.
    """

    def __init__(self, is_working: Callable[[], bool], environment: Mapping[str, str] = os.environ) -> None:
        self._is_working = is_working
        self._address = _address_of(environment.get("NOTIFY_SOCKET", ""))
        self._watchdog = self._periodic(environment)

    async def ready(self, status: str) -> None:
        self._tell("READY=1", f"STATUS={status}")
        if self._watchdog is not None:
            await self._watchdog.start()

    def reloading(self) -> None:
        """To be followed by ``reloaded``."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self, status: str) -> None:
        self._tell("READY=1", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """The signs of life go on: a long drain is no hang."""
        self._tell("STOPPING=1", f"STATUS={status}")

    async def close(self) -> None:
        if self._watchdog is not None:
            await self._watchdog.stop()

    def _periodic(self, environment: Mapping[str, str]) -> Periodic | None:
        microseconds = environment.get("WATCHDOG_USEC", "")
        is_for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if self._address is None or not is_for_us or not microseconds.isdecimal() or not int(microseconds):
            return None
        return Periodic("service watchdog", int(microseconds) / 2_000_000, self._show_life, SystemClock())

    async def _show_life(self) -> None:
        if self._is_working():
            self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        text = "\n".join(line.replace("\n", " ") for line in lines)
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.setblocking(False)
            to.sendto(text.encode(errors="replace"), self._address)


def _address_of(name: str) -> str | None:
    """An abstract address is written with a leading @."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None
