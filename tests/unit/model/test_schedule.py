"""Which ticks a schedule has, and what becomes of them: window, catch-up, and what counts as late."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kernel.model.errors import ConfigError
from kernel.model.schedule import (
    DAY,
    LATEST,
    Plan,
    Schedule,
    ScheduleRow,
    Timing,
    jitter_of,
    make_schedule,
    override,
    plan,
)
from tests.unit.model.cron_reference import due_between

if TYPE_CHECKING:
    from kernel.model.schedule import Result

HOUR = 3600.0
BEGIN = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
BERLIN = "Europe/Berlin"

intervals = st.one_of(st.sampled_from([0.1, 1.0, 7.0, 60.0, 3600.0]), st.floats(0.1, 100_000))
anchors = st.floats(BEGIN, BEGIN + 10 * DAY)
catch_ups = st.sampled_from(["skip", "latest", "all"])


def every(spec: Any = "60s", **options: Any) -> Schedule:
    return make_schedule("demo.tick", "demo.job", "every", spec, **options)


def cron(spec: str, **options: Any) -> Schedule:
    return make_schedule("demo.tick", "demo.job", "cron", spec, **options)


def instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def results(found: Plan, ticks: list[float]) -> list[str]:
    """What became of each of ``ticks``, which are all there were."""
    told = dict.fromkeys(found.runs, "run")
    for line in found.ticks:
        covered = [tick for tick in ticks if line.first <= tick <= line.last]
        assert len(covered) == line.count
        assert not told.keys() & set(covered)
        told |= dict.fromkeys(covered, line.result)
    assert sorted(told) == ticks
    return [told[tick] for tick in ticks]


def planned(schedule: Schedule, until: float, now: float, off: tuple[Result, str] | None = None) -> list[str]:
    """By ``plan``, of the ticks in (until, now] of a schedule whose grid begins at BEGIN."""
    timing = Timing(schedule, BEGIN)
    return results(plan(schedule, timing, until, now, off), list(timing.between(until, now)))


# The grid of every


def test_every_ticks_first_one_interval_after_it_was_first_seen() -> None:
    schedule = every("60s")

    timing = Timing(schedule, schedule.first_tick(BEGIN))

    assert list(timing.between(BEGIN, BEGIN + 180)) == [BEGIN + 60, BEGIN + 120, BEGIN + 180]


def test_every_keeps_to_its_grid_whenever_it_is_asked() -> None:
    timing = Timing(every("7s"), BEGIN)

    assert timing.next_after(BEGIN + 100) == BEGIN + 105
    assert timing.next_after(BEGIN - 1e9) == BEGIN


@given(anchors, intervals, st.integers(0, 10_000_000), st.sampled_from([-math.inf, 0, math.inf]))
def test_no_rounding_loses_a_tick_or_gives_one_twice(anchor: float, interval: float, step: int, towards: float) -> None:
    timing = Timing(every(interval), anchor)
    tick = anchor + step * interval
    assume(tick + interval < LATEST)

    asked = math.nextafter(tick, towards) if towards else tick

    assert timing.next_after(asked) == (tick if asked < tick else anchor + (step + 1) * interval)


@given(anchors, intervals, st.floats(-1e6, 1e6), st.floats(0, 1000), st.integers(1, 20))
def test_a_calculated_span_of_ticks_is_what_going_through_them_gives(
    anchor: float, interval: float, begin: float, length: float, keep: int
) -> None:
    timing = Timing(every(interval), anchor)
    after, until = anchor + begin, anchor + begin + length * interval

    ticks = list(islice(timing.between(after, until), 1_100))

    span = timing.span(after, until, keep)
    if not ticks:
        assert span is None
    else:
        assert span == (ticks[0], len(ticks), tuple(ticks[-keep:]))


def test_a_span_of_cron_ticks_is_what_going_through_them_gives() -> None:
    timing = Timing(cron("*/10 * * * *"), BEGIN)

    span = timing.span(BEGIN, BEGIN + HOUR, 2)

    assert span == (BEGIN + 600, 6, (BEGIN + 3000, BEGIN + 3600))
    assert timing.span(BEGIN, BEGIN + 599, 2) is None


def test_what_is_left_of_a_span_without_its_last_ticks_ends_where_those_began() -> None:
    span = Timing(every("1s"), BEGIN).span(BEGIN, BEGIN + 10, 4)

    assert span is not None
    assert span.without_last(3) == (BEGIN + 1, 7, (BEGIN + 7,))
    assert span.without_last(10) is None


def test_a_year_of_tenths_of_a_second_is_counted_at_once() -> None:
    span = Timing(every("100ms"), BEGIN).span(BEGIN, BEGIN + 365 * DAY, 1)

    assert span is not None
    assert span.count == pytest.approx(365 * DAY * 10, abs=1)


# Other grids


def test_a_schedule_anchored_at_the_finish_has_one_tick_until_its_run_has_ended() -> None:
    timing = Timing(every("60s", anchor="finish"), BEGIN)

    assert timing.next_after(BEGIN - 1) == BEGIN
    assert timing.next_after(BEGIN) is None
    assert timing.span(BEGIN - 1, BEGIN + 1000, 5) == (BEGIN, 1, (BEGIN,))


def test_after_has_no_ticks_of_its_own() -> None:
    schedule = make_schedule("demo.tick", "demo.job", "after", 0)

    assert schedule.first_tick(BEGIN) == BEGIN
    assert Timing(schedule, BEGIN).next_after(0) is None


def test_start_and_end_are_ticks_themselves_and_nothing_outside_of_them_is() -> None:
    schedule = every("60s", start="2026-01-01T00:02:00Z", end="2026-01-01T00:04:00Z")

    found = list(Timing(schedule, BEGIN).between(BEGIN - 1, BEGIN + HOUR))

    assert found == [BEGIN + 120, BEGIN + 180, BEGIN + 240]


def test_start_and_end_hold_for_cron_too() -> None:
    schedule = cron("0 * * * *", start="2026-01-01T02:00:00Z", end="2026-01-01T03:59:59Z")

    found = list(Timing(schedule, BEGIN).between(0, BEGIN + DAY))

    assert found == [BEGIN + 2 * HOUR, BEGIN + 3 * HOUR]


@pytest.mark.parametrize("given_at", ["2026-07-01T12:00:00", datetime(2026, 7, 1, 12)])  # noqa: DTZ001 - no zone is meant
def test_a_start_without_offset_is_a_time_of_the_schedules_zone(given_at: Any) -> None:
    schedule = cron("0 * * * *", timezone=BERLIN, start=given_at)

    assert schedule.start == instant("2026-07-01T10:00:00Z")


def test_no_schedule_ticks_where_the_calendar_ends() -> None:
    late = "9999-12-31T23:59:59Z"

    for schedule in (every("1h", start=late), cron("0 * * * *", start=late), every(DAY * 36_000)):
        assert Timing(schedule, BEGIN).next_after(instant("9899-12-31T23:59:59Z")) is None


# What counts as late


def test_a_tick_that_is_looked_at_in_time_runs() -> None:
    assert planned(every("60s"), BEGIN, BEGIN + 60.01) == ["run"]


def test_nothing_is_due_between_two_ticks() -> None:
    schedule = every("60s")

    found = plan(schedule, Timing(schedule, BEGIN), BEGIN, BEGIN + 59, None)

    assert found == Plan((), 0, (), caught_up=False)


@pytest.mark.parametrize("catch_up", ["skip", "latest", "all"])
def test_a_tick_that_is_less_than_an_hour_old_is_not_late(catch_up: Any) -> None:
    found = planned(cron("0 3 * * *", catch_up=catch_up), BEGIN, BEGIN + 4 * HOUR - 0.001)

    assert found == ["run"]


def test_a_tick_that_is_an_hour_old_is_late() -> None:
    assert planned(cron("0 3 * * *", catch_up="skip"), BEGIN, BEGIN + 4 * HOUR) == ["missed"]


def test_a_tick_is_late_when_the_next_one_has_come() -> None:
    assert planned(every("60s", catch_up="skip"), BEGIN, BEGIN + 120) == ["missed", "run"]


def test_a_tick_that_is_not_late_runs_even_outside_of_a_short_window() -> None:
    assert planned(cron("0 * * * *", catch_up_window="10s"), BEGIN, BEGIN + HOUR + 30) == ["run"]


# catch_up


def test_skip_runs_nothing_that_is_late() -> None:
    schedule = cron("0 * * * *", catch_up="skip")

    found = plan(schedule, Timing(schedule, BEGIN), BEGIN, BEGIN + 3.5 * HOUR, None)

    assert found.runs == (BEGIN + 3 * HOUR,)
    assert [(line.result, line.count, line.reason) for line in found.ticks] == [("missed", 2, "catch_up is skip")]


def test_latest_runs_the_last_tick_and_folds_the_others_into_it() -> None:
    schedule = cron("0 * * * *")

    found = plan(schedule, Timing(schedule, BEGIN), BEGIN, BEGIN + 3.5 * HOUR, None)

    assert (found.runs, found.folded, found.caught_up) == ((BEGIN + 3 * HOUR,), 2, False)
    assert [line[1:] for line in found.ticks] == [
        (BEGIN + HOUR, BEGIN + 2 * HOUR, 2, "folded", "a later tick runs for it", None)
    ]


def test_latest_runs_a_last_tick_that_is_late_itself() -> None:
    assert planned(cron("0 3 * * *"), BEGIN, BEGIN + 20 * HOUR) == ["run"]


def test_all_runs_every_late_tick_oldest_first() -> None:
    schedule = cron("0 * * * *", catch_up="all")

    found = plan(schedule, Timing(schedule, BEGIN), BEGIN, BEGIN + 3.5 * HOUR, None)

    assert (found.runs, found.caught_up) == ((BEGIN + HOUR, BEGIN + 2 * HOUR, BEGIN + 3 * HOUR), True)
    assert found.ticks == ()


def test_all_runs_the_newest_of_too_many_late_ticks_beside_the_one_that_is_not_late() -> None:
    found = planned(cron("0 * * * *", catch_up="all", catch_up_max=2), BEGIN, BEGIN + 5.5 * HOUR)

    assert found == ["missed", "missed", "run", "run", "run"]


def test_all_counts_as_catching_up_only_when_something_was_late() -> None:
    schedule = cron("0 * * * *", catch_up="all")

    found = plan(schedule, Timing(schedule, BEGIN), BEGIN, BEGIN + HOUR, None)

    assert (found.runs, found.caught_up) == ((BEGIN + HOUR,), False)


# The window


@pytest.mark.parametrize("catch_up", ["latest", "all"])
def test_what_is_older_than_a_day_is_missed(catch_up: Any) -> None:
    found = planned(cron("0 */6 * * *", catch_up=catch_up), BEGIN, BEGIN + 2 * DAY)

    assert found[:3] == ["missed"] * 3
    assert "missed" not in found[3:]


@pytest.mark.parametrize("catch_up", ["skip", "latest", "all"])
def test_the_window_is_one_gap_when_that_is_longer_than_a_day(catch_up: Any) -> None:
    schedule = cron("0 0 1 * *", catch_up=catch_up)

    found = planned(schedule, instant("2026-01-15T00:00:00Z"), instant("2026-02-27T00:00:00Z"))

    assert found == (["missed"] if catch_up == "skip" else ["run"])


def test_the_last_tick_of_all_has_a_window_of_a_day() -> None:
    schedule = cron("0 0 1 * *", end="2026-02-01T00:00:00Z")
    before = instant("2026-01-15T00:00:00Z")

    assert planned(schedule, before, instant("2026-02-01T23:00:00Z")) == ["run"]
    assert planned(schedule, before, instant("2026-02-02T01:00:00Z")) == ["missed"]


def test_latest_runs_nothing_when_all_of_it_is_too_old() -> None:
    schedule = cron("0 3 * * *", catch_up_window="2h")

    found = plan(schedule, Timing(schedule, BEGIN), BEGIN, BEGIN + 2 * DAY, None)

    assert found.runs == ()
    assert [(line.result, line.count) for line in found.ticks] == [("missed", 2)]


def test_a_window_begins_with_its_very_instant() -> None:
    schedule = every("1h", catch_up="all", catch_up_window="2h")

    assert planned(schedule, BEGIN, BEGIN + 4 * HOUR) == ["missed", "run", "run", "run"]
    assert planned(schedule, BEGIN, BEGIN + 4 * HOUR + 1) == ["missed", "missed", "run", "run"]


# Paused and disabled


def test_ticks_of_what_is_off_become_one_line_whatever_the_policy() -> None:
    schedule = every("1s", catch_up="all")

    found = plan(schedule, Timing(schedule, BEGIN), BEGIN, BEGIN + 7 * DAY, ("disabled", "plugin demo is off"))

    assert found.runs == ()
    [line] = found.ticks
    assert line == ("demo.tick", BEGIN + 1, BEGIN + 7 * DAY, 7 * 86_400, "disabled", "plugin demo is off", None)


# All of it, against a rule that goes tick by tick


def by_the_rule(schedule: Schedule, ticks: list[float], following: float, now: float) -> list[str]:
    """``ticks`` lie in the look, ``following`` comes after them."""
    ahead = [*ticks[1:], following]
    late = [now - tick >= min(after - tick, HOUR) for tick, after in zip(ticks, ahead, strict=True)]
    window = schedule.catch_up_window_seconds
    oldest = now - (max(DAY, ahead[0] - ticks[0]) if window is None else window)
    found = []
    for tick, is_late in zip(ticks, late, strict=True):
        if not is_late:
            found.append("run")
        elif tick < oldest or schedule.catch_up == "skip":
            found.append("missed")
        elif schedule.catch_up == "all":
            found.append("late")
        else:
            found.append("run" if tick == ticks[-1] else "folded")
    caught_up = [at for at, result in enumerate(found) if result == "late"]
    for at in caught_up:
        found[at] = "run" if at in caught_up[-schedule.catch_up_max :] else "missed"
    return found


@given(
    interval=st.sampled_from([60.0, 900.0, 3600.0, 7200.0, DAY, 7 * DAY]) | st.floats(60, 3 * DAY),
    ticks=st.floats(0.01, 60),
    catch_up=catch_ups,
    maximum=st.integers(1, 12),
    window=st.none() | st.sampled_from([1.0, 1800.0, 5 * HOUR, DAY, 30 * DAY]),
)
def test_each_tick_of_every_becomes_what_the_rule_says(
    interval: float, ticks: float, catch_up: Any, maximum: int, window: float | None
) -> None:
    schedule = every(interval, catch_up=catch_up, catch_up_max=maximum, catch_up_window=window)
    timing = Timing(schedule, BEGIN)
    now = BEGIN + ticks * interval

    due = [tick for step in range(1, 62) if (tick := BEGIN + step * interval) <= now]

    found = plan(schedule, timing, BEGIN, now, None)
    if due:
        # Going by single ticks, ``now`` may lie within a rounding of the window's edge.
        edges = (window or DAY, max(DAY, interval), HOUR)
        assume(all(abs(now - edge - tick) > 1e-3 for tick in due for edge in edges))
        following = BEGIN + (len(due) + 1) * interval
        assert results(found, due) == by_the_rule(schedule, due, following, now)
    else:
        assert found == Plan((), 0, (), caught_up=False)


@given(
    spec=st.sampled_from(["*/20 * * * *", "0 * * * *", "30 2 * * *", "15,45 */3 * * *", "0 3 * * 1,4", "0 0 12 * * *"]),
    begin=st.sampled_from(["2026-03-27T05:00:00Z", "2026-10-23T05:00:00Z", "2026-06-01T00:00:00Z"]),
    hours=st.integers(1, 160),
    catch_up=catch_ups,
    maximum=st.integers(1, 12),
    window=st.none() | st.sampled_from([1.0, 5 * HOUR + 1, 3 * DAY + 1]),
)
def test_each_tick_of_cron_becomes_what_the_rule_says(  # noqa: PLR0917 - hypothesis fills them
    spec: str, begin: str, hours: int, catch_up: Any, maximum: int, window: float | None
) -> None:
    schedule = cron(spec, timezone=BERLIN, catch_up=catch_up, catch_up_max=maximum, catch_up_window=window)
    after = instant(begin)
    now = after + hours * HOUR + 7

    *due, following = map(float, _and_one_more(spec, after, now))

    found = plan(schedule, Timing(schedule, after), after, now, None)
    if due:
        assert results(found, due) == by_the_rule(schedule, due, following, now)
    else:
        assert found == Plan((), 0, (), caught_up=False)


def _and_one_more(spec: str, after: float, now: float) -> list[int]:
    ticks = due_between(spec, ZoneInfo(BERLIN), after, now + 8 * DAY)
    count = sum(tick <= now for tick in ticks)
    return ticks[: count + 1]


@given(
    interval=intervals,
    cuts=st.lists(st.floats(0, 200), min_size=1, max_size=6),
    catch_up=catch_ups,
    off=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_however_the_looks_fall_each_tick_has_one_result(
    interval: float, cuts: list[float], catch_up: Any, off: list[bool]
) -> None:
    schedule = every(interval, catch_up=catch_up)
    timing = Timing(schedule, BEGIN)
    looks = [BEGIN + cut * interval for cut in sorted(cuts)]

    counted = 0
    for (until, now), is_off in zip(pairwise([BEGIN, *looks]), off, strict=False):
        found = plan(schedule, timing, until, now, ("paused", "by hand") if is_off else None)
        counted += len(found.runs) + sum(line.count for line in found.ticks)
        assert len(found.runs) <= schedule.catch_up_max + 1

    assert counted == sum(1 for _ in timing.between(BEGIN, looks[-1]))


# Jitter


def test_the_jitter_of_a_tick_is_the_same_in_every_process() -> None:
    schedule = cron("0 3 * * *", jitter="10m")

    assert jitter_of(schedule, BEGIN) == pytest.approx(174.474684)


def test_the_jitter_spreads_ticks_and_schedules_over_its_length() -> None:
    ticks = [BEGIN + day * DAY for day in range(1000)]
    first = every("1d", jitter="10s")
    second = make_schedule("demo.other", "demo.job", "every", "1d", jitter="10s")

    found = [jitter_of(first, tick) for tick in ticks]

    assert all(0 <= jitter < 10 for jitter in found)
    assert min(found) < 0.5
    assert max(found) > 9.5
    assert 4.5 < sum(found) / len(found) < 5.5
    assert all(jitter_of(second, tick) != jitter for tick, jitter in zip(ticks, found, strict=True))


def test_without_jitter_no_tick_is_put_off() -> None:
    assert jitter_of(every("1d"), BEGIN) == 0


# Definitions


def test_a_definition_comes_back_from_its_text() -> None:
    schedule = cron("0 3 * * *", timezone=BERLIN, jitter="5s", payload={"a": [1]}, end="2027-01-01T00:00:00Z")

    row = ScheduleRow("demo.tick", schedule.as_text(), dynamic=True, anchor=BEGIN, looked_until=BEGIN)

    assert row.schedule == schedule


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (cron("0 3 * * *"), "cron 0 3 * * *"),
        (cron("0 3 * * *", timezone=BERLIN), "cron 0 3 * * * Europe/Berlin"),
        (every("90s"), "every 1 m 30 s"),
        (every("90s", anchor="finish"), "every 1 m 30 s after its end"),
        (make_schedule("a", "b", "after", "5s"), "after 5 s"),
    ],
)
def test_a_schedule_is_said_in_words(schedule: Schedule, said: str) -> None:
    assert schedule.describe() == said


def test_an_option_that_is_not_given_has_its_default() -> None:
    schedule = cron("0 3 * * *")

    assert (schedule.timezone, schedule.catch_up, schedule.overlap, schedule.paused) == ("UTC", "latest", "skip", False)
    assert (schedule.catch_up_max, schedule.catch_up_window_seconds, schedule.payload) == (10, None, "{}")


def test_an_override_changes_what_it_names() -> None:
    schedule = override(cron("0 3 * * *", overlap="allow"), {"cron": "0 4 * * *", "paused": True})

    assert (schedule.spec, schedule.paused, schedule.overlap) == ("0 4 * * *", True, "allow")


@pytest.mark.parametrize(
    ("kind", "spec", "options", "told"),
    [
        ("cron", "0 3 * *", {}, "0 3 * *"),
        ("cron", None, {}, "cron: None is no cron expression"),
        ("every", "0s", {}, "expected more than zero"),
        ("every", "99ms", {}, "every: '99ms' is too short: expected at least 100 ms"),
        ("every", "soon", {}, "is no duration"),
        ("after", -1, {}, "expected zero or more"),
        ("every", 60, {"timezone": "Europe/Berln"}, "timezone: 'Europe/Berln' is no time zone: expected"),
        ("every", 60, {"timezone": None}, "timezone: None is no time zone"),
        ("every", 60, {"jitter": -1}, "jitter: -1 is not a usable duration"),
        ("every", 60, {"start": "soon"}, "start: 'soon': expected an instant such as"),
        ("every", 60, {"end": 5}, "end: 5: expected a datetime, or ISO 8601 text"),
        ("every", 60, {"start": "2026-02-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "lies before start"),
        ("every", 60, {"catch_up": "some"}, "catch_up: 'some': expected one of skip, latest, all"),
        ("every", 60, {"catch_up": ["all"]}, "catch_up: ['all']: expected one of"),
        ("every", 60, {"catch_up_window": 0}, "catch_up_window: 0 is not a usable duration"),
        ("every", 60, {"catch_up_max": 0}, "catch_up_max: 0: expected a whole number from 1 to 10,000"),
        ("every", 60, {"catch_up_max": True}, "catch_up_max: True: expected a whole number"),
        ("every", 60, {"overlap": "wait"}, "overlap: 'wait': expected one of skip, queue, allow, replace"),
        ("every", 60, {"anchor": "start"}, "anchor: 'start': expected one of grid, finish"),
        ("cron", "0 3 * * *", {"anchor": "finish"}, 'anchor: "finish" goes with every, not with cron'),
        ("every", 60, {"payload": [1]}, "payload: [1]: expected an object"),
        ("every", 60, {"payload": {"a": {1}}}, "payload: .a: {1} (set); expected JSON"),
        ("every", 60, {"paused": 1}, "paused: 1: expected true or false"),
        ("every", 60, {"nmae": "x"}, "nmae: no option of a schedule; expected one of timezone, jitter,"),
        ("after", 5, {"catch_up": "all"}, "catch_up: an @after schedule ticks once at each start"),
        ("after", 5, {"start": None}, "start: an @after schedule ticks once at each start"),
    ],
    ids=repr,
)
def test_a_wrong_schedule_is_told_with_the_option_and_what_was_expected(
    kind: Any, spec: Any, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_schedule("demo.tick", "demo.job", kind, spec, **options)

    assert told in str(caught.value)
