"""Circuit breakers: when calls to something that keeps failing are not made, and when they are tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from kernel.model.duration import Duration, seconds
from kernel.model.errors import ConfigError, printable, shown

WhenOpen = Literal["wait", "skip"]
LONGEST_NAME = 100


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
        for option, value in (("failure_threshold", failure_threshold), ("success_threshold", success_threshold)):
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000:
                raise ConfigError(f"Breaker({option}={shown(value)}): expected a whole number from 1 to 1,000,000")
        if when_open not in get_args(WhenOpen):
            raise ConfigError(f"Breaker(when_open={shown(when_open)}): expected one of {', '.join(get_args(WhenOpen))}")
        object.__setattr__(self, "name", check_breaker_name(name))
        object.__setattr__(self, "failure_threshold", failure_threshold)
        object.__setattr__(self, "recovery_seconds", seconds(recovery_timeout))
        object.__setattr__(self, "success_threshold", success_threshold)
        object.__setattr__(self, "when_open", when_open)

    def arguments(self) -> dict[str, Any]:
        """The arguments that make it again, as JSON."""
        return {
            "name": self.name,
            "failure_threshold": self.failure_threshold,
            "recovery_timeout": self.recovery_seconds,
            "success_threshold": self.success_threshold,
            "when_open": self.when_open,
        }


def check_breaker_name(value: object) -> str:
    if isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable():
        return value
    raise ConfigError(
        f"{printable(shown(value), 60)} is no name of a breaker: expected printable text of 1 to {LONGEST_NAME} characters"
    )


def breaker(value: Any, base: Breaker | None = None) -> Breaker | None:
    """``value`` as of ``@job(breaker=…)`` or a table in plugins.toml; a text is the name. ConfigError otherwise."""
    if value is None or isinstance(value, Breaker):
        return value
    if isinstance(value, str):
        return Breaker(value)
    known = base.arguments() if base is not None else {}
    fields = {"name", "failure_threshold", "recovery_timeout", "success_threshold", "when_open"}
    if isinstance(value, dict) and value.keys() <= fields and "name" in known | value:
        return Breaker(**known | value)
    raise ConfigError(f'{shown(value)}: expected Breaker("partner-api", failure_threshold=5) or a table of its fields')
