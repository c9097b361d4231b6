"""One attempt: what the job's function gets, and what its end means, whatever it does."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Cancel, Context, GiveUp, Retry, RetryAfter, Snooze, job
from kernel.model.events import RunCompleted, RunFailed, RunRetrying
from tests.flow_kit import job_of, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.model.run import Run
    from tests.flow_kit import Flow

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


class Odd(BaseException):
    pass


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


class DeadlyError(Exception):
    def __str__(self) -> str:
        raise SystemExit(4)


class HalfMade(Snooze):
    def __init__(self) -> None:
        pass


class Unprintable:
    def __repr__(self) -> str:
        raise KeyboardInterrupt


def exits() -> None:
    sys.exit(3)


def raises(error: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


ERRORS = {
    "ValueError": raises(ValueError("boom")),
    "SystemExit": exits,
    "KeyboardInterrupt": raises(KeyboardInterrupt()),
    "GeneratorExit": raises(GeneratorExit()),
    "CancelledError": raises(asyncio.CancelledError("mine")),
    "Odd": raises(Odd("odd")),
    "StopAsyncIteration": raises(StopAsyncIteration()),
    "MemoryError": raises(MemoryError()),
    "ExceptionGroup": raises(ExceptionGroup("many", [ValueError("a"), KeyError("b")])),
    "UnreadableError": raises(UnreadableError()),
    "DeadlyError": raises(DeadlyError()),
    "UnicodeEncodeError": raises(UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates")),
}


async def fine() -> str:
    return "fine"


async def run_of(flow: Flow, name: str, payload: dict[str, Any] | None = None) -> Run:
    return await flow.ended(await flow.enqueue(f"demo.{name}", payload))


def function_of(*, is_async: bool, body: Callable[[], Any]) -> Callable[..., Any]:
    async def work() -> Any:
        return body()

    def thread_work() -> Any:
        return body()

    return job(name="work")(work if is_async else thread_work)


# What the function gets


async def test_an_async_job_gets_its_context_and_payload_and_its_result_is_kept() -> None:
    async def work(ctx: Context, car_id: str, *, force: bool = False) -> dict[str, Any]:
        return {"car": car_id, "force": force, "run": ctx.run.id, "attempt": ctx.attempt}

    async with running(work) as flow:
        run = await run_of(flow, "work", {"car_id": "42"})

    assert run.state == "completed"
    assert run.result == {"car": "42", "force": False, "run": run.id, "attempt": 1}


async def test_a_def_job_runs_in_a_thread_and_may_enqueue_from_there() -> None:
    def work(ctx: Context) -> list[Any]:
        return [threading.current_thread() is threading.main_thread(), ctx.enqueue("demo.fine").job]

    async with running(work, fine) as flow:
        run = await run_of(flow, "work")
        [other] = await flow.runs(job="demo.fine")
        other = await flow.ended(other)

    assert run.result == [False, "demo.fine"]
    assert other.result == "fine"


async def test_a_job_that_returns_nothing_has_no_result() -> None:
    async def work() -> None: ...

    async with running(work) as flow:
        run = await run_of(flow, "work")

    assert (run.state, run.result, run.result_text, run.degraded) == ("completed", None, None, False)


# Errors


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "def"])
@pytest.mark.parametrize("name", ERRORS)
async def test_whatever_a_job_raises_fails_its_run_and_the_kernel_goes_on(name: str, is_async: bool) -> None:
    work = job_of(function_of(is_async=is_async, body=ERRORS[name]), retry=1)
    async with running(work, fine, concurrency=1) as flow:
        run = await run_of(flow, "work")
        after = await run_of(flow, "fine")

    assert (run.state, run.reason, run.failures) == ("failed", "attempts used up", 1)
    assert run.error is not None
    assert run.error.type == name
    assert after.state == "completed"


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "def"])
async def test_a_stop_iteration_fails_its_run_though_it_cannot_leave_a_coroutine(is_async: bool) -> None:
    work = job_of(function_of(is_async=is_async, body=raises(StopIteration("end"))), retry=1)
    async with running(work) as flow:
        run = await run_of(flow, "work")

    assert run.state == "failed"
    assert run.error is not None
    assert "StopIteration: end" in run.error.traceback


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "def"])
async def test_an_error_that_breaks_when_it_is_looked_at_fails_its_run_all_the_same(is_async: bool) -> None:
    work = job_of(function_of(is_async=is_async, body=raises(HalfMade())), retry=1)
    async with running(work) as flow:
        run = await run_of(flow, "work")

    assert run.state == "failed"
    assert run.error is not None
    assert run.error.type == "AttributeError"


async def test_the_error_is_kept_with_its_message_and_the_place_it_came_from() -> None:
    async with running(job_of(function_of(is_async=True, body=ERRORS["ValueError"]), retry=1)) as flow:
        run = await run_of(flow, "work")

    assert run.error is not None
    assert (run.error.type, run.error.message) == ("ValueError", "boom")
    assert "test_runner.py" in run.error.traceback


async def test_a_message_of_a_megabyte_with_odd_characters_is_cut_and_can_be_stored() -> None:
    error = ValueError("\ud800\x00" + "x" * 1_000_000)
    async with running(job_of(function_of(is_async=True, body=raises(error)), retry=1)) as flow:
        run = await run_of(flow, "work")

    assert run.error is not None
    assert run.error.message.startswith("\\ud800\\x00xxx")
    assert len(run.error_text or "") < 30_000
    assert (run.error_text or "").encode()


async def test_an_event_tells_the_failure_in_one_line() -> None:
    work = job_of(function_of(is_async=True, body=raises(ValueError("first\nsecond"))), retry=1)
    async with running(work) as flow:
        await run_of(flow, "work")

    [event] = flow.told(RunFailed)
    assert (event.error, event.reason, event.attempt) == ("ValueError: first", "attempts used up", 1)


async def test_a_def_job_that_returns_a_coroutine_is_told_to_be_async() -> None:
    work = job_of(function_of(is_async=False, body=fine), retry=1)
    async with running(work) as flow:
        run = await run_of(flow, "work")

    assert run.error is not None
    assert run.error.message == "demo.work returned a coroutine: expected `async def` for a job that awaits"


# Results


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ((1, 2), "value: (1, 2) (tuple); expected JSON"),
        ({"a": [float("nan")]}, ".a[0]: nan; expected a finite number"),
        ("x" * 70_000, "70,002 bytes of JSON; expected at most 65,536 bytes"),
        ({"a": object}, ".a: <class 'object'> (type)"),
        ([Unprintable()], "[0]: <Unprintable whose repr raises KeyboardInterrupt>"),
        ("\ud800", "text with a lone surrogate"),
    ],
    ids=["tuple", "nan", "large", "class", "unprintable", "surrogate"],
)
async def test_a_result_that_cannot_be_kept_degrades_the_run_and_says_why(result: Any, told: str) -> None:
    async with running(function_of(is_async=True, body=lambda: result)) as flow:
        run = await run_of(flow, "work")

    assert (run.state, run.result, run.degraded) == ("completed", None, True)
    [note] = run.notes
    assert note.startswith("the result of demo.work was not kept: ")
    assert told in note
    [event] = flow.told(RunCompleted)
    assert event.degraded


async def test_a_result_that_holds_itself_degrades_the_run() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    async with running(function_of(is_async=True, body=lambda: cycle)) as flow:
        run = await run_of(flow, "work")

    assert (run.state, run.degraded) == ("completed", True)


# Endings of the job's own choice


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "def"])
async def test_snooze_puts_the_run_off_and_costs_no_attempt(is_async: bool) -> None:
    turns = iter([Snooze("5m"), Snooze("5m"), None])

    def body() -> None:
        error = next(turns)
        if error is not None:
            raise error

    work = job_of(function_of(is_async=is_async, body=body), retry=1)
    async with running(work) as flow:
        run = await flow.enqueue()
        for _ in range(2):
            await flow.until_state(run, "scheduled")
            await flow.clock.advance(300)
        ended = await flow.ended(run)

    assert (ended.state, ended.attempt, ended.failures) == ("completed", 3, 0)


@pytest.mark.parametrize(
    ("error", "reason"), [(Cancel("not needed"), "not needed"), (Cancel(), "the job cancelled itself")]
)
async def test_cancel_ends_the_run_as_cancelled(error: Cancel, reason: str) -> None:
    async with running(function_of(is_async=True, body=raises(error))) as flow:
        run = await run_of(flow, "work")

    assert (run.state, run.reason, run.error) == ("cancelled", reason, None)


async def test_a_cancel_whose_reason_cannot_be_read_ends_the_run_all_the_same() -> None:
    async with running(function_of(is_async=True, body=raises(Cancel(UnreadableError())))) as flow:
        run = await run_of(flow, "work")

    assert (run.state, run.reason) == ("cancelled", "(its message cannot be read)")


async def test_give_up_fails_the_run_with_no_further_attempt() -> None:
    async with running(function_of(is_async=True, body=raises(GiveUp("hopeless")))) as flow:
        run = await run_of(flow, "work")

    assert (run.state, run.reason, run.failures) == ("failed", "given up", 1)


async def test_retry_after_sets_the_wait_before_the_next_attempt() -> None:
    async with running(function_of(is_async=True, body=raises(RetryAfter("30s")))) as flow:
        run = await flow.enqueue()
        waiting = await flow.run(run)
        due = flow.clock.now() + 30

    assert (waiting.state, waiting.due, waiting.failures) == ("retrying", due, 1)


async def test_a_stored_payload_that_no_longer_fits_the_code_fails_without_retry() -> None:
    async def work(number: int) -> None: ...

    async with running(work, concurrency=1) as flow:
        run = await flow.enqueue("demo.work", {"number": 1}, delay="1m")

        async def changed(number: str) -> None: ...

        flow.catalog.add([job_of(job(name="work")(changed))])
        await flow.clock.advance(60)
        ended = await flow.ended(run)

    assert (ended.state, ended.reason) == ("failed", "given up")
    assert ended.error is not None
    assert ended.error.message == "demo.work: payload.number: 1; expected text"


# Retries


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "def"])
async def test_a_job_that_always_fails_is_executed_exactly_as_often_as_its_retry_says(is_async: bool) -> None:
    began: list[float] = []

    def body() -> None:
        began.append(flow.clock.now())
        raise ValueError("again")

    work = job_of(function_of(is_async=is_async, body=body), retry=Retry(attempts=4, base="1s", jitter=0))
    async with running(work) as flow:
        start = flow.clock.now()
        run = await flow.enqueue()
        for wait in (1, 2, 4):
            await flow.until_state(run, "retrying")
            await flow.clock.advance(wait)
        ended = await flow.ended(run)

    assert (ended.state, ended.attempt, ended.failures) == ("failed", 4, 4)
    assert [at - start for at in began] == pytest.approx([0, 1, 3, 7])


async def test_a_retry_does_not_begin_before_its_wait_is_over() -> None:
    work = job_of(function_of(is_async=True, body=raises(ValueError())), retry=Retry(base="10s", jitter=0))
    async with running(work) as flow:
        run = await flow.enqueue()
        await flow.clock.advance(9.99)
        before = await flow.run(run)
        await flow.clock.advance(0.01)
        after = await flow.run(run)

    assert (before.attempt, after.attempt) == (1, 2)
    assert [event.due - event.at for event in flow.told(RunRetrying)] == pytest.approx([10, 20])


async def test_a_job_that_fails_and_then_works_completes() -> None:
    turns = iter([ValueError("first"), None])

    def body() -> str:
        error = next(turns)
        if error is not None:
            raise error
        return "worked"

    async with running(job_of(function_of(is_async=True, body=body), retry=Retry(base="1s", jitter=0))) as flow:
        run = await flow.enqueue()
        await flow.clock.advance(1)
        ended = await flow.run(run)

    assert (ended.state, ended.result, ended.attempt, ended.failures) == ("completed", "worked", 2, 1)


@pytest.mark.parametrize(
    ("retry", "error", "state"),
    [
        (Retry(), SystemExit(1), "retrying"),
        (Retry(), Odd(), "retrying"),
        (Retry(on=ConnectionError), ConnectionResetError(), "retrying"),
        (Retry(on=ConnectionError), ValueError(), "failed"),
        (Retry(on=ConnectionError), SystemExit(1), "failed"),
        (Retry(give_up_on=KeyError), KeyError(), "failed"),
        (Retry(give_up_on=SystemExit), SystemExit(), "failed"),
        (Retry(on=ConnectionError), RetryAfter("1s"), "retrying"),
    ],
)
async def test_on_and_give_up_on_say_which_errors_are_tried_again(
    retry: Retry, error: BaseException, state: str
) -> None:
    async with running(job_of(function_of(is_async=True, body=raises(error)), retry=retry)) as flow:
        run = await flow.enqueue()
        found = await flow.run(run)

    assert found.state == state


# What one run leaves behind


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "def"])
async def test_context_variables_that_a_job_sets_do_not_reach_the_next_run(is_async: bool) -> None:
    def body() -> str:
        seen = colour.get()
        colour.set("red")
        return seen

    async with running(function_of(is_async=is_async, body=body), concurrency=1) as flow:
        seen = [(await run_of(flow, "work")).result for _ in range(3)]

    assert seen == ["none", "none", "none"]


async def test_jobs_see_the_context_variables_of_the_kernel_and_not_of_who_enqueued_them() -> None:
    async def work() -> str:
        return colour.get()

    async with running(work, fine) as flow:

        async def enqueue_in_blue() -> Run:
            colour.set("blue")
            return await flow.enqueue()

        run = await flow.ended(await asyncio.create_task(enqueue_in_blue()))

    assert run.result == "none"


async def test_a_job_that_cancels_its_own_task_fails_and_disturbs_no_other() -> None:
    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async with running(job_of(work, retry=1), fine, concurrency=1) as flow:
        run = await run_of(flow, "work")
        after = await run_of(flow, "fine")

    assert (run.state, after.state) == ("failed", "completed")
    assert run.error is not None
    assert run.error.type == "CancelledError"


async def test_a_job_that_cancels_its_own_task_and_returns_disturbs_no_other() -> None:
    async def work() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "done"

    async def waits() -> str:
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        return "waited"

    async with running(work, waits, concurrency=1) as flow:
        runs = [await flow.enqueue(name) for name in ("demo.work", "demo.waits", "demo.work", "demo.waits")]
        results = [(await flow.ended(run)).result for run in runs]

    assert results == ["done", "waited", "done", "waited"]
