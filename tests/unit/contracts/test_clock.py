"""The machine's clock, and what a correction by a store's clock does to it."""

from __future__ import annotations

import time

import pytest

from kernel.contracts.clock import JITTER_SECONDS, SystemClock

FIRST = 1_800_000_000.0


class Machine:
    """Its wall clock and its elapsed time, which a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = FIRST
        self.elapsed = 500.0
        monkeypatch.setattr(time, "time", lambda: self.wall)
        monkeypatch.setattr(time, "clock_gettime", lambda _id: self.elapsed)

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.elapsed += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_without_a_correction_now_is_the_wall_clock_whatever_that_is_set_to(machine: Machine) -> None:
    clock = SystemClock()

    machine.wall += 3600

    assert clock.now() == FIRST + 3600


@pytest.mark.parametrize("offset", [3600.0, -3600.0, 0.001, -0.4])
def test_the_first_correction_holds_at_once(machine: Machine, offset: float) -> None:
    clock = SystemClock()

    clock.correct(offset)

    assert clock.now() == pytest.approx(FIRST + offset, abs=1e-6)
    machine.passes(10)
    assert clock.now() == pytest.approx(FIRST + 10 + offset, abs=1e-6)


def test_a_corrected_clock_does_not_follow_when_the_machines_is_set(machine: Machine) -> None:
    clock = SystemClock()
    clock.correct(5.0)

    machine.wall += 3600
    between = clock.now()
    clock.correct(5.0 - 3600)  # as it is measured the next time

    assert between == clock.now() == pytest.approx(FIRST + 5, abs=1e-6)


def test_what_is_within_the_error_of_measuring_moves_nothing(machine: Machine) -> None:
    clock = SystemClock()
    clock.correct(1.0)
    before = clock.now()

    for error in (JITTER_SECONDS - 0.001, 0.001 - JITTER_SECONDS):
        clock.correct(1.0 + error)
        assert clock.now() == before


def test_forward_it_goes_at_once(machine: Machine) -> None:
    clock = SystemClock()
    clock.correct(0.0)

    clock.correct(0.3)

    assert clock.now() == pytest.approx(FIRST + 0.3, abs=1e-6)


def test_a_little_back_it_stands_still_until_time_has_come_up_to_it(machine: Machine) -> None:
    clock = SystemClock()
    clock.correct(0.0)

    clock.correct(-0.3)
    seen = []
    for _ in range(5):
        seen.append(clock.now())
        machine.passes(0.1)

    assert seen == pytest.approx([FIRST] * 4 + [FIRST + 0.1], abs=1e-6)
    assert seen == sorted(seen)


def test_much_back_is_a_step_and_seen_as_one(machine: Machine) -> None:
    clock = SystemClock()
    clock.correct(0.0)

    clock.correct(-0.3)
    clock.correct(-60.0)

    assert clock.now() == pytest.approx(FIRST - 60, abs=1e-6)
