"""A step is done once a run: after a failure, a crash or a claim by another kernel a later attempt gets what is recorded."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from kernel import Context, GiveUp, Retry
from kernel.flow import steps as steps_of_attempts
from kernel.model.errors import StoreError
from kernel.model.events import OutcomeRefused, StoreTroubled
from kernel.model.run import Change
from kernel.testing import settle, until
from tests.flow_kit import Flow, TroubledStore, job_of, running

TWICE = Retry(attempts=2, base="1s", jitter=0)
ONCE = Retry(attempts=1)


class Calls:
    """Counts what was done, and says how often."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def note(self, what: str, result: Any = None) -> Any:
        self.done.append(what)
        return result

    async def note_async(self, what: str, result: Any = None) -> Any:
        await asyncio.sleep(0)
        return self.note(what, result)


async def error_of(flow: Flow, run: Any) -> str:
    ended = await flow.ended(run)
    assert (ended.state, ended.error is None) == ("failed", False), ended
    return f"{ended.error.type}: {ended.error.message}"  # type: ignore[union-attr] # asserted above


@pytest.mark.parametrize(
    "way", ["async job, async step", "async job, def step", "def job, def step", "def job, async step"]
)
async def test_a_later_attempt_gets_what_a_step_gave(way: str) -> None:
    calls, results = Calls(), []
    step = calls.note_async if "async step" in way else calls.note

    async def work_async(ctx: Context) -> None:
        results.append(await ctx.step("first", step, "one", {"cars": [1, None, "ü"]}))
        results.append(await ctx.step("second", step, "two", result=None))
        if ctx.attempt == 1:
            raise ValueError("again")

    def work_def(ctx: Context) -> None:
        results.append(ctx.step("first", step, "one", {"cars": [1, None, "ü"]}))
        results.append(ctx.step("second", step, "two", result=None))
        if ctx.attempt == 1:
            raise ValueError("again")

    job = job_of(work_async if "async job" in way else work_def, name="work", retry=TWICE)
    async with running(job) as flow:
        run = await flow.enqueue()
        await flow.until_state(run, "retrying")
        await flow.clock.advance(1)
        run = await flow.ended(run)
        recorded = await flow.store.steps(run.id)

    assert (run.state, run.attempt) == ("completed", 2)
    assert results == [{"cars": [1, None, "ü"]}, None] * 2
    assert calls.done == ["one", "two"]
    assert recorded == {"first": '{"cars":[1,null,"ü"]}', "second": "null"}


async def test_a_step_is_in_the_store_before_it_returns() -> None:
    seen = []

    async def work(ctx: Context) -> None:
        await ctx.step("first", Calls().note, "one", 1)
        seen.append(await flow.store.steps(ctx.run.id))

    async with running(work) as flow:
        await flow.ended(await flow.enqueue())

    assert seen == [{"first": "1"}]


async def test_a_step_is_called_in_the_thread_of_a_def_job_and_on_the_loop_of_an_async_one() -> None:
    threads: dict[str, int] = {}

    def note(who: str) -> None:
        threads[who] = threading.get_ident()

    async def on_loop(ctx: Context) -> None:
        await ctx.step("here", note, "async job")

    async def note_async(who: str) -> None:
        note(who)

    def in_thread(ctx: Context) -> None:
        note("def job")
        ctx.step("here", note, "def step of def job")
        ctx.step("there", note_async, "async step of def job")

    async with running(on_loop, in_thread) as flow:
        await flow.ended(await flow.enqueue("demo.on_loop"))
        await flow.ended(await flow.enqueue("demo.in_thread"))

    assert threads["async job"] == threads["async step of def job"] == threading.get_ident()
    assert threads["def step of def job"] == threads["def job"] != threading.get_ident()


async def test_what_earlier_attempts_recorded_is_read_once_and_only_when_there_were_any() -> None:
    async def work(ctx: Context) -> None:
        for number in range(5):
            await ctx.step(f"step {number}", Calls().note, "x")
        if ctx.attempt == 1:
            raise ValueError("again")

    store = TroubledStore()
    async with running(job_of(work, retry=TWICE), store=store) as flow:
        run = await flow.enqueue()
        before = store.calls.count("steps")
        await flow.clock.advance(1)
        await flow.ended(run)

    assert (before, store.calls.count("steps")) == (0, 1)


