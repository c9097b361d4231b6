"""At most so many messages within a minute, counted over a sliding minute: pure."""

from __future__ import annotations

from collections import deque

_SECONDS = 60.0


class Allowance:
    """Its times are those of any one clock that grows."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: deque[float] = deque()

    def left(self, now: float) -> int:
        # What lies ahead was taken before the clock was set back.
        while self._taken and not now - _SECONDS < self._taken[0] <= now:
            self._taken.popleft()
        return self._most - len(self._taken)

    def take(self, now: float) -> None:
        self._taken.append(now)

    def next_at(self, now: float) -> float:
        """From when there is one."""
        return now if self.left(now) > 0 else self._taken[-self._most] + _SECONDS
