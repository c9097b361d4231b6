"""What nobody tells the kernel: clocks that are set, and changes that others wrote into the store."""

from __future__ import annotations

import asyncio
import logging

import pytest

from kernel.model.errors import StoreError
from kernel.model.events import ClockStepped, QueuePaused, QueueResumed
from kernel.testing import settle
from tests.flow_kit import TroubledStore, every, running


async def work() -> None: ...


async def waits() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("seconds", [3600, -3600, 0.6])
async def test_a_step_of_the_wall_clock_is_told_within_a_second(seconds: float) -> None:
    async with running(work) as flow:
        flow.clock.step(seconds)
        await flow.clock.advance(1)
        await flow.clock.advance(10)

    [event] = flow.told(ClockStepped)
    assert event.seconds == pytest.approx(seconds)


async def test_clocks_that_drift_apart_slowly_are_no_step() -> None:
    async with running(work) as flow:
        for _ in range(100):
            flow.clock.step(0.4)
            await flow.clock.advance(1)

    assert flow.told(ClockStepped) == []


async def test_a_machine_that_slept_is_no_step() -> None:
    async with running(work) as flow:
        flow.clock.skip(3600)
        await flow.clock.advance(10)

    assert flow.told(ClockStepped) == []


async def test_a_step_is_taken_into_account_though_the_store_failed_at_first() -> None:
    store = TroubledStore()
    async with running(work, schedules=[every(60)], store=store) as flow:
        store.failing["put_schedules"] = StoreError("locked")
        flow.clock.step(3600)
        await flow.clock.advance(5)
        store.failing.clear()
        await flow.clock.advance(55)
        ticks = await flow.ticks()

    assert [event.seconds for event in flow.told(ClockStepped)] == [pytest.approx(3600)]
    assert [tick.result for tick in ticks] == ["run"]


async def test_pauses_and_their_ends_are_told() -> None:
    async with running(work) as flow:
        await flow.store.pause_queue("cars", float("inf"))
        await flow.engine.watch.refresh()
        await flow.store.pause_queue("vans", flow.clock.now() + 60)
        await flow.engine.watch.refresh()
        await flow.store.pause_queue("cars", None)
        await flow.engine.watch.refresh()

    assert [(event.queue, event.until) for event in flow.told(QueuePaused)] == [
        ("cars", None),
        ("vans", flow.clock.now() + 60),
    ]
    assert [event.queue for event in flow.told(QueueResumed)] == ["cars"]


@pytest.mark.parametrize("call", ["signals", "queues", "schedules", "cancels"])
async def test_a_change_is_acted_on_though_the_store_failed_when_it_was_told(call: str) -> None:
    store = TroubledStore()
    async with running(waits, store=store) as flow:
        run = await flow.enqueue("demo.waits")
        store.failing[call] = StoreError("locked")
        await store.pause_queue("cars", float("inf"))
        await store.put_schedules([flow.row(every(60, "demo.waits", name="added", plugin=None))])
        await flow.engine.recorder.cancel([run.id], "by hand")
        await flow.clock.advance(3)
        store.failing.clear()
        await flow.clock.advance(3)
        state = (await flow.run(run)).state

    assert state == "cancelled"
    assert [event.queue for event in flow.told(QueuePaused)] == ["cars"]
    assert "added" in flow.engine.scheduler.entries


async def test_a_store_that_fails_for_a_minute_makes_no_flood_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    store = TroubledStore()
    async with running(work, schedules=[every(1)], store=store) as flow:
        await flow.enqueue(delay="1s")
        for call in ("beat", "claim", "look", "finish", "signals", "put_schedules"):
            store.failing[call] = StoreError("locked")
        await flow.clock.advance(60)
        store.failing.clear()
        await flow.clock.advance(10)
        await settle()

    assert sum(record.levelno >= logging.WARNING for record in caplog.records) <= 4
