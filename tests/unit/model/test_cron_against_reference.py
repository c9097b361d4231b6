"""The product's due instants against the brute-force reference: at random, and at each change of each zone's clocks.

A drawn example holds twenty comparisons, for drawing takes longer than comparing: 26,000 comparisons in all.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.model.cron import CronExpression
from kernel.model.errors import ConfigError
from tests.unit.model.cron_reference import day_fits, due_between, parsed

ZONES = sorted(available_timezones())
FIRST, LAST, YEAR_2100 = 946_684_800, 2_145_916_800, 4_102_444_800  # FIRST to LAST: 2000 to 2037
HOUR = 3600
DAY = 86_400

FIXED = ("0-59/10 0-23 * * *", "45 0-59/30 0-23/2 * * *", "0 0 1-31/2 * *")
FOLLOWING = ("*/10 * * * *", "30 */2 * * *", "*/30 */20 2-3,22-23 * * *")
DAYS = (
    *("0 0 L * *", "0 0 LW * *", "0 0 1,LW,L */5 *", "0 0 * * 5L", "0 0 * * 0#5,7L", "0 0 29 2 *", "0 0 13 * FRI"),
    *("0 0 */2 * MON", "0 0 1-7 * */3", "0 0 LW * 1#1", "0 0 L * */2", "0 0 31 1-12/2 5-7", "0 0 29-31 2,4 0L"),
)


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


def fields(low: int, high: int, *more: str) -> st.SearchStrategy[str]:
    """A star, a star with a step, one of ``more``, or a list of values and ranges, some with a step."""
    pairs = st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda pair: "{}-{}".format(*sorted(pair)))
    starts = st.one_of(st.integers(low, high).map(str), pairs)
    steps = st.one_of(st.just(""), st.integers(1, high).map(lambda step: f"/{step}"))
    entries = st.tuples(starts, steps).map("".join)
    lists = st.lists(entries, min_size=1, max_size=3).map(",".join)
    return st.one_of(
        st.just("*"), st.integers(1, high).map(lambda step: f"*/{step}"), lists, st.sampled_from(more or "*")
    )


TEXTS = st.tuples(
    st.sampled_from(("", "", "", "0 ", "30 ", "0,59 ", "*/20 ", "5-9 ", "* ")),
    st.one_of(st.just("0-59/7"), fields(0, 59, "0", "30")),
    st.one_of(st.just("0-23"), fields(0, 23, "0", "2")),
    st.one_of(st.just("*"), st.just("1-31"), fields(1, 31, "L", "LW", "13,L")),
    st.one_of(st.just("*"), st.just("*"), fields(1, 12, "JAN-MAR", "jul,OCT")),
    st.one_of(st.just("*"), st.just("*"), fields(0, 7, "5L", "FRI#2", "0#1,7#5", "mon-fri", "SUN")),
).map(lambda drawn: drawn[0] + " ".join(drawn[1:]))

NEAR_CHANGES = st.tuples(st.integers(0, 2**20), st.integers(-12_000, 6_000))
ANYWHERE = st.tuples(st.sampled_from(ZONES), st.integers(0, 2**20), st.integers(0, 4000))


def span_of(text: str) -> int:
    """Seconds in which some twenty ticks are to be expected, on days that have any; seldom less than three hours."""
    times = parsed(text).times_a_day
    return max(120 if times > 3000 else 3 * HOUR, min(40 * DAY, 20 * DAY // times))


def expression_of(text: str) -> CronExpression | None:
    """None for what never fires, which the reference confirms by looking at each day of 28 years."""
    try:
        return CronExpression.parse(text)
    except ConfigError:
        start, plain = date(2000, 1, 1), parsed(text)
        assert not any(day_fits(plain, start + timedelta(days=day)) for day in range(28 * 366)), text
        return None


def compare(expression: CronExpression, name: str, after: float, until: float) -> list[int]:
    zone = ZoneInfo(name)

    expected = due_between(expression.text, zone, after, until)

    ticks = expression.ticks_between(after, until, zone)
    assert list(islice(ticks, len(expected) + 1)) == expected, (expression.text, name, after)
    return expected


@pytest.mark.timeout(240)
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=TEXTS, places=st.lists(NEAR_CHANGES, min_size=20, max_size=20))
def test_any_expression_around_any_change_of_clocks_is_due_as_the_reference_says(
    text: str, places: list[tuple[int, int]]
) -> None:
    if (expression := expression_of(text)) is None:
        return

    for which, distance in places:
        change, name = all_changes()[which % len(all_changes())]
        start = change.at + distance + which % 4 / 4
        compare(expression, name, start, start + span_of(text))


@pytest.mark.timeout(240)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=TEXTS, places=st.lists(ANYWHERE, min_size=20, max_size=20))
def test_any_expression_at_any_instant_up_to_2100_in_any_zone_is_due_as_the_reference_says(
    text: str, places: list[tuple[str, int, int]]
) -> None:
    if (expression := expression_of(text)) is None:
        return

    for name, part, more in places:
        start = FIRST + (YEAR_2100 - FIRST) * part / 2**20 + more
        compare(expression, name, start, start + span_of(text))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("text", [*FIXED, *FOLLOWING])
def test_at_every_change_of_clocks_from_2000_to_2037_it_is_due_as_the_reference_says(text: str) -> None:
    expression = CronExpression.parse(text)

    for change, name in all_changes():
        until = change.at + 4 * HOUR
        due = compare(expression, name, change.at - 4 * HOUR, until)

        for start in starts_around(change):
            ticks = expression.ticks_between(start, until, ZoneInfo(name))
            assert list(islice(ticks, len(due) + 1)) == [tick for tick in due if tick > start], (name, start)


@pytest.mark.parametrize("text", DAYS)
def test_each_day_from_2000_to_2037_fits_as_the_reference_says(text: str) -> None:
    expression = CronExpression.parse(text)

    found = compare(expression, "UTC", FIRST - 1, LAST)

    assert found


def starts_around(change: Change) -> tuple[float, ...]:
    """Just before the change and on it, and inside of what it repeats."""
    repeated = max(0, change.before - change.after)
    return (
        change.at - 1,
        change.at - 0.5,
        change.at,
        change.at + repeated / 3,
        change.at + repeated - 1,
        change.at + repeated,
    )
