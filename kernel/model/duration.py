"""Lengths of time as people write them: ``"1.5s"``, ``"10m"``, ``"25h"``, ``"7d"``, seconds, or a timedelta."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from kernel.model.errors import ConfigError, shown

Duration = str | float | timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+) ?(ms|s|m|h|d|w)", re.ASCII)
_LONGEST = 100 * 365.25 * 86400.0
_EXPECTED = 'expected a duration such as "1.5s", "10m", "25h", "7d", a number of seconds, or a timedelta'


def seconds(value: Duration, *, zero: bool = False, option: str = "") -> float:
    """The length in seconds; ConfigError when it is none, negative, not finite, too long, or zero unless ``zero``.

    ``option``: what the error begins with, where nobody else names what was given.
    """
    found = _number_of(value)
    if found is None or not math.isfinite(found):
        raise _unusable(option, f"{shown(value)} is no duration: {_EXPECTED}")
    if found < 0 or (found == 0 and not zero):
        floor = 'zero or more, as 0 or "10m"' if zero else 'more than zero, as "10m"'
        raise _unusable(option, f"{shown(value)} is not a usable duration: expected {floor}")
    if found > _LONGEST:
        raise _unusable(option, f'{shown(value)} is too long a duration: expected at most 100 years, as "7d"')
    return found


def _unusable(option: str, text: str) -> ConfigError:
    return ConfigError(f"{option}: {text}" if option else text)


def _number_of(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str) and len(value) <= 32 and (match := _FORM.fullmatch(value.strip())):
        return float(match[1]) * _UNITS[match[2]]
    return None


def words(length: float) -> str:
    """Seconds as a person would say them: ``350 ms``, ``1.5 s``, ``10 m``, ``2 h 30 m``, ``7 d``."""
    if length < 0:
        return "-" + words(-length)
    if round(length * 1000) < 1000:
        return f"{length * 1000:.0f} ms"
    if round(length, 1) < 60:
        return f"{length:.1f}".rstrip("0").rstrip(".") + " s"
    total = round(length)
    parts = []
    for name, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, total = divmod(total, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])
