"""The database's clock as a kernel knows it: measured again and again, and never by a bad measurement."""

from __future__ import annotations

import time

import pytest

from plugins.postgres.clock import ServerClock, elapsed
from tests.unit.plugins.postgres.postgres_samples import row


class Wall:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def server_now(ahead: float = 0.0) -> float:
    return time.time() + ahead


def test_before_anything_was_measured_there_is_no_difference() -> None:
    assert ServerClock().offset == 0.0


@pytest.mark.parametrize("ahead", [3600.0, -3600.0, 0.2])
def test_the_first_measurement_counts(ahead: float) -> None:
    clock = ServerClock()

    clock.was_read(server_now(ahead), elapsed(), elapsed())

    assert clock.offset == pytest.approx(ahead, abs=0.05)


def test_the_difference_is_to_the_machines_clock_as_it_is_set_now() -> None:
    wall = Wall()
    clock = ServerClock(wall)
    clock.was_read(server_now(), elapsed(), elapsed())

    wall.ahead = 3600.0

    assert clock.offset == pytest.approx(-3600.0, abs=0.05)


def test_an_answer_that_took_long_changes_only_what_it_cannot_be_wrong_by() -> None:
    clock = ServerClock()
    at = elapsed()
    clock.was_read(server_now(), at, at)

    clock.was_read(server_now(-0.1), at - 4.0, at)  # it was read near the end, 1.9 s later than it seems
    near = clock.offset
    clock.was_read(server_now(10.0), at - 4.0, at)

    assert near == pytest.approx(0.0, abs=0.05)
    assert clock.offset == pytest.approx(12.0, abs=0.1)


def test_a_kernels_row_is_written_by_the_servers_clock() -> None:
    clock = ServerClock()
    clock.was_read(server_now(3600.0), elapsed(), elapsed())
    given = row(1)

    kept = clock.of(given)

    assert (kept.started - given.started, kept.seen - given.seen) == pytest.approx((3600.0, 3600.0), abs=0.05)
    assert kept.started == kept.seen
