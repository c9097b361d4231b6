"""Circuit breakers: when calls to something that keeps failing are not made, and when they are tried again.

closed --failures in a row--> open --recovery time--> half_open --successes in a row--> closed
                               ^                          |
                               '-------- failure ---------'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from kernel.model.duration import Duration, seconds
from kernel.model.errors import ConfigError, nearest, printable, shown

WhenOpen = Literal["wait", "skip"]
LONGEST_NAME = 100
MOST_IN_A_ROW = 1_000_000
CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"


class Thresholds(NamedTuple):
    """When a breaker opens, is probed, and closes: the same for all who use its name."""

    failure_threshold: int = 5
    recovery_seconds: float = 60.0
    success_threshold: int = 3

    def overruled_by(self, table: BreakerTable) -> Thresholds:
        return self._replace(**table) if table else self

    def __str__(self) -> str:
        return (
            f"failure_threshold={self.failure_threshold}, recovery_timeout={self.recovery_seconds:g} s, "
            f"success_threshold={self.success_threshold}"
        )


BreakerTable = Mapping[str, Any]
"""What of ``Thresholds`` the operator has set for a breaker, in ``[breakers.NAME]`` of plugins.toml."""


@dataclass(frozen=True, init=False, slots=True)
class Breaker:
    """A breaker of this name, shared by all who use the name.

    Opens at the ``failure_threshold``-th failure in a row; ``recovery_timeout`` later lets one probe through at a time;
    closes after ``success_threshold`` of them have succeeded in a row. As a job's policy: while it is open the job's
    runs wait, or with ``when_open="skip"`` end cancelled.
    """

    name: str
    failure_threshold: int
    recovery_seconds: float
    success_threshold: int
    when_open: WhenOpen

    def __init__(
        self,
        name: str,
        *,
        failure_threshold: int = 5,
        recovery_timeout: Duration = "60s",
        success_threshold: int = 3,
        when_open: WhenOpen = "wait",
    ) -> None:
        if when_open not in get_args(WhenOpen):
            raise ConfigError(f"Breaker(when_open={shown(when_open)}): expected one of {', '.join(get_args(WhenOpen))}")
        object.__setattr__(self, "name", check_breaker_name(name))
        object.__setattr__(self, "failure_threshold", _named("failure_threshold", check_threshold, failure_threshold))
        object.__setattr__(self, "recovery_seconds", _named("recovery_timeout", seconds, recovery_timeout))
        object.__setattr__(self, "success_threshold", _named("success_threshold", check_threshold, success_threshold))
        object.__setattr__(self, "when_open", when_open)

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(self.failure_threshold, self.recovery_seconds, self.success_threshold)

    def arguments(self) -> dict[str, Any]:
        """The arguments that make it again, as JSON."""
        return {
            "name": self.name,
            "failure_threshold": self.failure_threshold,
            "recovery_timeout": self.recovery_seconds,
            "success_threshold": self.success_threshold,
            "when_open": self.when_open,
        }


FIELDS = ("name", "failure_threshold", "recovery_timeout", "success_threshold", "when_open")


def check_breaker_name(value: object) -> str:
    if isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable():
        return value
    raise ConfigError(
        f"{printable(shown(value), 60)} is no name of a breaker: expected printable text of 1 to {LONGEST_NAME} characters"
    )


def check_threshold(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_IN_A_ROW:
        return value
    raise ConfigError(f"{shown(value)}: expected a whole number from 1 to {MOST_IN_A_ROW:,}")


def _named(option: str, check: Any, value: Any) -> Any:
    try:
        return check(value)
    except ConfigError as error:
        raise ConfigError(f"Breaker({option}): {error}") from None


def breaker(value: Any, base: Breaker | None = None) -> Breaker | None:
    """``value`` as of ``@job(breaker=…)`` or a table in plugins.toml; a text is the name. ConfigError otherwise."""
    if value is None or isinstance(value, Breaker):
        return value
    if isinstance(value, str):
        return Breaker(value)
    known = base.arguments() if base is not None else {}
    if isinstance(value, dict):
        for key in value:
            if key not in FIELDS:
                near = nearest(key, FIELDS) if isinstance(key, str) else ""
                raise ConfigError(f"{shown(key)}: nothing of a breaker; expected one of {', '.join(FIELDS)}.{near}")
        if "name" in known | value:
            return Breaker(**known | value)
    raise ConfigError(
        f'{shown(value)}: expected a name, Breaker("partner-api", failure_threshold=5), '
        f"or a table of {', '.join(FIELDS)}, the name among them"
    )


def clash(name: str, one: tuple[Thresholds, str], other: tuple[Thresholds, str], table: BreakerTable) -> str:
    """What is wrong when the breaker is used with both of these thresholds, at both places; empty when nothing is."""
    if one[0].overruled_by(table) == other[0].overruled_by(table):
        return ""
    return (
        f'the breaker "{name}" has {one[0]} in {one[1]}, and {other[0]} in {other[1]}: '
        f'expected the same wherever the name is used, or a table [breakers."{name}"] in plugins.toml, which holds for all'
    )


class Circuit(NamedTuple):
    """A breaker at one moment; every change makes a new one. Instants are those of whatever clock ``now`` is given by.

    ``failures`` in a row are counted while it is closed, ``successes`` in a row while it is half-open. ``probe`` is who
    tries whether it works again. ``era`` grows with every change but the counting of failures: a call belongs to the
    era in which it began, and one that ends in another counts for nothing.
    """

    state: str = CLOSED
    era: int = 0
    failures: int = 0
    successes: int = 0
    opened: float | None = None
    until: float | None = None
    probe: str | None = None
    error: str | None = None

    def lets_through(self, now: float) -> bool:
        """Whether a call may begin."""
        if self.state == OPEN:
            return self.until is None or now >= self.until
        return self.state == CLOSED or self.probe is None

    def begun(self, who: str) -> Circuit:
        """Once a call that was let through has begun; it belongs to the era of what is given back."""
        if self.state == CLOSED:
            return self
        return self._replace(state=HALF_OPEN, era=self.era + 1, probe=who)

    def succeeded(self, era: int, limits: Thresholds) -> Circuit:
        if era != self.era or self.state == OPEN:
            return self
        if self.state == CLOSED:
            return self if self.failures == 0 else self._replace(failures=0)
        if self.successes + 1 >= limits.success_threshold:
            return Circuit(era=self.era + 1)
        return self._replace(era=self.era + 1, failures=0, successes=self.successes + 1, probe=None)

    def failed(self, era: int, limits: Thresholds, now: float, error: str) -> Circuit:
        """A failure in the half-open state opens it again, whatever was counted."""
        if era != self.era or self.state == OPEN:
            return self
        failures = self.failures + 1
        if self.state == CLOSED and failures < limits.failure_threshold:
            return self._replace(failures=failures)
        until = now + limits.recovery_seconds
        return Circuit(OPEN, self.era + 1, failures, opened=now, until=until, error=error)

    def left(self, era: int) -> Circuit:
        """A call ended in a way that says nothing: a probe's place is free again."""
        if era != self.era or self.state != HALF_OPEN:
            return self
        return self._replace(era=self.era + 1, probe=None)
