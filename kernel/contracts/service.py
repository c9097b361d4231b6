"""What starts and stops, and the one loop from which all periodic work is made."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from kernel.contracts.clock import sleep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kernel.contracts.clock import Clock

log = logging.getLogger(__name__)


class Service(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Periodic:
    """Calls ``turn`` every ``seconds``, the first time after one wait; a turn that raises is logged, and the next one comes."""

    def __init__(self, name: str, seconds: float, turn: Callable[[], Awaitable[None]], clock: Clock) -> None:
        self._name = name
        self._seconds = seconds
        self._turn = turn
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._loop(), name=f"mainspring:{self._name}")

    async def stop(self) -> None:
        """Ends the loop, in the middle of a turn if need be."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _loop(self) -> None:
        while True:
            await sleep(self._clock, self._seconds)
            try:
                await self._turn()
            except Exception:
                log.exception("%s: a turn failed; the next one comes in %g s", self._name, self._seconds)
