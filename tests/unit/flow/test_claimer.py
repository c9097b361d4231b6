"""What is claimed when: the most urgent first, no more than can soon begin, and given back when it may not begin."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Retry
from kernel.contracts.store import Claim, Claims, RunQuery
from kernel.model.errors import StoreError
from kernel.model.events import RunExpired, RunReleased
from kernel.model.queue import Queue
from kernel.testing import settle
from plugins.memory.store import MemoryStore
from tests.flow_kit import Flow, TroubledStore, job_of, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kernel.model.job import Job


class Line:
    """A job whose runs begin one after another, each ended by ``next``."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._turns: list[asyncio.Event] = []
        self._is_open = False

    async def work(self, name: str = "") -> None:
        turn = asyncio.Event()
        self.begun.append(name)
        self._turns.append(turn)
        if not self._is_open:
            await turn.wait()

    async def next(self) -> None:
        self._turns.pop(0).set()
        await settle()

    def open(self) -> None:
        self._is_open = True
        for turn in self._turns:
            turn.set()


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    line = Line()
    yield line
    line.open()
    await settle()


async def enqueue(flow: Flow, *names: str, **options: Any) -> None:
    await flow.engine.intake.enqueue_many([("demo.work", {"name": name}, options) for name in names])
    await settle()


def job(line: Line, **policies: Any) -> Job:
    async def work(name: str = "") -> None:
        await line.work(name)

    return job_of(work, **policies)


@pytest.fixture
async def flow(line: Line) -> AsyncIterator[Flow]:
    """One slot, and so a window of one."""
    async with running(job(line), concurrency=1, store=TroubledStore()) as flow:
        yield flow
        line.open()


async def finish(flow: Flow, line: Line, count: int) -> list[str]:
    """The names in the order in which so many runs began."""
    for _ in range(count):
        await line.next()
    return line.begun


# Order


async def test_the_most_urgent_run_is_claimed_first(flow: Flow, line: Line) -> None:
    await flow.store.pause_queue("default", 1e12)
    await flow.engine.watch.refresh()
    for priority in (9, 0, 5):
        await enqueue(flow, f"p{priority}", priority=priority)

    await flow.store.pause_queue("default", None)
    await flow.engine.watch.refresh()
    await settle()

    assert await finish(flow, line, 3) == ["p0", "p5", "p9"]


async def test_an_urgent_newcomer_begins_next_though_others_were_claimed_before_it(flow: Flow, line: Line) -> None:
    await enqueue(flow, "first")
    await enqueue(flow, "a", "b", "c", priority=9)

    await enqueue(flow, "urgent", priority=0)

    assert await finish(flow, line, 5) == ["first", "urgent", "a", "b", "c"]


async def test_several_urgent_newcomers_all_begin_before_what_was_claimed_before_them(flow: Flow, line: Line) -> None:
    await enqueue(flow, "first")
    await flow.clock.advance(1)
    await enqueue(flow, *"abcdefgh", priority=9)

    await enqueue(flow, "x", "y", "z", priority=0)

    assert (await finish(flow, line, 5))[:5] == ["first", "x", "y", "z", "a"]


async def test_an_urgent_run_that_becomes_due_begins_next_though_others_were_claimed_before_it(
    flow: Flow, line: Line
) -> None:
    await enqueue(flow, "first")
    await flow.clock.advance(1)
    await enqueue(flow, *"abcdefgh", priority=9)
    await enqueue(flow, "urgent", priority=0, delay="2s")

    await flow.clock.advance(2)

    assert (await finish(flow, line, 3))[:3] == ["first", "urgent", "a"]


async def test_an_urgent_run_of_a_queue_that_is_resumed_begins_next(flow: Flow, line: Line) -> None:
    await flow.store.pause_queue("special", 1e12)
    await flow.engine.watch.refresh()
    await enqueue(flow, "first")
    await flow.clock.advance(1)
    await enqueue(flow, *"abcdefgh", priority=9)
    await enqueue(flow, "urgent", priority=0, queue="special")

    await flow.store.pause_queue("special", None)
    await flow.engine.watch.refresh()
    await settle()

    assert (await finish(flow, line, 3))[:3] == ["first", "urgent", "a"]


async def test_less_urgent_newcomers_stay_in_the_store(flow: Flow, line: Line) -> None:
    await enqueue(flow, "first")
    await flow.clock.advance(1)

    await enqueue(flow, *map(str, range(100)))
    counts = await flow.store.count(RunQuery())

    assert counts["queued"] >= 98


async def test_what_is_claimed_past_the_window_stays_bounded(flow: Flow, line: Line) -> None:
    await enqueue(flow, "first")
    await flow.clock.advance(1)
    await enqueue(flow, *map(str, range(50)), priority=9)

    for number in range(100):
        await enqueue(flow, f"urgent {number}", priority=0)
        await flow.clock.advance(0.3)

    assert len(flow.engine.ready) <= 4
    assert (await finish(flow, line, 3))[1:4] == ["urgent 0", "urgent 1", "urgent 2"]


