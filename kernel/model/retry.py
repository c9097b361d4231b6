"""When a failed attempt is tried again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from kernel.model.duration import Duration, seconds
from kernel.model.errors import ConfigError, shown

Backoff = Literal["exponential", "linear", "fixed"]


@dataclass(frozen=True, init=False)
class Retry:
    """How often a run is tried, and how long it waits in between.

    The wait after attempt n is ``base * factor ** (n - 1)`` (linear: ``base * n``, fixed: ``base``), at most ``cap``,
    then shortened by up to the fraction ``jitter``. Only errors that are instances of ``on`` and not of ``give_up_on``
    are tried again. ``attempts`` counts all executions, the first included.
    """

    attempts: int
    backoff: Backoff
    base_seconds: float
    factor: float
    cap_seconds: float
    jitter: float
    on: tuple[type[BaseException], ...]
    give_up_on: tuple[type[BaseException], ...]

    def __init__(
        self,
        attempts: int = 3,
        *,
        backoff: Backoff = "exponential",
        base: Duration = "2s",
        factor: float = 2,
        cap: Duration = "10m",
        jitter: float = 0.1,
        on: Any = (Exception,),
        give_up_on: Any = (),
    ) -> None:
        _require("attempts", attempts, "a whole number from 1 to 1,000,000", _is_whole(attempts, 1, 1_000_000))
        _require(
            "backoff",
            backoff,
            " or ".join(f'"{name}"' for name in get_args(Backoff)),
            backoff in get_args(Backoff),
        )
        _require("factor", factor, "a number from 1 to 100", _is_number(factor, 1, 100))
        _require("jitter", jitter, "a number from 0 to 1", _is_number(jitter, 0, 1))
        values = {
            "attempts": attempts,
            "backoff": backoff,
            "base_seconds": seconds(base, zero=True, option="Retry(base)"),
            "factor": float(factor),
            "cap_seconds": seconds(cap, option="Retry(cap)"),
            "jitter": float(jitter),
            "on": _error_types("on", on),
            "give_up_on": _error_types("give_up_on", give_up_on),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def wait_after(self, failures: int, spread: float) -> float:
        """Seconds to wait after so many failures; ``spread`` in [0, 1) says how much of the jitter to take."""
        if self.backoff == "fixed":
            wait = self.base_seconds
        elif self.backoff == "linear":
            wait = self.base_seconds * failures
        else:
            wait = self._grown(failures - 1)
        return min(wait, self.cap_seconds) * (1.0 - self.jitter * spread)

    def _grown(self, times: int) -> float:
        try:
            return self.base_seconds * math.pow(self.factor, times)
        except OverflowError:
            return self.cap_seconds if self.base_seconds else 0.0

    def arguments(self) -> dict[str, Any]:
        """The arguments that make it again."""
        return {
            "attempts": self.attempts,
            "backoff": self.backoff,
            "base": self.base_seconds,
            "factor": self.factor,
            "cap": self.cap_seconds,
            "jitter": self.jitter,
            "on": self.on,
            "give_up_on": self.give_up_on,
        }

    def may_retry(self, error: BaseException) -> bool:
        return isinstance(error, self.on) and not isinstance(error, self.give_up_on)


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _require(name: str, value: object, expected: str, holds: bool) -> None:
    if not holds:
        raise ConfigError(f"Retry({name}={shown(value)}): expected {expected}")


def _error_types(name: str, value: Any) -> tuple[type[BaseException], ...]:
    types = value if isinstance(value, tuple | list) else (value,)
    if name == "on" and not types:
        raise ConfigError("Retry(on=()): expected at least one exception class; to try once only, expected attempts=1")
    for item in types:
        if not (isinstance(item, type) and issubclass(item, BaseException)):
            raise ConfigError(f"Retry({name}={shown(value)}): expected exception classes, as {name}=(ConnectionError,)")
    return tuple(types)