async def test_steps_at_the_same_time_read_what_was_recorded_once_for_all() -> None:
    calls, store = Calls(), TroubledStore()

    async def work(ctx: Context) -> None:
        await asyncio.gather(*(ctx.step(name, calls.note_async, name) for name in ("one", "two", "three")))
        if ctx.attempt == 1:
            raise ValueError("again")

    async with running(job_of(work, retry=TWICE), store=store) as flow:
        run = await flow.enqueue()
        store.before["steps"] = asyncio.Event()
        await flow.clock.advance(1)
        store.before["steps"].set()
        await flow.ended(run)

    assert (sorted(calls.done), store.calls.count("steps")) == (["one", "three", "two"], 1)


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_calls_of_one_name_at_the_same_time_do_it_once(kind: str) -> None:
    calls, results = Calls(), []
    goes_on = threading.Event()

    async def slow() -> int:
        calls.note("slow")
        await asyncio.to_thread(goes_on.wait, 10)
        return 7

    async def work_async(ctx: Context) -> None:
        results.extend(await asyncio.gather(*(ctx.step("slow", slow) for _ in range(3))))

    def work_def(ctx: Context) -> None:
        threads = [threading.Thread(target=lambda: results.append(ctx.step("slow", slow))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    async with running(job_of(work_async if kind == "async" else work_def, name="work")) as flow:
        run = await flow.enqueue()
        await until(lambda: calls.done == ["slow"])
        goes_on.set()
        await flow.ended(run)

    assert (calls.done, results) == (["slow"], [7, 7, 7])


async def test_those_who_wait_for_a_step_get_its_error_and_it_may_be_tried_again() -> None:
    calls = Calls()
    seen: list[Any] = []

    async def fails_once() -> str:
        calls.note("call")
        await asyncio.sleep(0)
        if len(calls.done) == 1:
            raise ValueError("no luck")
        return "well"

    async def work(ctx: Context) -> str:
        seen.extend(
            await asyncio.gather(ctx.step("it", fails_once), ctx.step("it", fails_once), return_exceptions=True)
        )
        return str(await ctx.step("it", fails_once))

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())

    assert [str(error) for error in seen] == ["no luck", "no luck"]
    assert (run.result, len(calls.done)) == ("well", 2)


async def test_when_a_step_is_cut_short_one_of_those_who_wait_for_it_does_it() -> None:
    calls = Calls()

    async def slow() -> str:
        calls.note("call")
        if len(calls.done) == 1:
            await asyncio.Event().wait()
        return "well"

    async def work(ctx: Context) -> str:
        first = asyncio.create_task(ctx.step("it", slow))
        await asyncio.sleep(0)
        second = asyncio.create_task(ctx.step("it", slow))
        await asyncio.sleep(0)
        first.cancel()
        return str(await second)

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())

    assert (run.result, len(calls.done)) == ("well", 2)


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_steps_may_contain_others_and_the_inner_ones_are_not_done_again(kind: str) -> None:
    calls = Calls()

    async def outer_async(ctx: Context) -> str:
        inner = await ctx.step("inner", calls.note, "inner", "i")
        if ctx.attempt == 1:
            raise ValueError("again")
        return f"o{inner}"

    def outer_def(ctx: Context) -> str:
        inner = ctx.step("inner", calls.note, "inner", "i")
        if ctx.attempt == 1:
            raise ValueError("again")
        return f"o{inner}"

    async def work_async(ctx: Context) -> str:
        return str(await ctx.step("outer", outer_async, ctx))

    def work_def(ctx: Context) -> str:
        return str(ctx.step("outer", outer_def, ctx))

    async with running(job_of(work_async if kind == "async" else work_def, name="work", retry=TWICE)) as flow:
        run = await flow.enqueue()
        await flow.until_state(run, "retrying")
        await flow.clock.advance(1)
        run = await flow.ended(run)

    assert (run.result, calls.done) == ("oi", ["inner"])


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_a_step_inside_itself_is_an_error_and_no_deadlock(kind: str) -> None:
    async def again_async(ctx: Context) -> None:
        await ctx.step("it", again_async, ctx)

    def again_def(ctx: Context) -> None:
        ctx.step("it", again_def, ctx)

    async def work_async(ctx: Context) -> None:
        await ctx.step("it", again_async, ctx)

    def work_def(ctx: Context) -> None:
        ctx.step("it", again_def, ctx)

    async with running(job_of(work_async if kind == "async" else work_def, name="work", retry=ONCE)) as flow:
        error = await error_of(flow, await flow.enqueue())

    assert error == 'RequestError: ctx.step "it" was called inside the step "it": expected another name'


