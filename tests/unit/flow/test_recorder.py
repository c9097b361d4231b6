"""What is written when: batches of many callers, outcomes that wait for the store, and what is told of it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import TYPE_CHECKING, Any

import pytest

from kernel.contracts.store import Claim, Finishes, RunQuery
from kernel.flow.gatherer import Gatherer
from kernel.model.errors import RequestError, StoreError, StoreFullError
from kernel.model.events import (
    OutcomeRefused,
    RunCancelled,
    RunCompleted,
    RunExpired,
    RunQueued,
    RunStarted,
    StoreRecovered,
    StoreTroubled,
)
from kernel.model.queue import Queue
from kernel.testing import settle
from tests.flow_kit import TroubledStore, job_of, running

if TYPE_CHECKING:
    from kernel.model.run import Run

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")
DOWN = StoreError("disk is full")


async def work() -> str:
    return "done"


async def fails() -> None:
    raise ValueError("boom")


class Writer:
    """Writes numbers, one batch at a time, when it is told to; answers with ten times the number."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.goes_on = asyncio.Event()
        self.refuses: dict[int, Exception] = {}
        self.colours: list[str] = []

    async def write(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.colours.append(colour.get())
        await self.goes_on.wait()
        for item in items:
            if item in self.refuses:
                raise self.refuses[item]
        return [item * 10 for item in items]


@pytest.fixture
def writer() -> Writer:
    return Writer()


# Joining


async def test_one_caller_alone_waits_for_nobody(writer: Writer) -> None:
    gatherer = Gatherer(writer.write)

    future = gatherer.put([1, 2])
    await settle()
    begun = list(writer.batches)
    writer.goes_on.set()

    assert await future == [10, 20]
    assert begun == [[1, 2]]


async def test_whoever_comes_while_a_batch_is_written_joins_the_next(writer: Writer) -> None:
    gatherer = Gatherer(writer.write)
    futures = [gatherer.put([1])]
    await settle()

    futures += [gatherer.put([2, 3]), gatherer.put([]), gatherer.put([4])]
    writer.goes_on.set()
    answers = await asyncio.gather(*futures)

    assert writer.batches == [[1], [2, 3, 4]]
    assert answers == [[10], [20, 30], [], [40]]


async def test_a_batch_is_no_larger_than_two_thousand_but_for_what_comes_together(writer: Writer) -> None:
    gatherer = Gatherer(writer.write)
    writer.goes_on.set()

    futures = [gatherer.put([0] * size) for size in (1500, 500, 1, 5000, 1)]
    await asyncio.gather(*futures)

    assert [len(batch) for batch in writer.batches] == [2000, 1, 5000, 1]


async def test_a_caller_whose_queue_is_full_is_the_only_one_to_fail(writer: Writer) -> None:
    gatherer = Gatherer(writer.write)
    writer.refuses[2] = StoreFullError("queue cars is full")
    writer.goes_on.set()

    answers = await asyncio.gather(*(gatherer.put([item]) for item in (1, 2, 3)), return_exceptions=True)

    assert [answers[0], answers[2]] == [[10], [30]]
    assert isinstance(answers[1], StoreFullError)


async def test_a_caller_whose_wish_is_wrong_is_the_only_one_to_fail_however_many_there_are(writer: Writer) -> None:
    gatherer = Gatherer(writer.write)
    writer.refuses[700] = RequestError("no run named 'x'")
    writer.goes_on.set()

    answers = await asyncio.gather(*(gatherer.put([item]) for item in range(1000)), return_exceptions=True)

    assert [at for at, answer in enumerate(answers) if isinstance(answer, RequestError)] == [700]
    assert [answer for answer in answers if not isinstance(answer, RequestError)] == [
        [item * 10] for item in range(1000) if item != 700
    ]
    assert len(writer.batches) < 30  # halves, not one by one


async def test_any_other_error_is_that_of_the_whole_batch_and_the_next_one_is_written(writer: Writer) -> None:
    gatherer = Gatherer(writer.write)
    writer.refuses[2] = StoreError("gone")
    writer.goes_on.set()

    answers = await asyncio.gather(*(gatherer.put([item]) for item in (1, 2)), return_exceptions=True)
    later = await gatherer.put([3])

    assert [type(answer) for answer in answers] == [StoreError, StoreError]
    assert later == [30]


async def test_a_caller_that_gives_up_before_its_batch_begins_is_withdrawn(writer: Writer) -> None:
    gatherer = Gatherer(writer.write)
    first = gatherer.put([1])
    await settle()
    second, third = gatherer.put([2]), gatherer.put([3])

    second.cancel()
    writer.goes_on.set()
    await asyncio.wait({first, third})

    assert writer.batches == [[1], [3]]


async def test_a_caller_that_gives_up_while_its_batch_is_written_disturbs_nobody(writer: Writer) -> None:
    gatherer = Gatherer(writer.write)
    first, second = gatherer.put([1]), gatherer.put([2])
    await settle()

    first.cancel()
    writer.goes_on.set()

    assert await second == [20]
    assert writer.batches == [[1, 2]]


async def test_a_batch_is_not_written_with_the_context_variables_of_its_first_caller(writer: Writer) -> None:
    gatherer = Gatherer(writer.write)
    writer.goes_on.set()

    async def in_blue() -> None:
        colour.set("blue")
        await gatherer.put([1])

    await asyncio.create_task(in_blue())

    assert writer.colours == ["none"]


# Enqueue


async def test_many_callers_share_few_writes() -> None:
    store = TroubledStore()
    async with running(work, store=store) as flow:
        runs = await asyncio.gather(*(flow.engine.intake.enqueue("demo.work") for _ in range(50)))
        writes = store.calls.count("enqueue")
        await flow.ended(runs[-1])

    assert len({run.id for run in runs}) == 50
    assert writes == 1


async def test_a_full_queue_is_an_error_for_its_own_callers_alone() -> None:
    async with running(work, queues=[Queue("cars", max_waiting=1)]) as flow:
        wishes = [flow.engine.intake.enqueue("demo.work", queue=name, delay="1h") for name in ("cars", "cars", "other")]
        answers = await asyncio.gather(*wishes, return_exceptions=True)
        counts = await flow.store.count(RunQuery())

    assert [type(answer).__name__ for answer in answers] == ["Run", "StoreFullError", "Run"]
    assert "queue cars is full" in str(answers[1])
    assert counts == {"scheduled": 2}


async def test_an_enqueue_that_is_cancelled_before_its_batch_begins_leaves_nothing() -> None:
    store = TroubledStore()
    store.before["enqueue"] = asyncio.Event()
    async with running(work, store=store) as flow:
        first = asyncio.create_task(flow.engine.intake.enqueue("demo.work"))
        await settle()
        second = asyncio.create_task(flow.engine.intake.enqueue("demo.work"))
        await settle()
        second.cancel()
        store.before["enqueue"].set()
        await asyncio.wait({first, second})
        runs = await flow.runs()

    assert [run.id for run in runs] == [first.result().id]
    assert second.cancelled()


async def test_a_failed_enqueue_is_the_callers_error_and_leaves_nothing() -> None:
    store = TroubledStore()
    store.failing["enqueue"] = DOWN
    async with running(work, store=store) as flow:
        with pytest.raises(StoreError, match="disk is full"):
            await flow.enqueue()
        del store.failing["enqueue"]
        run = await flow.enqueue()
        runs = await flow.runs()

    assert [found.id for found in runs] == [run.id]
    assert [event.run for event in flow.told(RunQueued)] == [run.id]


# Outcomes


async def test_an_outcome_waits_in_memory_while_the_store_is_down_and_is_written_once() -> None:
    store = TroubledStore()
    store.failing["finish"] = DOWN
    executed: list[int] = []

    async def counts() -> str:
        executed.append(1)
        return "done"

    async with running(counts, store=store) as flow:
        run = await flow.enqueue("demo.counts")
        await flow.clock.advance(60)
        meanwhile = (await flow.run(run)).state, flow.engine.recorder.unwritten, bool(flow.engine.recorder.trouble)
        del store.failing["finish"]
        await flow.clock.advance(5)
        after = await flow.run(run)

    assert meanwhile == ("running", 1, True)
    assert (after.state, after.result) == ("completed", "done")
    assert executed == [1]
    assert [event.run for event in flow.told(RunCompleted)] == [run.id]


async def test_trouble_and_recovery_of_the_store_are_told_once_each(caplog: pytest.LogCaptureFixture) -> None:
    store = TroubledStore()
    async with running(work, store=store) as flow:
        for call in ("claim", "finish", "signals", "beat"):
            store.failing[call] = DOWN
        await flow.enqueue()
        await flow.clock.advance(60)
        store.failing.clear()
        await flow.clock.advance(10)
        is_troubled = bool(flow.engine.recorder.trouble)

    assert not is_troubled
    [troubled], [recovered] = flow.told(StoreTroubled), flow.told(StoreRecovered)
    assert troubled.problem == "disk is full"
    assert recovered.seconds == pytest.approx(60, abs=6)
    assert sum(record.levelno >= logging.WARNING for record in caplog.records) == 2


@pytest.mark.parametrize("call", ["claim", "signals", "beat"])
async def test_trouble_that_was_not_with_outcomes_ends_too(call: str) -> None:
    store = TroubledStore()
    async with running(work, store=store) as flow:
        store.failing[call] = DOWN
        flow.engine.watch._changed.set()
        await flow.clock.advance(10)
        meanwhile = bool(flow.engine.recorder.trouble)
        store.failing.clear()
        await flow.clock.advance(10)
        after = bool(flow.engine.recorder.trouble)

    assert (meanwhile, after) == (True, False)


async def test_nothing_new_begins_while_outcomes_cannot_be_written() -> None:
    store = TroubledStore()
    async with running(work, store=store, concurrency=1) as flow:
        store.failing["finish"] = DOWN
        await flow.engine.intake.enqueue_many([("demo.work", None)] * 50)
        await flow.clock.advance(60)
        meanwhile = flow.engine.recorder.unwritten
        store.failing.clear()
        while flow.engine.recorder.trouble.holds_up:
            await flow.clock.advance(0.1)
        await settle(2000)
        counts = await flow.store.count(RunQuery())

    assert meanwhile <= 4
    assert counts == {"completed": 50}


async def test_an_outcome_that_was_written_though_the_store_said_no_is_told_as_what_it_is() -> None:
    store = TroubledStore()
    store.lying["finish"] = StoreError("connection lost")
    async with running(work, store=store) as flow:
        run = await flow.enqueue()
        store.lying.clear()
        await flow.clock.advance(1)

    assert [event.run for event in flow.told(RunCompleted)] == [run.id]
    assert flow.told(OutcomeRefused) == []


async def test_an_outcome_that_the_store_cannot_take_at_all_does_not_hold_up_the_others() -> None:
    class Picky(TroubledStore):
        async def finish(self, changes: Any) -> Finishes:
            if any(change.error is not None for change in changes):
                raise OverflowError("no such value")
            done: Finishes = await super().finish(changes)
            return done

    async with running(work, job_of(fails, retry=1), store=Picky()) as flow:
        runs = await asyncio.gather(*(flow.engine.intake.enqueue(f"demo.{name}") for name in ("work", "fails", "work")))
        await settle()
        states = await flow.states(runs)

    assert states == ["completed", "running", "completed"]


async def test_a_stale_outcome_changes_nothing_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    gate = asyncio.Event()

    async def waits() -> str:
        await gate.wait()
        return "too late"

    async with running(waits) as flow:
        run = await flow.enqueue("demo.waits")
        await _claim_for_another_kernel(flow.store, flow.name)
        gate.set()
        await settle()
        found = await flow.run(run)

    assert (found.state, found.result, found.kernel) == ("running", None, "other")
    [event] = flow.told(OutcomeRefused)
    assert (event.run, event.state) == (run.id, "completed")
    assert "came too late and was refused" in caplog.text
    assert flow.told(RunCompleted) == []


async def test_a_stale_outcome_that_could_not_be_written_at_first_is_told_as_what_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = TroubledStore()
    gate = asyncio.Event()

    async def waits() -> None:
        await gate.wait()

    async with running(waits, store=store) as flow:
        run = await flow.enqueue("demo.waits")
        store.failing["finish"] = StoreError("away")
        gate.set()
        await settle()
        await _claim_for_another_kernel(flow.store, flow.name)
        store.failing.clear()
        await flow.clock.advance(1)
        found = await flow.run(run)

    assert (found.state, found.kernel) == ("running", "other")
    assert [event.run for event in flow.told(OutcomeRefused)] == [run.id]
    assert flow.told(RunCompleted) == []
    assert "came too late and was refused" in caplog.text


async def test_many_stale_outcomes_are_a_page_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    gate = asyncio.Event()

    async def waits() -> None:
        await gate.wait()

    async with running(waits, concurrency=50) as flow:
        await flow.engine.intake.enqueue_many([("demo.waits", None)] * 50)
        await settle()
        await _claim_for_another_kernel(flow.store, flow.name, 50)
        gate.set()
        await settle()

    said = [record.getMessage() for record in caplog.records]
    assert len(flow.told(OutcomeRefused)) == 50
    assert len([line for line in said if "came too late and was refused" in line]) == 20
    assert said[-1] == "and so for the outcomes of 30 more runs"


async def _claim_for_another_kernel(store: Any, kernel: str, count: int = 10) -> None:
    await store.release(kernel)
    await store.claim(Claim("other", 2e9, count, {"demo.waits": count}, {}))


async def test_what_could_not_be_written_at_the_end_is_said_and_stopping_ends(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel.flow.engine.WRITE_SECONDS", 0.05)
    store = TroubledStore()
    store.failing["finish"] = DOWN
    async with running(work, store=store) as flow:
        await flow.enqueue()
        await flow.stop()
        store.failing.clear()
        await flow.clock.advance(60)
        runs = await flow.runs()

    assert "1 outcome could not be written; what had ended will be run again" in caplog.text
    assert [run.state for run in runs] == ["running"]


# Telling


async def test_the_life_of_a_run_is_told_in_order() -> None:
    async with running(work) as flow:
        run = await flow.enqueue()

    kinds = [type(event) for event in flow.events if getattr(event, "run", None) == run.id]
    assert sorted(kinds, key=lambda kind: kind.__name__) == [RunCompleted, RunQueued, RunStarted]
    assert kinds.index(RunStarted) < kinds.index(RunCompleted)


async def test_a_run_that_expires_is_told_and_who_waits_for_it_learns_it() -> None:
    async with running(work) as flow:
        flow.catalog.remove("demo", "off")
        flow.catalog.add([job_of(work, plugin="demo", concurrency=1)])
        await flow.store.pause_queue("default", 1e12)
        await flow.engine.watch.refresh()
        run = await flow.enqueue(expires="10s")
        waiting = asyncio.create_task(flow.engine.recorder.endings.wait(run.id, None))
        await flow.clock.advance(15)
        found = await asyncio.wait_for(waiting, 5)

    assert found is not None
    assert found.state == "expired"
    assert [event.run for event in flow.told(RunExpired)] == [run.id]


async def test_waiting_ends_when_the_run_has_ended() -> None:
    gate = asyncio.Event()

    async def waits() -> str:
        await gate.wait()
        return "let go"

    async with running(waits) as flow:
        run = await flow.enqueue("demo.waits")
        waiting = asyncio.create_task(flow.engine.recorder.endings.wait(run.id, 60))
        await settle()
        before = waiting.done()
        gate.set()
        found = await asyncio.wait_for(waiting, 5)

    assert not before
    assert found is not None
    assert found.result == "let go"


async def test_waiting_gives_the_run_as_it_stands_when_the_time_is_over() -> None:
    async with running(work) as flow:
        run = await flow.enqueue(delay="1h")
        waiting = asyncio.create_task(flow.engine.recorder.endings.wait(run.id, 10))
        await flow.clock.advance(9.9)
        before = waiting.done()
        await flow.clock.advance(0.2)
        found = await asyncio.wait_for(waiting, 5)

    assert not before
    assert found is not None
    assert found.state == "scheduled"


async def test_waiting_for_a_run_that_there_is_not_gives_none() -> None:
    async with running(work) as flow:
        assert await flow.engine.recorder.endings.wait("nothing", 10) is None


async def test_nobody_is_remembered_who_waits_no_more() -> None:
    async with running(work) as flow:
        run = await flow.enqueue(delay="1h")
        waiting = asyncio.create_task(flow.engine.recorder.endings.wait(run.id, None))
        await settle()
        waiting.cancel()
        await asyncio.wait({waiting})
        watched = dict(flow.engine.recorder.endings._watchers)

    assert watched == {}


# Every call of the store fails once


async def test_an_error_at_any_one_call_of_the_store_loses_and_doubles_nothing() -> None:
    calls = await _a_day_with_an_error_at(-1)
    assert len(calls) > 20

    for number in range(len(calls)):
        await _a_day_with_an_error_at(number)


async def test_an_error_of_any_one_call_that_was_carried_out_all_the_same_loses_and_doubles_nothing() -> None:
    calls = await _a_day_with_an_error_at(-1)

    for number, call in enumerate(calls):
        if call != "enqueue":  # of that the caller is told, and may ask for it twice
            await _a_day_with_an_error_at(number, is_carried_out=True)


async def _a_day_with_an_error_at(number: int, *, is_carried_out: bool = False) -> list[str]:
    """Plain, delayed, failing and cancelled runs, with the call of this number failing; which calls there were."""
    executed: dict[str, int] = {}

    async def once(name: str) -> str:
        executed[name] = executed.get(name, 0) + 1
        return name

    async def twice() -> None:
        executed["twice"] = executed.get("twice", 0) + 1
        if executed["twice"] == 1:
            raise ValueError("first")

    store = TroubledStore()
    async with running(once, job_of(twice, retry={"base": 1.0, "jitter": 0}), store=store) as flow:
        store.calls.clear()
        store.fail_at = (number, StoreError("I/O error"), is_carried_out)
        wishes: list[tuple[str, Any, dict[str, Any]]] = [
            ("demo.once", {"name": "plain"}, {}),
            ("demo.once", {"name": "later"}, {"delay": "2s"}),
            ("demo.twice", None, {}),
            ("demo.once", {"name": "cancelled"}, {"delay": "1h"}),
        ]
        accepted: list[Run] = []
        for job, payload, options in wishes:
            try:
                accepted.append(await flow.engine.intake.enqueue(job, payload, **options))
            except StoreError:
                accepted.append(await flow.engine.intake.enqueue(job, payload, **options))
        for _ in range(2):
            try:
                await flow.engine.recorder.cancel([accepted[-1].id], "by hand")
                await flow.engine.watch.refresh()
            except StoreError:
                continue
            break
        await flow.clock.advance(20)
        calls = list(store.calls)
        await flow.clock.advance(10)
        states = await flow.states(accepted)
        counts = await flow.store.count(RunQuery())
        is_troubled = bool(flow.engine.recorder.trouble)

    assert (number, states) == (number, ["completed", "completed", "completed", "cancelled"])
    assert (number, executed) == (number, {"plain": 1, "later": 1, "twice": 2})
    assert (number, counts) == (number, {"completed": 3, "cancelled": 1})
    assert (number, is_troubled) == (number, False)
    if not is_carried_out:  # otherwise the caller was told an error, and may ask again
        assert {event.run for event in flow.told(RunCancelled)} == {accepted[-1].id}
    return calls
