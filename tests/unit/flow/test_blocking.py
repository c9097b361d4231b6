"""A job that blocks the loop again and again is moved to a thread, if its policy says so: there everything else stays as it is."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from kernel import BreakerOpen, Context, Retry
from kernel.flow.blocking import MOST_BLOCKS, WITHIN_SECONDS
from kernel.model.errors import ConfigError
from kernel.model.events import JobMoved, LoopBlocked, Notified, RunProgressed
from kernel.watchdog import Watchdog
from tests.flow_kit import job_of, running

if TYPE_CHECKING:
    from tests.flow_kit import Flow

seen: dict[str, Any] = {}
colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


async def where() -> int:
    return threading.get_ident()


async def child() -> None: ...


def move(flow: Flow, job: str) -> None:
    for _ in range(MOST_BLOCKS):
        flow.engine.blocking.blocked(job)


async def test_after_three_blocks_within_an_hour_its_attempts_run_in_a_thread_of_their_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with running(job_of(where, when_blocking="thread")) as flow:
        for _ in range(MOST_BLOCKS - 1):
            flow.engine.blocking.blocked("demo.where")
        before = await flow.ended(await flow.enqueue("demo.where"))
        flow.engine.blocking.blocked("demo.where")
        after = await flow.ended(await flow.enqueue("demo.where"))

        assert before.result == threading.get_ident()
        assert after.result != threading.get_ident()
        reason = "it has blocked the event loop 3 times within 1 h"
        assert flow.told(JobMoved) == [JobMoved(flow.clock.now(), "demo.where", reason)]
        assert f"demo.where: {reason}; from now on its attempts run in threads" in caplog.text


async def test_blocks_that_lie_further_apart_do_not_move_it() -> None:
    async with running(job_of(where, when_blocking="thread")) as flow:
        for _ in range(2 * MOST_BLOCKS):
            flow.engine.blocking.blocked("demo.where")
            await flow.clock.advance(WITHIN_SECONDS / 2)

        assert flow.engine.blocking.moved == set()


async def test_a_job_without_the_policy_stays_on_the_loop() -> None:
    async with running(where) as flow:
        move(flow, "demo.where")
        move(flow, "demo.nobody")

        assert (await flow.ended(await flow.enqueue("demo.where"))).result == threading.get_ident()


async def test_a_plugin_that_was_switched_off_begins_on_the_loop_again() -> None:
    async with running(job_of(where, when_blocking="thread")) as flow:
        move(flow, "demo.where")

        await flow.engine.drain_plugin("demo", 0.0)

        assert flow.engine.blocking.moved == set()


async def asks(ctx: Context) -> dict[str, Any]:
    ctx.log.info("from afar")
    await ctx.progress(0.5, "half")
    ctx.notify_info("done so far", count=1)
    first = await ctx.step("first", where)
    second = await ctx.step("second", lambda: 2)
    missing = await ctx.optional("price", fails, fallback=0)
    calls = [await ctx.breaker("partner", failure_threshold=2).call(where)]
    for _ in range(2):
        with pytest.raises(ValueError, match="no luck"):
            await ctx.breaker("partner").call(fails)
    with pytest.raises(BreakerOpen):
        await ctx.breaker("partner").call(fails)
    run = await asyncio.create_task(ctx.enqueue("demo.child"))
    return {
        "thread": threading.get_ident(), "first": first, "second": second, "missing": missing, "calls": calls,
        "child": run.id, "run": ctx.run.id, "attempt": ctx.attempt, "deadline": ctx.deadline is not None,
    }  # fmt: skip


async def fails() -> None:
    raise ValueError("no luck")


async def test_all_that_ctx_has_works_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(job_of(asks, when_blocking="thread"), child) as flow:
        move(flow, "demo.asks")
        prepare, threads = flow.engine.intake.prepare, set[int]()

        def seen_to_prepare(*given: Any) -> Any:
            threads.add(threading.get_ident())
            return prepare(*given)

        monkeypatch.setattr(flow.engine.intake, "prepare", seen_to_prepare)

        ended = await flow.until_state(await flow.enqueue("demo.asks"), "completed", "retrying")

        assert ended.state == "completed", ended.error
        found = ended.result
        assert threads == {threading.get_ident()}
        assert found["first"] == found["thread"] != threading.get_ident()
        assert found["calls"] == [found["thread"]]
        assert (found["second"], found["missing"], found["run"], found["attempt"]) == (2, 0, ended.id, 1)
        assert found["deadline"]
        assert ended.degraded
        assert (await flow.run(found["child"])).job == "demo.child"
        assert set(await flow.store.steps(ended.id)) == {"first", "second"}
        assert [event.text for event in flow.told(Notified)] == ["done so far"]
        assert flow.told(RunProgressed)[-1].text == "half"
        assert "from afar" in str(await flow.store.log(ended.id))


async def counts_steps(ctx: Context) -> int:
    seen["made"] = seen.get("made", 0) + await ctx.step("one", lambda: 1)
    with pytest.raises(KeyError):
        await ctx.step("bad", {}.__getitem__, "x")
    if ctx.attempt == 1:
        raise ValueError("again")
    return int(await ctx.step("one", lambda: 5))


async def test_steps_are_kept_from_attempt_to_attempt() -> None:
    async with running(job_of(counts_steps, when_blocking="thread", retry=Retry(2, base="1s"))) as flow:
        move(flow, "demo.counts_steps")
        run = await flow.enqueue("demo.counts_steps")
        await flow.until_state(run, "retrying")
        await flow.clock.advance(1.0)

        assert (await flow.ended(run)).result == 1


async def sleeps(ctx: Context) -> None:
    seen["began"] = True
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        seen["why"] = ctx.cancelled
        raise


async def until_begun() -> None:
    deadline = time.monotonic() + 10
    while "began" not in seen:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


async def test_it_is_cancelled_there() -> None:
    seen.clear()
    async with running(job_of(sleeps, when_blocking="thread")) as flow:
        move(flow, "demo.sleeps")
        run = await flow.enqueue("demo.sleeps")
        await until_begun()

        await flow.cancel(run, reason="enough")

        assert (await flow.ended(run)).reason == "enough"
        assert seen["why"] == "enough"


async def test_its_timeout_ends_it_there() -> None:
    seen.clear()
    async with running(job_of(sleeps, when_blocking="thread", timeout="30s", retry=1)) as flow:
        move(flow, "demo.sleeps")
        run = await flow.enqueue("demo.sleeps")
        await until_begun()

        await flow.clock.advance(30)

        error = (await flow.ended(run)).error
        assert error is not None
        assert (error.type, error.message) == ("TimeoutError", "took longer than its timeout of 30 s")


async def waits_for_another_kernel(ctx: Context) -> None:
    seen["began"] = True
    await ctx.step("slow", asyncio.sleep, 3600)


async def test_it_is_cancelled_in_the_midst_of_what_ctx_does() -> None:
    seen.clear()
    async with running(job_of(waits_for_another_kernel, when_blocking="thread")) as flow:
        move(flow, "demo.waits_for_another_kernel")
        run = await flow.enqueue("demo.waits_for_another_kernel")
        await until_begun()

        await flow.cancel(run)

        assert (await flow.ended(run)).state == "cancelled"


async def exits() -> None:
    raise SystemExit(3)


async def test_whatever_it_raises_is_its_outcome() -> None:
    async with running(job_of(exits, when_blocking="thread", retry=1)) as flow:
        move(flow, "demo.exits")

        error = (await flow.ended(await flow.enqueue("demo.exits"))).error

        assert error is not None
        assert (error.type, error.message) == ("SystemExit", "3")


async def paints() -> str:
    colour.set("red")
    asyncio.create_task(asyncio.sleep(3600))  # noqa: RUF006 - a job that leaves a task behind
    return colour.get()


async def test_what_it_leaves_behind_ends_with_it() -> None:
    async with running(job_of(paints, when_blocking="thread")) as flow:
        move(flow, "demo.paints")

        assert (await flow.ended(await flow.enqueue("demo.paints"))).result == "red"
        assert colour.get() == "none"


def test_only_a_job_that_runs_on_the_loop_can_have_the_policy() -> None:
    def plain() -> None: ...

    for function, options in ((plain, {}), (where, {"executor": "process"})):
        with pytest.raises(ConfigError, match='when_blocking: "thread": the job does not run on the loop'):
            job_of(function, when_blocking="thread", **options)
    with pytest.raises(ConfigError, match="when_blocking: 'move': expected \"tell\""):
        job_of(where, when_blocking="move")


async def test_a_job_that_really_blocks_is_named_and_moved() -> None:
    async def blocks() -> None:
        time.sleep(0.9)  # noqa: ASYNC251 - that is what it is about

    async with running(job_of(blocks, when_blocking="thread", timeout=None)) as flow:
        watchdog = Watchdog(
            flow.bus,
            flow.clock,
            run_of=flow.engine.pool.run_of,
            plugin_of=lambda file: "demo" if file == __file__ else "",
            on_blocked=flow.engine.blocking.blocked,
        )
        watchdog.start()
        for _ in range(MOST_BLOCKS):
            await flow.ended(await flow.enqueue("demo.blocks"))
            await asyncio.sleep(0.1)  # the thread that looks tells it on the loop
        deadline = time.monotonic() + 10
        while not flow.told(JobMoved):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        charged = watchdog.seconds_by_job["demo.blocks"]
        await flow.ended(await flow.enqueue("demo.blocks"))
        watchdog.stop()

        assert charged > 2.0
        assert watchdog.blocks_by_job == {"demo.blocks": MOST_BLOCKS}


HOOK = """
import time

