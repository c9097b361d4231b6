"""What of the flow the store refuses at the moment: told once when it begins, and once when all is over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kernel.model.events import StoreRecovered, StoreTroubled

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.contracts.clock import Clock
    from kernel.flow.event_bus import EventBus
    from kernel.model.errors import StoreError

OUTCOMES = "outcomes"

log = logging.getLogger(__name__)


class Trouble:
    """By part of the flow. True while there is any."""

    def __init__(self, bus: EventBus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._parts: set[str] = set()
        self._since = 0.0
        self.on_outcomes_taken: Callable[[], None] = lambda: None
        """Outcomes can be written again: work may begin again."""

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def parts(self) -> list[str]:
        return sorted(self._parts)

    @property
    def holds_up(self) -> bool:
        """Whether outcomes cannot be written: then nothing new should begin, for its outcome would wait as well."""
        return OUTCOMES in self._parts

    def begins(self, part: str, error: StoreError) -> None:
        """The store refused something that will be tried again, for ``part`` of the flow."""
        if not self._parts:
            self._since = self._clock.elapsed()
            log.warning(
                "the store does not take what it is given; it is tried again, nothing is thrown away: %s", error
            )
            self._bus.publish(StoreTroubled(self._clock.now(), str(error)))
        self._parts.add(part)

    def ends(self, part: str) -> None:
        """It works for ``part``, again or as ever."""
        if part not in self._parts:
            return
        self._parts.remove(part)
        if not self._parts:
            seconds = self._clock.elapsed() - self._since
            log.warning("the store works again after %.1f s", seconds)
            self._bus.publish(StoreRecovered(self._clock.now(), seconds))
        if part == OUTCOMES:
            self.on_outcomes_taken()
