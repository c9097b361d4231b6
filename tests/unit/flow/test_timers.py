"""The alarm that says "look": when it is due by the wall clock, and once."""

from __future__ import annotations

import pytest

from kernel.flow.timers import Alarm
from kernel.testing import FakeClock


class Bell:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.rung: list[float] = []
        self.alarm = Alarm(lambda: self.rung.append(self.clock.now() - self.begin), self.clock)
        self.begin = self.clock.now()


@pytest.fixture
async def bell() -> Bell:
    return Bell()


async def test_it_rings_once_at_its_instant(bell: Bell) -> None:
    bell.alarm.arm(bell.begin + 10)

    await bell.clock.advance(100)

    assert bell.rung == [10]
    assert bell.alarm.due is None


async def test_an_instant_that_has_passed_rings_at_once(bell: Bell) -> None:
    bell.alarm.arm(bell.begin - 10)

    await bell.clock.advance(0)

    assert bell.rung == [0]


async def test_armed_anew_it_forgets_what_it_was_armed_for(bell: Bell) -> None:
    bell.alarm.arm(bell.begin + 10)
    bell.alarm.arm(bell.begin + 20)

    await bell.clock.advance(100)

    assert bell.rung == [20]


async def test_disarmed_it_is_silent(bell: Bell) -> None:
    bell.alarm.arm(bell.begin + 10)
    bell.alarm.arm(None)

    await bell.clock.advance(100)

    assert bell.rung == []


async def test_a_loop_that_was_blocked_hears_it_once(bell: Bell) -> None:
    bell.alarm.arm(bell.begin + 10)

    bell.clock.skip(60)
    await bell.clock.advance(0)

    assert bell.rung == [60]


async def test_it_does_not_ring_before_its_instant_by_the_wall_clock(bell: Bell) -> None:
    bell.alarm.arm(bell.begin + 10)

    bell.clock.step(-5)
    await bell.clock.advance(12)
    before = list(bell.rung)
    await bell.clock.advance(3)

    assert (before, bell.rung) == ([], [10])


async def test_rearmed_after_a_step_it_rings_at_its_instant_by_the_wall_clock(bell: Bell) -> None:
    bell.alarm.arm(bell.begin + 3600)

    bell.clock.step(3590)
    bell.alarm.rearm()
    await bell.clock.advance(10)

    assert bell.rung == [3600]