async def test_equal_runs_begin_in_the_order_of_being_due(flow: Flow, line: Line) -> None:
    await enqueue(flow, "first")
    await enqueue(flow, "in 3 s", delay="3s")
    await enqueue(flow, "in 1 s", delay="1s")
    await enqueue(flow, "in 2 s", delay="2s")
    await flow.clock.advance(4)

    assert await finish(flow, line, 4) == ["first", "in 1 s", "in 2 s", "in 3 s"]


async def test_waiting_makes_a_run_more_urgent_than_a_fresh_one_of_the_next_priority(flow: Flow, line: Line) -> None:
    await enqueue(flow, "first")
    await enqueue(flow, "old 5", priority=5, queue="other")
    await flow.clock.advance(601)

    await enqueue(flow, "fresh 4", priority=4)

    assert await finish(flow, line, 3) == ["first", "old 5", "fresh 4"]


# Times


async def test_a_delayed_run_begins_at_its_instant_and_not_before(flow: Flow, line: Line) -> None:
    await enqueue(flow, "later", delay="10s")

    await flow.clock.advance(9.99)
    before = list(line.begun)
    await flow.clock.advance(0.01)

    assert (before, line.begun) == ([], ["later"])


async def test_a_delayed_run_does_not_wait_for_a_later_one_that_was_known_before(flow: Flow, line: Line) -> None:
    await enqueue(flow, "later", delay="3s")
    await enqueue(flow, "sooner", delay="1s")

    await flow.clock.advance(1)

    assert line.begun == ["sooner"]


async def test_a_retry_begins_at_its_instant_though_nothing_else_happens() -> None:
    began: list[float] = []

    async def work() -> None:
        began.append(kernel.clock.elapsed())
        raise ValueError("again")

    async with running(job_of(work, retry=Retry(attempts=3, base="1.5s", factor=1, jitter=0))) as kernel:
        await kernel.enqueue()
        await kernel.clock.advance(4)

    assert [later - began[0] for later in began] == pytest.approx([0, 1.5, 3.0])


async def test_what_has_expired_is_ended_within_five_seconds_though_no_run_can_begin(flow: Flow, line: Line) -> None:
    await enqueue(flow, "first")
    await enqueue(flow, *"abc")
    await flow.clock.advance(1)
    await enqueue(flow, *"defgh")
    await enqueue(flow, "impatient", expires="10s")

    await flow.clock.advance(15)

    assert len(flow.told(RunExpired)) == 1


async def test_delayed_runs_follow_the_wall_clock_when_it_is_set(flow: Flow, line: Line) -> None:
    await enqueue(flow, "later", delay="1h")

    flow.clock.step(3600)
    await flow.clock.advance(1)

    assert line.begun == ["later"]


# Giving back


async def test_a_queue_that_is_paused_gives_back_what_has_not_begun_and_goes_on_when_resumed(
    flow: Flow, line: Line
) -> None:
    await enqueue(flow, "first", "second", "third")
    await flow.store.pause_queue("default", 1e12)
    await flow.engine.watch.refresh()
    await settle()
    counts = await flow.store.count(RunQuery())
    begun = list(await finish(flow, line, 1))

    await flow.store.pause_queue("default", None)
    await flow.engine.watch.refresh()
    await settle()

    assert counts == {"running": 1, "queued": 2}
    assert begun == ["first"]
    assert await finish(flow, line, 2) == ["first", "second", "third"]
    assert {event.reason for event in flow.told(RunReleased)} == {"queue paused"}


async def test_a_pause_with_an_end_ends_by_itself(flow: Flow, line: Line) -> None:
    await flow.store.pause_queue("default", flow.clock.now() + 10)
    await flow.engine.watch.refresh()
    await enqueue(flow, "first")

    await flow.clock.advance(9.9)
    before = list(line.begun)
    await flow.clock.advance(0.1)

    assert (before, line.begun) == ([], ["first"])


async def test_other_queues_go_on_while_one_is_paused(flow: Flow, line: Line) -> None:
    await flow.store.pause_queue("default", 1e12)
    await flow.engine.watch.refresh()
    await enqueue(flow, "held")
    await enqueue(flow, "goes", queue="other", priority=9)

    assert line.begun == ["goes"]


