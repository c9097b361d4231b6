"""The longest rest between two ticks, against what going through all of them finds."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel import longest_gap as public_longest_gap
from kernel.model.cron import CronExpression
from kernel.model.cron_gap import longest_gap
from kernel.model.zones import zone_of
from kernel.testing import START

DAY = 86400.0


def gone_through(spec: str, days: float, timezone: str = "UTC") -> float:
    """The answer by looking at every tick."""
    ticks = CronExpression.parse(spec).ticks_between(START, START + days * DAY, zone_of(timezone))
    return max(later - earlier for earlier, later in pairwise(ticks))


@pytest.mark.parametrize(
    ("spec", "timezone", "days"),
    [
        ("0 9-17 * * 1-5", "UTC", 30), ("* * * * 1-5", "UTC", 30), ("0-29 * * * *", "UTC", 3),
        ("0 0 * * *", "Europe/Berlin", 370), ("30 2 * * *", "Europe/Berlin", 370), ("0 12 * 1-3,5-12 *", "UTC", 370),
        ("*/7 3 * * *", "UTC", 30), ("0 */5 * * *", "UTC", 30), ("0 0 31 * *", "UTC", 370),
        ("15 * 9-17 * * 1-5", "UTC", 30),
    ],
)  # fmt: skip
def test_it_is_what_going_through_every_tick_finds(spec: str, timezone: str, days: float) -> None:
    assert longest_gap(spec, timezone=timezone, after=START) == gone_through(spec, days, timezone)


_HOURS = st.one_of(
    st.just("*"), st.integers(0, 23).map(str), st.sampled_from(["*/3", "9-17", "0-5,20", "1,2,13", "*/7"])
)
_MINUTES = st.one_of(st.integers(0, 59).map(str), st.sampled_from(["*/15", "0,30", "5-50/9"]))
_DAYS = st.sampled_from(["*", "1-5", "0", "1,4"])


@settings(max_examples=30, deadline=None)
@given(_MINUTES, _HOURS, _DAYS)
def test_so_it_is_for_whatever_minutes_hours_and_weekdays(minute: str, hour: str, day: str) -> None:
    spec = f"{minute} {hour} * * {day}"

    assert longest_gap(spec, after=START) == gone_through(spec, 20)


def test_leap_days_are_years_apart() -> None:
    found = longest_gap("0 0 29 2 *", after=START)

    assert found is not None
    assert found >= 4 * 365 * DAY


def test_the_public_name_answers_with_a_timedelta() -> None:
    found = public_longest_gap("0 6 * * 1")

    assert found is not None
    assert found.days == 7
