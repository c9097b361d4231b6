"""The one door in: what is refused, and what the caller is told and given."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kernel import job
from kernel.contracts.store import RunQuery
from kernel.model.errors import PayloadError, RequestError, StoreFullError, UnknownNameError
from kernel.model.queue import Queue
from kernel.testing import settle
from tests.flow_kit import every, job_of, running


@job(name="process-car", queue="cars", priority=2, tags=["fleet"])
async def process_car(car_id: str, *, force: bool = False) -> str:
    return car_id


async def work() -> None: ...


async def test_the_answer_is_the_run_as_it_stands_in_the_store() -> None:
    async with running(process_car) as flow:
        run = await flow.engine.intake.enqueue("demo.process-car", {"car_id": "42"}, delay="1h")
        found = await flow.run(run)

    assert run == found._replace(is_new=True)
    assert (run.queue, run.priority, run.tags, run.payload) == ("cars", 2, ("fleet",), {"car_id": "42"})


async def test_an_unknown_job_is_refused_with_the_nearest_name() -> None:
    async with running(process_car) as flow:
        with pytest.raises(
            UnknownNameError, match=r"no job named 'demo\.proces-car'\. Did you mean \"demo\.process-car\"\?"
        ):
            await flow.engine.intake.enqueue("demo.proces-car")


@pytest.mark.parametrize("name", [process_car, None, 5, ["demo.process-car"]])
async def test_what_is_no_name_of_a_job_is_refused(name: Any) -> None:
    async with running(process_car) as flow:
        with pytest.raises(RequestError, match=r'is no name of a job: expected its full name, as "fleet\.process-car"'):
            await flow.engine.intake.enqueue(name)


async def test_a_job_whose_plugin_is_off_is_refused_with_the_reason() -> None:
    async with running(process_car) as flow:
        flow.catalog.remove("demo", "plugin demo is off")
        with pytest.raises(RequestError, match=r"demo\.process-car takes no runs: plugin demo is off"):
            await flow.engine.intake.enqueue("demo.process-car")


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ({}, ".car_id: is missing"),
        ({"car_id": 42}, ".car_id: 42; expected text"),
        ({"car_id": "1", "forse": True}, ".forse: is no parameter of the job"),
        ({"car_id": "\ud800"}, ".car_id: text with a lone surrogate"),
        ({"car_id": b"1"}, ".car_id: b'1' (bytes)"),
        ({"car_id": "x" * 70_000}, "bytes of JSON; expected at most 65,536 bytes"),
        (["1"], "expected an object"),
    ],
    ids=repr,
)
async def test_a_bad_payload_is_refused_with_its_path_and_nothing_is_written(payload: Any, told: str) -> None:
    async with running(process_car) as flow:
        with pytest.raises(PayloadError) as caught:
            await flow.engine.intake.enqueue("demo.process-car", payload)
        counts = await flow.store.count(RunQuery())

    assert told in str(caught.value)
    assert counts == {}


async def test_a_wrong_option_is_refused_and_nothing_is_written() -> None:
    async with running(work) as flow:
        with pytest.raises(RequestError, match=r"enqueue demo\.work: 11 is no priority"):
            await flow.engine.intake.enqueue("demo.work", priority=11)
        counts = await flow.store.count(RunQuery())

    assert counts == {}


# Unique


async def test_while_a_unique_run_is_unfinished_the_answer_is_that_run() -> None:
    async with running(process_car) as flow:
        first = await flow.engine.intake.enqueue("demo.process-car", {"car_id": "1"}, unique="car-1", delay="1h")
        second = await flow.engine.intake.enqueue("demo.process-car", {"car_id": "2"}, unique="car-1")
        other = await flow.engine.intake.enqueue("demo.process-car", {"car_id": "2"}, unique="car-2")
        counts = await flow.store.count(RunQuery())

    assert second == first._replace(is_new=False)
    assert (first.is_new, second.is_new, other.is_new) == (True, False, True)
    assert other.id != first.id
    assert sum(counts.values()) == 2


async def test_a_unique_key_is_free_when_its_run_has_ended() -> None:
    async with running(work) as flow:
        first = await flow.ended(await flow.enqueue(unique="key"))
        second = await flow.enqueue(unique="key")

    assert second.id != first.id


async def test_callers_that_ask_for_one_key_at_one_moment_get_one_run() -> None:
    async with running(work) as flow:
        wishes = [flow.engine.intake.enqueue("demo.work", unique="key", delay="1h") for _ in range(20)]
        runs = await asyncio.gather(*wishes)
        counts = await flow.store.count(RunQuery())

    assert len({run.id for run in runs}) == 1
    assert counts == {"scheduled": 1}


# Many


async def test_many_are_accepted_in_order() -> None:
    async with running(process_car, work) as flow:
        runs = await flow.engine.intake.enqueue_many(
            [("demo.process-car", {"car_id": "1"}), ("demo.work", None, {"priority": 0}), ("demo.work", {})]
        )

    assert [(run.job, run.priority) for run in runs] == [("demo.process-car", 2), ("demo.work", 0), ("demo.work", 5)]
    assert sorted(run.id for run in runs) == [run.id for run in runs]


async def test_of_many_all_are_refused_when_one_is_wrong() -> None:
    async with running(process_car) as flow:
        with pytest.raises(PayloadError):
            await flow.engine.intake.enqueue_many([("demo.process-car", {"car_id": "1"}), ("demo.process-car", {})])
        counts = await flow.store.count(RunQuery())

    assert counts == {}


async def test_of_many_all_are_refused_when_there_is_no_room_for_them() -> None:
    async with running(work, queues=[Queue("default", max_waiting=2)]) as flow:
        with pytest.raises(StoreFullError, match="queue default is full"):
            await flow.engine.intake.enqueue_many([("demo.work", None, {"delay": "1h"})] * 3)
        counts = await flow.store.count(RunQuery())

    assert counts == {}


@pytest.mark.parametrize(
    "request_", ["demo.work", ("demo.work",), (1, {}), ("demo.work", {}, []), None, ("a", {}, {}, 1)]
)
async def test_a_wish_of_another_shape_is_refused_with_what_was_expected(request_: Any) -> None:
    async with running(work) as flow:
        with pytest.raises(RequestError, match=r"expected \(job, payload\) or \(job, payload, options\)"):
            await flow.engine.intake.enqueue_many([request_])


async def test_the_loop_goes_on_while_many_are_prepared() -> None:
    turns: list[int] = []

    async def turn() -> None:
        while True:
            turns.append(len(turns))
            await asyncio.sleep(0)

    async with running(work) as flow:
        turning = asyncio.create_task(turn())
        before = len(turns)
        await flow.engine.intake.enqueue_many([("demo.work", None, {"delay": "1h"})] * 5000)
        meanwhile = len(turns) - before
        turning.cancel()

    assert meanwhile >= 10


# Schedules


async def test_a_schedule_is_triggered_beside_its_ticks_with_its_payload() -> None:
    schedule = every(3600, "demo.process-car", payload={"car_id": "7"})
    async with running(process_car, schedules=[schedule]) as flow:
        run = await flow.engine.intake.trigger(schedule)
        await settle()
        ended = await flow.ended(run)
        ticks = await flow.ticks("demo.process-car")

    assert (ended.result, ended.schedule, ended.tick_at) == ("7", "demo.process-car", None)
    assert ticks == []


async def test_a_schedule_whose_job_is_gone_is_not_triggered() -> None:
    async with running(job_of(work)) as flow:
        with pytest.raises(UnknownNameError, match="no job named"):
            await flow.engine.intake.trigger(every(60, "demo.gone"))
