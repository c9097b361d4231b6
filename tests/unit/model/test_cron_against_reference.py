"""The product's due instants against the brute-force reference: at random, and at each change of each zone's clocks.

A drawn example holds twenty comparisons, for drawing takes longer than comparing: 24,000 comparisons in all.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.model.cron import CronExpression
from kernel.model.errors import ConfigError
from tests.unit.model.cron_reference import day_fits, due_between, parsed

ZONES = sorted(available_timezones())
FIRST, LAST = 946_684_800, 2_145_916_800  # 2000 to 2037
HOUR = 3600
DAY = 86_400

FIXED = ("0-59/10 0-23 * * *", "45 0-59/30 0-23/2 * * *", "0 0 1-31/2 * *")
FOLLOWING = ("*/10 * * * *", "30 */2 * * *", "*/30 */20 2-3,22-23 * * *")


class Change(NamedTuple):
    """From ``at`` on the clocks of a zone are ahead of UTC by ``after`` seconds, where it was ``before``."""

    at: int
    before: int
    after: int


@cache
def changes_of(name: str) -> tuple[Change, ...]:
    """Looked for every three days, and then halved: the two nearest changes in these years are a week apart."""
    zone = ZoneInfo(name)
    found = []
    before = offset_of(zone, FIRST)
    for start in range(FIRST, LAST, 3 * DAY):
        after = offset_of(zone, start + 3 * DAY)
        if after != before:
            early, late = start, start + 3 * DAY
            while late - early > 1:
                middle = (early + late) // 2
                early, late = (middle, late) if offset_of(zone, middle) == before else (early, middle)
            found.append(Change(late, before, after))
            before = after
    return tuple(found)


def offset_of(zone: ZoneInfo, instant: int) -> int:
    return int((datetime.fromtimestamp(instant, zone).utcoffset() or timedelta()).total_seconds())


@cache
def all_changes() -> list[tuple[Change, str]]:
    """Each change once: zones that share the instant and both offsets differ in nothing that cron could see."""
    return sorted({change: name for name in ZONES for change in changes_of(name)}.items())


def entries(low: int, high: int) -> st.SearchStrategy[str]:
    """One entry of a field: a value, a range, or either with a step."""
    pairs = st.tuples(st.integers(low, high), st.integers(low, high)).map(sorted)
    steps = st.integers(2, high - low)
    return st.one_of(
        st.integers(low, high).map(str),
        pairs.map(lambda pair: f"{pair[0]}-{pair[1]}" if pair[0] < pair[1] else str(pair[0])),
        st.tuples(pairs, steps).map(lambda p: f"{p[0][0]}-{p[0][1] + (p[0][0] == p[0][1] < high)}/{p[1]}"),
    )