async def test_nobody_claims_for_what_comes_into_a_paused_queue(
    flow: Flow, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims: list[Claim] = []
    claim = flow.store.claim

    async def noted(wanted: Claim) -> Claims:
        claims.append(wanted)
        return await claim(wanted)

    await flow.store.pause_queue("default", 1e12)
    await flow.engine.watch.refresh()
    await settle()
    monkeypatch.setattr(flow.store, "claim", noted)
    await enqueue(flow, "held")
    before = len(claims)
    await enqueue(flow, "goes", queue="other")

    assert before == 0
    assert line.begun == ["goes"]


async def test_a_pause_that_comes_while_a_claim_is_under_way_holds_for_what_it_brings(flow: Flow, line: Line) -> None:
    store = flow.store
    assert isinstance(store, TroubledStore)
    store.after["claim"] = asyncio.Event()
    await enqueue(flow, "first")

    await store.pause_queue("default", 1e12)
    await flow.engine.watch.refresh()
    store.after.pop("claim").set()
    await settle()

    assert line.begun == []
    assert await store.count(RunQuery()) == {"queued": 1}


async def test_a_cancellation_that_comes_while_a_claim_is_under_way_is_heeded(flow: Flow, line: Line) -> None:
    store = flow.store
    assert isinstance(store, TroubledStore)
    store.after["claim"] = asyncio.Event()
    run = await flow.enqueue("demo.work", {"name": "first"})

    await flow.cancel(run)
    store.after.pop("claim").set()
    await flow.clock.advance(1)
    found = await flow.run(run)

    assert (found.state, found.reason) == ("cancelled", "by hand")


async def test_stopping_waits_for_a_claim_under_way_and_gives_back_what_it_brings(flow: Flow, line: Line) -> None:
    store = flow.store
    assert isinstance(store, TroubledStore)
    store.after["claim"] = asyncio.Event()
    run = await flow.enqueue("demo.work", {"name": "first"})

    stopping = asyncio.create_task(flow.engine.stop(0))
    await settle()
    was_waiting = not stopping.done()
    store.after.pop("claim").set()
    await stopping
    found = await flow.run(run)

    assert was_waiting
    assert (found.state, found.attempt, line.begun) == ("queued", 0, [])


async def test_a_job_whose_plugin_went_off_while_a_claim_was_under_way_does_not_begin(flow: Flow, line: Line) -> None:
    store = flow.store
    assert isinstance(store, TroubledStore)
    store.after["claim"] = asyncio.Event()
    run = await flow.enqueue("demo.work", {"name": "first"})

    await flow.engine.drain_plugin("demo", 0)
    store.after.pop("claim").set()
    await settle()
    found = await flow.run(run)

    assert (found.state, found.attempt, line.begun) == ("queued", 0, [])


# Limits


async def test_a_kernel_claims_of_a_limited_lane_no_more_than_runs_at_once(line: Line) -> None:
    limited = job(line, concurrency=3)
    async with running(limited, concurrency=50, queues=[Queue("narrow", concurrency=2)]) as flow:
        await enqueue(flow, *map(str, range(20)))
        await enqueue(flow, *map(str, range(20)), queue="narrow")
        by_queue = [await flow.store.count(RunQuery(queue=name)) for name in ("default", "narrow")]
        begun = len(line.begun)
        line.open()

    assert by_queue == [{"running": 3, "queued": 17}, {"queued": 20}]
    assert begun == 3


async def test_runs_of_a_job_that_nobody_knows_stay_where_they_are(flow: Flow, line: Line) -> None:
    flow.catalog.add([job_of(_other)])
    run = await flow.enqueue("demo._other", delay="1s")
    flow.catalog.remove("demo", "off")
    flow.catalog.add([job(line)])
    await flow.clock.advance(20)

    assert (await flow.run(run)).state == "queued"
    assert (await flow.run(run)).attempt == 0


async def _other() -> None: ...


# Trouble


@pytest.mark.parametrize("error", [StoreError("locked"), OverflowError("a fault of the store's own")], ids=repr)
async def test_claiming_goes_on_after_the_store_has_failed(error: Exception, flow: Flow, line: Line) -> None:
    store = flow.store
    assert isinstance(store, TroubledStore)
    store.failing["claim"] = error
    await enqueue(flow, "first")
    await flow.clock.advance(30)
    before = list(line.begun)

    store.failing.clear()
    await flow.clock.advance(5)

    assert (before, line.begun) == ([], ["first"])


async def test_a_claim_that_was_given_up_and_is_carried_out_later_is_found_all_the_same() -> None:
    store = TroubledStore()
    begun = []

    async def work(name: str) -> None:
        begun.append(name)

    async with running(job_of(work), store=store) as flow:
        store.failing["claim"] = StoreError("no answer")
        await enqueue(flow, "first")
        given_up = Claim("kernel-1", flow.clock.now(), 1, {"demo.work": 1}, {})
        store.failing.clear()
        await flow.clock.advance(1)
        await enqueue(flow, "late", delay=5)
        await flow.clock.advance(4.9)
        flow.engine.claimer.pause({"default": math.inf})
        await flow.clock.advance(0.2)

        late = await MemoryStore.claim(store, given_up._replace(now=flow.clock.now()))
        flow.engine.claimer.pause({})
        await flow.clock.advance(10)
        unseen = list(begun)
        await flow.clock.advance(10)

    assert len(late.runs) == 1
    assert unseen == ["first"]
    assert begun == ["first", "late"]
