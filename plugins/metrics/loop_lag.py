"""How late the event loop gives a timer its turn: one timer, four times a second."""

from __future__ import annotations

import asyncio

from kernel import Tally

_EVERY_SECONDS = 0.25
_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)


class LoopLag:
    """``lags``: by how much each turn came late, in seconds."""

    def __init__(self) -> None:
        self.lags = Tally(_BOUNDS)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        self._due = self._loop.time() + _EVERY_SECONDS
        self._timer = self._loop.call_at(self._due, self._turn)

    def _turn(self) -> None:
        self.lags.add(max(self._loop.time() - self._due, 0.0))
        self._arm()