class Around:
    given = ()

    async def enter(self, ctx):
        time.sleep(0.9)
        return self

    async def leave(self, error): ...
"""


async def test_a_hook_around_an_attempt_that_blocks_is_charged_to_its_plugin_and_not_to_the_job() -> None:
    names: dict[str, Any] = {}
    exec(compile(HOOK, "/plugins/hook.py", "exec"), names)  # noqa: S102 - the code of another file
    owners = {"/plugins/hook.py": "hook", __file__: "demo"}
    async with running(job_of(where, when_blocking="thread", timeout=None)) as flow:
        flow.engine.put_around(names["Around"](), None)
        watchdog = Watchdog(
            flow.bus,
            flow.clock,
            run_of=flow.engine.pool.run_of,
            plugin_of=lambda file: owners.get(file, ""),
            on_blocked=flow.engine.blocking.blocked,
        )
        watchdog.start()
        await flow.ended(await flow.enqueue("demo.where"))
        deadline = time.monotonic() + 10
        while not flow.told(LoopBlocked):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        watchdog.stop()

        [told] = flow.told(LoopBlocked)
        assert (told.plugin, told.job, told.run, told.place) == ("hook", "", "", "/plugins/hook.py:8")
        assert watchdog.blocks_by_job == {"plugin hook": 1}
