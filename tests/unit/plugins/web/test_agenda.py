"""The next 24 hours as a list: which lines there are."""

from __future__ import annotations

from collections import Counter

from plugins.web.agenda import MOST_NAMES, MOST_OFTEN, MOST_SLOTS, OFTEN, Tick, agenda

DAY, HOUR = 86400.0, 3600.0
NOW = 20_000 * DAY + 20 * HOUR


def of(ticks: list[Tick]) -> tuple[list[str], list[tuple[float, int]]]:
    """The names of what ticks often, and of each slot when it is and how much it has."""
    found = agenda(ticks, Counter(one.schedule for one in ticks), NOW)
    return [one.schedule for one in found.often], [(slot.at - NOW, len(slot.ticks)) for slot in found.slots]


def test_what_ticks_more_often_than_a_few_times_has_one_line() -> None:
    few = [Tick(NOW + number * HOUR, "few") for number in range(1, OFTEN + 1)]
    many = [Tick(NOW + number * HOUR, "many") for number in range(1, OFTEN + 2)]

    often, slots = of(many + few)

    assert often == ["many"]
    assert slots == [(number * HOUR, 1) for number in range(1, OFTEN + 1)]


def test_what_ticks_in_one_minute_has_one_line_and_what_is_too_much_for_it_is_folded() -> None:
    ticks = [Tick(NOW + HOUR + number, f"s{number:02}") for number in range(MOST_NAMES + 3)]

    [slot] = agenda(ticks, Counter(one.schedule for one in ticks), NOW).slots

    assert [one.schedule for one in slot.shown] == [f"s{number:02}" for number in range(MOST_NAMES)]
    assert len(slot.rest) == 3


def test_very_many_minutes_are_told_by_the_hour_so_that_the_night_is_among_them() -> None:
    ticks = [Tick(NOW + number * 60, f"s{number:03}") for number in range(1, MOST_SLOTS + 2)]
    ticks.append(Tick(NOW + 23 * HOUR, "night"))

    _, slots = of(ticks)

    assert slots == [(0, MOST_SLOTS + 1), (23 * HOUR, 1)]
    assert len(of(ticks[1:-1])[1]) == MOST_SLOTS


def test_the_day_is_named_where_it_changes() -> None:
    ticks = [Tick(NOW + hours * HOUR, f"s{hours}") for hours in (1, 5, 6)]

    days = [slot.day for slot in agenda(ticks, Counter(one.schedule for one in ticks), NOW).slots]

    assert days == [None, 20_001 * DAY, None]


def test_of_those_that_tick_often_some_have_a_line_and_the_rest_is_counted() -> None:
    ticks = [Tick(NOW + 1, f"s{number:02}") for number in range(MOST_OFTEN + 2)]
    found = agenda(ticks, {one.schedule: 100 for one in ticks}, NOW)

    assert [one.schedule for one in found.often] == [f"s{number:02}" for number in range(MOST_OFTEN)]
    assert (len(found.often), found.often_left_out) == (MOST_OFTEN, 2)
