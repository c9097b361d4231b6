"""What the recorder counts by the way: batches of the store, ticks by result, and how long an attempt had to wait."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from kernel.figures import figures_of
from kernel.model.errors import StoreError
from kernel.model.events import RunCompleted, RunFailed, RunRetrying
from kernel.model.retry import Retry
from kernel.testing import settle
from tests.flow_kit import TroubledStore, every, job_of, running


async def work() -> None: ...


async def fails() -> None:
    raise ValueError("no")


async def test_a_batch_of_the_store_is_counted_with_its_rows_and_only_when_it_was_carried_out() -> None:
    store = TroubledStore()
    async with running(work, store=store) as flow:
        batches = flow.engine.recorder.batches
        store.failing["enqueue"] = StoreError("locked")
        with pytest.raises(StoreError):
            await flow.engine.intake.enqueue("demo.work")
        refused = batches["enqueue"][0].count
        del store.failing["enqueue"]
        runs = await flow.engine.intake.enqueue_many([("demo.work", {}, {})] * 7)
        for run in runs:
            await flow.ended(run)

    sizes, times = batches["enqueue"]
    assert refused == 0
    assert (sizes.count, sizes.sum, times.count) == (1, 7.0, 1)
    assert batches["finish"][0].sum == 7.0
    assert batches["claim"][0].sum == 7.0


async def test_a_batch_is_counted_with_the_time_that_the_store_took() -> None:
    store = TroubledStore()
    async with running(work, store=store) as flow:
        store.before["enqueue"] = asyncio.Event()
        enqueuing = asyncio.ensure_future(flow.engine.intake.enqueue("demo.work"))
        await settle()
        flow.clock.skip(3.0)
        store.before["enqueue"].set()
        await enqueuing

    assert flow.engine.recorder.batches["enqueue"][1].sum == pytest.approx(3.0)


async def test_ticks_are_counted_by_what_became_of_them() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    async with running(waits, schedules=[every(10, "demo.waits")]) as flow:
        await flow.clock.advance(35)
        await flow.quiet()
        ticks = dict(flow.engine.recorder.ticks)

    assert ticks == {"run": 1, "skipped": 2}


async def test_the_end_of_an_attempt_tells_how_long_after_its_due_instant_it_began() -> None:
    jobs = (job_of(work), job_of(fails, retry=Retry(2, base="1s", jitter=0)))
    async with running(*jobs, concurrency=1) as flow:
        due = datetime.fromtimestamp(flow.clock.now() + 1, UTC)
        done, failed = await flow.enqueue("demo.work", at=due), await flow.enqueue("demo.fails", at=due)
        flow.clock.skip(31)
        await flow.clock.advance(0)
        await flow.ended(done)
        await flow.until_state(failed, "retrying")
        flow.clock.skip(6)
        await flow.clock.advance(0)
        await flow.ended(failed)
        await settle()

    [completed] = flow.told(RunCompleted)
    [retrying] = flow.told(RunRetrying)
    [gone] = flow.told(RunFailed)
    assert completed.waited == pytest.approx(30)
    assert retrying.waited == pytest.approx(30)
    assert gone.waited == pytest.approx(5)


async def test_the_figures_tell_that_the_schedules_are_not_looked_at_while_a_look_hangs() -> None:
    async with running(work, schedules=[every(10)]) as flow:
        before = figures_of(flow.engine, flow.clock.now())
        async with flow.engine.scheduler._looking:
            await flow.clock.advance(25)
            stalled, was_working = figures_of(flow.engine, flow.clock.now()), flow.engine.is_working
        await flow.quiet()
        after, is_working = figures_of(flow.engine, flow.clock.now()), flow.engine.is_working

    assert [one["schedules_overdue_seconds"] for one in (before, stalled, after)] == [0.0, 15.0, 0.0]
    assert (was_working, is_working) == (False, True)


async def test_a_look_that_fails_leaves_its_tick_overdue_and_the_store_to_blame() -> None:
    store = TroubledStore()
    async with running(work, store=store, schedules=[every(10)]) as flow:
        store.failing["look"] = StoreError("locked")
        await flow.clock.advance(40)
        overdue, is_working = flow.engine.scheduler.overdue_seconds(flow.clock.now()), flow.engine.is_working
        del store.failing["look"]
        await flow.clock.advance(5.1)
        await flow.quiet()

    assert (overdue, is_working) == (30.0, True)
    assert flow.engine.scheduler.overdue_seconds(flow.clock.now()) < 10
