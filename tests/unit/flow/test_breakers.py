"""Circuit breakers over a store: calls of jobs, jobs whose policy is one, restarts, several kernels, a store that fails."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kernel.contracts.store import BreakerRow, KernelRow
from kernel.decorators import job
from kernel.flow import breakers as module
from kernel.flow.breakers import Breakers, Call
from kernel.flow.catalog import Catalog
from kernel.flow.event_bus import EventBus
from kernel.flow.recorder import Recorder
from kernel.model.breaker import CLOSED, HALF_OPEN, OPEN, Breaker
from kernel.model.errors import (
    BreakerOpen,
    Cancel,
    GiveUp,
    PayloadError,
    RequestError,
    RetryAfter,
    Snooze,
    StoreError,
)
from kernel.model.events import BreakerClosed, BreakerHalfOpened, BreakerOpened, RunReleased, RunStarted
from kernel.model.retry import Retry
from kernel.testing import FakeClock, settle, until
from plugins.memory.store import MemoryStore
from tests.flow_kit import Flow, job_of, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from kernel.flow.context import Context

NAME = "partner"
ONE: dict[str, Any] = {"failure_threshold": 1, "recovery_timeout": "10s", "success_threshold": 1}


class Partner:
    """What jobs call: it fails while it is down, and waits while it is slow."""

    def __init__(self) -> None:
        self.is_down = False
        self.is_slow = False
        self.calls = 0
        self.at_once = 0
        self.most_at_once = 0
        self.answered = asyncio.Event()

    async def ask(self) -> str:
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.is_slow:
                await self.answered.wait()
            if self.is_down:
                raise ConnectionError("down")
        finally:
            self.at_once -= 1
        return "answer"

    async def answer(self) -> None:
        """Whoever waits for it now gets it."""
        answered, self.answered = self.answered, asyncio.Event()
        answered.set()
        await settle()


@pytest.fixture
async def partner() -> Partner:
    return Partner()


def user_of(partner: Partner, name: str = "work", **thresholds: Any) -> Any:
    """A job that calls the partner through the breaker, and is not tried again."""

    @job(name=name, retry=1)
    async def work(ctx: Context) -> str:
        return str(await ctx.breaker(NAME, **thresholds).call(partner.ask))

    return work


def guarded(partner: Partner, name: str = "work", *, when_open: Any = "wait", retry: Any = 1, **thresholds: Any) -> Any:
    """A job whose policy is the breaker."""

    @job(name=name, retry=retry, breaker=Breaker(NAME, when_open=when_open, **thresholds))
    async def work() -> str:
        return await partner.ask()

    return work


async def fail(flow: Flow, partner: Partner, times: int, job: str = "demo.work") -> None:
    partner.is_down = True
    for _ in range(times):
        assert (await flow.ended(await flow.enqueue(job))).state == "failed"
    partner.is_down = False


async def state_of(flow: Flow) -> str:
    await flow.engine.breakers.drain()
    rows = {row.name: row for row in await flow.store.breakers()}
    return rows[NAME].state if NAME in rows else CLOSED


# ctx.breaker


async def test_the_fifth_failure_in_a_row_opens_it_for_all_jobs_that_use_the_name(partner: Partner) -> None:
    async with running(user_of(partner), user_of(partner, "other")) as flow:
        await fail(flow, partner, 4)
        assert (await flow.ended(await flow.enqueue())).state == "completed"
        await fail(flow, partner, 4)
        assert await state_of(flow) == CLOSED
        await fail(flow, partner, 1, "demo.other")
        assert await state_of(flow) == OPEN
        calls = partner.calls

        run = await flow.ended(await flow.enqueue())

        assert partner.calls == calls
        assert (run.state, run.error.type if run.error else "") == ("failed", "BreakerOpen")
        assert run.error is not None
        assert run.error.message == (
            "the circuit breaker partner is open: the next call is let through at 2026-01-01T00:01:00+00:00; "
            "the last one ended by ConnectionError: down"
        )


async def test_an_open_breaker_says_when_it_may_let_a_call_through(partner: Partner) -> None:
    seen = []

    @job(name="look")
    async def look(ctx: Context) -> None:
        try:
            await ctx.breaker(NAME).call(partner.ask)
        except BreakerOpen as error:
            seen.append((error.breaker, error.until, error.wait_seconds))

    async with running(user_of(partner, **ONE), look) as flow:
        opened = flow.clock.now()
        await fail(flow, partner, 1)
        await flow.clock.advance(4)
        await flow.ended(await flow.enqueue("demo.look"))

    assert seen == [(NAME, opened + 10, 6.0)]


async def test_after_the_recovery_time_one_call_at_a_time_is_let_through_until_three_have_succeeded(
    partner: Partner,
) -> None:
    async with running(user_of(partner)) as flow:
        await fail(flow, partner, 5)
        await flow.clock.advance(59.9)
        assert (await flow.ended(await flow.enqueue())).state == "failed"
        await flow.clock.advance(0.1)
        partner.is_slow = True

        for number in (1, 2, 3):
            calls = partner.calls
            runs = [await flow.enqueue() for _ in range(3)]
            assert await flow.states(runs) == ["running", "failed", "failed"]
            assert partner.calls == calls + 1
            assert await state_of(flow) == HALF_OPEN
            await partner.answer()
            assert (await flow.ended(runs[0])).state == "completed", number

        assert await state_of(flow) == CLOSED
        partner.is_slow = False
        assert await flow.states([await flow.enqueue() for _ in range(3)]) == ["completed"] * 3


async def test_a_probe_that_fails_opens_it_again(partner: Partner) -> None:
    async with running(user_of(partner)) as flow:
        await fail(flow, partner, 5)
        await flow.clock.advance(60)
        assert (await flow.ended(await flow.enqueue())).state == "completed"
        await fail(flow, partner, 1)

        assert await state_of(flow) == OPEN
        await flow.clock.advance(59)
        assert (await flow.ended(await flow.enqueue())).state == "failed"


async def test_events_tell_once_of_each_change(partner: Partner) -> None:
    async with running(user_of(partner, **ONE | {"success_threshold": 2})) as flow:
        started = flow.clock.now()
        await fail(flow, partner, 1)
        await flow.clock.advance(10)
        await fail(flow, partner, 1)
        await flow.clock.advance(10)
        for _ in range(2):
            await flow.ended(await flow.enqueue())
        await settle()

        told = [event for event in flow.events if isinstance(event, BreakerOpened | BreakerHalfOpened | BreakerClosed)]
        error = "ConnectionError: down"
        assert told == [
            BreakerOpened(started, NAME, 1, started + 10, error),
            BreakerHalfOpened(started + 10, NAME),
            BreakerOpened(started + 10, NAME, 2, started + 20, error),
            BreakerHalfOpened(started + 20, NAME),
            BreakerClosed(started + 20, NAME),
        ]


async def test_a_slow_success_begun_before_the_trip_closes_nothing(partner: Partner) -> None:
    async with running(user_of(partner)) as flow:
        partner.is_slow = True
        slow = await flow.enqueue()
        partner.is_slow = False
        await fail(flow, partner, 5)
        await partner.answer()

        assert (await flow.ended(slow)).state == "completed"
        assert await state_of(flow) == OPEN


async def test_a_cancelled_probe_frees_its_place_and_counts_for_nothing(partner: Partner) -> None:
    async with running(user_of(partner, **ONE)) as flow:
        await fail(flow, partner, 1)
        await flow.clock.advance(10)
        partner.is_slow = True
        probe = await flow.enqueue()
        await flow.cancel(probe)
        assert (await flow.run(probe)).state == "cancelled"
        assert await state_of(flow) == HALF_OPEN
        partner.is_slow = False

        assert (await flow.ended(await flow.enqueue())).state == "completed"
        assert await state_of(flow) == CLOSED


async def test_the_timeout_of_the_attempt_is_a_failure_of_what_it_called(partner: Partner) -> None:
    @job(name="work", retry=1, timeout="5s")
    async def work(ctx: Context) -> str:
        return str(await ctx.breaker(NAME, **ONE).call(partner.ask))

    async with running(work) as flow:
        partner.is_slow = True
        run = await flow.enqueue()
        await flow.clock.advance(5)

        assert (await flow.ended(run)).state == "failed"
        assert await state_of(flow) == OPEN


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (Snooze("1h"), False), (Cancel("no"), False), (asyncio.CancelledError(), False), (RetryAfter("1h"), True),
        (GiveUp("no"), True), (TimeoutError(), True), (SystemExit(1), True), (ValueError(), True),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "thread"])
async def test_what_counts_as_a_failure(error: BaseException, counts: bool, is_async: bool) -> None:
    def raises() -> None:
        raise error

    @job(name="work")
    async def on_loop(ctx: Context) -> None:
        await ctx.breaker(NAME, **ONE).call(raises)

    @job(name="work")
    def in_thread(ctx: Context) -> None:
        ctx.breaker(NAME, **ONE).call(raises)

    async with running(on_loop if is_async else in_thread) as flow:
        run = await flow.enqueue()
        await flow.until_state(run, "scheduled", "cancelled", "retrying", "failed")
        await settle()

        assert await state_of(flow) == (OPEN if counts else CLOSED)
        if not counts:  # and none is left in flight
            await asyncio.sleep(0)
            assert flow.engine.breakers._breakers[NAME].in_flight == 0


async def test_def_jobs_block_until_the_call_is_done_and_functions_may_be_async_or_not(partner: Partner) -> None:
    threads = []

    def ask() -> str:
        threads.append(threading.current_thread())
        partner.calls += 1
        raise ConnectionError("down")

    @job(name="work", retry=1)
    def work(ctx: Context) -> str:
        assert ctx.breaker(NAME, **ONE).call(partner.ask) == "answer"
        with contextlib.suppress(ConnectionError):
            ctx.breaker(NAME, **ONE).call(ask)
        try:
            return str(ctx.breaker(NAME).call(ask))
        except BreakerOpen:
            return "open"

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())

    assert (run.result, partner.calls) == ("open", 2)
    assert threads[0] is not threading.main_thread()


async def test_a_coroutine_instead_of_a_function_is_an_error_and_is_closed(partner: Partner) -> None:
    @job(name="work", retry=1)
    async def work(ctx: Context) -> None:
        await ctx.breaker(NAME, **ONE).call(partner.ask())  # type: ignore[arg-type] # it is the mistake

    async with running(work) as flow:  # a coroutine that is not closed is a warning, and that an error
        run = await flow.ended(await flow.enqueue())

        assert run.error is not None
        assert run.error.type == "TypeError"
        assert "not `function(argument)`" in run.error.message
        assert await state_of(flow) == CLOSED


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"failure_threshold": 0}, "failure_threshold): 0: expected a whole number from 1 to 1,000,000"),
        ({"success_threshold": "3"}, "success_threshold): '3': expected a whole number"),
        ({"recovery_timeout": "soon"}, "recovery_timeout): 'soon' is no duration: expected a duration such as"),
    ],
)
async def test_a_wrong_option_is_refused_where_it_is_written(options: dict[str, Any], said: str) -> None:
    @job(name="work")
    async def work(ctx: Context) -> str:
        with pytest.raises(RequestError) as caught:
            ctx.breaker(NAME, **options)
        return str(caught.value)

    async with running(work) as flow:
        run = await flow.ended(await flow.enqueue())

    assert said in run.result


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", 5, None])
async def test_a_name_that_is_none_is_refused(name: Any, partner: Partner) -> None:
    @job(name="work")
    async def work(ctx: Context) -> str:
        with pytest.raises(RequestError, match="printable text of 1 to 100 characters") as caught:
            await ctx.breaker(name).call(partner.ask)
        return str(caught.value)

    async with running(work) as flow:
        assert (await flow.ended(await flow.enqueue())).state == "completed"


async def test_other_thresholds_for_the_same_name_are_an_error_that_names_both_places(partner: Partner) -> None:
    async with running(user_of(partner, **ONE), user_of(partner, "other", failure_threshold=2)) as flow:
        await flow.ended(await flow.enqueue())
        run = await flow.ended(await flow.enqueue("demo.other"))

    assert run.error is not None
    assert run.error.type == "RequestError"
    assert run.error.message.count(__file__) == 2
    assert (
        "failure_threshold=2, recovery_timeout=10 s, success_threshold=1 in ctx.breaker of demo.other"
        in run.error.message
    )
    assert (
        "failure_threshold=1, recovery_timeout=10 s, success_threshold=1 in ctx.breaker of demo.work"
        in run.error.message
    )


async def test_thresholds_that_a_policy_does_not_share_are_an_error_too(partner: Partner) -> None:
    async with running(guarded(partner), user_of(partner, "other", failure_threshold=2)) as flow:
        run = await flow.ended(await flow.enqueue("demo.other"))

    assert run.error is not None
    assert "in demo.work (" in run.error.message


async def test_without_thresholds_those_hold_that_others_have_named(partner: Partner) -> None:
    async with running(user_of(partner, "first", failure_threshold=2), user_of(partner)) as flow:
        await flow.ended(await flow.enqueue("demo.first"))
        await fail(flow, partner, 2)

        assert await state_of(flow) == OPEN


async def test_the_operators_table_holds_for_everybody_whatever_the_code_says(partner: Partner) -> None:
    flow = Flow([user_of(partner, failure_threshold=5), user_of(partner, "other", failure_threshold=4)])
    flow.catalog.set_breakers({NAME: {"failure_threshold": 2, "recovery_seconds": 7.0}})
    await flow.start()
    try:
        await fail(flow, partner, 1)
        await fail(flow, partner, 1, "demo.other")

        assert await state_of(flow) == OPEN
        [row] = await flow.store.breakers()
        assert (row.opened, row.until) == (flow.clock.now(), flow.clock.now() + 7)
    finally:
        await flow.stop()


async def test_a_breaker_open_that_is_not_caught_waits_for_the_recovery_time_at_the_least(partner: Partner) -> None:
    @job(name="patient", retry=Retry(3, base="1s", jitter=0, on=(ConnectionError,)))
    async def patient(ctx: Context) -> str:
        return str(await ctx.breaker(NAME).call(partner.ask))

    async with running(user_of(partner, **ONE), patient) as flow:
        await fail(flow, partner, 1)
        await flow.clock.advance(4)
        run = await flow.run(await flow.enqueue("demo.patient"))

        assert (run.state, run.due - flow.clock.now()) == ("retrying", 6)
        await flow.clock.advance(6)
        assert (await flow.run(run)).state == "completed"


async def test_a_call_inside_a_call_of_the_same_breaker_is_part_of_it(partner: Partner) -> None:
    @job(name="work", retry=1)
    async def work(ctx: Context) -> str:
        breaker = ctx.breaker(NAME, failure_threshold=2, recovery_timeout="10s", success_threshold=1)
        return str(await breaker.call(breaker.call, partner.ask))

    async with running(work) as flow:
        await fail(flow, partner, 1)
        assert await state_of(flow) == CLOSED  # one failure, not two
        await fail(flow, partner, 1)
        assert await state_of(flow) == OPEN
        await flow.clock.advance(10)
        assert (await flow.ended(await flow.enqueue())).state == "completed"
        assert await state_of(flow) == CLOSED


async def test_a_call_that_the_attempt_leaves_behind_does_not_keep_its_place(partner: Partner) -> None:
    left = []

    @job(name="forget")
    async def forget(ctx: Context) -> None:
        left.append(asyncio.ensure_future(ctx.breaker(NAME).call(partner.ask)))
        await settle()

    async with running(user_of(partner, **ONE), forget) as flow:
        await fail(flow, partner, 1)
        await flow.clock.advance(10)
        partner.is_slow = True
        await flow.ended(await flow.enqueue("demo.forget"))
        partner.is_slow = False

        assert (await flow.ended(await flow.enqueue())).state == "completed"
        partner.is_down = True
        await partner.answer()  # the one left behind fails now
        assert await state_of(flow) == CLOSED
        assert isinstance((await asyncio.gather(*left, return_exceptions=True))[0], ConnectionError)


async def test_a_call_that_the_attempt_leaves_behind_counts_for_nothing(partner: Partner) -> None:
    left = []

    @job(name="forget")
    async def forget(ctx: Context) -> None:
        left.append(asyncio.ensure_future(ctx.breaker(NAME, **ONE).call(partner.ask)))
        await settle()

    async with running(forget) as flow:
        partner.is_slow = True
        await flow.ended(await flow.enqueue("demo.forget"))
        partner.is_down = True
        await partner.answer()

        assert isinstance((await asyncio.gather(*left, return_exceptions=True))[0], ConnectionError)
        assert await state_of(flow) == CLOSED


async def test_what_ends_after_the_kernel_changes_nothing(partner: Partner) -> None:
    flow = await Flow([guarded(partner, **ONE)]).start()
    call = await flow.engine.breakers.enter(NAME)
    await flow.stop()

    flow.engine.breakers.failed(call, "late")

    assert await state_of(flow) == CLOSED
    assert call.breaker.timer is None


@pytest.mark.parametrize("told_by", ["timeout", "cancel"])
async def test_a_stuck_probe_gives_its_place_back_and_past_its_timeout_it_has_failed(
    partner: Partner, told_by: str
) -> None:
    begun, end = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        end.wait(30)

    @job(name="hang", retry=1, timeout="5s" if told_by == "timeout" else None)
    def hang(ctx: Context) -> None:
        ctx.breaker(NAME).call(block)

    async with running(user_of(partner, **ONE), hang) as flow:
        await fail(flow, partner, 1)
        await flow.clock.advance(10)
        run = await flow.enqueue("demo.hang")
        await until(begun.is_set)
        try:
            if told_by == "cancel":
                await flow.cancel(run)
            await flow.clock.advance(10)

            assert run.id in flow.engine.pool.stuck
            assert await state_of(flow) == (OPEN if told_by == "timeout" else HALF_OPEN)
        finally:
            end.set()
        await flow.ended(run)


# As a policy: wait


async def test_runs_wait_while_it_is_open_and_lose_no_attempt(partner: Partner) -> None:
    async with running(guarded(partner)) as flow:
        await fail(flow, partner, 5)
        assert await state_of(flow) == OPEN
        calls = partner.calls

        runs = [await flow.enqueue() for _ in range(3)]
        await flow.clock.advance(30)

        found = [await flow.run(run) for run in runs]
        assert [(run.state, run.attempt, run.failures) for run in found] == [("queued", 0, 0)] * 3
        assert partner.calls == calls


async def test_after_the_recovery_time_runs_begin_one_by_one_and_all_together_once_it_has_closed(
    partner: Partner,
) -> None:
    async with running(guarded(partner), concurrency=20) as flow:
        await fail(flow, partner, 5)
        partner.is_slow = True
        runs = [await flow.enqueue() for _ in range(8)]
        await flow.clock.advance(60)

        for done in range(3):
            assert await flow.states(runs) == ["completed"] * done + ["running"] + ["queued"] * (7 - done)
            await partner.answer()
            await flow.ended(runs[done])

        assert await flow.states(runs) == ["completed"] * 3 + ["running"] * 5
        await partner.answer()
        assert await flow.states(runs) == ["completed"] * 8
        assert [(await flow.run(run)).attempt for run in runs] == [1] * 8


async def test_one_run_at_a_time_over_all_jobs_that_share_the_breaker_the_most_urgent_first(partner: Partner) -> None:
    async with running(guarded(partner, "one"), guarded(partner, "two"), guarded(partner, "work")) as flow:
        await fail(flow, partner, 5)
        partner.is_slow, partner.most_at_once = True, 0
        jobs = ["demo.one", "demo.two", "demo.one", "demo.two"]
        runs = [await flow.enqueue(name, priority=9 - number) for number, name in enumerate(jobs)]
        await flow.clock.advance(60)

        for ended in (runs[3], runs[2], runs[1]):
            assert (await flow.run(ended)).state == "running"
            await partner.answer()
            assert (await flow.ended(ended)).attempt == 1

        assert partner.most_at_once == 1
        await partner.answer()
        assert await flow.states(runs) == ["completed"] * 4


async def test_what_is_claimed_and_has_not_begun_goes_back_when_it_opens(partner: Partner) -> None:
    @job(name="hold")
    async def hold() -> None:
        await partner.answered.wait()

    async with running(guarded(partner, **ONE), hold, concurrency=1) as flow:
        holder = await flow.enqueue("demo.hold")
        partner.is_down = True
        runs = [await flow.enqueue() for _ in range(4)]
        assert await flow.states(runs[:1]) == ["running"]  # claimed, while the only slot is taken
        assert not flow.engine.pool.busy.keys() & {run.id for run in runs}
        await partner.answer()
        await flow.ended(holder)
        await flow.ended(runs[0])

        found = [await flow.run(run) for run in runs]
        assert [(run.state, run.attempt) for run in found] == [("failed", 1)] + [("queued", 0)] * 3
        assert partner.calls == 1


async def test_the_probe_need_not_have_a_slot_yet_and_no_second_run_is_claimed_meanwhile(partner: Partner) -> None:
    @job(name="hold")
    async def hold() -> None:
        await partner.answered.wait()

    async with running(guarded(partner, **ONE), hold, concurrency=2) as flow:
        await fail(flow, partner, 1)
        runs = [await flow.enqueue() for _ in range(3)]
        for _ in range(2):
            await flow.enqueue("demo.hold")
        await flow.clock.advance(10)

        assert await flow.states(runs) == ["running", "queued", "queued"]
        flow.engine.claimer.wake()
        await settle()
        assert await flow.states(runs) == ["running", "queued", "queued"]
        assert flow.told(RunReleased) == []
        await partner.answer()
        assert await flow.states(runs) == ["completed"] * 3


async def test_what_waits_for_a_slot_goes_back_too_when_it_opens(partner: Partner) -> None:
    @job(name="hold")
    async def hold() -> None:
        await partner.answered.wait()

    async with running(guarded(partner), hold, concurrency=1) as flow:
        await flow.enqueue("demo.hold")
        runs = [await flow.enqueue() for _ in range(2)]
        await trip(flow)
        await settle()

        found = [await flow.run(run) for run in runs]
        assert [(run.state, run.attempt, run.reason) for run in found] == [("queued", 0, "breaker open")] * 2


async def test_a_run_begins_as_soon_as_the_recovery_time_is_over(partner: Partner) -> None:
    async with running(guarded(partner, failure_threshold=1, recovery_timeout="6.3s")) as flow:
        await fail(flow, partner, 1)
        run = await flow.enqueue()
        await flow.clock.advance(6.31)

        assert (await flow.run(run)).state == "completed"


async def test_retries_of_its_own_wait_too(partner: Partner) -> None:
    async with running(guarded(partner, retry=Retry(3, base="1s", jitter=0), **ONE)) as flow:
        partner.is_down = True
        run = await flow.enqueue()
        await flow.clock.advance(5)

        found = await flow.run(run)
        assert (found.state, found.attempt, found.failures) == ("queued", 1, 1)
        partner.is_down = False
        await flow.clock.advance(5)
        assert (await flow.ended(run)).attempt == 2


async def test_an_attempt_that_is_not_let_through_is_not_told_as_started(partner: Partner) -> None:
    async with running(guarded(partner, **ONE)) as flow:
        await fail(flow, partner, 1)
        # The row says that another kernel, which is alive, probes just now; this one does not know yet.
        await flow.store.open(KernelRow("other", 2, "host", "boot", 0.0, 0.0, ""))
        [row] = await flow.store.breakers()
        await flow.clock.advance(9)
        await flow.store.put_breaker(row._replace(version=row.version + 1, state=HALF_OPEN, probe="other"))
        run = await flow.enqueue()
        started = len(flow.told(RunStarted))
        await flow.clock.advance(1)

        found = await flow.run(run)
        assert (found.state, found.attempt, found.reason) == ("queued", 0, "breaker open: partner")
        assert len(flow.told(RunStarted)) == started


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (ValueError(), True), (GiveUp("no"), True), (Snooze("1h"), False), (Cancel("no"), False),
        (PayloadError("demo.work", ".x", "5", "text"), False),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
async def test_what_counts_for_a_policy(error: Exception, counts: bool) -> None:
    @job(name="work", retry=1, breaker=Breaker(NAME, failure_threshold=1))
    async def work() -> None:
        raise error

    async with running(work) as flow:
        await flow.until_state(await flow.enqueue(), "failed", "scheduled", "cancelled")

        assert await state_of(flow) == (OPEN if counts else CLOSED)


async def test_an_attempt_past_its_timeout_counts_and_one_cancelled_by_hand_frees_its_place(partner: Partner) -> None:
    @job(name="work", retry=1, timeout="5s", breaker=Breaker(NAME, **ONE))
    async def work() -> None:
        await partner.ask()

    async with running(work) as flow:
        partner.is_slow = True
        late = await flow.enqueue()
        await flow.clock.advance(5)
        assert (await flow.ended(late)).state == "failed"
        assert await state_of(flow) == OPEN

        runs = [await flow.enqueue() for _ in range(2)]
        await flow.clock.advance(10)
        assert await flow.states(runs) == ["running", "queued"]
        await flow.cancel(runs[0])
        assert await flow.states(runs) == ["cancelled", "running"]


async def test_calls_of_the_same_name_inside_are_part_of_the_attempt(partner: Partner) -> None:
    @job(name="work", retry=1, breaker=Breaker(NAME, failure_threshold=2, recovery_timeout="10s", success_threshold=1))
    async def work(ctx: Context) -> None:
        for _ in range(3):
            with contextlib.suppress(ConnectionError):
                await ctx.breaker(NAME).call(partner.ask)
        await ctx.breaker(NAME).call(partner.ask)

    async with running(work) as flow:
        await fail(flow, partner, 1)
        assert (partner.calls, await state_of(flow)) == (4, CLOSED)  # one failure
        await fail(flow, partner, 1)
        assert await state_of(flow) == OPEN
        run = await flow.enqueue()
        await flow.clock.advance(10)
        assert (await flow.ended(run)).state == "completed"  # the probe does not wait for itself
        assert await state_of(flow) == CLOSED


async def test_once_it_has_opened_meanwhile_calls_inside_are_refused_like_any_other(partner: Partner) -> None:
    @job(name="long", retry=1, breaker=Breaker(NAME, **ONE))
    async def long(ctx: Context) -> str:
        await partner.ask()
        try:
            return str(await ctx.breaker(NAME).call(partner.ask))
        except BreakerOpen:
            return "open"

    async with running(long, guarded(partner, **ONE)) as flow:
        partner.is_slow = True
        run = await flow.enqueue("demo.long")
        partner.is_slow = False
        await fail(flow, partner, 1)
        await partner.answer()

        assert (await flow.ended(run)).result == "open"
        assert await state_of(flow) == OPEN


# As a policy: skip


async def test_with_skip_runs_end_cancelled_and_the_function_is_not_called(partner: Partner) -> None:
    async with running(guarded(partner, when_open="skip", **ONE)) as flow:
        await fail(flow, partner, 1)
        calls = partner.calls
        run = await flow.ended(await flow.enqueue())

        assert (run.state, partner.calls) == ("cancelled", calls)
        assert run.reason is not None
        assert run.reason.startswith("breaker open: partner: the next call is let through at 2026-01-01T00:00:10")


async def test_with_skip_a_probe_is_let_through_when_the_time_has_come(partner: Partner) -> None:
    async with running(guarded(partner, when_open="skip", **ONE)) as flow:
        await fail(flow, partner, 1)
        await flow.clock.advance(10)
        partner.is_slow = True
        runs = [await flow.enqueue() for _ in range(2)]

        assert await flow.states(runs) == ["running", "cancelled"]
        await partner.answer()
        assert await state_of(flow) == CLOSED


# Restarts and clocks


async def next_life(flow: Flow, job: Any, name: str = "kernel-2") -> Flow:
    await flow.stop()
    return await Flow([job], store=flow.store, clock=flow.clock, name=name).start()


async def test_an_open_breaker_stays_open_over_a_restart_until_its_recovery_time(partner: Partner) -> None:
    work = guarded(partner)
    flow = await Flow([work]).start()
    await fail(flow, partner, 5)
    opened = flow.clock.now()
    flow = await next_life(flow, work)
    try:
        run = await flow.enqueue()
        await flow.clock.advance(opened + 59.9 - flow.clock.now())
        assert (await flow.run(run)).state == "queued"
        await flow.clock.advance(0.1)
        assert (await flow.run(run)).state == "completed"
    finally:
        await flow.stop()


async def test_a_half_open_breaker_keeps_its_successes_over_a_restart(partner: Partner) -> None:
    work = user_of(partner)
    flow = await Flow([work]).start()
    await fail(flow, partner, 5)
    await flow.clock.advance(60)
    for _ in range(2):
        await flow.ended(await flow.enqueue())
    flow = await next_life(flow, work)
    try:
        assert await state_of(flow) == HALF_OPEN
        assert (await flow.ended(await flow.enqueue())).state == "completed"
        assert await state_of(flow) == CLOSED
    finally:
        await flow.stop()


async def test_the_probe_of_a_kernel_that_died_is_free_again(partner: Partner) -> None:
    store, clock = MemoryStore(), FakeClock()
    now = clock.now()
    await store.put_breaker(BreakerRow(NAME, 1, HALF_OPEN, now - 60, now, 2, "dead", "ConnectionError: down"))
    flow = await Flow([user_of(partner)], store=store, clock=clock).start()
    try:
        assert (await flow.ended(await flow.enqueue())).state == "completed"
        assert await state_of(flow) == CLOSED
    finally:
        await flow.stop()


async def test_a_probe_that_the_end_of_the_kernel_interrupts_counts_for_nothing(partner: Partner) -> None:
    work = guarded(partner, **ONE)
    flow = await Flow([work]).start()
    await fail(flow, partner, 1)
    partner.is_slow = True
    run = await flow.enqueue()
    await flow.clock.advance(10)
    assert (await flow.run(run)).state == "running"

    flow = await next_life(flow, work)
    try:
        [row] = await flow.store.breakers()
        assert row.state == HALF_OPEN
        assert (await flow.run(run)).state == "running"  # again the probe
        await partner.answer()
        assert (await flow.ended(run)).state == "completed"
    finally:
        await flow.stop()


async def test_a_wall_clock_that_is_set_does_not_change_how_long_it_is_open(partner: Partner) -> None:
    for step in (-86_400.0, 86_400.0):
        async with running(guarded(partner)) as flow:
            await fail(flow, partner, 5)
            run = await flow.enqueue()
            flow.clock.step(step)
            flow.engine.claimer.wake()
            await flow.clock.advance(59.9)
            assert (await flow.run(run)).state in ("queued", "scheduled")
            assert flow.engine.breakers.shut()[0]["state"] == OPEN
            await flow.clock.advance(0.2)
            assert flow.engine.breakers._lets_through(flow.engine.breakers._breakers[NAME]) or step > 0


async def test_a_clock_set_back_over_a_restart_keeps_it_open_for_a_recovery_time_at_the_most(partner: Partner) -> None:
    work = user_of(partner, **ONE)
    flow = await Flow([work]).start()
    await fail(flow, partner, 1)
    flow.clock.step(-86_400)
    flow = await next_life(flow, work)
    try:
        flow.catalog.set_breakers({NAME: {"recovery_seconds": 10.0}})
        await flow.engine.breakers.refresh()
        await flow.clock.advance(60)
        assert (await flow.ended(await flow.enqueue())).state == "completed"
    finally:
        await flow.stop()


# By hand


async def test_a_reset_by_hand_closes_it_and_lets_the_waiting_runs_go(partner: Partner) -> None:
    async with running(guarded(partner)) as flow:
        await fail(flow, partner, 5)
        runs = [await flow.enqueue() for _ in range(3)]
        [row] = await flow.store.breakers()
        await flow.store.put_breaker(BreakerRow(NAME, row.version + 1, CLOSED))
        await flow.engine.watch.refresh()
        await settle()

        assert await flow.states(runs) == ["completed"] * 3
        assert len(flow.told(BreakerClosed)) == 1


async def test_a_probe_under_way_counts_for_nothing_once_somebody_has_closed_it(partner: Partner) -> None:
    async with running(user_of(partner, **ONE)) as flow:
        await fail(flow, partner, 1)
        await flow.clock.advance(10)
        partner.is_slow = True
        probe = await flow.enqueue()
        [row] = await flow.store.breakers()
        await flow.store.put_breaker(BreakerRow(NAME, row.version + 1, CLOSED))
        await flow.engine.watch.refresh()
        partner.is_down = True
        await partner.answer()

        assert (await flow.ended(probe)).state == "failed"
        assert await state_of(flow) == CLOSED


# Several kernels


@contextlib.asynccontextmanager
async def two(work: Any) -> AsyncIterator[tuple[Flow, Flow]]:
    """Two kernels on one store and one clock. In a memory store nobody tells of changes: ``hear`` does."""
    store, clock = MemoryStore(), FakeClock()
    flows = [await Flow([work], store=store, clock=clock, name=name).start() for name in ("kernel-1", "kernel-2")]
    try:
        yield flows[0], flows[1]
    finally:
        for flow in flows:
            await flow.stop()


async def hear(flow: Flow) -> None:
    await flow.engine.watch.refresh()
    await settle()


async def test_a_trip_in_one_kernel_is_a_trip_in_all(partner: Partner) -> None:
    async with two(user_of(partner, **ONE)) as (one, other):
        call = await other.engine.breakers.enter(NAME)
        other.engine.breakers.failed(await one_call(one), "down")
        one.engine.breakers.failed(await one_call(one), "down")
        await one.engine.breakers.drain()
        await hear(other)

        with pytest.raises(BreakerOpen):
            await other.engine.breakers.enter(NAME)
        other.engine.breakers.succeeded(call)
        assert await state_of(other) == OPEN
        assert [event.failures for event in other.told(BreakerOpened)] == [0]


async def one_call(flow: Flow) -> Call:
    return await flow.engine.breakers.enter(NAME, {"failure_threshold": 1}, "here")


async def test_of_two_kernels_one_probes_and_the_other_learns_of_it_by_being_refused(partner: Partner) -> None:
    async with two(user_of(partner)) as (one, other):
        await trip(one)
        await hear(other)
        await one.clock.advance(60)

        answers = await asyncio.gather(
            one.engine.breakers.enter(NAME), other.engine.breakers.enter(NAME), return_exceptions=True
        )

        assert [type(answer) for answer in answers] == [Call, BreakerOpen]
        assert isinstance(answers[0], Call)
        one.engine.breakers.succeeded(answers[0])
        await one.engine.breakers.drain()
        await hear(other)
        assert isinstance(await other.engine.breakers.enter(NAME), Call)


async def trip(flow: Flow) -> None:
    for _ in range(5):
        flow.engine.breakers.failed(await flow.engine.breakers.enter(NAME), "down")
    await flow.engine.breakers.drain()


async def test_the_probe_of_a_kernel_that_dies_is_free_with_the_next_sweep(partner: Partner) -> None:
    async with two(guarded(partner)) as (one, other):
        await trip(one)
        await hear(other)
        await one.engine.claimer.stop()
        await one.clock.advance(60)
        await one.engine.breakers.enter(NAME)
        await hear(other)
        run = await other.enqueue()
        await one.clock.advance(6)
        assert (await other.run(run)).state == "queued"

        del other.store._kernels["kernel-1"]  # type: ignore[attr-defined] # as a store sees that it died
        await one.clock.advance(6)

        assert (await other.ended(run)).state == "completed"


async def test_a_kernel_that_was_taken_for_dead_changes_nothing_by_its_late_probe() -> None:
    async with two(job_of(lambda: None, name="work")) as (one, other):
        await trip(one)
        await hear(other)
        await one.clock.advance(60)
        late = await one.engine.breakers.enter(NAME)
        row = one.store._kernels.pop("kernel-1")  # type: ignore[attr-defined] # as above
        await hear(other)
        mine = await other.engine.breakers.enter(NAME)
        one.store._kernels["kernel-1"] = row  # type: ignore[attr-defined] # as above

        one.engine.breakers.failed(late, "late")
        await one.engine.breakers.drain()

        assert (await one.store.breakers())[0].probe == "kernel-2"
        other.engine.breakers.succeeded(mine)
        assert await state_of(other) == HALF_OPEN
        assert (await one.store.breakers())[0].successes == 1


# A store that fails


class FailingStore(MemoryStore):
    """``put_breaker`` fails while told to: before the write, or after it."""

    def __init__(self) -> None:
        super().__init__()
        self.fails: str = ""
        self.puts: list[BreakerRow] = []
        self.gate: asyncio.Event | None = None
        self.late: asyncio.Event | None = None

    async def put_breaker(self, row: BreakerRow) -> bool:
        self.puts.append(row)
        if self.gate is not None:
            await self.gate.wait()
        if self.fails == "before":
            raise StoreError("no")
        done = await super().put_breaker(row)
        if self.late is not None:
            await self.late.wait()
        if self.fails == "after":
            raise StoreError("the answer was lost")
        return done


async def test_a_trip_holds_at_once_and_is_written_when_the_store_takes_it(partner: Partner) -> None:
    store = FailingStore()
    async with running(guarded(partner, **ONE), store=store) as flow:
        store.fails = "before"
        await fail(flow, partner, 1)
        run = await flow.enqueue()
        await flow.clock.advance(9)
        assert (await flow.run(run)).state == "queued"
        assert await store.breakers() == []

        await flow.clock.advance(20)
        assert (await flow.run(run)).state == "queued"  # the probe cannot be claimed
        store.fails = ""
        await flow.clock.advance(5)

        assert (await flow.run(run)).state == "completed"
        assert await state_of(flow) == CLOSED
        assert [type(event) for event in flow.events if isinstance(event, BreakerOpened | BreakerClosed)] == [
            BreakerOpened,
            BreakerClosed,
        ]


async def test_a_job_is_not_held_up_by_the_writing_of_a_trip(partner: Partner) -> None:
    store = FailingStore()
    async with running(user_of(partner, **ONE), store=store) as flow:
        store.gate = asyncio.Event()
        await fail(flow, partner, 1)
        assert (await flow.ended(await flow.enqueue())).state == "failed"
        assert partner.calls == 1
        store.gate.set()
        assert await state_of(flow) == OPEN


async def test_a_kernel_that_stops_writes_what_is_not_written_yet(partner: Partner) -> None:
    store = FailingStore()
    flow = await Flow([user_of(partner, **ONE)], store=store).start()
    store.gate = asyncio.Event()
    await fail(flow, partner, 1)
    stopping = asyncio.ensure_future(flow.stop())
    await settle(200)
    store.gate.set()
    await stopping

    assert [row.state for row in await store.breakers()] == [OPEN]


async def test_the_claim_of_a_probe_is_written_before_it_begins(partner: Partner) -> None:
    store = FailingStore()
    async with running(guarded(partner, **ONE), store=store) as flow:
        await fail(flow, partner, 1)
        run = await flow.enqueue()
        store.gate = asyncio.Event()
        await flow.clock.advance(10)
        assert (partner.calls, store.puts[-1].probe) == (1, "kernel-1")

        store.gate.set()
        await flow.ended(run)
        assert partner.calls == 2


async def test_a_run_cancelled_while_its_probe_is_claimed_frees_the_place(partner: Partner) -> None:
    store = FailingStore()
    async with running(guarded(partner, **ONE), store=store) as flow:
        await fail(flow, partner, 1)
        runs = [await flow.enqueue() for _ in range(2)]
        store.gate = asyncio.Event()
        await flow.clock.advance(10)
        await flow.cancel(runs[0])
        store.gate.set()
        await settle()

        assert await flow.states(runs) == ["cancelled", "completed"]
        assert partner.calls == 2


async def test_a_kernel_that_stops_while_a_probe_is_claimed_gives_the_run_back(partner: Partner) -> None:
    store = FailingStore()
    flow = await Flow([guarded(partner, **ONE)], store=store).start()
    await fail(flow, partner, 1)
    run = await flow.enqueue()
    store.gate = asyncio.Event()
    await flow.clock.advance(10)
    flow.clock.call_in(3.0, store.gate.set)
    await flow.stop()

    found = await flow.run(run)
    assert (found.state, found.attempt) == ("queued", 0)
    assert (await store.breakers())[0].probe is None


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_probe_whose_claim_fails_does_not_begin_and_keeps_nobody_waiting(when: str) -> None:
    store, clock = FailingStore(), FakeClock()
    flows = [await Flow(store=store, clock=clock, name=name).start() for name in ("kernel-1", "kernel-2")]
    one, other = (flow.engine.breakers for flow in flows)
    await trip(flows[0])
    await other.refresh()
    await clock.advance(60)
    store.fails = when
    with pytest.raises(BreakerOpen):
        await one.enter(NAME)
    store.fails = ""
    await clock.advance(1)
    await one.drain()
    await other.refresh()

    call = await other.enter(NAME)
    with pytest.raises(BreakerOpen):
        await one.enter(NAME)
    other.succeeded(call)
    for flow in flows:
        await flow.stop()


async def test_a_trip_whose_answer_was_lost_is_written_once(partner: Partner) -> None:
    store = FailingStore()
    async with running(user_of(partner, **ONE), store=store) as flow:
        store.fails = "after"
        await fail(flow, partner, 1)
        store.fails = ""
        await flow.clock.advance(1)

        [row] = await store.breakers()
        assert (row.state, row.version) == (OPEN, 1)
        assert [event.failures for event in flow.told(BreakerOpened)] == [1]


async def test_what_is_on_its_way_to_the_store_is_not_taken_for_another_kernels(partner: Partner) -> None:
    store = FailingStore()
    async with running(user_of(partner, **ONE), store=store) as flow:
        await fail(flow, partner, 1)
        await flow.clock.advance(10)
        store.late = asyncio.Event()
        partner.is_slow = True
        probe = await flow.enqueue()
        await flow.engine.breakers.refresh()  # the claim stands there, and the kernel has not been told
        store.late.set()
        await settle()
        await partner.answer()

        assert (await flow.ended(probe)).state == "completed"
        assert await state_of(flow) == CLOSED


# Bounds


async def test_names_without_end_cost_no_memory_without_end(monkeypatch: pytest.MonkeyPatch, partner: Partner) -> None:
    monkeypatch.setattr(module, "MOST_BREAKERS", 10)
    async with running(user_of(partner)) as flow:
        breakers = flow.engine.breakers
        for number in range(100):
            breakers.succeeded(await breakers.enter(f"partner-{number}"))
        assert len(breakers._breakers) <= 10
        for number in range(10):
            breakers.failed(await breakers.enter(f"failing-{number}"), "down")

        with pytest.raises(RequestError, match="10 breakers in use"):
            await breakers.enter("one more")


async def test_an_error_of_any_text_is_kept_in_one_short_line(partner: Partner) -> None:
    async with running(user_of(partner)) as flow:
        call = await flow.engine.breakers.enter(NAME, {"failure_threshold": 1}, "here")
        flow.engine.breakers.failed(call, "a\x00b\n\ud800" + "x" * 10_000)
        await flow.engine.breakers.drain()

        [row] = await flow.store.breakers()
        assert row.error is not None
        assert (row.error.isprintable(), len(row.error) < 400) == (True, True)


# One probe at a time, whatever happens


class SlowStore(MemoryStore):
    """Each call on breakers takes some turns of the loop before and after; some fail, some after they were done."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.trouble = 0.0

    async def breakers(self) -> list[BreakerRow]:
        rows: list[BreakerRow] = await self._slowly(super().breakers)
        return rows

    async def put_breaker(self, row: BreakerRow) -> bool:
        return bool(await self._slowly(super().put_breaker, row))

    async def _slowly(self, do: Callable[..., Any], *given: Any) -> Any:
        await settle(self._chance.randrange(4))
        if self._chance.random() < self.trouble:
            raise StoreError("no")
        answer = await do(*given)
        if self._chance.random() < self.trouble:
            raise StoreError("the answer was lost")
        await settle(self._chance.randrange(4))
        return answer


