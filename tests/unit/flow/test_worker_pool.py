"""Slots, time limits, cancellation and shutdown: attempts that end when they are told to, and those that do not."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Context, Retry, Snooze, job
from kernel.contracts.store import RunQuery
from kernel.flow.worker_pool import Asked
from kernel.model.events import RunExpired, RunReleased, RunStarted, RunStuck
from kernel.model.queue import Queue
from kernel.testing import settle, until
from tests.flow_kit import job_of, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


class Gate:
    """Jobs that run until they are let go; how they take it when they are told to end is for each test to choose."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self._opened = asyncio.Event()
        self.begun: list[str] = []
        self.now = self.most = 0

    def let_go(self) -> None:
        self.open.set()
        self._opened.set()

    async def wait(self, ctx: Context, name: str = "") -> str:
        """Ends at once when it is cancelled."""
        self.begun.append(name)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self._opened.wait()
        finally:
            self.now -= 1
        return "let go"

    async def swallow(self, ctx: Context) -> str:
        """Goes on whatever it is told."""
        self.begun.append(ctx.run.id)
        while not self.open.is_set():
            try:
                await self._opened.wait()
            except asyncio.CancelledError:
                continue
        return "let go"

    def ignore(self, ctx: Context) -> str:
        self.begun.append(ctx.run.id)
        self.open.wait(10)
        return "let go"

    def look(self, ctx: Context) -> str:
        """A thread that ends early when it is told to."""
        self.begun.append(ctx.run.id)
        while not self.open.is_set() and ctx.cancelled is None:
            time.sleep(0.001)
        return f"ended early: {ctx.cancelled}"


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    gate = Gate()
    yield gate
    gate.let_go()
    await settle()


async def quick() -> str:
    return "quick"


def gate_job(function: Callable[..., Any], **policies: Any) -> Any:
    return job_of(job(name="work")(function), **policies)


@pytest.fixture(params=["swallow", "ignore"])
def stubborn(request: pytest.FixtureRequest, gate: Gate) -> Callable[..., Any]:
    """A job that does not end when it is told to, on the loop and in a thread."""
    return bound(gate, request.param)


def bound(gate: Gate, name: str) -> Callable[..., Any]:
    """The gate's method as a function of its own, so that each test declares anew."""
    method = getattr(gate, name)
    if asyncio.iscoroutinefunction(method):

        async def function(ctx: Context) -> Any:
            return await method(ctx)

        return function

    def in_thread(ctx: Context) -> Any:
        return method(ctx)

    return in_thread


# Slots


async def test_no_more_attempts_run_at_once_than_the_kernel_has_slots(gate: Gate) -> None:
    async def work(ctx: Context, number: int) -> None:
        await gate.wait(ctx)

    async with running(work, concurrency=3) as flow:
        runs = [await flow.enqueue("demo.work", {"number": number}) for number in range(10)]
        at_once = (gate.most, len(flow.engine.pool.busy), flow.engine.pool.free_slots)
        gate.let_go()
        ended = [await flow.ended(run) for run in runs]

    assert at_once == (3, 3, 0)
    assert gate.most == 3
    assert {run.state for run in ended} == {"completed"}


@pytest.mark.parametrize("concurrency", [1, 2, 7])
async def test_a_backlog_is_worked_off_without_a_pause_between_the_runs(concurrency: int) -> None:
    async def work() -> None:
        await sleep(1)

    async with running(work, concurrency=concurrency) as flow:
        sleep = sleeper(flow.clock)
        await flow.clock.advance(1)
        await flow.engine.intake.enqueue_many([("demo.work", None)] * 4 * concurrency)
        await flow.clock.advance(4)
        counts = await flow.store.count(RunQuery())

    assert counts == {"completed": 4 * concurrency}


async def test_a_limited_job_that_fills_its_lane_does_not_hold_up_the_others(gate: Gate) -> None:
    async def work() -> None:
        await sleep(1)

    limited = job_of(job(name="limited")(bound(gate, "wait")), concurrency=5)
    async with running(limited, work, concurrency=10) as flow:
        sleep = sleeper(flow.clock)
        await flow.engine.intake.enqueue_many([("demo.limited", None, {"priority": 0})] * 20)
        await flow.clock.advance(0.5)
        await flow.engine.intake.enqueue_many([("demo.work", None)] * 20)
        await flow.clock.advance(4)
        counts = await flow.store.count(RunQuery(job="demo.work"))
        begun = len(gate.begun)

    assert counts == {"completed": 20}
    assert begun == 5


