"""Values that many viewers ask for at once: taken once, and told to all of them for a moment."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from kernel import Kernel

T = TypeVar("T")

_SHARE = 20.0
_LONGER = 5.0
_MOST = 200


class _Kept(NamedTuple):
    until: float
    value: Any


class Recent:
    """What took long to get is kept longer, up to five times: however many look, little of the time goes into it."""

    def __init__(self, kernel: Kernel) -> None:
        self._clock = kernel.clock
        self._kept: dict[Hashable, _Kept] = {}
        self._locks: dict[Hashable, asyncio.Lock] = {}
        self._forgotten = 0

    async def get(self, key: Hashable, seconds: float, make: Callable[[], Awaitable[T]]) -> T:
        """What ``make`` gave in the last ``seconds``; all who ask while it is under way share the one that comes."""
        async with self._locks.setdefault(key, asyncio.Lock()):
            kept = self._kept.get(key)
            if kept is None or kept.until <= self._clock.elapsed():
                began, forgotten = time.perf_counter(), self._forgotten
                value = await make()
                cost = (time.perf_counter() - began) * _SHARE
                seconds = min(max(seconds, cost), seconds * _LONGER)
                kept = _Kept(self._clock.elapsed() + seconds, value)
                if forgotten == self._forgotten:  # else it may be from before the change
                    self._kept[key] = kept
                self._drop_old()
            found: T = kept.value
            return found

    def forget(self) -> None:
        """After a change: who looks next sees it."""
        self._forgotten += 1
        self._kept.clear()

    def _drop_old(self) -> None:
        if len(self._kept) <= _MOST:
            return
        now = self._clock.elapsed()
        over = [key for key, kept in self._kept.items() if kept.until <= now] or list(self._kept)[:-_MOST]
        for key in over:
            del self._kept[key]
            if not self._locks[key].locked():
                del self._locks[key]
