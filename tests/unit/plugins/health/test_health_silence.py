"""How long a job may be silent: by policy, by schedule, by the setting of last resort."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.testing import START
from plugins.health.silence import Gaps, silence_of

HOUR = 3600.0


def schedule_of(kind: str, spec: str, **changed: Any) -> dict[str, Any]:
    given = {
        "schedule": "shop.work",
        "kind": kind,
        "spec": spec,
        "timezone": "UTC",
        "jitter_seconds": 0.0,
        "next_at": "x",
    }
    return given | changed


async def gap_of(schedule: dict[str, Any]) -> float | None:
    gaps = Gaps()
    await gaps.learn([schedule], START)
    return gaps.of(schedule)


def seconds_of(max_silence: float | None, gaps: list[float | None], usual: float = 0.0) -> float | None:
    found = silence_of({"max_silence_seconds": max_silence}, gaps, usual, None)
    return None if found is None else found.seconds


def test_the_policy_holds_whatever_the_schedule_says() -> None:
    assert seconds_of(25 * HOUR, [60.0]) == 25 * HOUR


def test_it_is_the_gap_of_the_schedule_and_the_usual_time_and_a_tenth() -> None:
    assert seconds_of(None, [600.0], usual=20.0) == 600.0 + 20.0 + 60.0


@pytest.mark.parametrize(("gap", "grace"), [(1.0, 5.0), (24 * HOUR, 300.0)])
def test_the_grace_is_at_least_5_s_and_at_most_5_min(gap: float, grace: float) -> None:
    assert seconds_of(None, [gap]) == gap + grace


def test_of_several_schedules_the_one_that_ticks_most_often_counts() -> None:
    assert seconds_of(None, [24 * HOUR, None, 600.0]) == 660.0


def test_a_job_without_schedule_has_the_setting_and_without_that_none() -> None:
    job = {"max_silence_seconds": None}

    found = silence_of(job, [], None, 24 * HOUR)

    assert found is not None
    assert (found.seconds, found.needs_success) == (24 * HOUR, True)
    assert silence_of(job, [], None, None) is None
    assert silence_of(job, [None], None, 24 * HOUR) is None


@pytest.mark.parametrize(
    ("spec", "hours"),
    [("0 9-17 * * 1-5", 64.0), ("0 0 * * *", 24.0), ("0 6 * * 1", 7 * 24.0), ("0 0 1 * *", 31 * 24.0)],
)
async def test_nights_weekends_and_long_months_are_in_the_gap(spec: str, hours: float) -> None:
    assert await gap_of(schedule_of("cron", spec)) == hours * HOUR


async def test_the_day_of_25_hours_is_in_the_gap() -> None:
    assert await gap_of(schedule_of("cron", "0 0 * * *", timezone="Europe/Berlin")) == 25 * HOUR


async def test_jitter_is_in_the_gap() -> None:
    assert await gap_of(schedule_of("every", "60.0", jitter_seconds=30.0)) == 90.0


async def test_a_schedule_that_ticks_once_or_no_more_gives_none() -> None:
    assert await gap_of(schedule_of("after", "5.0")) is None
    assert await gap_of(schedule_of("every", "60.0", next_at=None)) is None


async def test_what_a_schedule_in_the_store_says_wrongly_gives_none() -> None:
    assert await gap_of(schedule_of("cron", "0 0 * *")) is None
    assert await gap_of(schedule_of("cron", "0 0 * * *", timezone="Mars/Base")) is None
