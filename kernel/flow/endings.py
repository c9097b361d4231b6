"""Waiting for the end of a run: whoever writes an end here wakes those who wait, and the store is looked at besides."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from kernel.contracts.store import RunQuery

if TYPE_CHECKING:
    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Store
    from kernel.model.run import Run

_LOOK_AGAIN = 1.0


class Endings:
    """Run id -> who waits for its end. True while anybody waits."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._watchers: dict[str, list[asyncio.Future[None]]] = {}

    def __bool__(self) -> bool:
        return bool(self._watchers)

    async def wait(self, run_id: str, seconds: float | None) -> Run | None:
        """The run once it has ended, or as it is after so many seconds; None when there is no such run."""
        deadline = None if seconds is None else self._clock.elapsed() + seconds
        while True:
            future = self._watch(run_id)
            try:
                found = await self._store.runs(RunQuery(ids=[run_id], limit=1))
                if not found or found[0].is_final:
                    return found[0] if found else None
                left = _LOOK_AGAIN if deadline is None else min(deadline - self._clock.elapsed(), _LOOK_AGAIN)
                if left <= 0:
                    return found[0]
                timer = self._clock.call_in(left, partial(_resolve, future))
                try:
                    await future
                finally:
                    timer.cancel()
            finally:
                self._unwatch(run_id, future)

    def _watch(self, run_id: str) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.setdefault(run_id, []).append(future)
        return future

    def _unwatch(self, run_id: str, future: asyncio.Future[None]) -> None:
        watchers = self._watchers.get(run_id, [])
        if future in watchers:
            watchers.remove(future)
        if not watchers:
            self._watchers.pop(run_id, None)

    def tell(self, run_id: str) -> None:
        """The run has ended."""
        if self._watchers:
            for future in self._watchers.pop(run_id, ()):
                _resolve(future)

    def look(self) -> None:
        """Another process changed the store: whoever waits for a run looks again."""
        for run_id in list(self._watchers):
            self.tell(run_id)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
