"""The beginning and the end: in which order, and what is left behind when either fails."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from kernel.model.errors import ConfigError, StoreError
from kernel.model.events import Notified
from kernel.testing import settle, until
from tests.flow_kit import Flow, TroubledStore, every, running


async def work() -> None: ...


def tasks_of_the_kernel() -> list[str]:
    return sorted(task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("mainspring:"))


@pytest.mark.parametrize("call", ["signals", "queues", "schedules", "put_schedules"])
async def test_a_start_that_fails_leaves_nothing_running(call: str) -> None:
    store = TroubledStore()
    store.failing[call] = StoreError("disk is gone")
    flow = Flow([work], [every(60)], store=store, listen=False)

    with pytest.raises(StoreError, match="disk is gone"):
        await flow.start()
    await settle()

    assert tasks_of_the_kernel() == []


async def test_a_declaration_with_the_name_of_a_dynamic_schedule_fails_the_start_and_leaves_nothing_running() -> None:
    async with running(work) as flow:
        await flow.engine.scheduler.add(flow.row(every(60, plugin=None)))
    later = Flow([work], [every(60)], store=flow.store, clock=flow.clock, listen=False)

    with pytest.raises(
        ConfigError, match=r'the schedule "demo\.work" of the plugin demo has the name of one that was added'
    ):
        await later.start()
    await settle()

    assert tasks_of_the_kernel() == []


async def test_nothing_runs_on_after_a_stop() -> None:
    async with running(work, schedules=[every(60)]) as flow:
        await flow.enqueue()
        await flow.stop()
        left = tasks_of_the_kernel()
        await flow.clock.advance(600)
        ticks = await flow.ticks()

    assert left == []
    assert ticks == []


async def test_stopping_twice_is_stopping_once() -> None:
    async with running(work) as flow:
        assert await flow.stop()
        assert await flow.stop()


async def test_a_run_may_still_enqueue_while_the_kernel_waits_for_it() -> None:
    gate = asyncio.Event()

    async def last() -> None:
        await gate.wait()
        await flow.engine.enqueue("demo.work")

    async with running(last, work) as flow:
        run = await flow.enqueue("demo.last")
        stopping = asyncio.create_task(flow.engine.stop(30))
        await settle()
        gate.set()
        await stopping
        [enqueued] = await flow.runs(job="demo.work")

    assert (await flow.run(run)).state == "completed"
    assert (enqueued.state, enqueued.attempt) == ("queued", 0)


async def test_the_next_kernel_works_off_what_the_last_one_left() -> None:
    async with running(work) as flow:
        await flow.engine.claimer.stop()
        left = await flow.enqueue()
    async with running(work, store=flow.store, clock=flow.clock) as later:
        ended = await later.ended(left)

    assert ended.state == "completed"


async def test_what_a_job_tells_people_is_an_event_and_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    from kernel import Context  # noqa: PLC0415, TC001 - the annotation of this job is read

    async def tells(ctx: Context) -> None:
        ctx.notify_info("done", cars=3)
        ctx.notify_error(ValueError("one failed"), car="42")

    with caplog.at_level("INFO"):
        async with running(tells) as flow:
            run = await flow.enqueue("demo.tells")

    told = flow.told(Notified)
    assert [(event.level, event.text, event.context) for event in told] == [
        ("info", "done", {"cars": 3}),
        ("error", "ValueError: one failed", {"car": "42"}),
    ]
    assert {(event.job, event.run, event.attempt) for event in told} == {("demo.tells", run.id, 1)}
    assert "demo.tells: ValueError: one failed car=42" in caplog.text


async def test_an_error_is_told_with_its_type_its_traceback_and_the_last_lines_of_the_log() -> None:
    from kernel import Context  # noqa: PLC0415, TC001 - the annotation of this job is read

    async def tells(ctx: Context) -> None:
        for number in range(12):
            ctx.log.info("line %d", number)
        try:
            raise ValueError("one failed")  # noqa: TRY301 - it is to have a traceback
        except ValueError as error:
            ctx.notify_error(error)

    async with running(tells) as flow:
        await flow.enqueue("demo.tells")
        await until(lambda: bool(flow.told(Notified)))

    [told] = flow.told(Notified)
    assert (told.error, told.traceback.splitlines()[-1]) == ("ValueError", "ValueError: one failed")
    assert [line.partition("info ")[2] for line in told.log] == [f"line {number}" for number in range(2, 12)]


async def test_what_a_job_in_a_thread_tells_is_told_on_the_loop() -> None:
    from kernel import Context  # noqa: PLC0415, TC001 - the annotation of this job is read

    def tells(ctx: Context) -> None:
        ctx.notify_info("done")

    threads = []
    async with running(tells) as flow:
        publish = flow.bus.publish

        def seen(event: Any) -> None:
            threads.append((type(event), threading.current_thread()))
            publish(event)

        flow.bus.publish = seen  # type: ignore[method-assign] # to see where it is called
        await flow.enqueue("demo.tells")
        await until(lambda: bool(flow.told(Notified)))

    assert [thread for kind, thread in threads if kind is Notified] == [threading.main_thread()]


async def test_told_to_hurry_a_stop_does_not_wait_for_an_attempt_that_will_not_end() -> None:
    swallowed, may_end = asyncio.Event(), asyncio.Event()

    async def deaf() -> None:
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                swallowed.set()

    async with running(deaf) as flow:
        await flow.enqueue("demo.deaf")
        await flow.clock.advance(1)
        stopping = asyncio.create_task(flow.engine.stop(600))
        await settle()

        flow.engine.hurry("a second signal")
        await flow.clock.advance(2)
        is_drained = await asyncio.wait_for(stopping, 5)
        may_end.set()

    assert swallowed.is_set()
    assert not is_drained
