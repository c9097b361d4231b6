"""What health says in words when the store does not do what it is asked, and that it forgets it afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kernel.health import judge_health
from kernel.model.errors import StoreError
from kernel.model.retry import Retry
from tests.flow_kit import Flow, TroubledStore, job_of, running

if TYPE_CHECKING:
    from kernel import Context

WORDS = {
    "record": "the store does not take the progress, log and steps of runs; they wait in memory",
    "steps": "the store does not give back the recorded steps of runs; the runs wait for them",
    "finish": "the store does not take the outcomes of runs; 1 waits in memory, and no run begins meanwhile",
    "claim": "the store does not hand out runs; none begins meanwhile",
}


async def problems_of(flow: Flow) -> list[str]:
    # The clock is the test's, and the lag of the loop is that of the machine.
    found = (await judge_health(flow.engine, [], flow.clock.now()))["problems"]
    return [problem for problem in found if "event loop" not in problem]


async def work(ctx: Context) -> None:
    if ctx.attempt == 1:
        ctx.log.info("begun")
        raise ValueError("again")
    await ctx.step("it", str, "x")


@pytest.mark.parametrize("failing", list(WORDS))
async def test_a_store_in_trouble_is_told_in_words_for_each_thing_that_it_does_not_do(failing: str) -> None:
    store = TroubledStore()
    store.failing[failing] = StoreError("locked")
    async with running(job_of(work, retry=Retry(2, base="1s", jitter=0)), store=store) as flow:
        run = await flow.enqueue()
        await flow.clock.advance(2)
        told = await problems_of(flow)
        del store.failing[failing]
        await flow.clock.advance(10)
        await flow.ended(run)
        await flow.clock.advance(1)

        assert WORDS[failing] in told
        assert await problems_of(flow) == []


async def test_a_run_that_no_longer_waits_for_its_steps_is_no_reason_to_be_unhealthy() -> None:
    store = TroubledStore()
    store.failing["steps"] = StoreError("locked")
    async with running(job_of(work, retry=Retry(2, base="1s", jitter=0)), store=store) as flow:
        run = await flow.enqueue()
        await flow.clock.advance(2)
        before = await problems_of(flow)
        await flow.cancel(run)
        await flow.ended(run)
        await asyncio.sleep(0)

        assert (before, await problems_of(flow)) == ([WORDS["steps"]], [])