async def test_a_slot_that_two_lanes_waited_for_is_given_to_both_where_both_may_start(gate: Gate) -> None:
    gates = {name: asyncio.Event() for name in ("first", "same-job", "same-queue")}

    async def work(name: str) -> None:
        gate.begun.append(name)
        await gates[name].wait()

    async def other(name: str) -> None:
        await work(name)

    jobs = job_of(work, concurrency=1), job_of(other)
    async with running(*jobs, concurrency=5, queues=[Queue("narrow", concurrency=1)]) as flow:
        await flow.enqueue("demo.work", {"name": "first"}, queue="narrow")
        await flow.enqueue("demo.work", {"name": "same-job"})
        await flow.enqueue("demo.other", {"name": "same-queue"}, queue="narrow")
        before = list(gate.begun)
        gates["first"].set()
        await settle()
        after = list(gate.begun)
        for event in gates.values():
            event.set()

    assert before == ["first"]
    assert sorted(after[1:]) == ["same-job", "same-queue"]


async def test_a_limit_that_is_raised_lets_what_waits_begin_at_once(gate: Gate) -> None:
    async with running(bound(gate, "wait"), concurrency=10, queues=[Queue("narrow", concurrency=1)]) as flow:
        for _ in range(2):
            await flow.enqueue("demo.function", queue="narrow")
        before = len(gate.begun)
        flow.catalog.set_queues([Queue("narrow", concurrency=2)])
        flow.engine.claimer.wake()
        await settle()
        after = len(gate.begun)

    assert (before, after) == (1, 2)


# Time limits


@pytest.mark.parametrize("name", ["wait", "look"])
async def test_an_attempt_that_takes_too_long_is_ended_and_tried_again(gate: Gate, name: str) -> None:
    work = gate_job(bound(gate, name), timeout="10s", retry=Retry(base="1s", jitter=0))
    async with running(work) as flow:
        run = await flow.enqueue()
        await until(lambda: len(gate.begun) == 1)
        await flow.clock.advance(9.9)
        before = await flow.run(run)
        await flow.clock.advance(0.1)
        after = await flow.until_state(run, "retrying")

    assert before.state == "running"
    assert after.failures == 1
    assert after.due == pytest.approx(flow.clock.now() + 1)
    assert after.error is not None
    assert (after.error.type, after.error.message) == ("TimeoutError", "took longer than its timeout of 10 s")


async def test_each_attempt_has_a_time_limit_of_its_own(gate: Gate) -> None:
    short = job_of(job(name="short")(bound(gate, "wait")), timeout="10s", retry=1)
    long = job_of(job(name="long")(bound(gate, "wait")), timeout="20s", retry=1)
    endless = job_of(job(name="endless")(bound(gate, "wait")), timeout=None)
    async with running(short, long, endless) as flow:
        runs = [await flow.enqueue(f"demo.{name}") for name in ("long", "endless", "short")]
        await flow.clock.advance(10)
        at_ten = await flow.states(runs)
        await flow.clock.advance(10)
        at_twenty = await flow.states(runs)
        flow.clock.skip(100_000)
        await flow.clock.advance(0)
        late = await flow.states(runs)

    assert at_ten == ["running", "running", "failed"]
    assert at_twenty == ["failed", "running", "failed"]
    assert late == ["failed", "running", "failed"]


async def test_a_timeout_is_not_tried_again_when_on_leaves_it_out(gate: Gate) -> None:
    work = gate_job(bound(gate, "wait"), timeout="10s", retry=Retry(on=ConnectionError))
    async with running(work) as flow:
        run = await flow.enqueue()
        await flow.clock.advance(10)
        ended = await flow.run(run)

    assert (ended.state, ended.reason) == ("failed", "given up")


async def test_a_job_knows_when_it_will_be_ended_and_why() -> None:
    seen: list[Any] = []

    async def work(ctx: Context) -> None:
        assert ctx.deadline is not None
        seen.append(ctx.deadline.timestamp() - ctx.now().timestamp())
        seen.append(ctx.cancelled)
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(ctx.cancelled)

    async with running(job_of(work, timeout="10s", retry=1)) as flow:
        await flow.enqueue()
        await flow.clock.advance(10)

    assert seen == [10, None, "took longer than its timeout of 10 s"]