@pytest.mark.parametrize("name", ["", "x" * 201, "two\nlines", None, 5])
async def test_a_name_that_cannot_be_kept_is_an_error(name: Any) -> None:
    calls = Calls()

    async def work(ctx: Context) -> None:
        await ctx.step(name, calls.note, "done")

    async with running(job_of(work, retry=ONCE)) as flow:
        error = await error_of(flow, await flow.enqueue())

    assert error.endswith("expected a printable name of 1 to 200 characters")
    assert calls.done == []


@pytest.mark.parametrize("method", ["step", "optional"])
async def test_a_coroutine_in_place_of_a_function_is_an_error_that_shows_how(method: str) -> None:
    calls = Calls()

    async def work(ctx: Context) -> None:
        await getattr(ctx, method)("it", calls.note_async("done"))

    async with running(job_of(work, retry=ONCE)) as flow:
        error = await error_of(flow, await flow.enqueue())

    assert error.startswith(
        f"TypeError: ctx.{method} 'it': found a coroutine; expected a function and then its arguments"
    )
    assert calls.done == []


async def test_a_function_that_is_none_is_an_error() -> None:
    async def work(ctx: Context) -> None:
        await ctx.step("it", 5)  # type: ignore[arg-type] # what a job may get wrong

    async with running(job_of(work, retry=ONCE)) as flow:
        error = await error_of(flow, await flow.enqueue())

    assert error == "TypeError: ctx.step 'it': 5: expected a function and then its arguments"


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ((1, 2), "value: (1, 2) (tuple); expected JSON"),
        ({"cars": [object]}, ".cars[0]: <class 'object'> (type); expected JSON"),
        (float("nan"), "value: nan; expected a finite number"),
        ("x" * 70_000, "value: 70,002 bytes of JSON; expected at most 65,536 bytes"),
    ],
)
async def test_a_result_that_cannot_be_recorded_is_an_error_that_names_the_step(result: Any, why: str) -> None:
    async def work(ctx: Context) -> None:
        await ctx.step("charge", Calls().note, "x", result)

    async with running(job_of(work, retry=ONCE)) as flow:
        run = await flow.enqueue()
        error = await error_of(flow, run)
        recorded = await flow.store.steps(run.id)

    assert error.startswith('GiveUp: ctx.step "charge": its result cannot be recorded, so neither is the step: ' + why)
    assert recorded == {}


async def test_a_step_whose_result_cannot_be_recorded_is_not_done_again_by_another_attempt() -> None:
    calls = Calls()

    async def work(ctx: Context) -> None:
        await ctx.step("charge", calls.note, "charged", (1, 2))

    async with running(job_of(work, retry=3)) as flow:
        run = await flow.ended(await flow.enqueue())

    assert (run.state, run.attempt, run.reason) == ("failed", 1, "given up")
    assert calls.done == ["charged"]


async def test_a_run_has_at_most_ten_thousand_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps_of_attempts, "MOST_STEPS", 20)
    calls = Calls()

    async def work(ctx: Context) -> None:
        await asyncio.gather(*(ctx.step(f"step {number}", calls.note_async, "x") for number in range(20)))
        await ctx.step("step 3", calls.note, "recorded: no further one")
        await ctx.step("one more", calls.note, "one more")

    async with running(job_of(work, retry=ONCE)) as flow:
        error = await error_of(flow, await flow.enqueue())

    assert error == 'RequestError: ctx.step "one more": expected at most 20 steps of one run: do several in one step'
    assert calls.done == ["x"] * 20


@pytest.mark.parametrize("failing", ["record", "steps"])
async def test_trouble_of_the_store_is_waited_out_and_the_step_is_done_once(failing: str) -> None:
    calls = Calls()

    async def work(ctx: Context) -> Any:
        if ctx.attempt == 1 and failing == "steps":
            raise ValueError("again")
        return await ctx.step("it", calls.note, "done", 5)

    store = TroubledStore()
    store.failing[failing] = StoreError("locked")
    async with running(job_of(work, retry=TWICE), store=store) as flow:
        run = await flow.enqueue()
        await flow.clock.advance(3)
        before, tries = (await flow.run(run)).state, store.calls.count(failing)
        troubles = len(flow.told(StoreTroubled))
        del store.failing[failing]
        await flow.clock.advance(10)
        run = await flow.ended(run)

        kept = await flow.store.log(run.id)

    assert (before, troubles) == ("running", 1)
    assert kept.text == "", "what the kernel says of the store is no line of the run"
    assert 3 <= tries <= 8
    assert (run.state, run.result, calls.done) == ("completed", 5, ["done"])


