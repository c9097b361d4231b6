"""The state machine of incidents, driven by times alone."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from kernel import Notice
from plugins.notify.incidents import MOST, Incident, Incidents
from plugins.notify.sources import key_of

KEY = key_of("fleet.sync", "failed")


def failure(at: float = 0.0, **changed: Any) -> Notice:
    fields: dict[str, Any] = {
        "at": at, "severity": "error", "kind": "failed", "text": "no answer", "job": "fleet.sync", "run": "r1",
    }  # fmt: skip
    return Notice(**fields | changed)


def info(text: str, at: float = 0.0) -> Notice:
    return failure(at, severity="info", kind="reminder", text=text)


def said(incidents: Incidents, now: float) -> list[tuple[str, int]]:
    return [(message.notice.state, message.notice.times) for message in incidents.due(now)]


def said_until(incidents: Incidents, now: float, end: float) -> list[tuple[float, str, int]]:
    """What is said from now to the end, asked whenever the machine asks to be."""
    told = []
    while (at := incidents.next_at(now)) is not None and at <= end:
        now = max(at, now)
        told += [(now, *one) for one in said(incidents, now)]
    return told


def test_the_first_failure_is_told_at_once_as_it_is() -> None:
    incidents = Incidents()

    incidents.happened(KEY, failure(7.0), 7.0, lasts=True)
    [message] = incidents.due(7.0)

    assert (message.notice.state, message.notice.text, message.notice.key) == ("failing", "no answer", KEY)
    assert (message.notice.at, message.notice.since, message.notice.held_back) == (7.0, 7.0, 0)
    assert incidents.due(7.0) == []


def test_what_goes_on_failing_is_told_ever_more_rarely_with_its_count() -> None:
    incidents = Incidents()
    told = []
    for second in range(3600):
        incidents.happened(KEY, failure(float(second)), float(second), lasts=True)
        told += [(second, *one) for one in said(incidents, float(second))]

    assert told == [
        (0, "failing", 1), (300, "still failing", 301), (900, "still failing", 901), (2100, "still failing", 2101),
    ]  # fmt: skip


def test_a_digest_says_how_often_for_how_long_and_how_many_were_held_back() -> None:
    incidents = Incidents()
    for second in range(12):
        incidents.happened(KEY, failure(), float(second), lasts=True)
        incidents.due(float(second))

    [message] = incidents.due(300.0)

    assert message.notice.text == "still failing (×12) after 5 m: no answer"  # noqa: RUF001 - times
    assert message.notice.held_back == 10


def test_a_failure_that_does_not_repeat_is_told_once() -> None:
    incidents = Incidents()
    incidents.happened(KEY, failure(), 0.0, lasts=True)

    assert said_until(incidents, 0.0, 1e6) == [(0.0, "failing", 1)]


def test_when_it_is_over_that_is_told_at_once_with_the_downtime() -> None:
    incidents = Incidents()
    incidents.happened(KEY, failure(), 0.0, lasts=True)
    incidents.due(0.0)
    incidents.happened(KEY, failure(), 60.0, lasts=True)

    incidents.over(KEY, 90.0)
    [message] = incidents.due(90.0)

    assert message.notice.state == message.notice.kind == "recovered"
    assert message.notice.text == "recovered after 1 m 30 s: it had failed 2 times, last with: no answer"
    assert message.notice.context["downtime_seconds"] == 90.0
    # It goes where the failure went.
    assert (message.severity, message.kind) == ("error", "failed")
    assert said_until(incidents, 90.0, 1e6) == []


def test_what_is_not_open_cannot_be_over() -> None:
    incidents = Incidents()
    incidents.over(KEY, 1.0)
    incidents.happened(KEY, failure(), 2.0, lasts=True)
    incidents.due(2.0)
    incidents.over(KEY, 3.0)
    incidents.due(3.0)

    incidents.over(KEY, 4.0)

    assert said_until(incidents, 4.0, 1e6) == []


def test_one_that_comes_and_goes_is_told_once_in_five_minutes_with_its_end_and_the_rest_is_counted() -> None:
    incidents = Incidents()
    told = []
    for second in range(0, 900, 10):
        if second % 20:
            incidents.over(KEY, float(second))
        else:
            incidents.happened(KEY, failure(), float(second), lasts=True)
        told += [(second, *one) for one in said(incidents, float(second))]

    times = [second for second, state, _ in told if state == "failing"]
    assert all(later - earlier >= 300 for earlier, later in pairwise(times))
    # Each end at once, and none alone.
    assert [state for _, state, _ in told] == ["failing", "recovered"] * 3
    assert [second - 10 for second, state, _ in told if state == "recovered"] == times


def test_what_fails_and_is_over_while_nothing_may_be_told_has_no_end_and_is_counted_by_the_next() -> None:
    incidents = Incidents()
    incidents.happened(KEY, failure(), 0.0, lasts=True)
    incidents.due(0.0)
    incidents.over(KEY, 10.0)
    incidents.due(10.0)
    incidents.happened(KEY, failure(), 20.0, lasts=True)
    incidents.over(KEY, 30.0)

    assert said_until(incidents, 30.0, 1e6) == []
    incidents.due(1_000.0)
    incidents.happened(KEY, failure(), 2_000.0, lasts=True)
    [message] = incidents.due(2_000.0)
    assert (message.notice.state, message.notice.held_back, message.notice.text) == ("failing", 1, "no answer")


def test_what_is_over_is_told_to_whom_the_failures_were_told() -> None:
    incidents = Incidents()
    incidents.happened("partner", failure(), 0.0, lasts=True)
    [message] = incidents.due(0.0)
    incidents.told("partner", ["ops"])
    incidents.happened("partner", failure(job="other.job"), 1.0, lasts=True)
    incidents.due(300.0)
    incidents.told("partner", ["office", "ops"])
    incidents.over("partner", 301.0)

    [over] = incidents.due(301.0)

    assert (message.told, over.told) == (None, ("ops", "office"))
    incidents.happened("partner", failure(), 1_000.0, lasts=True)
    incidents.due(1_000.0)
    incidents.over("partner", 1_001.0)
    assert [message.told for message in incidents.due(1_001.0)] == [()]


def test_a_new_failure_after_an_hour_of_trouble_is_told_as_soon_as_any_other() -> None:
    incidents = Incidents()
    for second in range(0, 3600, 60):
        incidents.happened(KEY, failure(), float(second), lasts=True)
        incidents.due(float(second))
    incidents.over(KEY, 3600.0)
    incidents.due(3600.0)

    incidents.happened(KEY, failure(), 4000.0, lasts=True)

    assert said(incidents, 4000.0) == [("failing", 1)]


def test_ten_thousand_failures_of_a_minute_are_one_message_and_a_count_five_minutes_later() -> None:
    incidents = Incidents()
    told = []
    for number in range(10_000):
        now = number * 0.006
        incidents.happened(KEY, failure(now), now, lasts=True)
        told += [(now, *one) for one in said(incidents, now)]
    told += said_until(incidents, 60.0, 1e6)

    assert told == [(0.0, "failing", 1), (300.0, "still failing", 10_000)]


def test_incidents_that_a_job_names_one_by_one_are_one_message_of_its_kind_in_five_minutes() -> None:
    incidents = Incidents()
    for car in range(50):
        incidents.happened(f"car {car}", failure(), 0.0, lasts=True)

    told = [at for at, _, _ in said_until(incidents, 0.0, 3_000.0)]

    assert told[0] == 0.0
    assert all(later - earlier >= 300 for earlier, later in pairwise(told))


def test_of_many_jobs_twenty_a_minute_are_told_the_gravest_first_and_how_many_wait() -> None:
    incidents = Incidents()
    for number in range(50):
        severity = "error" if number >= 40 else "warning"
        notice = failure(severity=severity, job=f"shop.job{number}")
        incidents.happened(key_of(notice.job, "failed"), notice, 0.0, lasts=True)

    first = incidents.due(0.0)

    assert len(first) == 20
    assert [message.severity for message in first[:10]] == ["error"] * 10
    assert first[-1].notice.context["waiting"].startswith("30 more messages")
    assert incidents.due(59.9) == []
    assert [len(incidents.due(at)) for at in (60.0, 120.0, 180.0)] == [20, 10, 0]


def test_what_does_not_last_is_gathered_for_a_second_and_told_as_one() -> None:
    incidents = Incidents()
    for number in range(210):
        notice = replace(info(f"car {number}"), context={"car": number})
        incidents.happened("fleet.check reminder", notice, number / 300, lasts=False)

    assert incidents.due(0.9) == []
    [message] = incidents.due(1.0)

    lines = message.notice.text.splitlines()
    assert lines[:2] == ["210 notices:", "car 0"]
    assert lines[-1] == "and 10 more"
    assert (message.notice.state, message.notice.times, message.notice.held_back) == ("", 210, 10)
    assert message.notice.context["each"][:2] == [{"car": 0}, {"car": 1}]


def test_one_alone_keeps_its_text_and_the_next_waits_five_minutes() -> None:
    incidents = Incidents()
    incidents.happened("fleet.check reminder", info("car 1"), 0.0, lasts=False)
    [message] = incidents.due(1.0)
    incidents.happened("fleet.check reminder", info("car 2"), 2.0, lasts=False)

    assert message.notice.text == "car 1"
    assert said_until(incidents, 2.0, 1e6) == [(301.0, "", 1)]


def test_no_more_than_a_thousand_are_known_and_the_rest_is_counted() -> None:
    incidents = Incidents(per_minute=1000)
    for number in range(MOST + 7):
        incidents.happened(f"job {number}", failure(job=f"a.job{number}"), 0.0, lasts=True)

    messages = incidents.due(0.0)

    assert len(messages) == MOST
    assert messages[0].notice.context["not_told"].startswith("7 others")


def test_what_is_over_makes_room_for_what_is_new() -> None:
    incidents = Incidents(per_minute=1000)
    for number in range(MOST):
        incidents.happened(f"job {number}", failure(job=f"a.job{number}"), 0.0, lasts=True)
        incidents.over(f"job {number}", 0.0)
    incidents.due(0.0)

    incidents.happened("new", failure(), 61.0, lasts=True)

    assert said(incidents, 61.0) == [("failing", 1)]


@pytest.mark.parametrize("is_told", [True, False])
def test_an_incident_goes_on_after_it_was_written_and_read(is_told: bool) -> None:
    before = Incidents()
    before.happened(KEY, failure(context={"cars": [1]}, log=("a line",)), 0.0, lasts=True)
    if is_told:
        before.due(0.0)
    one = before[KEY]
    assert one is not None
    row = json.loads(json.dumps(one.as_json()))

    after = Incidents()
    after.take_up(KEY, Incident.from_json(row))
    after.happened(KEY, failure(), 100.0, lasts=True)

    first = [(300.0, "still failing", 2)] if is_told else [(100.0, "failing", 2)]
    assert said_until(after, 100.0, 1000.0) == first
    after.over(KEY, 1000.0)
    [message] = after.due(1000.0)
    assert message.notice.text.startswith("recovered after 16 m 40 s")


def test_a_clock_that_is_set_back_silences_nothing() -> None:
    incidents = Incidents()
    day = 86_400.0
    incidents.happened(KEY, failure(), day, lasts=True)
    incidents.due(day)
    incidents.happened(KEY, failure(), 0.0, lasts=True)

    assert [state for _, state, _ in said_until(incidents, 0.0, 400.0)] == ["still failing"]


def test_what_fails_again_before_anybody_was_told_that_it_was_over_goes_on() -> None:
    incidents = Incidents(per_minute=1)
    incidents.happened(KEY, failure(), 0.0, lasts=True)
    incidents.due(0.0)

    incidents.over(KEY, 2.0)  # to be told at 60, when there may be one more message
    incidents.happened(KEY, failure(), 5.0, lasts=True)

    assert said_until(incidents, 5.0, 1e6) == [(300.0, "still failing", 2)]