async def test_a_time_limit_that_passes_while_the_loop_is_blocked_ends_the_attempt_afterwards(gate: Gate) -> None:
    async with running(gate_job(bound(gate, "wait"), timeout="10s", retry=1)) as flow:
        run = await flow.enqueue()
        flow.clock.skip(60)
        await flow.clock.advance(0)
        ended = await flow.run(run)

    assert ended.state == "failed"


async def test_a_cancellation_that_is_swallowed_once_ends_the_attempt_by_its_own_time_and_not_as_stuck() -> None:
    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await flow_sleep(2)
        return "late"

    async with running(job_of(work, timeout="10s", retry=1), quick, concurrency=1) as flow:
        flow_sleep = sleeper(flow.clock)
        run = await flow.enqueue()
        await flow.clock.advance(10)
        meanwhile = await flow.run(run)
        await flow.clock.advance(2)
        ended = await flow.run(run)
        after = await flow.ended(await flow.enqueue("demo.quick"))
        await flow.clock.advance(10)

    assert (meanwhile.state, ended.state, after.state) == ("running", "failed", "completed")
    assert ended.error is not None
    assert ended.error.type == "TimeoutError"
    assert flow.told(RunStuck) == []


def sleeper(clock: Any) -> Callable[[float], Any]:
    async def sleep(seconds: float) -> None:
        woken = asyncio.Event()
        clock.call_in(seconds, woken.set)
        await woken.wait()

    return sleep


# Stuck


async def test_an_attempt_that_does_not_end_within_five_seconds_is_told_as_stuck_and_keeps_its_run(
    gate: Gate, stubborn: Callable[..., Any]
) -> None:
    async with running(gate_job(stubborn, timeout="10s"), concurrency=1) as flow:
        run = await flow.enqueue()
        await until(lambda: len(gate.begun) == 1)
        await flow.clock.advance(14.9)
        before = (await flow.run(run)).stuck
        await flow.clock.advance(0.1)
        after = await flow.run(run)
        await flow.clock.advance(600)
        later = await flow.run(run)
        gate.let_go()
        await flow.until_state(run, "retrying")

    assert not before
    assert (after.state, after.stuck) == ("running", True)
    assert (later.state, later.attempt) == ("running", 1)
    [event] = flow.told(RunStuck)
    assert (event.run, event.reason) == (run.id, "took longer than its timeout of 10 s")


async def test_the_slot_of_a_stuck_attempt_is_given_to_another(gate: Gate, stubborn: Callable[..., Any]) -> None:
    async with running(gate_job(stubborn, timeout="10s"), quick, concurrency=1) as flow:
        await flow.enqueue()
        waiting = await flow.enqueue("demo.quick")
        await until(lambda: len(gate.begun) == 1)
        await flow.clock.advance(14.9)
        before = (await flow.run(waiting)).state
        await flow.clock.advance(0.1)
        after = (await flow.run(waiting)).state
        gate.let_go()
        await until(lambda: not flow.engine.pool.stuck)
        slots = flow.engine.pool.free_slots

    assert (before, after) == ("running", "completed")  # claimed, and then begun
    assert slots == 1


async def test_a_stuck_attempt_keeps_the_place_of_its_job(gate: Gate, stubborn: Callable[..., Any]) -> None:
    async with running(gate_job(stubborn, timeout="10s", concurrency=1, retry=1), concurrency=5) as flow:
        first = await flow.enqueue()
        second = await flow.enqueue()
        await until(lambda: len(gate.begun) == 1)
        await flow.clock.advance(100)
        meanwhile = list(gate.begun)
        gate.let_go()
        await flow.ended(first)
        await flow.ended(second)

    assert meanwhile == [first.id]
    assert gate.begun == [first.id, second.id]


async def test_a_stuck_attempt_that_ends_after_all_fails_by_its_timeout(
    gate: Gate, stubborn: Callable[..., Any]
) -> None:
    async with running(gate_job(stubborn, timeout="10s", retry=1)) as flow:
        run = await flow.enqueue()
        await until(lambda: len(gate.begun) == 1)
        await flow.clock.advance(20)
        gate.let_go()
        ended = await flow.ended(run)

    assert (ended.state, ended.stuck, ended.failures) == ("failed", False, 1)
    assert ended.error is not None
    assert ended.error.type == "TimeoutError"


