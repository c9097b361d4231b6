"""Rate limits: how many runs have begun lately, counted in slots of a hundredth of the limit's period."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernel.model.rate import RateLimit

SLOTS = 100
TIDY_FROM = 1_000
"""Fewer windows than this are not worth tidying up."""

RateKey = tuple[str, str, str]
"""Kind (job, queue or key), name, and key."""


class Window:
    """What has begun under one limit. A slot counts until its whole width has left the period, so that no stretch of
    that length ever holds more than the limit's count.
    """

    __slots__ = ("_count", "_seconds", "_slots")

    def __init__(self) -> None:
        self._slots: deque[tuple[float, int]] = deque()
        """The end of each slot, and how many have begun in it."""
        self._count = 0
        self._seconds = 0.0

    def room(self, limit: RateLimit, now: float) -> int:
        self._pass(limit, now)
        return max(limit.count - self._count, 0)

    def room_at(self, limit: RateLimit, now: float) -> float:
        """When the next run may begin."""
        self._pass(limit, now)
        count = self._count
        at = now
        for end, begun in self._slots:
            if count < limit.count:
                break
            at = end + limit.seconds
            count -= begun
        return at

    def take(self, limit: RateLimit, now: float, count: int) -> None:
        end = _end_of_slot(limit, now)
        self._count += count
        if self._slots and self._slots[-1][0] >= end:
            last, begun = self._slots.pop()
            self._slots.append((last, begun + count))
        else:
            self._slots.append((end, count))

    def is_past(self, now: float) -> bool:
        """Whether nothing of it counts any more."""
        return not self._slots or self._slots[-1][0] + self._seconds <= now

    def _pass(self, limit: RateLimit, now: float) -> None:
        slots = self._slots
        self._seconds = limit.seconds
        while slots and slots[0][0] + limit.seconds <= now:
            self._count -= slots.popleft()[1]
        end = _end_of_slot(limit, now)
        if slots and slots[-1][0] > end + limit.seconds / SLOTS:
            # The clock was put back: what began in what is now the future counts as begun now, not until after then.
            ahead = 0
            while slots and slots[-1][0] > end:
                ahead += slots.pop()[1]
            slots.append((end, ahead))


class Rates:
    """The windows of all limits."""

    def __init__(self) -> None:
        self._windows: dict[RateKey, Window] = {}
        self._full = TIDY_FROM

    def room(self, key: RateKey, limit: RateLimit, now: float) -> int:
        window = self._windows.get(key)
        return limit.count if window is None else window.room(limit, now)

    def room_at(self, key: RateKey, limit: RateLimit, now: float) -> float:
        window = self._windows.get(key)
        return now if window is None else window.room_at(limit, now)

    def take(self, key: RateKey, limit: RateLimit, now: float, count: int = 1) -> None:
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= self._full:
                self.tidy(now)
            window = self._windows[key] = Window()
        window.room(limit, now)
        window.take(limit, now, count)

    def tidy(self, now: float) -> None:
        """Forgets what counts no more."""
        for key in [key for key, window in self._windows.items() if window.is_past(now)]:
            del self._windows[key]
        self._full = max(TIDY_FROM, 2 * len(self._windows))


def _end_of_slot(limit: RateLimit, now: float) -> float:
    width = limit.seconds / SLOTS
    end = (now // width + 1) * width
    return end if end > now else end + width
