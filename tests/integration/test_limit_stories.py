"""Limits by key and rates: never more than they allow, nobody behind them waits, and explain says why."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from kernel.control import Control
from kernel.model.queue import Queue
from kernel.model.rate import RateLimit
from kernel.model.run import iso
from kernel.testing import settle
from tests.flow_kit import Flow, every, job_of, running

if TYPE_CHECKING:
    from kernel.model.job import Job


class Site:
    """Work that goes on until it is told to end; knows what goes on, and when each began."""

    def __init__(self) -> None:
        self.flow: Flow | None = None
        self.begun: list[tuple[str, float]] = []
        self.on: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self._gates: defaultdict[str, list[asyncio.Event]] = defaultdict(list)

    def job(self, *, at_once: bool = False, **policies: Any) -> Job:
        async def work(tenant: str = "main") -> None:
            now = self.flow.clock.now() if self.flow else 0.0
            self.begun.append((tenant, now))
            if not at_once:
                await self._go_on(tenant)

        return job_of(work, **policies)

    async def _go_on(self, tenant: str) -> None:
        gate = asyncio.Event()
        self._gates[tenant].append(gate)
        self.on[tenant] += 1
        self.most[tenant] = max(self.most[tenant], self.on[tenant])
        try:
            await gate.wait()
        finally:
            self.on[tenant] -= 1
            if gate in self._gates[tenant]:
                self._gates[tenant].remove(gate)

    async def end(self, tenant: str, count: int = 1) -> None:
        for _ in range(count):
            self._gates[tenant].pop(0).set()
        await settle()

    def tenants(self) -> list[str]:
        return [tenant for tenant, _ in self.begun]

    def most_within(self, seconds: float, tenant: str | None = None) -> int:
        """The most beginnings in any stretch of this length."""
        times = [at for name, at in self.begun if tenant in (None, name)]
        return max(sum(start <= at < start + seconds for at in times) for start in times)


@pytest.fixture
def site() -> Site:
    return Site()


async def enqueue(flow: Flow, tenant: str, count: int = 1, **options: Any) -> list[str]:
    wishes = [("demo.work", {"tenant": tenant}, options)] * count
    runs = await flow.engine.intake.enqueue_many(wishes)
    await settle()
    return [run.id for run in runs]


async def why(flow: Flow, run: str) -> dict[str, Any]:
    control = Control(
        store=flow.store,
        catalog=flow.catalog,
        intake=flow.engine.intake,
        recorder=flow.engine.recorder,
        clock=flow.clock,
        engine=flow.engine,
    )
    return await control.explain(subject=run)


# By key


async def test_no_more_runs_of_one_key_go_on_than_the_limit_and_those_behind_them_go_on(site: Site) -> None:
    async with running(site.job(concurrency=2, concurrency_by="tenant")) as flow:
        await enqueue(flow, "a", 5)
        await enqueue(flow, "b", 1)
        begun = site.tenants()
        states = Counter(str(run.state) for run in await flow.runs())
        await site.end("a")

    assert begun == ["a", "a", "b"]
    assert states == {"running": 3, "queued": 3}
    assert site.tenants() == ["a", "a", "b", "a"]
    assert site.most["a"] == 2


async def test_whatever_ends_a_run_lets_the_next_of_its_key_begin(site: Site) -> None:
    async with running(site.job(concurrency=1, concurrency_by="tenant")) as flow:
        runs = await enqueue(flow, "a", 3)
        await flow.engine.recorder.cancel([runs[0]], "not needed")
        await flow.engine.watch.refresh()
        await settle()
        second = await flow.run(runs[1])
        await site.end("a")
        third = await flow.run(runs[2])

    assert (second.state, third.state) == ("running", "running")
    assert (second.attempt, third.attempt) == (1, 1)


async def test_of_a_full_key_explain_names_the_runs_that_hold_it(site: Site) -> None:
    async with running(site.job(concurrency=2, concurrency_by="tenant")) as flow:
        await enqueue(flow, "b")
        runs = await enqueue(flow, "a", 3)
        answer = await why(flow, runs[2])
        other = await why(flow, runs[0])

    assert (answer["reason"], answer["until"]) == ("limit", None)
    assert answer["text"].startswith('the job demo.work runs at most 2 at once for tenant "a": held by ')
    assert sorted(answer["text"].rpartition("held by ")[2].split(", ")) == sorted(runs[:2])
    assert other["reason"] == "claimed by"


async def test_runs_of_a_schedule_are_limited_by_their_key_too(site: Site) -> None:
    schedules = [
        every(60, name=name, payload={"tenant": "a"} if name == "one" else {}, overlap="allow")
        for name in ("one", "two")
    ]
    job = site.job(concurrency=1, concurrency_by="tenant")
    async with running(job, schedules=schedules) as flow:
        await flow.clock.advance(181)
        begun = sorted(site.tenants())

    assert begun == ["a", "main"]


async def test_the_default_of_a_parameter_is_the_same_key_as_its_value(site: Site) -> None:
    async with running(site.job(concurrency=1, concurrency_by="tenant")) as flow:
        await flow.enqueue()
        await enqueue(flow, "main")

    assert site.tenants() == ["main"]


async def test_job_queue_and_kernel_limits_hold_beside_those_of_keys(site: Site) -> None:
    job = site.job(concurrency=2, concurrency_by="tenant")
    async with running(job, concurrency=6, queues=[Queue("default", concurrency=5)]) as flow:
        for tenant in "abcd":
            await enqueue(flow, tenant, 3)
        first = Counter(site.tenants())
        last = (await flow.runs())[-1]
        answer = await why(flow, last.id)

    assert sum(first.values()) == 5
    assert max(first.values()) == 2
    assert answer["text"].startswith("the queue default runs at most 5 at once: held by ")


# Rates


async def test_in_any_stretch_no_more_begin_than_the_rate_and_no_attempt_is_burned(site: Site) -> None:
    async with running(site.job(at_once=True, rate_limit="5/10s"), concurrency=100) as flow:
        site.flow = flow
        await enqueue(flow, "a", 20)
        begun = [len(site.begun)]
        for _ in range(60):
            await flow.clock.advance(1)
            begun.append(len(site.begun))
        runs = await flow.runs()

    assert begun[0] == 5
    assert begun[-1] == 20
    assert site.most_within(10) == 5
    assert {run.attempt for run in runs} == {1}


async def test_a_rate_of_a_queue_and_one_by_key_hold_back_no_other_runs(site: Site) -> None:
    by_key = site.job(at_once=True, rate_limit="2/1m", rate_limit_by="tenant")
    async with running(by_key, queues=[Queue("slow", rate_limit=RateLimit(1, "1m"))]) as flow:
        site.flow = flow
        await enqueue(flow, "a", 4)
        await enqueue(flow, "b", 1)
        await enqueue(flow, "c", 3, queue="slow")
        at_first = Counter(site.tenants())
        await flow.clock.advance(61.2)
        after_a_minute = Counter(site.tenants())

    assert at_first == {"a": 2, "b": 1, "c": 1}
    assert after_a_minute == {"a": 4, "b": 1, "c": 2}


async def test_a_retry_counts_as_a_beginning(site: Site) -> None:
    async def flaky() -> None:
        site.begun.append(("a", site.flow.clock.now() if site.flow else 0.0))
        raise ValueError("again")

    async with running(job_of(flaky, rate_limit="1/1m")) as flow:
        site.flow = flow
        await flow.enqueue("demo.flaky")
        for _ in range(40):
            await flow.clock.advance(5)

    assert len(site.begun) == 3
    assert site.most_within(60) == 1


async def test_explain_says_until_when_a_rate_holds_a_run_back(site: Site) -> None:
    job = site.job(at_once=True, rate_limit="2/1m", rate_limit_by="tenant")
    async with running(job, queues=[Queue("slow", rate_limit=RateLimit(1, "10s"))]) as flow:
        runs = await enqueue(flow, "a", 3)
        of_queue = await enqueue(flow, "b", 2, queue="slow")
        by_key, by_queue = await why(flow, runs[2]), await why(flow, of_queue[1])
        await flow.clock.advance(11)
        later = await flow.run(of_queue[1])

    assert by_key["reason"] == "rate limit"
    assert by_key["text"].startswith(
        'the job demo.work, for tenant "a", begins at most 2 runs in 1 m: the next may begin at '
    )
    assert by_key["text"].endswith(by_key["until"])
    assert by_queue["text"].startswith("the queue slow begins at most 1 run in 10 s")
    assert iso(flow.clock.now() - 1) <= by_queue["until"] <= str(iso(flow.clock.now()))
    assert later.state == "completed"


async def test_what_a_rate_lets_begin_waits_for_no_slot_so_that_it_does_not_come_in_a_burst_later(site: Site) -> None:
    rated = site.job(at_once=True, rate_limit="5/1m")
    hall = Site()

    async def long(tenant: str = "long") -> None:
        await hall._go_on(tenant)

    async with running(rated, job_of(long), concurrency=4) as flow:
        site.flow = flow
        await flow.engine.intake.enqueue_many([("demo.long", None, {"priority": 0})] * 8)
        await settle()
        await enqueue(flow, "a", 20)
        await flow.clock.advance(300)  # the kernel is full all along
        while_full = len(site.begun)
        await hall.end("long", 4)
        await hall.end("long", 4)
        for _ in range(300):
            await flow.clock.advance(1)

    assert while_full == 0
    assert len(site.begun) == 20
    assert site.most_within(60) <= 6  # one may be held for the next slot


async def test_more_urgent_runs_do_not_take_the_slots_of_what_a_rate_has_let_begin(site: Site) -> None:
    rated = site.job(at_once=True, rate_limit="5/1m")
    hall = Site()

    async def long(tenant: str = "long") -> None:
        await hall._go_on(tenant)

    async with running(rated, job_of(long), concurrency=10) as flow:
        site.flow = flow
        await flow.store.pause_queue("default", 1e12)
        await flow.engine.watch.refresh()
        await flow.engine.intake.enqueue_many([("demo.long", None, {"priority": 0})] * 10)
        await enqueue(flow, "a", 20)
        await flow.store.pause_queue("default", None)
        await flow.engine.watch.refresh()
        await settle()
        await flow.clock.advance(120)
        while_full = len(site.begun)
        await hall.end("long", 10)
        for _ in range(240):
            await flow.clock.advance(1)

    assert while_full == 0
    assert len(site.begun) == 20
    assert site.most_within(60) <= 6


async def test_what_a_rate_does_not_hold_back_goes_on_though_there_are_more_than_slots(site: Site) -> None:
    async with running(site.job(at_once=True, rate_limit="1000/1m"), concurrency=4) as flow:
        site.flow = flow
        await enqueue(flow, "a", 50)
        for _ in range(50):
            await flow.clock.advance(0.0)

    assert len(site.begun) == 50


async def test_beside_a_rate_other_runs_are_claimed_ahead_all_the_same(site: Site) -> None:
    hall = Site()

    async def long(tenant: str = "long") -> None:
        await hall._go_on(tenant)

    async with running(site.job(rate_limit="5/1m"), job_of(long), concurrency=10) as flow:
        await flow.engine.intake.enqueue_many([("demo.long", None)] * 15)
        await settle()
        held = len(flow.engine.ready)

    assert held == 5


async def test_an_urgent_run_with_a_rate_takes_the_next_slots_of_a_full_kernel(site: Site) -> None:
    hall = Site()
    order: list[str] = []

    async def long(tenant: str = "long") -> None:
        order.append("long")
        await hall._go_on(tenant)

    async def urgent() -> None:
        order.append("urgent")
        await hall._go_on("long")

    async with running(job_of(long), job_of(urgent, priority=0, rate_limit="100/1m"), concurrency=2) as flow:
        await flow.engine.intake.enqueue_many([("demo.long", None)] * 10)
        await settle()
        await flow.engine.intake.enqueue_many([("demo.urgent", None)] * 4)
        await settle()
        for _ in range(6):
            await hall.end("long")
        begun = list(order)

    assert begun == ["long", "long", *["urgent"] * 4, "long", "long"]
    assert site.begun == []


async def test_a_new_limit_in_the_configuration_holds_for_what_waits(site: Site) -> None:
    async with running(site.job(at_once=True), concurrency=5) as flow:
        await flow.store.pause_queue("default", 1e12)
        await flow.engine.watch.refresh()
        await enqueue(flow, "a", 10)
        flow.catalog.set_queues([Queue("default", rate_limit=RateLimit(3, "1m"))])
        await flow.store.pause_queue("default", None)
        await flow.engine.watch.refresh()
        await settle()

    assert len(site.begun) == 3
