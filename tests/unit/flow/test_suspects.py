"""Runs that were lost twice with their kernel: tried one at a time, and only once the kernel has been up for a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kernel import Cancel, Snooze
from kernel.contracts.store import Claim
from kernel.explain import Explainer
from kernel.model.announcement import describe_job
from kernel.model.errors import StoreError
from kernel.model.queue import Queue
from kernel.model.run import Change, RunState, iso
from kernel.testing import settle
from plugins.memory.store import MemoryStore
from tests.flow_kit import Flow, TroubledStore, running

if TYPE_CHECKING:
    from kernel.contracts.store import Store
    from kernel.model.run import Run


class Line:
    """A job whose runs begin and wait until they are told to end."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._turns: dict[str, asyncio.Future[Any]] = {}

    async def work(self, name: str = "") -> None:
        self.begun.append(name)
        self._turns[name] = asyncio.get_running_loop().create_future()
        await self._turns[name]

    async def end(self, name: str, error: Exception | None = None) -> None:
        turn = self._turns.pop(name)
        turn.set_exception(error) if error else turn.set_result(None)
        await settle()


async def lost(store: Store, *names: str, losses: int = 2) -> list[Run]:
    """Runs that other kernels have lost so often."""
    async with running(job(Line()), store=store) as before:
        await store.pause_queue("default", 1e12)
        await before.engine.watch.refresh()
        made = [await before.enqueue("demo.work", {"name": name}) for name in names]
    await store.pause_queue("default", None)
    claims = await store.claim(Claim("dead", before.clock.now(), len(names), {"demo.work": 100}, {}))
    again = [
        Change(run.id, run.token, RunState.QUEUED, run.due, run.urgency, run.attempt, run.failures, losses=losses)
        for run in claims.runs
    ]
    assert all((await store.finish(again)).written)
    return made


def job(line: Line) -> Any:
    async def work(name: str = "") -> None:
        await line.work(name)

    return work


async def begin(*names: str, store: Store | None = None) -> tuple[Flow, Line, list[Run]]:
    """A kernel that has just started on a store with suspects of these names."""
    store = store or MemoryStore()
    runs = await lost(store, *names)
    line = Line()
    flow = Flow([job(line)], store=store)
    await flow.start()
    return flow, line, runs


async def test_a_suspect_is_not_tried_before_the_kernel_has_been_up_for_ten_seconds() -> None:
    flow, line, _ = await begin("a")
    await flow.enqueue("demo.work", {"name": "other"})

    await flow.clock.advance(9.9)
    assert line.begun == ["other"]

    await flow.clock.advance(0.1)
    assert line.begun == ["other", "a"]
    await flow.stop()


async def test_suspects_are_tried_one_after_another() -> None:
    flow, line, _ = await begin("a", "b", "c")
    await flow.clock.advance(10)
    assert line.begun == ["a"]

    await line.end("a")
    assert line.begun == ["a", "b"]

    await line.end("b", ValueError("an attempt that ends is as good as any"))
    assert line.begun == ["a", "b", "c"]
    await flow.stop()


async def test_others_go_on_beside_a_suspect() -> None:
    flow, line, _ = await begin("a", "b")
    await flow.clock.advance(10)

    await flow.enqueue("demo.work", {"name": "other"})
    await flow.enqueue("demo.work", {"name": "another"})
    await line.end("other")

    assert line.begun == ["a", "other", "another"]
    await flow.stop()


async def test_an_attempt_that_ends_clears_a_suspect() -> None:
    flow, line, runs = await begin("a", "b")
    await flow.clock.advance(10)

    await line.end("a")
    await line.end("b", Snooze("1h"))

    assert [(await flow.run(run)).losses for run in runs] == [0, 0]
    await flow.clock.advance(3600)
    assert line.begun == ["a", "b", "b"]
    await flow.stop()


async def test_a_suspect_that_did_not_begin_stays_one_and_makes_room_for_the_next() -> None:
    flow, line, runs = await begin("a", "b")
    for number in range(10):
        await flow.enqueue("demo.work", {"name": f"filler-{number}"}, priority=0)
    await flow.clock.advance(10)
    assert (await flow.run(runs[0])).state == RunState.RUNNING
    assert "a" not in line.begun

    await flow.cancel(runs[0])
    assert [(await flow.run(run)).state for run in runs] == [RunState.CANCELLED, RunState.RUNNING]

    flow.engine.claimer.release(lambda run: run.id == runs[1].id, "for a test")
    await settle()
    found = await flow.run(runs[1])
    assert (found.losses, found.attempt) == (2, found.attempt)
    await line.end("filler-0", Cancel("enough"))
    assert line.begun[-1] == "b"
    await flow.stop()


async def test_a_suspect_whose_claim_was_answered_by_an_error_is_the_only_one_all_the_same() -> None:
    store = TroubledStore()
    flow, line, runs = await begin("a", "b", store=store)
    await flow.clock.advance(9)
    store.lying["claim"] = StoreError("the answer was lost")
    await flow.clock.advance(1)
    del store.lying["claim"]

    await flow.clock.advance(5)

    assert line.begun == ["a"]
    assert [(await flow.run(run)).state for run in runs] == [RunState.RUNNING, RunState.QUEUED]
    await line.end("a")
    assert line.begun == ["a", "b"]
    await flow.stop()


async def test_a_suspect_that_a_failing_store_did_not_give_is_tried_when_it_works_again() -> None:
    store = TroubledStore()
    flow, line, _ = await begin("a", store=store)
    await flow.clock.advance(9)
    store.failing["claim"] = StoreError("not now")
    await flow.clock.advance(1)
    del store.failing["claim"]

    await flow.clock.advance(0.5)

    assert line.begun == ["a"]
    await flow.stop()


async def reason(flow: Flow, run: Run) -> tuple[str, str]:
    jobs = [describe_job(one, Queue("default")) for one in flow.catalog.jobs.values()]
    answer = await Explainer(flow.store, flow.clock).run(await flow.run(run), jobs, {})
    return answer["reason"], answer["text"]


async def test_a_suspect_that_waits_says_for_what() -> None:
    flow, _, (first, second) = await begin("a", "b")
    why = "lost with its kernel twice; it is tried alone"
    at = iso(flow.clock.now() + 10)

    assert await reason(flow, first) == ("tried alone", f"{why} at {at}, when the kernel has been up for a while")

    await flow.clock.advance(10)
    assert await reason(flow, second) == ("tried alone", f"{why}, after {first.id}")
    await flow.stop()


async def test_a_run_that_was_lost_once_begins_at_once() -> None:
    store = MemoryStore()
    await lost(store, "a", "b", losses=1)
    line = Line()

    async with running(job(line), store=store):
        await settle()

        assert line.begun == ["a", "b"]
