"""What is no longer kept goes, a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.contracts.store import RunQuery
from kernel.model.errors import StoreError
from tests.flow_kit import TroubledStore, every, job_of, running

if TYPE_CHECKING:
    import pytest


async def work() -> None: ...


async def other() -> None: ...


async def test_finished_runs_go_when_their_job_no_longer_keeps_them() -> None:
    short = job_of(work, keep={"completed": "1m"})
    async with running(short, other) as flow:
        await flow.enqueue("demo.work")
        await flow.enqueue("demo.other")
        await flow.clock.advance(55)
        before = await flow.store.count(RunQuery())
        await flow.clock.advance(40)
        after = {run.job for run in await flow.runs()}

    assert before == {"completed": 2}
    assert after == {"demo.other"}


async def test_no_more_of_a_job_are_kept_than_its_count() -> None:
    async with running(job_of(work, keep={"count": 3})) as flow:
        await flow.engine.intake.enqueue_many([("demo.work", None)] * 10)
        await flow.clock.advance(31)
        kept = await flow.runs()

    assert len(kept) == 3


async def test_thousands_go_in_steps_within_one_turn() -> None:
    store = TroubledStore()
    async with running(job_of(work, keep={"completed": 0}), store=store, listen=False) as flow:
        await flow.engine.intake.enqueue_many([("demo.work", None)] * 2_500)
        await flow.clock.advance(31)
        counts = await flow.store.count(RunQuery())

    assert counts == {}
    assert store.calls.count("prune") == 3


async def test_ledger_lines_are_kept_for_a_week() -> None:
    async with running(work, schedules=[every(3600)]) as flow:
        await flow.clock.advance(3601)
        flow.clock.skip(7 * 86_400 - 100)
        await flow.clock.advance(0)
        await flow.quiet()
        before = (await flow.ticks())[0].first
        flow.clock.skip(200)
        await flow.clock.advance(31)
        after = (await flow.ticks())[0].first

    assert after > before


async def test_while_the_store_is_away_nothing_goes_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    store = TroubledStore()
    async with running(job_of(work, keep={"completed": "1m"}), store=store) as flow:
        await flow.enqueue("demo.work")
        store.failing["prune"] = StoreError("away")
        await flow.clock.advance(95)
        meanwhile = await flow.store.count(RunQuery())
        store.failing.clear()
        await flow.clock.advance(30)
        after = await flow.store.count(RunQuery())

    assert (meanwhile, after) == ({"completed": 1}, {})
    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == [
        "nothing is pruned until the store takes it: away"
    ]
