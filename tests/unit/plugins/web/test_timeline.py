"""Where the bars of a run's attempts stand on the line of time."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.web.timeline import MOST_SHOWN, NARROWEST, arrange, attempts_of

NOW = 1_000.0


def attempt(number: int, started: float | None, ended: float | None, outcome: str = "failed") -> dict[str, Any]:
    return {
        "attempt": number, "started_at": started, "ended_at": ended, "outcome": outcome, "error": None, "kernel": "k",
    }  # fmt: skip


def test_bars_stand_where_their_attempts_began_and_the_waits_lie_between_them() -> None:
    line = arrange([attempt(1, 10, 20), attempt(2, 60, 80), attempt(3, 90, 100)], 0, NOW)

    assert line is not None
    assert [(bar.wait_x, bar.x, bar.width) for bar in line.bars] == [(0, 10, 10), (20, 60, 20), (80, 90, 10)]
    assert [bar.wait_seconds for bar in line.bars] == [10, 40, 10]
    assert [bar.seconds for bar in line.bars] == [10, 20, 10]


def test_a_running_attempt_reaches_until_now() -> None:
    line = arrange([attempt(1, 900, None, "running")], 900, NOW)

    assert line is not None
    (bar,) = line.bars
    assert (bar.x, bar.width, bar.seconds, bar.ended, bar.tone) == (0, 100, 100, None, "live")


def test_an_attempt_of_no_time_is_seen_and_stays_on_the_line() -> None:
    line = arrange([attempt(1, 0, 0), attempt(2, 1_000, 1_000)], 0, NOW)

    assert line is not None
    assert [bar.width for bar in line.bars] == [NARROWEST, NARROWEST]
    assert line.bars[-1].x + line.bars[-1].width == 100


def test_a_long_wait_in_the_queue_does_not_squeeze_the_attempts() -> None:
    line = arrange([attempt(1, 10_000, 10_010), attempt(2, 10_030, 10_040)], 0, NOW)

    assert line is not None
    assert line.is_cut
    assert line.bars[0].x == 20
    assert line.bars[0].wait_seconds == 10_000


def test_there_is_room_for_the_attempt_that_comes() -> None:
    line = arrange([attempt(1, 0, 10)], 0, 10, next_at=40)

    assert line is not None
    assert line.bars[0].width == 25


def test_of_very_many_attempts_the_last_ones_are_shown() -> None:
    line = arrange([attempt(number, number, number + 0.5) for number in range(1, 101)], 0, NOW)

    assert line is not None
    assert (len(line.bars), line.left_out, line.bars[-1].attempt) == (MOST_SHOWN, 100 - MOST_SHOWN, 100)


def test_a_clock_that_was_set_back_leaves_all_bars_on_the_line() -> None:
    line = arrange([attempt(1, 500, 510), attempt(2, 100, 90), attempt(3, 600, None, "running")], 700, 50)

    assert line is not None
    for bar in line.bars:
        assert 0 <= bar.wait_x <= bar.x
        assert bar.width > 0
        assert bar.x + bar.width <= 100


@pytest.mark.parametrize("started", [None, "not a date"])
def test_an_attempt_that_never_began_has_no_bar(started: Any) -> None:
    assert arrange([attempt(1, started, 10)], 0, NOW) is None


def test_a_run_from_before_attempts_were_kept_shows_its_last_one() -> None:
    run = {
        "attempts": [], "started_at": "2026-01-01T00:00:00+00:00", "finished_at": "2026-01-01T00:00:05+00:00",
        "attempt": 3, "state": "failed", "error": {"type": "ValueError", "message": "no"}, "kernel": "k",
    }  # fmt: skip

    line = arrange(attempts_of(run), None, NOW)

    assert line is not None
    assert [(bar.attempt, bar.outcome, bar.seconds, bar.error) for bar in line.bars] == [
        (3, "failed", 5, "ValueError: no")
    ]
    assert attempts_of(run | {"started_at": None}) == []