class ProbeMachine(RuleBasedStateMachine):
    """Calls of two kernels on one slow and unreliable store; never are two probes under way."""

    @initialize(seed=st.integers(0, 1 << 32), trouble=st.sampled_from([0.0, 0.1, 0.4]))
    def set_up(self, seed: int, trouble: float) -> None:
        self.runner = asyncio.Runner()
        self.store: Any = SlowStore(random.Random(seed))  # noqa: S311 - a seeded test
        self.clock = FakeClock()
        self.entering: list[tuple[int, asyncio.Task[Call]]] = []
        self.inside: list[tuple[int, Call, bool]] = []
        self.most_probes = 0
        self.do(self.open())
        self.store.trouble = trouble

    async def open(self) -> None:
        catalog = Catalog()
        catalog.set_breakers({NAME: {"failure_threshold": 2, "recovery_seconds": 10.0, "success_threshold": 2}})
        self.kernels = []
        for name in ("kernel-1", "kernel-2"):
            await self.store.open(KernelRow(name, 1, "host", "boot", 0.0, 0.0, ""))
            bus = EventBus(self.clock)
            recorder = Recorder(self.store, bus, self.clock)
            self.kernels.append(
                Breakers(name, store=self.store, catalog=catalog, recorder=recorder, bus=bus, clock=self.clock)
            )

    def do(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def see(self) -> None:
        """Takes note of calls that were let through, and of whether they are probes."""
        for kernel, task in list(self.entering):
            if task.done():
                self.entering.remove((kernel, task))
                if not task.cancelled() and task.exception() is None:
                    call = task.result()
                    self.inside.append((kernel, call, call.breaker.circuit.state == HALF_OPEN and call.counts))

    @rule(kernel=st.integers(0, 1), turns=st.integers(0, 6))
    def begin(self, kernel: int, turns: int) -> None:
        async def start() -> None:
            self.entering.append((kernel, asyncio.ensure_future(self.kernels[kernel].enter(NAME))))
            await settle(turns)

        self.do(start())
        self.see()

    @precondition(lambda self: bool(getattr(self, "inside", None)))
    @rule(which=st.integers(0, 99), how=st.sampled_from(["succeeded", "failed", "failed", "left"]))
    def end(self, which: int, how: str) -> None:
        kernel, call, _ = self.inside.pop(which % len(self.inside))

        async def finish() -> None:
            getattr(self.kernels[kernel], how)(call, *(["down"] if how == "failed" else []))

        self.do(finish())

    @precondition(lambda self: bool(getattr(self, "entering", None)))
    @rule(which=st.integers(0, 99))
    def cancel(self, which: int) -> None:
        async def stop() -> None:
            self.entering[which % len(self.entering)][1].cancel()
            await settle(1)

        self.do(stop())
        self.see()

    @rule(turns=st.integers(1, 20))
    def turns(self, turns: int) -> None:
        self.do(settle(turns))
        self.see()

    @rule(seconds=st.sampled_from([0.2, 5.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.do(self.clock.advance(seconds))
        self.see()

    @rule(kernel=st.integers(0, 1))
    def hear(self, kernel: int) -> None:
        async def refresh() -> None:
            with contextlib.suppress(StoreError):
                await self.kernels[kernel].refresh()

        self.do(refresh())
        self.see()

    @invariant()
    def at_most_one_probe_is_under_way(self) -> None:
        if hasattr(self, "inside"):
            probes = [call for _, call, is_probe in self.inside if is_probe]
            assert len(probes) <= 1

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        self.store.trouble = 0.0
        try:
            self.do(self.come_to_rest())
        finally:
            self.runner.close()

    async def come_to_rest(self) -> None:
        """When the store works again nothing is lost nor kept waiting: a probe succeeds, and another, and it is closed."""
        for _, task in self.entering:
            task.cancel()
        await self.clock.advance(10.0)
        self.see()
        for kernel, call, _ in self.inside:
            self.kernels[kernel].left(call)
        await self.clock.advance(20.0)
        for kernel in (0, 1, 0, 1, 0):
            for one in self.kernels:
                await one.refresh()
                await one.drain()
            self.kernels[kernel].succeeded(await self.kernels[kernel].enter(NAME))
            await self.kernels[kernel].drain()
        assert all(row.state == CLOSED for row in await self.store.breakers())
        for one in self.kernels:
            assert not one.shut() or one is self.kernels[1]
            await one.stop()


ProbeMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestProbeMachine = ProbeMachine.TestCase