async def test_a_step_whose_record_was_written_in_spite_of_an_error_counts_as_recorded() -> None:
    async def work(ctx: Context) -> Any:
        return await ctx.step("it", Calls().note, "x", 5)

    store = TroubledStore()
    store.lying["record"] = StoreError("the answer was lost")
    async with running(job_of(work, retry=ONCE), store=store) as flow:
        run = await flow.enqueue()
        del store.lying["record"]
        await flow.clock.advance(1)
        run = await flow.ended(run)

    assert (run.state, run.result) == ("completed", 5)


@pytest.mark.parametrize("kind", ["async", "def"])
@pytest.mark.parametrize("failing", ["record", "steps"])
async def test_a_cancel_ends_the_waiting_for_a_store_in_trouble(kind: str, failing: str) -> None:
    seen: list[BaseException] = []

    async def work_async(ctx: Context) -> None:
        if ctx.attempt == 1 and failing == "steps":
            raise ValueError("again")
        try:
            await ctx.step("it", Calls().note, "x")
        except BaseException as error:
            seen.append(error)
            raise

    def work_def(ctx: Context) -> None:
        if ctx.attempt == 1 and failing == "steps":
            raise ValueError("again")
        try:
            ctx.step("it", Calls().note, "x")
        except BaseException as error:
            seen.append(error)
            raise

    store = TroubledStore()
    store.failing[failing] = StoreError("locked")
    job = job_of(work_async if kind == "async" else work_def, name="work", retry=TWICE)
    async with running(job, store=store) as flow:
        run = await flow.enqueue()
        if failing == "steps":
            await flow.until_state(run, "retrying")
        await flow.clock.advance(1)
        await until(lambda: failing in store.calls)
        await flow.cancel(run, reason="by hand")
        ended = await flow.ended(run)
        del store.failing[failing]

    assert [type(error) for error in seen] == [asyncio.CancelledError]
    assert (ended.state, ended.reason) == ("cancelled", "by hand")


async def test_an_attempt_whose_run_was_claimed_anew_may_write_no_step() -> None:
    calls, goes_on, seen = Calls(), asyncio.Event(), []

    async def work(ctx: Context) -> None:
        await ctx.step("first", calls.note, "first")
        await goes_on.wait()
        for name in ("second", "third"):
            try:
                await ctx.step(name, calls.note, name)
            except Exception as error:  # noqa: BLE001 - a job that swallows everything
                seen.append(f"{type(error).__name__}: {error}")
        try:
            await ctx.progress(0.5)
        except Exception as error:  # noqa: BLE001 - as above
            seen.append(f"{type(error).__name__}: {error}")

    async with running(work) as flow:
        run = await flow.enqueue()
        token = (await flow.run(run)).token
        # As if another kernel had ended it: the lease was over.
        taken = Change(run.id, token, "failed", run.due, run.urgency, 1, 1, finished=flow.clock.now())
        assert (await flow.store.finish([taken])).written == [True]
        goes_on.set()
        await until(lambda: len(seen) == 3)
        await settle()
        recorded = await flow.store.steps(run.id)
        refused = flow.told(OutcomeRefused)
        state = (await flow.run(run)).state

    stale = f"StaleAttemptError: run {run.id} is no longer this attempt's (1): it has been claimed anew, or has ended"
    assert seen == [stale] * 3
    assert (recorded, len(refused), state) == ({"first": "null"}, 1, "failed")


async def test_a_step_that_gives_up_ends_the_run() -> None:
    def give_up() -> None:
        raise GiveUp("not worth it")

    async def work(ctx: Context) -> None:
        await ctx.step("it", give_up)

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())

    assert (run.state, run.reason, run.attempt) == ("failed", "given up", 1)


async def test_a_thousand_runs_that_record_steps_share_their_writes() -> None:
    async def work(ctx: Context) -> None:
        for number in range(3):
            await ctx.step(f"step {number}", Calls().note, "x", {"number": number})

    store = TroubledStore()
    async with running(work, store=store, concurrency=200) as flow:
        runs = await flow.engine.intake.enqueue_many([("demo.work", {})] * 1_000)
        await until(lambda: flow.engine.recorder.written == 1_000)
        recorded = [json.loads(text) for run in runs for text in (await flow.store.steps(run.id)).values()]

    assert len(recorded) == 3_000
    assert store.calls.count("record") < 300
