"""One run stands for another: kept, replaced, debounced, and who is told what."""

from __future__ import annotations

import asyncio

from kernel import Unique
from kernel.contracts.store import RunQuery
from kernel.model.events import RunQueued
from tests.flow_kit import every, job_of, running

seen: list[str] = []


async def work(car_id: str = "") -> str:
    seen.append(car_id)
    return car_id


async def waits(gate: str = "") -> None:
    await asyncio.Event().wait()


async def test_fifty_that_come_at_once_make_one_run_and_one_of_them_is_told_that_it_is_new() -> None:
    async with running(job_of(work, unique=Unique(by="car_id"))) as flow:
        wishes = [flow.engine.intake.enqueue("demo.work", {"car_id": "1"}, delay="1h") for _ in range(50)]
        runs = await asyncio.gather(*wishes)
        counts = await flow.store.count(RunQuery())

    assert len({run.id for run in runs}) == 1
    assert [run.is_new for run in runs].count(True) == 1
    assert counts == {"scheduled": 1}
    assert len(flow.told(RunQueued)) == 1


async def test_within_its_period_a_run_that_has_ended_is_the_answer_too() -> None:
    async with running(job_of(work, unique=Unique("one", within="10m"))) as flow:
        first = await flow.ended(await flow.enqueue())
        await flow.clock.advance(599)
        second = await flow.enqueue()
        await flow.clock.advance(2)
        third = await flow.enqueue()

    assert (second.id, second.is_new, second.state) == (first.id, False, "completed")
    assert (third.id != first.id, third.is_new) == (True, True)


async def test_the_period_ends_when_the_run_is_cancelled() -> None:
    async with running(job_of(work, unique=Unique("one", within="10m"))) as flow:
        first = await flow.enqueue(delay="1m")
        await flow.cancel(first)
        second = await flow.enqueue()

    assert second.is_new


async def test_a_waiting_run_is_replaced_by_the_newcomer_and_keeps_its_id() -> None:
    async with running(job_of(work, unique=Unique("one", on_conflict="replace"))) as flow:
        first = await flow.enqueue(payload={"car_id": "1"}, delay="1h", tags=["old"])
        second = await flow.enqueue(payload={"car_id": "2"}, delay="1m", priority=0, queue="fast", tags=["new"])
        await flow.clock.advance(61)
        ended = await flow.ended(first)

    assert (second.id, second.is_new) == (first.id, False)
    assert (ended.result, ended.priority, ended.queue, ended.tags) == ("2", 0, "fast", ("new",))


async def test_a_replaced_run_that_is_due_now_begins_now() -> None:
    async with running(job_of(work, unique=Unique("one", on_conflict="replace"))) as flow:
        first = await flow.enqueue(payload={"car_id": "1"}, delay="1h")
        await flow.enqueue(payload={"car_id": "2"})
        ended = await flow.ended(first)

    assert ended.result == "2"


async def test_a_running_run_is_answered_as_it_is_and_not_replaced() -> None:
    async with running(job_of(waits, unique=Unique("one", on_conflict="replace"))) as flow:
        first = await flow.until_state(await flow.enqueue("demo.waits", {"gate": "a"}), "running")
        second = await flow.enqueue("demo.waits", {"gate": "b"})

    assert (second.id, second.state, second.payload) == (first.id, "running", {"gate": "a"})


async def test_a_debounced_run_begins_when_nothing_has_come_for_the_quiet_time() -> None:
    seen.clear()
    async with running(job_of(work, unique=Unique("one", within="10s", on_conflict="debounce"))) as flow:
        first = await flow.enqueue(payload={"car_id": "0"})
        for number in range(1, 5):
            await flow.clock.advance(9)
            await flow.enqueue(payload={"car_id": str(number)})
        await flow.clock.advance(9.9)
        before = list(seen)
        await flow.clock.advance(0.2)
        ended = await flow.ended(first)

    assert before == []
    assert seen == ["4"]
    assert ended.result == "4"


async def test_ticks_and_triggers_are_not_held_back_by_a_unique_key() -> None:
    schedule = every(60, payload={"car_id": "1"}, overlap="allow")
    async with running(job_of(work, unique=Unique("one", within="1h")), schedules=[schedule]) as flow:
        await flow.enqueue()
        await flow.clock.advance(121)
        triggered = await flow.engine.intake.trigger(schedule)
        runs = await flow.runs()

    assert triggered.is_new
    assert len(runs) == 4


async def test_a_retry_against_a_live_key_is_refused_with_the_run_that_has_it() -> None:
    async with running(work) as flow:
        first = await flow.enqueue(unique="one", delay="1h")
        await flow.cancel(first)
        second = await flow.enqueue(unique="one", delay="1h")
        [ended] = await flow.engine.recorder.retry([first.id])

    assert (ended.after, ended.held_by) == ("cancelled", second.id)
