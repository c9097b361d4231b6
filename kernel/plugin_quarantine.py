"""When the hooks of a plugin are called no more, and when again: five faults within ten minutes, then ten minutes of rest.

A fault of a hook harms nobody by itself, so the first ones are only told. ``start``, ``stop`` and what is called while a
plugin is loaded stand apart: one fault of these breaks it.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from kernel.model.duration import words
from kernel.model.events import PluginFaulted, PluginQuarantined, PluginReleased
from kernel.model.run import iso

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.contracts.clock import Clock, Timer
    from kernel.model.events import Event
    from kernel.plugin_error import PluginError

log = logging.getLogger(__name__)

HOOKS = frozenset({"on_event", "on_events", "send_notice", "check_health", "around_attempt", "around_enqueue"})
"""Those that are called again and again while the kernel runs."""
MOST_FAULTS = 5
WITHIN_SECONDS = 600.0
REST_SECONDS = 600.0


class Fault(NamedTuple):
    """``at``: epoch seconds. ``place``: ``file:line`` in the plugin, or an empty text."""

    at: float
    hook: str
    reason: str
    place: str

    def as_json(self) -> dict[str, str | None]:
        return {"at": iso(self.at), "hook": self.hook, "reason": self.reason, "place": self.place}


class Quarantine:
    """Of one plugin: counts the faults of its hooks, by the kernel's clock. Neither method raises what ``tell`` does not."""

    def __init__(self, plugin: str, clock: Clock, tell: Callable[[Event], None]) -> None:
        self._plugin = plugin
        self._clock = clock
        self._tell = tell
        self._faults: deque[tuple[float, Fault]] = deque(maxlen=MOST_FAULTS)
        self._timer: Timer | None = None
        self.until: float | None = None
        """Epoch seconds; None while its hooks are called."""

    @property
    def is_on(self) -> bool:
        return self.until is not None

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The latest, oldest first, of the last ten minutes; while it is on, those that led to it."""
        oldest = self._clock.elapsed() - WITHIN_SECONDS
        return tuple(fault for elapsed, fault in self._faults if self.is_on or elapsed > oldest)

    @property
    def reason(self) -> str:
        """Why it is on, and for how long; an empty text while it is not."""
        if self.until is None:
            return ""
        last = self._faults[-1][1].reason
        return (
            f"{MOST_FAULTS} faults of its hooks within {words(WITHIN_SECONDS)}, the last one: {last}; its hooks are not called "
            f"until {iso(self.until)}, its jobs go on"
        )

    @property
    def place(self) -> str:
        return self._faults[-1][1].place if self._faults else ""

    def fault(self, hook: str, error: PluginError) -> None:
        """One more; the fifth within ten minutes puts the plugin into quarantine. What was on its way then is not counted."""
        if self.is_on:
            return
        now, elapsed = self._clock.now(), self._clock.elapsed()
        self._faults.append((elapsed, Fault(now, hook, error.reason, error.place)))
        count = len(self.faults)
        where = f" ({error.place})" if error.place else ""
        log.warning(
            "plugin %s: %s%s; fault %d, at %d within %s its hooks are not called for a while",
            self._plugin, error.reason, where, count, MOST_FAULTS, words(WITHIN_SECONDS),
            extra={"plugin": self._plugin},
        )  # fmt: skip
        self._tell(PluginFaulted(now, self._plugin, hook, error.reason, error.place))
        if count == MOST_FAULTS:
            self._begin(now)

    def release(self, reason: str) -> bool:
        """Its hooks are called again, and its faults forgotten; False when it was not on."""
        if not self.is_on:
            return False
        self.close()
        self.until = None
        self._faults.clear()
        log.warning("plugin %s: its hooks are called again: %s", self._plugin, reason, extra={"plugin": self._plugin})
        self._tell(PluginReleased(self._clock.now(), self._plugin, reason))
        return True

    def close(self) -> None:
        """The plugin goes: nothing is told of it any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_of_rest(self) -> None:
        self.release("the pause is over")

    def _begin(self, now: float) -> None:
        self.until = now + REST_SECONDS
        self._timer = self._clock.call_in(REST_SECONDS, self._end_of_rest)
        where = f" ({self.place})" if self.place else ""
        log.error(
            "plugin %s is quarantined: %s%s", self._plugin, self.reason, where, extra={"plugin": self._plugin}
        )  # fmt: skip
        self._tell(PluginQuarantined(now, self._plugin, self.reason, self.place, self.until))
