"""What cron expressions say, which are refused, and when they are due where clocks change."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from kernel.model.cron import CronExpression, upcoming
from kernel.model.errors import ConfigError


def due(text: str, after: str, count: int = 3, timezone: str = "UTC") -> list[str]:
    return [tick.isoformat() for tick in upcoming(text, timezone=timezone, after=instant(after), count=count)]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def by_cronsim(text: str, after: str, count: int, timezone: str) -> list[str]:
    """What cronsim itself answers: where it differs, the test could not pass with cronsim alone."""
    simulated = CronSim(text, instant(after).astimezone(ZoneInfo(timezone)))
    return [next(simulated).isoformat() for _ in range(count)]


# Where cronsim alone is wrong.


def test_a_start_in_the_second_pass_of_a_repeated_hour_gives_nothing_that_lies_before_it() -> None:
    question = ("45 1 * * *", "2026-11-01T01:40:00-05:00", 1, "America/New_York")

    found = due(*question)

    assert found == ["2026-11-02T01:45:00-05:00"]
    assert by_cronsim(*question) == ["2026-11-01T01:45:00-04:00"]


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("0 */6 * * *", "2026-10-04T00:00:00+10:30", ["2026-10-04T06:00:00+11:00", "2026-10-04T12:00:00+11:00"]),
        ("30 * * * *", "2026-04-05T01:00:00+11:00", ["2026-04-05T01:30:00+11:00", "2026-04-05T01:30:00+10:30"]),
        ("0 0 0 * * *", "2026-10-04T00:00:00+10:30", ["2026-10-05T00:00:00+11:00", "2026-10-06T00:00:00+11:00"]),
    ],
)
def test_a_change_of_half_an_hour_loses_no_run(text: str, after: str, expected: list[str]) -> None:
    found = due(text, after, 2, "Australia/Lord_Howe")

    assert found == expected
    assert by_cronsim(text, after, 2, "Australia/Lord_Howe") != expected


def test_a_day_that_the_calendar_skips_is_not_made_up_for() -> None:
    question = ("0 12 * * *", "2011-12-29T13:00:00-10:00", 2, "Pacific/Apia")

    found = due(*question)

    assert found == ["2011-12-31T12:00:00+14:00", "2012-01-01T12:00:00+14:00"]
    assert by_cronsim(*question)[0] == "2011-12-31T00:00:00+14:00"


@pytest.mark.parametrize(
    "text", ["0 0 */31 2 7#5", "0 0 0 */31 2 7#5", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 LW * */6"]
)
def test_what_never_fires_is_refused_at_once(text: str) -> None:
    with pytest.raises(ConfigError, match="never due: no date within 50 years has day of month"):
        CronExpression.parse(text)


def test_cronsim_takes_what_never_fires_and_ends_in_silence() -> None:
    simulated = CronSim("0 0 */31 2 7#5", datetime(2026, 1, 1, tzinfo=UTC))

    found = list(simulated)

    assert found == []


# Debian's rule where clocks change.


@pytest.mark.parametrize("text", ["30 2 * * *", "0 30 2 * * *", "15 30 2 * * *", "0,30 2 * * *", "0-59 2 * * *"])
def test_a_fixed_time_in_the_gap_is_due_once_at_the_end_of_the_gap(text: str) -> None:
    found = due(text, "2026-03-28T12:00:00+01:00", 1, "Europe/Berlin")

    assert found == ["2026-03-29T03:00:00+02:00"]


def test_a_fixed_time_in_the_gap_and_one_at_its_end_are_one_tick() -> None:
    found = due("0,30 2,3 * * *", "2026-03-28T12:00:00+01:00", 3, "Europe/Berlin")

    assert found == ["2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00", "2026-03-30T02:00:00+02:00"]


def test_a_fixed_time_just_after_the_gap_is_due_at_its_own_time() -> None:
    found = due("30 3 * * *", "2026-03-28T12:00:00+01:00", 1, "Europe/Berlin")

    assert found == ["2026-03-29T03:30:00+02:00"]


@pytest.mark.parametrize("text", ["30 2 * * *", "0 30 2 * * *", "15 30 2 * * *"])
def test_a_fixed_time_that_comes_twice_is_due_the_first_time_only(text: str) -> None:
    first, second = upcoming(text, timezone="Europe/Berlin", after=instant("2026-10-24T12:00:00+02:00"), count=2)

    assert first.utcoffset() == timedelta(hours=2)
    assert (first.day, second.day) == (25, 26)


@pytest.mark.parametrize(
    ("text", "gap"), [("*/30 * * * *", 2), ("*/30 2 * * *", 0), ("30 * * * *", 1), ("0 30 */1 * * *", 1)]
)
def test_a_star_in_minute_or_hour_follows_the_clock_into_the_gap_and_finds_nothing_there(text: str, gap: int) -> None:
    found = CronExpression.parse(text).ticks_between(
        instant("2026-03-29T01:59:59+01:00").timestamp(),
        instant("2026-03-29T03:59:59+02:00").timestamp(),
        ZoneInfo("Europe/Berlin"),
    )

    assert len(list(found)) == gap


def test_a_star_in_minute_or_hour_is_due_in_both_passes_of_a_repeated_hour() -> None:
    found = due("*/30 2 * * *", "2026-10-25T00:00:00+02:00", 4, "Europe/Berlin")

    assert found == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T02:30:00+01:00",
    ]


def test_a_gap_at_midnight_moves_the_fixed_time_to_its_end_on_the_same_day() -> None:
    found = due("0 0 * * SUN", "2018-11-03T12:00:00-03:00", 1, "America/Sao_Paulo")

    assert found == ["2018-11-04T01:00:00-02:00"]


def test_a_midnight_that_clocks_put_back_over_repeats_no_fixed_time_of_the_day_before() -> None:
    found = due("30 23 * * *", "2018-02-17T12:00:00-02:00", 2, "America/Sao_Paulo")

    assert found == ["2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"]


def test_a_change_of_three_hours_still_moves_a_fixed_time_to_the_end_of_its_gap() -> None:
    found = due("0 3 * * *", "2009-10-17T12:00:00+08:00", 2, "Antarctica/Casey")

    assert found == ["2009-10-18T05:00:00+11:00", "2009-10-19T03:00:00+11:00"]


def test_clocks_are_changed_beyond_the_last_year_that_zones_list() -> None:
    found = due("30 2 * * *", "2080-03-30T12:00:00+01:00", 1, "Europe/Berlin")

    assert found == ["2080-03-31T03:00:00+02:00"]


# What the fields say.


def test_the_answer_lies_after_the_start_even_by_a_fraction_of_a_second() -> None:
    expression = CronExpression.parse("* * * * * *")
    zone = ZoneInfo("UTC")

    found = [expression.next_after(start, zone) for start in (99.0, 99.001, 99.999, 100.0, -0.5)]

    assert found == [100.0, 100.0, 100.0, 101.0, 0.0]


def test_ticks_between_leave_out_the_start_and_take_in_the_end() -> None:
    found = CronExpression.parse("*/10 * * * * *").ticks_between(100.0, 120.0, ZoneInfo("UTC"))

    assert list(found) == [110.0, 120.0]


def test_seconds_stand_first_of_six_fields() -> None:
    assert due("*/20 5 3 * * *", "2026-01-01T03:05:10+00:00") == [
        "2026-01-01T03:05:20+00:00",
        "2026-01-01T03:05:40+00:00",
        "2026-01-02T03:05:00+00:00",
    ]


def test_the_second_is_kept_in_the_next_minute_and_the_next_hour() -> None:
    found = due("30 0,5 * * * *", "2026-01-01T00:00:31+00:00")

    assert found == ["2026-01-01T00:05:30+00:00", "2026-01-01T01:00:30+00:00", "2026-01-01T01:05:30+00:00"]


@pytest.mark.parametrize(
    ("macro", "text"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@Midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@YEARLY", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("0 3 * jan-Mar fri", "0 3 * 1-3 5"),
        ("0 0 3 * * *", "0 3 * * *"),
        ("\t0  3 * * * ", "0 3 * * *"),
        ("5-5/2 3-3 * * *", "5 3 * * *"),
    ],
)
def test_two_ways_to_write_one_thing_mean_the_same(macro: str, text: str) -> None:
    assert CronExpression.parse(macro).fields == CronExpression.parse(text).fields


@pytest.mark.parametrize("sunday", ["0", "7", "SUN", "7-7", "*/7"])
def test_sunday_is_0_and_7(sunday: str) -> None:
    assert due(f"0 0 * * {sunday}", "2026-01-01T00:00:00+00:00", 1) == ["2026-01-04T00:00:00+00:00"]


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("0 0 L * *", ["2024-01-31", "2024-02-29", "2024-03-31"]),
        ("0 0 LW * *", ["2024-01-31", "2024-02-29", "2024-03-29"]),
        ("0 0 15,L 2 *", ["2024-02-15", "2024-02-29", "2025-02-15"]),
        ("0 0 * * 5L", ["2024-01-26", "2024-02-23", "2024-03-29"]),
        ("0 0 * * 7L", ["2024-01-28", "2024-02-25", "2024-03-31"]),
        ("0 0 * * FRI#2", ["2024-01-12", "2024-02-09", "2024-03-08"]),
        ("0 0 * * 5#5", ["2024-03-29", "2024-05-31", "2024-08-30"]),
        ("0 0 29 2 *", ["2024-02-29", "2028-02-29", "2032-02-29"]),
        ("0 0 13 * FRI", ["2024-01-05", "2024-01-12", "2024-01-13"]),
        ("0 0 */13 * FRI", ["2024-03-01", "2024-06-14", "2024-09-27"]),
        ("0 0 1-7 * */5", ["2024-01-05", "2024-01-07", "2024-02-02"]),
    ],
)
def test_days_are_found_as_debian_cron_reads_them(text: str, dates: list[str]) -> None:
    found = due(text, "2024-01-01T00:00:00+00:00")

    assert [tick[:10] for tick in found] == dates


def test_a_star_with_a_step_in_one_day_field_is_noted_when_the_other_one_is_set() -> None:
    (note,) = CronExpression.parse("0 0 */2 * MON").notes

    assert "a day must fit day of week 1 too" in note
    assert "Write 1-31/2" in note


def test_a_step_larger_than_its_field_is_noted() -> None:
    (note,) = CronExpression.parse("*/90 * * * *").notes

    assert note == "minute */90 fits 0 alone. For an interval use @every"


@pytest.mark.parametrize("text", ["0 0 1 * MON", "*/15 * * * *", "0 0 */2 * *", "@weekly"])
def test_an_expression_that_means_what_it_seems_to_has_no_notes(text: str) -> None:
    assert CronExpression.parse(text).notes == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("*/5 * * * *", "Every fifth minute of every hour"),
        ("0 3 * * *", "At 03:00 every day"),
        ("@weekly", "At 00:00 on Sunday"),
        ("0 0 1 * MON", "At 00:00 on the first day of month or on Monday"),
        (
            "0 0 1,15 JAN MON,WED",
            "At 00:00 on the first and the 15th day of month or on Monday and Wednesday in January",
        ),
        ("0 0 */2 * MON", "At 00:00 on every second day of month if it's on Monday"),
        ("0 0 1-31 * MON", "At 00:00 every day"),
        ("0 0 22 3 *", "At 00:00 on March 22"),
        ("0 0 21,31 * *", "At 00:00 on the 21st and the 31st day of month"),
    ],
)
def test_an_expression_is_put_in_words(text: str, words: str) -> None:
    assert CronExpression.parse(text).describe() == words


# H, the spread by name.


def test_h_is_another_minute_and_hour_for_each_name() -> None:
    found = {CronExpression.parse("H H * * *", name=f"fleet.job-{number}").fields for number in range(200)}

    assert len(found) > 150


def test_h_is_the_same_in_every_process() -> None:
    code = (
        "from kernel.model.cron import CronExpression as C; print(*C.parse('H H(1-5) H H H', name='fleet.sync').fields)"
    )

    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2")
    }

    assert found == {b"0 5 3 2 10 6\n"}


def test_h_stays_within_its_range() -> None:
    for number in range(300):
        _, minute, hour, day, _, weekday = CronExpression.parse("H(10-19) H(22-23) H * H", name=str(number)).fields

        assert 10 <= int(minute) <= 19
        assert 22 <= int(hour) <= 23
        assert 1 <= int(day) <= 28
        assert 0 <= int(weekday) <= 6


def test_h_with_a_step_begins_within_the_first_stride() -> None:
    begun = set()
    for number in range(300):
        fields = CronExpression.parse("H/15 H(8-17)/4 * * *", name=str(number)).fields
        begun.add(int(fields[1].removesuffix("-59/15")))

    assert begun == set(range(15))


def test_h_needs_a_name() -> None:
    with pytest.raises(ConfigError, match="H is spread by the name of a schedule, and there is none here"):
        CronExpression.parse("H 3 * * *")


def test_h_makes_no_wildcard_of_a_fixed_time() -> None:
    expression = CronExpression.parse("H 2 * * *", name="nightly")

    found = expression.next_after(instant("2026-03-29T00:00:00+01:00").timestamp(), ZoneInfo("Europe/Berlin"))

    assert found == instant("2026-03-29T03:00:00+02:00").timestamp()


# What is refused, and what to write instead.


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("0 0 * * \u017fun", "is no character of cron. Write one line of plain ASCII"),
        ("0 0 * *\n*", "is no character of cron"),
        ("0 0 * * *\r", "is no character of cron"),
        ("0 0\x00 * * *", "is no character of cron"),
        ("0 0\u00a0* * *", "is no character of cron"),
        ("0 0 * * *" + " " * 248, "it has 257 characters, expected at most 256"),
        ("", "it has 0 fields, expected 5"),
        ("0 3", "it has 2 fields, expected 5"),
        ("0 0 3 * * * 2026", "years are not known. Write 5 or 6, and give the schedule start= and end="),
        ("0 0 ? * *", "day of month '?': the question mark is not known. Write *"),
        ("0 0 15W * *", "Write the date, or LW for the last weekday"),
        ("0 0 * * FRIL", "write 5L for the last one of the month"),
        ("0 0 * * L", "write 5L for the last Friday"),
        ("0 0 L-3 * *", "Write L, or a date such as 28"),
        ("0 0 5L * *", "5L and FRI#2 are days of week"),
        ("0 L * * *", "hour 'L': L, LW, 5L and FRI#2 are days"),
        ("0 0 * * FRI#6", "expected the first to the fifth of a weekday, such as FRI#2"),
        ("@reboot", 'write @after("0s")'),
        ("@every 5m", 'write @every("5m")'),
        ("@every 1h30m", 'write @every("5m")'),
        ("@dayly", 'Did you mean "@daily"?'),
        ("0 22-2 * * *", "hour '22-2': a range runs upwards. Write 22-23,0-2"),
        ("0 0 28-3 * *", "Write 28-31,1-3"),
        ("0 0 * * FRI-MON", "Write 5-6,0-1"),
        ("0 0 * * SAT-SUN", "Write 6-7"),
        ("0 0 * * 7-2", "Write 0-2"),
        ("60 * * * *", "minute '60': expected 0 to 59"),
        ("0 24 * * *", "hour '24': expected 0 to 23"),
        ("0 0 0 * *", "day of month '0': expected 1 to 31"),
        ("0 0 * JUY *", "month 'JUY': expected 1 to 12 or JAN to DEC. Did you mean"),
        ("0 0 * * Monday", "write names with three letters"),
        ("*/0 * * * *", "a step of 0 never moves on: expected 1 or more"),
        ("1,,2 * * * *", "nothing stands between the commas"),
        ("*5 * * * *", "expected * or a step such as */5"),
        ("-5 * * * *", "no number is below zero"),
        ("H(1-x) * * * *", "expected H, H/15, H(0-29) or H(0-29)/10"),
        ("1.5 * * * *", "expected *, a value, a range such as 1-5"),
        ("0 0 * * 5L/2", "expected *, a value, a range such as 1-5"),
    ],
)
def test_what_is_refused_says_what_to_write_instead(text: str, advice: str) -> None:
    with pytest.raises(ConfigError) as refused:
        CronExpression.parse(text)

    assert advice in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["H/61 * * * *", "H(5-9)/6 * * * *", "H(9-5) * * * *", "H(50-70) * * * *", "H/0 * * * *"]
)
def test_an_h_that_fits_no_value_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected|upwards"):
        CronExpression.parse(text, name="fleet.sync")


@pytest.mark.parametrize("value", [None, 5, b"* * * * *", ["* * * * *"]])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="is no cron expression"):
        CronExpression.parse(value)  # type: ignore[arg-type] # as a plugin may


# Upcoming.


def test_upcoming_gives_datetimes_of_the_zone() -> None:
    (found,) = upcoming("0 9 * * *", timezone="Asia/Kathmandu", after=instant("2026-01-01T12:00:00+00:00"), count=1)

    assert found.isoformat() == "2026-01-02T09:00:00+05:45"


def test_upcoming_takes_an_instant_with_an_offset_only() -> None:
    with pytest.raises(ConfigError, match="has no offset"):
        upcoming("0 9 * * *", after=datetime(2026, 1, 1))  # noqa: DTZ001 - the fault under test


@pytest.mark.parametrize("after", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
def test_upcoming_bears_the_first_and_the_last_instant_there_are(after: datetime) -> None:
    found = upcoming("0 9 * * *", timezone="America/New_York", after=after, count=1)

    assert len(found) == (after.year == 1)
