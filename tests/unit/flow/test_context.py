"""What a job learns of its run, and what it may ask for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kernel import Context, Retry
from kernel.flow.context import describe
from tests.flow_kit import every, job_of, running


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)


async def test_a_job_learns_its_run_its_attempt_and_whether_that_is_the_last() -> None:
    seen: list[Any] = []

    async def work(ctx: Context, number: int) -> None:
        seen.append((ctx.run.state, ctx.run.payload, ctx.attempt, ctx.is_last_attempt, ctx.tick))
        raise ValueError("again")

    async with running(job_of(work, retry=Retry(attempts=2, base="1s", jitter=0))) as flow:
        await flow.enqueue("demo.work", {"number": 7})
        await flow.clock.advance(1)

    assert seen == [("running", {"number": 7}, 1, False, None), ("running", {"number": 7}, 2, True, None)]


async def test_a_run_of_a_schedule_learns_its_tick_and_how_many_were_folded_into_it() -> None:
    seen: list[Any] = []

    async def work(ctx: Context) -> None:
        assert ctx.tick is not None
        seen.append((ctx.tick.due_at.timestamp() - begin, ctx.tick.folded, ctx.run.schedule))

    async with running(work, schedules=[every(10)]) as flow:
        begin = flow.clock.now()
        flow.clock.skip(35)
        await flow.clock.advance(0)

    assert seen == [(30, 2, "demo.work")]


async def test_a_job_without_a_time_limit_has_no_deadline() -> None:
    seen: list[Any] = []

    async def work(ctx: Context) -> None:
        seen.append(ctx.deadline)

    async with running(job_of(work, timeout=None)) as flow:
        await flow.enqueue()

    assert seen == [None]


async def test_the_log_of_a_job_names_job_run_and_attempt(caplog: pytest.LogCaptureFixture) -> None:
    async def work(ctx: Context) -> None:
        ctx.log.warning("low on fuel")

    async with running(work) as flow:
        run = await flow.enqueue()

    [record] = [record for record in caplog.records if record.message == "low on fuel"]
    assert record.name == "mainspring.job.demo.work"
    assert vars(record).items() >= {"job": "demo.work", "run": run.id, "attempt": 1}.items()


async def test_a_thread_job_that_asks_from_a_loop_of_its_own_is_told_so() -> None:
    def work(ctx: Context) -> None:
        async def inside() -> None:
            ctx.enqueue("demo.work")

        asyncio.run(inside())

    async with running(job_of(work, retry=1)) as flow:
        run = await flow.ended(await flow.enqueue())

    assert run.error is not None
    assert run.error.message == "demo.work: ctx was used on an event loop by a job that runs in a thread"


async def test_an_error_of_enqueue_reaches_the_job_that_asked() -> None:
    def work(ctx: Context) -> str:
        try:
            ctx.enqueue("demo.nothing")
        except Exception as error:  # noqa: BLE001 - what comes is what this is about
            return str(error)
        return "none"

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())

    assert "no job named 'demo.nothing'" in run.result


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("one\ntwo"), "ValueError: one"),
        (ValueError(), "ValueError"),
        (UnreadableError(), "UnreadableError: (its message cannot be read)"),
        (ValueError("x" * 1000), "ValueError: " + "x" * 500),
    ],
)
def test_an_error_is_described_in_one_line(error: Exception, said: str) -> None:
    assert describe(error) == said
