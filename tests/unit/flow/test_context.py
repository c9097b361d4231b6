"""What a job learns of its run, and what it may ask for."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from kernel import Cancel, Context, GiveUp, Retry, RetryAfter, Snooze
from kernel.flow.context import MOST_NOTES
from kernel.model.errors import describe
from kernel.model.events import RunCompleted
from kernel.testing import settle
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


@pytest.mark.parametrize(
    "kind", ["async job, async call", "async job, def call", "def job, def call", "def job, async call"]
)
async def test_what_is_optional_may_fail_and_the_run_ends_degraded(kind: str) -> None:
    def fail(code: int) -> None:
        raise ValueError(f"no answer: {code}\nand more")

    async def fail_async(code: int) -> None:
        await asyncio.sleep(0)
        fail(code)

    call = fail_async if "async call" in kind else fail

    async def work_async(ctx: Context) -> list[Any]:
        return [
            await ctx.optional("prices", call, 503, fallback=[1]),
            await ctx.optional("weather", call, code=1),
            await ctx.optional("well", len, "abc", fallback=0),
        ]

    def work_def(ctx: Context) -> list[Any]:
        return [
            ctx.optional("prices", call, 503, fallback=[1]),
            ctx.optional("weather", call, code=1),
            ctx.optional("well", len, "abc", fallback=0),
        ]

    async with running(job_of(work_async if "async job" in kind else work_def, name="work")) as flow:
        run = await flow.ended(await flow.enqueue())
        await settle()
        [event] = flow.told(RunCompleted)
        kept = await flow.store.log(run.id)
        lately = flow.engine.recorder.degraded_within(60)

    notes = ["prices: ValueError: no answer: 503", "weather: ValueError: no answer: 1"]
    assert (run.state, run.degraded, run.notes, run.result) == ("completed", True, notes, [[1], None, 3])
    assert (event.degraded, event.notes) == (True, tuple(notes))
    assert "done without prices: ValueError: no answer: 503\\nTraceback" in kept.text
    assert lately == {"demo.work": 1}


@pytest.mark.parametrize(
    ("wish", "state"),
    [
        (Snooze("5m"), "scheduled"),
        (Cancel("enough"), "cancelled"),
        (GiveUp("hopeless"), "failed"),
        (RetryAfter("9s"), "retrying"),
    ],
)
@pytest.mark.parametrize("kind", ["async", "def"])
async def test_a_wish_for_another_end_passes_through_optional(kind: str, wish: Exception, state: str) -> None:
    def ask() -> None:
        raise wish

    async def work_async(ctx: Context) -> None:
        await ctx.optional("it", ask)

    def work_def(ctx: Context) -> None:
        ctx.optional("it", ask)

    async with running(job_of(work_async if kind == "async" else work_def, name="work")) as flow:
        run = await flow.until_state(await flow.enqueue(), "scheduled", "cancelled", "failed", "retrying", "completed")

    assert (run.state, run.notes) == (state, [])


async def test_a_cancel_passes_through_optional() -> None:
    async def work(ctx: Context) -> None:
        await ctx.optional("it", asyncio.Event().wait)

    async with running(work) as flow:
        run = await flow.enqueue()
        await flow.cancel(run)
        ended = await flow.ended(run)

    assert (ended.state, ended.notes) == ("cancelled", [])


async def test_what_is_not_optional_still_fails_the_attempt_and_its_notes_are_not_kept() -> None:
    def fail() -> None:
        raise ValueError("no luck")

    async def work(ctx: Context) -> None:
        await ctx.optional("prices", fail)
        if ctx.attempt == 1:
            raise ValueError("the rest went wrong")

    async with running(job_of(work, retry=Retry(attempts=2, base="1s", jitter=0))) as flow:
        run = await flow.enqueue()
        first = await flow.run(run)
        await flow.clock.advance(1)
        second = await flow.ended(run)

    assert (first.state, first.notes) == ("retrying", [])
    assert (second.state, second.notes) == ("completed", ["prices: ValueError: no luck"])


async def test_of_very_many_notes_the_first_are_kept() -> None:
    def fail() -> None:
        raise ValueError("x" * 10_000)

    async def work(ctx: Context) -> None:
        for number in range(200):
            await ctx.optional(f"call {number}", fail)

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())

    assert len(run.notes) == MOST_NOTES
    assert run.notes[-1] == "and more, which the log has"
    assert all(len(note) < 600 for note in run.notes)


async def test_a_result_that_cannot_be_kept_is_one_note_more() -> None:
    def fail() -> None:
        raise ValueError("no luck")

    async def work(ctx: Context) -> object:
        await ctx.optional("it", fail)
        return object()

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())

    assert [note.partition(":")[0] for note in run.notes] == ["it", "the result of demo.work was not kept"]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), float("inf"), True, "0.5", None])
async def test_progress_outside_0_to_1_is_an_error(fraction: Any) -> None:
    async def work(ctx: Context) -> None:
        await ctx.progress(fraction)

    async with running(job_of(work, retry=1)) as flow:
        run = await flow.ended(await flow.enqueue())

    assert run.error is not None
    assert run.error.message.startswith("ctx.progress: ")
    assert run.error.message.endswith(": expected a number from 0 to 1")


async def test_a_def_job_reports_progress_from_its_thread() -> None:
    def work(ctx: Context) -> None:
        assert ctx.progress(0, "begun") is None
        assert ctx.progress(0.75, "\x00 \ud800 nearly " + "x" * 1_000) is None

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())

    assert run.progress == 0.75
    assert run.progress_text == f"\\x00 \\ud800 nearly {'x' * 981}…"


async def test_a_def_job_that_waits_for_the_loop_is_no_longer_kept_waiting_when_it_is_to_end() -> None:
    seen: list[Any] = []
    is_waiting = asyncio.Event()

    async def wait_for_ever() -> None:
        is_waiting.set()
        await asyncio.Event().wait()

    def work(ctx: Context) -> None:
        try:
            ctx.optional("it", wait_for_ever)
        finally:
            seen.append(ctx.step("clean up", str, "done"))

    async with running(work) as flow:
        run = await flow.enqueue()
        await is_waiting.wait()
        await flow.cancel(run, reason="by hand")
        ended = await flow.ended(run)

    assert (ended.state, ended.reason) == ("cancelled", "by hand")
    assert seen == ["done"]


async def test_a_word_to_end_that_comes_just_when_a_def_job_begins_to_wait_is_not_missed() -> None:
    seen: list[BaseException] = []

    def work(ctx: Context) -> None:
        notebook, lock = ctx.services.notebook, ctx.services.notebook.lock

        class Meddler:
            def __enter__(self) -> None:
                notebook.lock = lock
                ctx.tell_cancelled("just now")

            def __exit__(self, *_: object) -> None: ...

        notebook.lock = Meddler()  # type: ignore[assignment] # between handing it to the loop and waiting for it
        try:
            ctx.optional("it", asyncio.Event().wait)
        except BaseException as error:
            seen.append(error)
            raise

    async with running(job_of(work, retry=1)) as flow:
        await flow.ended(await flow.enqueue())

    assert [type(error) for error in seen] == [asyncio.CancelledError]


async def test_nothing_of_an_attempt_stays_in_memory_once_it_has_ended() -> None:
    async def work(ctx: Context) -> None:
        ctx.log.info("hello")
        await ctx.step("one", str)

    async with running(work) as flow:
        await flow.ended(await flow.enqueue())
        await settle()
        gc.collect()

        assert [one for one in gc.get_objects() if isinstance(one, Context) and one.services is flow.engine] == []
