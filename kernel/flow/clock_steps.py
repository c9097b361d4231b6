"""Notices that the wall clock was set: it moved against elapsed time. Asked by the scheduler before whatever it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.contracts.clock import STEP_SECONDS

if TYPE_CHECKING:
    from kernel.contracts.clock import Clock

_AT_ONE_MOMENT_SECONDS = 0.1


class ClockSteps:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = self._offset_now()
        self._compared_at = clock.elapsed()
        self._found: float | None = None
        self._untold = 0.0

    @property
    def agreed_until(self) -> float:
        """The last instant, by the old clock, at which it was known to be right."""
        return self._compared_at + self._offset

    def find(self) -> float:
        """By how many seconds it was set, or 0.0; the very same step until it is ``taken``, so that it can be tried again."""
        if self._found is None:
            offset = self._offset_now()
            if abs(offset - self._offset) <= STEP_SECONDS:
                self._offset, self._compared_at = offset, self._clock.elapsed()
                return 0.0
            self._found = offset
        return self._found - self._offset

    def taken(self) -> None:
        """The step is taken into account."""
        if self._found is not None:
            self._untold += self._found - self._offset
            self._offset, self._compared_at, self._found = self._found, self._clock.elapsed(), None

    def tell(self) -> float:
        """By how many seconds it was set, in all, since this was last asked."""
        step, self._untold = self._untold, 0.0
        return step

    def _offset_now(self) -> float:
        """The wall clock against elapsed time, both read at one moment: the process may be stopped in between."""
        while True:
            before = self._clock.elapsed()
            wall = self._clock.now()
            after = self._clock.elapsed()
            if after - before < _AT_ONE_MOMENT_SECONDS:
                return wall - before
