"""How many runs may begin within a stretch of time."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any

from kernel.model.duration import Duration, seconds
from kernel.model.errors import ConfigError, shown

MOST = 1_000_000
_TEXT = re.compile(r"\s*([0-9]{1,9})\s*/\s*(\S.*?)\s*")


@dataclass(frozen=True, init=False, slots=True)
class RateLimit:
    """At most ``count`` runs begin in any stretch of ``seconds``; a retry is a beginning too. Written ``"100/1m"``."""

    count: int
    seconds: float

    def __init__(self, count: int, per: Duration) -> None:
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST:
            raise ConfigError(f"{shown(count)} is no count of a rate limit: expected a whole number from 1 to {MOST:,}")
        object.__setattr__(self, "count", count)
        object.__setattr__(self, "seconds", seconds(per, option="RateLimit(per)"))

    def __str__(self) -> str:
        return f"{self.count}/{self.seconds:g}s"


def rate_limit(value: Any) -> RateLimit | None:
    """``value`` as a RateLimit: ``"100/1m"``, a RateLimit, or None for no limit; ConfigError otherwise."""
    if value is None or isinstance(value, RateLimit):
        return value
    match = _TEXT.fullmatch(value) if isinstance(value, str) else None
    with contextlib.suppress(ConfigError):
        if match is not None:
            return RateLimit(int(match[1]), match[2])
    raise ConfigError(
        f'{shown(value)} is no rate limit: expected a count from 1 to {MOST:,} and a duration, as "100/1m"'
    )
