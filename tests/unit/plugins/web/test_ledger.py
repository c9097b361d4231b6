"""The ledger by the hour: read little by little, and no line counted twice or forgotten."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from kernel import StoreError
from kernel.model.run import iso
from kernel.testing import START, FakeClock, until
from plugins.web.calendar import HOUR
from plugins.web.ledger import PAGE, Ledger

FIRST = int(START // HOUR)


class Control:
    """Lines as (schedule, first, last, count, result, state), seconds since START; it counts what it is asked."""

    def __init__(self, *lines: tuple[str, float, float, int, str, str | None]) -> None:
        self.lines = sorted(lines, key=lambda line: (-line[1], line[0]))
        self.asked = 0
        self.fails = False

    async def schedules_ticks(self, *, since: float, until: float, limit: int) -> dict[str, Any]:
        self.asked += 1
        if self.fails:
            raise StoreError("it is away")
        found = [line for line in self.lines if START + line[2] >= since and START + line[1] <= until]
        ticks = [
            {
                "schedule": name, "first_at": iso(START + first), "last_at": iso(START + last), "count": count,
                "result": result, "state": state, "degraded": False, "reason": None, "run": None,
            }
            for name, first, last, count, result, state in found[:limit]
        ]  # fmt: skip
        return {"ticks": ticks, "is_cut": len(found) > limit}


def ran(name: str, at: float, state: str = "completed") -> tuple[str, float, float, int, str, str | None]:
    return name, at, at, 1, "run", state


def ledger_of(control: Control, clock: FakeClock) -> Ledger:
    kernel: Any = SimpleNamespace(clock=clock, control=control)
    return Ledger(kernel)


async def whole(ledger: Ledger, since: float, end: float) -> None:
    for _ in range(500):
        if await ledger.look(START + since, START + end):
            return
    raise AssertionError("it was never read whole")


def counted(ledger: Ledger, schedule: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for hour in ledger.of(schedule).values():
        found.update(hour.fates)
    return found


async def test_few_lines_are_read_at_once_and_not_again_while_they_are_fresh() -> None:
    clock = FakeClock(START + 10 * HOUR)
    control = Control(ran("a", 60), ran("a", 4000, "failed"), ran("b", 9 * HOUR))
    ledger = ledger_of(control, clock)

    assert await ledger.look(START, START + 20 * HOUR)
    assert await ledger.look(START, START + 20 * HOUR)

    assert control.asked == 1
    assert {number - FIRST: dict(hour.fates) for number, hour in ledger.of("a").items()} == {
        0: {"completed": 1}, 1: {"failed": 1},
    }  # fmt: skip
    assert ledger.newest("b") is not None
    assert ledger.newest("unknown") is None


@pytest.mark.parametrize("schedules", [1, 7, 60])
async def test_more_lines_than_a_page_are_all_counted_once(schedules: int) -> None:
    names = [f"s{number}" for number in range(schedules)]
    lines = [ran(name, minute * 60.0) for name in names for minute in range(0, 12 * 60, 1 if schedules < 60 else 5)]
    # A range that began long ago reaches into every hour, and is the oldest line of all.
    control = Control(*lines, ("off", 0.0, 12 * HOUR - 60, 720, "paused", None))
    ledger = ledger_of(control, FakeClock(START + 12 * HOUR))

    await whole(ledger, 0, 12 * HOUR)

    assert {name: counted(ledger, name)["completed"] for name in names} == dict.fromkeys(names, len(lines) / schedules)
    assert counted(ledger, "off") == {"paused": 720}
    await ledger.stop()


async def test_more_lines_at_one_instant_than_a_page_do_not_stop_it() -> None:
    control = Control(*[ran(f"s{number:04}", 1800) for number in range(PAGE + 200)], ran("early", 60))
    ledger = ledger_of(control, FakeClock(START + HOUR))

    await whole(ledger, 0, HOUR)

    assert counted(ledger, "early") == {"completed": 1}
    assert counted(ledger, "s0000") == {"completed": 1}


async def test_runs_that_had_not_ended_are_looked_at_again() -> None:
    clock = FakeClock(START + 5 * HOUR)
    control = Control(ran("a", 60, "running"))
    ledger = ledger_of(control, clock)
    await whole(ledger, 0, 5 * HOUR)
    control.lines = [ran("a", 60, "failed")]
    clock.skip(60)

    await whole(ledger, 0, 5 * HOUR)

    assert counted(ledger, "a") == {"failed": 1}


async def test_a_store_that_does_not_answer_leaves_what_was_read() -> None:
    clock = FakeClock(START + 5 * HOUR)
    control = Control(ran("a", 60))
    ledger = ledger_of(control, clock)
    await whole(ledger, 0, 5 * HOUR)
    control.fails = True
    clock.skip(7200)
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unheard.append(context))

    is_whole = await ledger.look(START, START + 8 * HOUR)

    gc.collect()
    assert not is_whole
    assert not unheard
    assert counted(ledger, "a") == {"completed": 1}
    control.fails = False
    await whole(ledger, 0, 7 * HOUR)


async def test_a_page_does_not_wait_for_a_slow_store() -> None:
    go = asyncio.Event()

    class Slow(Control):
        async def schedules_ticks(self, *, since: float, until: float, limit: int) -> dict[str, Any]:
            await go.wait()
            return await super().schedules_ticks(since=since, until=until, limit=limit)

    ledger = ledger_of(Slow(ran("a", 60)), FakeClock(START + HOUR))

    async with asyncio.timeout(5):
        assert not await ledger.look(START, START + HOUR)
    go.set()
    await until(lambda: bool(ledger.of("a")))


async def test_hours_of_long_ago_are_forgotten() -> None:
    clock = FakeClock(START + HOUR)
    ledger = ledger_of(Control(ran("a", 60), ran("a", 20 * 24 * HOUR)), clock)
    await whole(ledger, 0, HOUR)
    clock.skip(20 * 24 * HOUR)

    await whole(ledger, 20 * 24 * HOUR, 20 * 24 * HOUR + HOUR)

    assert [number - FIRST for number in ledger.of("a")] == [20 * 24]
