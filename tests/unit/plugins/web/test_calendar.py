"""A schedule's day as a lane: marks, bands, and words."""

from __future__ import annotations

import pytest

from kernel.testing import START
from plugins.web.calendar import (
    DAY,
    HOUR,
    Ahead,
    Bunch,
    Hour,
    Line,
    arrange,
    bunches,
    fate_of,
    share_of,
)

FIRST = int(START // HOUR)


def line(at: float, fate: str = "completed", last: float | None = None, count: int = 1, reason: str = "") -> Line:
    return Line("s", START + at, START + (at if last is None else last), count, fate, reason)


def hour(*lines: Line, **fates: int) -> Hour:
    return Hour(fates or {one.fate: 1 for one in lines}, lines)


def test_a_few_ticks_are_marks_where_they_were() -> None:
    hours = {FIRST + 2: hour(line(2.5 * HOUR, "failed")), FIRST + 30: hour(line(30 * HOUR))}

    day = arrange(START, hours, {FIRST + 20: Ahead(START + 20 * HOUR, 1)}, START + 3 * HOUR)

    assert [(mark.x, mark.fate, mark.title) for mark in day.marks] == [
        (12.5, "failed", "02:30 failed"), (100.0, "coming", "20:00 coming"),
    ]  # fmt: skip
    assert not day.bands
    assert day.text == "1 failed, 1 coming"


def test_why_a_tick_made_no_run_stands_beside_its_mark() -> None:
    skipped = line(HOUR, "skipped", reason="run 7 was running")

    [mark] = arrange(START, {FIRST + 1: hour(skipped)}, {}, START + DAY).marks

    assert mark.title == "01:00 skipped: run 7 was running"


def test_a_tick_every_minute_is_one_band_and_not_1440_marks() -> None:
    hours = {FIRST + number: hour(completed=60) for number in range(24)}

    day = arrange(START, hours, {}, START + DAY)

    [band] = day.bands
    assert (round(band.x), round(band.width), band.fate) == (0, 119, "completed")
    assert band.title == "00:00 to 00:00 1,440 completed"
    assert not day.marks
    assert day.text == "1,440 completed"


def test_the_hour_with_a_failure_bears_its_mark_over_the_band() -> None:
    hours = {FIRST + number: hour(completed=60) for number in range(4)} | {FIRST + 2: hour(completed=59, failed=1)}

    day = arrange(START, hours, {}, START + DAY)

    assert len(day.bands) == 1
    [mark] = day.marks
    assert (mark.x, mark.fate, mark.title) == (12.5, "failed", "02:00 to 03:00 1 failed, 59 completed")


def test_hours_without_runs_are_a_band_with_a_shape_of_its_own() -> None:
    hours = {FIRST + number: hour(paused=60) for number in range(3)}
    ahead = {FIRST + number: Ahead(START + number * HOUR, 60) for number in (3, 4)}

    day = arrange(START, hours, ahead, START + 3 * HOUR)

    assert [(band.fate, band.title) for band in day.bands] == [
        ("paused", "00:00 to 03:00 180 paused"), ("coming", "03:00 to 05:00 120 coming"),
    ]  # fmt: skip
    assert [mark.fate for mark in day.marks] == ["paused"]


def test_busier_hours_are_higher() -> None:
    hours = {FIRST: hour(completed=2), FIRST + 1: hour(completed=60), FIRST + 2: hour(completed=3600)}

    heights = [band.height for band in arrange(START, hours, {}, START + DAY).bands]

    assert heights == sorted(heights)
    assert len(set(heights)) == 3


def test_a_run_that_goes_on_is_a_bar_from_its_tick_until_now() -> None:
    hours = {FIRST + 1: hour(line(HOUR, "running")), FIRST + 2: hour(line(2 * HOUR, "skipped"))}

    day = arrange(START, hours, {}, START + 3 * HOUR)

    [bar] = day.bars
    assert (bar.x, bar.width) == (5.0, 10.0)
    assert "goes on" in bar.title


def test_marks_of_many_bad_hours_are_thinned_out() -> None:
    hours = {FIRST + number: hour(completed=59, failed=1) for number in range(24)}

    assert 0 < len(arrange(START, hours, {}, START + DAY).marks) <= 8


def test_a_day_without_ticks_says_nothing() -> None:
    day = arrange(START, {FIRST - 1: hour(completed=60)}, {FIRST + 24: Ahead(START + DAY, 5)}, START)

    assert (day.bands, day.marks, day.bars, day.text) == ([], [], [], "")


@pytest.mark.parametrize(
    ("result", "state", "degraded", "fate"),
    [
        ("run", "completed", False, "completed"), ("run", "completed", True, "degraded"), ("run", None, False, "ran"),
        ("run", "queued", False, "waiting"), ("run", "blocked", False, "waiting"), ("run", "retrying", False, "retrying"),
        ("run", "of the future", False, "ran"), ("skipped", None, False, "skipped"), ("<b>", None, False, "missed"),
    ],
)  # fmt: skip
def test_the_fate_of_a_tick_is_one_of_those_that_have_a_shape(
    result: str, state: str | None, degraded: bool, fate: str
) -> None:
    assert fate_of(result, state, degraded=degraded) == fate


@pytest.mark.parametrize(("first", "last", "count"), [(0, 7140, 120), (30, 7170, 120), (1, 7199, 2), (100, 7000, 70)])
def test_the_ticks_of_a_range_are_shared_out_among_its_hours(first: float, last: float, count: int) -> None:
    whole = line(first, "folded", last, count)

    shares = [share_of(whole, START + number * HOUR, START + (number + 1) * HOUR) for number in range(-1, 4)]

    assert sum(shares) == count
    assert (shares[0], shares[3:]) == (0, [0, 0])
    assert abs(shares[1] - shares[2]) <= 1


def test_the_minutes_in_which_most_schedules_start_are_named() -> None:
    ticks = [(START + 20, "a"), (START + 40, "b"), (START + 59, "c"), (START + 60, "a"), (START + 60, "b")]
    ticks += [(START + 180, name) for name in "defg"] + [(START + at, "often") for at in range(600)]

    assert bunches(ticks, {"often"}) == [Bunch(START + 180, ["d", "e", "f", "g"]), Bunch(START, ["a", "b", "c"])]