async def test_a_worker_that_takes_a_stuck_ones_place_has_none_of_its_context(gate: Gate) -> None:
    async def stays(ctx: Context) -> None:
        colour.set("red")
        flow.engine.pool.ask(ctx.run.id, Asked("timeout", "by the job itself"))
        await gate.swallow(ctx)

    async def tells() -> str:
        return colour.get()

    async with running(stays, tells, concurrency=1) as flow:
        await flow.enqueue("demo.stays")
        waiting = await flow.enqueue("demo.tells")
        await flow.clock.advance(5)
        ended = await flow.run(waiting)

    assert ended.result == "none"


# Cancelling


@pytest.mark.parametrize("name", ["wait", "look"])
async def test_a_running_run_that_is_cancelled_ends_with_the_reason(gate: Gate, name: str) -> None:
    async with running(gate_job(bound(gate, name))) as flow:
        run = await flow.enqueue()
        await until(lambda: len(gate.begun) == 1)
        await flow.cancel(run, reason="not needed")
        ended = await flow.ended(run)

    assert (ended.state, ended.reason, ended.failures) == ("cancelled", "not needed", 0)


async def test_a_run_that_does_not_heed_its_cancellation_is_stuck_and_cancelled_when_it_ends(
    gate: Gate, stubborn: Callable[..., Any]
) -> None:
    async with running(gate_job(stubborn)) as flow:
        run = await flow.enqueue()
        await until(lambda: len(gate.begun) == 1)
        await flow.cancel(run)
        await flow.clock.advance(5)
        meanwhile = await flow.run(run)
        gate.let_go()
        ended = await flow.ended(run)

    assert (meanwhile.state, meanwhile.stuck) == ("running", True)
    assert ended.state == "cancelled"


async def test_a_run_that_is_claimed_and_not_begun_is_cancelled_at_once(gate: Gate) -> None:
    async with running(gate_job(bound(gate, "wait")), concurrency=1) as flow:
        await flow.enqueue()
        claimed = await flow.enqueue()
        before = (await flow.run(claimed)).state
        await flow.cancel(claimed)
        ended = await flow.run(claimed)

    assert before == "running"
    assert (ended.state, ended.reason, len(gate.begun)) == ("cancelled", "by hand", 1)


# Shutting down


async def test_attempts_that_end_within_the_grace_are_waited_for(gate: Gate) -> None:
    async with running(gate_job(bound(gate, "wait"))) as flow:
        run = await flow.enqueue()
        stopping = asyncio.create_task(flow.engine.stop(30))
        await flow.clock.advance(29)
        meanwhile = stopping.done()
        gate.let_go()
        is_drained = await stopping

    assert (meanwhile, is_drained) == (False, True)
    assert (await flow.run(run)).state == "completed"


@pytest.mark.parametrize("name", ["wait", "look"])
async def test_an_attempt_that_is_cut_short_by_shutdown_is_queued_again_and_costs_no_attempt(
    gate: Gate, name: str
) -> None:
    async with running(gate_job(bound(gate, name))) as flow:
        run = await flow.enqueue()
        await until(lambda: len(gate.begun) == 1)
        is_drained = await flow.stop(1.0)
        found = await flow.run(run)

    assert not is_drained
    assert (found.state, found.failures, found.reason) == ("queued", 0, "the kernel stops")
    [event] = flow.told(RunReleased)
    assert event.reason == "the kernel stops"


async def test_a_run_that_waited_for_its_slot_past_its_time_to_begin_expires(gate: Gate) -> None:
    async with running(gate_job(bound(gate, "wait")), concurrency=1) as flow:
        first = await flow.enqueue()
        late = await flow.enqueue(expires="2s")
        in_time = await flow.enqueue(expires="1h")
        is_claimed = (await flow.run(late)).state == "running"
        await flow.clock.advance(8)
        gate.let_go()
        await flow.clock.advance(0.1)
        ended = [await flow.ended(run) for run in (first, late, in_time)]
        await settle()

    assert is_claimed
    assert [run.state for run in ended] == ["completed", "expired", "completed"]
    assert (ended[1].reason, ended[1].attempt) == ("expired", 0)
    assert [told.run for told in flow.told(RunExpired)] == [late.id]
    assert [told.run for told in flow.told(RunStarted)] == [first.id, in_time.id]


