"""Each verdict, and which one holds when several do."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.health.record import Record
from plugins.health.settings import Settings
from plugins.health.silence import Silence
from plugins.health.verdict import ARE_OK, Known, Running, judge

NOW = 100_000.0
HOUR = 3600.0


def record_of(succeeded: float | None = NOW - 60, failures: int = 0, durations: int = 10, **changed: Any) -> Record:
    record = Record(known_at=NOW - 30 * HOUR, succeeded_at=succeeded, **changed)
    record.durations.extend([2.0] * durations)
    for number in range(failures):
        record.has_failed(NOW - 50 + number, 1.0, "ValueError: no luck")
    return record


def known(record: Record | None = None, **changed: Any) -> Known:
    values: dict[str, Any] = {
        "record": record or record_of(), "silence": Silence(25 * HOUR, "its max_silence"), "timeout_seconds": 600.0,
        "running": None, "paused": "",
    }  # fmt: skip
    return Known(**values | changed)


def verdict(what: Known, **settings: Any) -> str:
    return judge(what, NOW, Settings(**settings))[0]


def running_for(seconds: float, *, is_stuck: bool = False) -> Running:
    return Running(NOW - seconds, is_stuck)


def test_a_job_that_succeeded_in_time_is_healthy() -> None:
    assert judge(known(), NOW, Settings()) == ("healthy", "")


def test_a_job_is_late_from_the_moment_on_that_its_silence_is_over() -> None:
    assert verdict(known(record_of(NOW - 25 * HOUR))) == "healthy"
    assert verdict(known(record_of(NOW - 25 * HOUR - 1))) == "late"


def test_late_says_for_how_long_and_what_was_expected() -> None:
    _, text = judge(known(record_of(NOW - 26 * HOUR)), NOW, Settings())

    assert text == "no success for 1 d 2 h; its max_silence is 1 d 1 h"


def test_a_job_that_never_succeeded_is_late_so_long_after_it_was_first_seen() -> None:
    fresh = Record(known_at=NOW - 24 * HOUR)
    old = Record(known_at=NOW - 26 * HOUR)

    assert (verdict(known(fresh)), verdict(known(old))) == ("healthy", "late")


def test_what_was_paused_has_missed_nothing_up_to_then() -> None:
    assert verdict(known(record_of(NOW - 100 * HOUR, idle_at=NOW - HOUR))) == "healthy"
    assert verdict(known(record_of(NOW - 100 * HOUR, idle_at=NOW - 26 * HOUR))) == "late"


def test_a_run_that_goes_on_is_a_sign_of_life_and_one_that_goes_on_for_too_long_is_none() -> None:
    late = record_of(NOW - 26 * HOUR, durations=0)

    assert verdict(known(late, running=running_for(60.0))) == "healthy"
    assert verdict(known(late, running=running_for(25 * HOUR + 1), timeout_seconds=None)) == "late"


def test_the_silence_of_last_resort_is_for_jobs_that_have_run() -> None:
    silence = Silence(24 * HOUR, "default_max_silence", needs_success=True)

    assert verdict(known(Record(known_at=NOW - 48 * HOUR), silence=silence)) == "healthy"
    assert verdict(known(record_of(NOW - 25 * HOUR), silence=silence)) == "late"


def test_a_job_without_silence_is_never_late() -> None:
    assert verdict(known(record_of(NOW - 1_000 * HOUR), silence=None)) == "healthy"


def test_a_failure_makes_it_failing_and_the_text_has_the_error() -> None:
    assert judge(known(record_of(failures=1)), NOW, Settings()) == (
        "failing",
        "the last run has failed: ValueError: no luck",
    )
    assert judge(known(record_of(failures=3)), NOW, Settings())[1].startswith("the last 3 runs have failed")


def test_how_many_failures_make_it_failing_is_a_setting() -> None:
    assert verdict(known(record_of(failures=2)), failing_after=3) == "healthy"
    assert verdict(known(record_of(failures=3)), failing_after=3) == "failing"


def test_a_run_is_stuck_when_it_is_marked_so_or_past_its_timeout_and_the_grace() -> None:
    assert verdict(known(running=running_for(1.0, is_stuck=True), timeout_seconds=None)) == "stuck"
    assert verdict(known(running=running_for(636.0))) == "stuck"
    assert verdict(known(running=running_for(634.0))) == "long"


def test_a_run_is_long_when_it_takes_many_times_what_is_usual() -> None:
    assert verdict(known(running=running_for(61.0))) == "long"
    assert verdict(known(running=running_for(59.0))) == "healthy"
    assert verdict(known(running=running_for(59.0)), long_least="10s") == "long"
    assert verdict(known(running=running_for(61.0)), long_factor=100) == "healthy"


def test_of_few_runs_nobody_can_say_what_is_usual() -> None:
    assert verdict(known(record_of(durations=4), running=running_for(500.0))) == "healthy"


def test_a_degraded_end_makes_it_degraded() -> None:
    assert verdict(known(record_of(is_degraded=True))) == "degraded"


def test_what_is_paused_is_paused_and_neither_late_nor_failing() -> None:
    assert judge(known(record_of(NOW - 99 * HOUR, failures=2), paused="its schedule"), NOW, Settings()) == (
        "paused",
        "its schedule is paused",
    )


def test_a_stuck_run_of_a_paused_job_is_told() -> None:
    assert verdict(known(running=running_for(1.0, is_stuck=True), paused="its schedule")) == "stuck"


@pytest.mark.parametrize("name", ["late", "failing", "stuck"])
def test_what_somebody_should_look_at_is_not_ok(name: str) -> None:
    assert name not in ARE_OK
    assert {"healthy", "paused", "degraded", "long"} == ARE_OK
