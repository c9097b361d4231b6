"""Instants as an operator names them: ISO 8601, epoch seconds, or how long ago or from now."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from kernel.model.duration import seconds
from kernel.model.errors import ConfigError, RequestError, shown

_LATEST = 253_402_300_800.0
"""Dates end in the year 9999."""


def moment_of(value: object, now: float, name: str, *, is_ahead: bool = False) -> float:
    """Epoch seconds; a duration as ``"2h"`` is so long before ``now``, or after it with ``is_ahead``.

    An instant without an offset is UTC.

    RequestError, which begins with ``name``, for anything else.
    """
    found = _moment_of(value, now, 1 if is_ahead else -1)
    if found is None or not 0 <= found < _LATEST:
        how = 'how long from now, as "2h"' if is_ahead else 'how long ago, as "2h"'
        raise RequestError(
            f'{name}: {shown(value)}: expected ISO 8601, as "2026-01-31T02:30:00+01:00", epoch seconds, or {how}'
        )
    return found


def _moment_of(value: object, now: float, sign: int) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if -_LATEST < value < _LATEST else None
    if not isinstance(value, str) or len(value) > 60:
        return None
    for read in (_iso, _epoch):
        found = read(value)
        if found is not None:
            return found
    try:
        return now + sign * seconds(value, zero=True)
    except ConfigError:
        return None


def _iso(text: str) -> float | None:
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _epoch(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