async def test_what_has_begun_once_does_not_expire_while_it_waits_for_its_next_slot(gate: Gate) -> None:
    tries = []

    async def twice(ctx: Context) -> None:
        tries.append(ctx.attempt)
        if len(tries) == 1:
            raise OSError("not yet")

    retried = job_of(twice, retry=Retry(attempts=2, base="1s", jitter=0))
    async with running(gate_job(bound(gate, "wait")), retried, concurrency=1) as flow:
        run = await flow.enqueue("demo.twice", expires="2s")
        await flow.enqueue()
        await flow.clock.advance(8)
        gate.let_go()
        ended = await flow.ended(run)

    assert (ended.state, tries) == ("completed", [1, 2])


async def test_what_is_claimed_and_not_begun_goes_back_as_if_it_had_not_been_claimed(gate: Gate) -> None:
    async with running(gate_job(bound(gate, "wait")), concurrency=1) as flow:
        first = await flow.enqueue()
        second = await flow.enqueue()
        await flow.stop()
        found = await flow.run(second)

    assert (found.state, found.attempt) == ("queued", 0)
    assert (await flow.run(first)).attempt == 1


async def test_a_thread_that_never_looked_and_did_all_its_work_while_the_kernel_stopped_is_completed(
    gate: Gate,
) -> None:
    async with running(gate_job(bound(gate, "ignore"))) as flow:
        run = await flow.enqueue()
        await until(lambda: len(gate.begun) == 1)
        stopping = asyncio.create_task(flow.engine.stop(1.0))
        await flow.clock.advance(1.5)
        gate.let_go()
        await stopping
        found = await flow.run(run)

    assert (found.state, found.result) == ("completed", "let go")


async def test_what_a_job_decides_by_itself_while_the_kernel_stops_counts() -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Snooze("1h") from None

    async with running(work) as flow:
        run = await flow.enqueue()
        await flow.stop()
        found = await flow.run(run)

    assert (found.state, found.reason) == ("scheduled", "snoozed")


async def test_a_failure_while_the_kernel_stops_is_taken_for_a_consequence() -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ConnectionError("torn down")

    async with running(work) as flow:
        run = await flow.enqueue()
        await flow.stop()
        found = await flow.run(run)

    assert (found.state, found.failures) == ("queued", 0)


async def test_attempts_that_never_end_do_not_keep_the_kernel_from_stopping(
    gate: Gate, stubborn: Callable[..., Any]
) -> None:
    async with running(gate_job(stubborn)) as flow:
        run = await flow.enqueue()
        await until(lambda: len(gate.begun) == 1)
        start = flow.clock.elapsed()
        is_drained = await flow.stop(1.0)
        took = flow.clock.elapsed() - start
        state = (await flow.run(run)).state
        gate.let_go()
        await until(lambda: not flow.engine.pool.busy)

    assert not is_drained
    assert took <= 1.0 + 2.0 + 1.0
    assert state == "running"


async def test_a_second_signal_cuts_short_what_the_first_one_waited_for(gate: Gate) -> None:
    async with running(gate_job(bound(gate, "wait"))) as flow:
        run = await flow.enqueue()
        stopping = asyncio.create_task(flow.engine.stop(3600))
        await settle()
        flow.engine.hurry("second signal")
        await stopping
        found = await flow.run(run)

    assert (found.state, found.reason) == ("queued", "second signal")


async def test_the_threads_of_a_kernel_that_has_stopped_end_with_their_functions(gate: Gate) -> None:
    before = threading.active_count()
    async with running(gate_job(bound(gate, "ignore"))) as flow:
        await flow.enqueue()
        await until(lambda: len(gate.begun) == 1)
        await flow.stop()
        gate.let_go()
        await until(lambda: not flow.engine.pool.busy)

    await until(lambda: threading.active_count() <= before)


# A plugin goes off


async def test_a_plugin_that_goes_off_has_its_runs_drained_and_the_others_go_on(gate: Gate) -> None:
    leaving = job_of(job(name="work")(bound(gate, "wait")), plugin="leaving")
    staying = job_of(job(name="stays")(bound(gate, "wait")))
    async with running(leaving, staying, concurrency=2) as flow:
        cut = await flow.enqueue("leaving.work")
        stays = await flow.enqueue("demo.stays")
        waiting = await flow.enqueue("leaving.work")
        draining = asyncio.create_task(flow.engine.drain_plugin("leaving", 5.0))
        while not draining.done():
            await flow.clock.advance(1.0)
            await asyncio.sleep(0.03)
        states = await flow.states([cut, stays, waiting])
        late = await flow.enqueue("demo.stays")

    assert states == ["queued", "running", "queued"]
    assert (await flow.run(cut)).failures == 0
    assert (await flow.run(late)).attempt <= 1
