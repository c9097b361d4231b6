"""How long a schedule may rest between two ticks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kernel.model.cron import CronExpression
from kernel.model.zones import zone_of

if TYPE_CHECKING:
    from collections.abc import Callable

    NextAfter = Callable[[float], float | None]

_YEAR_SECONDS = 370 * 86400.0
_WEEK_SECONDS = 7 * 86400.0
_PROBES = ((_YEAR_SECONDS, 6 * 3600.0), (_WEEK_SECONDS, 600.0), (3600.0, 15.0))
"""For so long ahead a gap is sought at every so many seconds: rests of days, of a night, of minutes."""
_LONGEST_WALK = 50
"""Ticks looked at one by one."""


def longest_gap(expression: str, *, timezone: str = "UTC", name: str = "", after: float) -> float | None:
    """The longest time between two ticks of a cron expression that come ``after``, in seconds; None with fewer than two.

    Sought a year ahead, so that nights, weekends, short months and changes of the clocks are in it; a rest between ticks that
    are years apart counts too. ``name``: of the schedule, by which ``H`` is spread.
    """
    cron, zone = CronExpression.parse(expression, name=name), zone_of(timezone)

    def next_after(at: float) -> float | None:
        return cron.next_after(at, zone)

    first = next_after(after)
    best = 0.0 if first is None else _walk(next_after, first)
    for horizon, step in _PROBES:
        # What is shorter than the step, and than what was found, a probe need not find.
        best = max(best, 0.0 if first is None else _probe(next_after, first, horizon, step, best))
    return best or None


def _walk(next_after: NextAfter, at: float) -> float:
    best = 0.0
    for _ in range(_LONGEST_WALK):
        following = next_after(at)
        if following is None:
            break
        best, at = max(best, following - at), following
    return best


def _probe(next_after: NextAfter, first: float, horizon: float, step: float, best: float) -> float:
    """The longest of the gaps that are longer than ``best``, as far as one of the probes falls into it."""
    at = first
    while at < first + horizon:
        following = next_after(at)
        if following is None:
            break
        # A gap around this instant that is longer than the best has no tick in this stretch.
        begin = following - best
        if begin > first and next_after(math.nextafter(begin, -math.inf)) == following:
            best = max(best, following - _last_before(next_after, first, begin, following))
        at = max(at + step, following)
    return best


def _last_before(next_after: NextAfter, low: float, high: float, following: float) -> float:
    """The tick before ``following``, which lies in [low, high]; low is a tick."""
    while True:
        tick = low
        middle = (low + high) / 2
        # Ticks are whole seconds: nearer than that there is nothing between.
        if high - low < 1.0:
            return tick
        found = next_after(middle)
        if found is None or found >= following:
            high = middle
        else:
            low = found
