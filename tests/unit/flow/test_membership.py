"""Kernels that share a store: one's own lease, what others leave behind when they die, and the clock by which all go."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from kernel.contracts.store import Claim, KernelRow
from kernel.health import judge_health
from kernel.model.errors import StoreError
from kernel.model.events import (
    ClockStepped,
    OutcomeRefused,
    RunCancelled,
    RunCompleted,
    RunLost,
    RunReleased,
    RunStarted,
    RunStuck,
    StoreRecovered,
    StoreTroubled,
)
from kernel.model.loss import Machine
from kernel.testing import settle
from tests.flow_kit import Flow, SharedStore, TroubledStore, every, job_of, running

if TYPE_CHECKING:
    from kernel.model.job import Job
    from kernel.model.run import Run

OTHER = KernelRow("kernel-2", 2, "host", "boot", 0.0, 0.0, "")


class Work:
    """Attempts that go on until they are let go. An obstinate one does not heed its cancellation."""

    def __init__(self, *, is_obstinate: bool = False) -> None:
        self.began = 0
        self.told: list[str | None] = []
        self.let_go = asyncio.Event()
        self._is_obstinate = is_obstinate

    def job(self, **policies: Any) -> Job:
        async def work(ctx: Any) -> None:
            self.began += 1
            while not self.let_go.is_set():
                try:
                    await self.let_go.wait()
                except asyncio.CancelledError:
                    self.told.append(ctx.cancelled)
                    if not self._is_obstinate:
                        raise

        return job_of(work, **policies)


async def quick() -> None: ...


@pytest.fixture
def store() -> SharedStore:
    return SharedStore()


@pytest.fixture
def work() -> Work:
    return Work()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def fill(flow: Flow, count: int, job: str = "demo.work") -> list[str]:
    """So many runs are enqueued; their ids."""
    runs = await flow.engine.intake.enqueue_many([(job, {})] * count)
    await settle()
    return [run.id for run in runs]


async def held_by_other(store: SharedStore, count: int = 2) -> list[str]:
    """Runs that the other kernel has claimed."""
    flow = Flow([quick], store=store, name=OTHER.id)
    ids = await fill(flow, count, "demo.quick")
    claim = Claim(OTHER.id, flow.clock.now(), count, {"demo.quick": count}, {})
    assert len((await store.claim(claim)).runs) == count
    return ids


# What others leave behind


async def test_what_another_kernel_had_claimed_that_died_runs_again_within_ten_seconds(
    store: SharedStore, caplog: pytest.LogCaptureFixture
) -> None:
    ids = await held_by_other(store)
    async with running(quick, store=store) as flow:
        store.dead[OTHER.id] = OTHER
        await flow.clock.advance(9.9)
        early = await flow.states(await flow.runs())
        await flow.clock.advance(0.2)
        runs = await flow.runs()

    assert early == ["running", "running"]
    assert [(run.id, run.state, run.kernel) for run in runs] == [(one, "completed", "kernel-1") for one in ids]
    assert sorted((event.run, event.losses, event.reason) for event in flow.told(RunLost)) == [
        (one, 1, "lost with its kernel") for one in sorted(ids)
    ]
    assert said(caplog) == ["2 runs that had been claimed are queued again: lost with its kernel"]


async def test_what_is_taken_up_begins_at_once(store: SharedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernel.flow.membership.RESCUE_SECONDS", 7.3)  # when nothing else looks
    await held_by_other(store, 1)
    async with running(quick, store=store) as flow:
        store.dead[OTHER.id] = OTHER
        await flow.clock.advance(7.4)
        [run] = await flow.runs()

    assert run.state == "completed"


async def test_what_a_kernel_left_that_ended_in_order_is_taken_up_while_others_run(store: SharedStore) -> None:
    [left] = await held_by_other(store, 1)
    async with running(quick, store=store) as flow:
        store.dead[OTHER.id] = None
        await flow.clock.advance(10.1)
        [run] = await flow.runs()

    assert (run.state, run.losses) == ("completed", 0)
    assert [(event.run, event.reason) for event in flow.told(RunReleased)] == [(left, "its kernel was stopped")]
    assert flow.told(RunLost) == []


async def test_what_somebody_wanted_cancelled_ends_with_the_kernel_that_had_it_and_with_what_depends_on_it(
    store: SharedStore,
) -> None:
    [left] = await held_by_other(store, 1)
    async with running(quick, store=store) as flow:
        child = await flow.enqueue("demo.quick", depends_on=[left])
        await flow.engine.recorder.cancel([left], "by hand")
        store.dead[OTHER.id] = OTHER
        waiting = asyncio.create_task(flow.engine.recorder.endings.wait(left, None))
        await flow.clock.advance(10.1)
        states = await flow.states(await flow.runs())
        await waiting

    assert states == ["cancelled", "cancelled"]
    assert {event.run for event in flow.told(RunCancelled)} == {left, child.id}
    assert flow.told(RunStarted) == []


async def test_a_rescue_that_fails_is_made_again_and_told_once(
    store: SharedStore, caplog: pytest.LogCaptureFixture
) -> None:
    await held_by_other(store)
    async with running(quick, store=store) as flow:
        store.dead[OTHER.id] = OTHER
        store.failing["rescue"] = StoreError("away")
        await flow.clock.advance(30)
        store.failing.clear()
        await flow.clock.advance(10)
        states = await flow.states(await flow.runs())

    assert states == ["completed", "completed"]
    assert len([line for line in said(caplog) if "away" in line]) == 1
    assert len(flow.told(StoreTroubled)) == len(flow.told(StoreRecovered)) == 1


async def test_a_kernel_that_has_its_store_alone_asks_for_nobody() -> None:
    asked = []

    class Alone(TroubledStore):
        async def rescue(self, *_: Any) -> list[Run]:
            asked.append("rescue")
            return []

    async with running(quick, store=Alone()) as flow:
        await flow.clock.advance(60)

    assert asked == []


async def test_a_kernel_in_doubt_of_its_own_lease_takes_up_nothing(store: SharedStore) -> None:
    async with running(quick, store=store) as flow:
        store.is_renewed = False
        await flow.clock.advance(60)
        assert store.rescues == 0

        store.is_renewed = True
        await flow.clock.advance(10.1)

    assert store.rescues == 1


# Notes of kernels that were told to stop


async def test_the_note_of_a_kernel_that_dies_while_another_is_rescued_is_kept_for_who_takes_it_up(
    store: SharedStore,
) -> None:
    await held_by_other(store)
    third = OTHER._replace(id="kernel-3")

    def third_dies() -> None:
        store.dead[third.id] = third

    async with running(quick, store=store) as flow:
        for kernel in (OTHER, third):
            await flow.engine.recorder.note_stop(kernel.id)
        store.dead[OTHER.id] = OTHER
        store.after_rescue = third_dies
        await flow.engine.recorder.rescue("kernel-1")

        assert await flow.engine.recorder.stopping() == {third.id}
        store.after_rescue = lambda: None
        await flow.engine.recorder.rescue("kernel-1")
        assert await flow.engine.recorder.stopping() == set()


async def test_what_was_taken_up_is_told_though_the_notes_cannot_be_cleared_away(store: SharedStore) -> None:
    ids = await held_by_other(store)

    def fail() -> None:
        store.failing["members"] = StoreError("away")

    async with running(quick, store=store) as flow:
        await flow.engine.recorder.note_stop(OTHER.id)
        store.dead[OTHER.id] = OTHER
        store.after_rescue = fail
        runs = await flow.engine.recorder.rescue("kernel-1")
        store.failing.clear()

    assert sorted(run.id for run in runs) == sorted(ids)
    assert {run.losses for run in runs} == {0}


@pytest.mark.parametrize(
    ("dead", "losses"), [(Machine("host", "boot"), 1), (Machine("host", "before"), 0), (Machine("far", "other"), 1)]
)
async def test_a_loss_is_counted_unless_the_machine_is_known_to_have_been_restarted(
    store: SharedStore, dead: Machine, losses: int
) -> None:
    await held_by_other(store, 1)
    async with running(store=store) as flow:
        store.dead[OTHER.id] = OTHER._replace(host=dead.host, boot=dead.boot)
        [run] = await flow.engine.recorder.rescue("kernel-1")

    assert run.losses == losses


# A lease that is not renewed


async def test_from_a_lease_in_doubt_on_nothing_begins_that_has_not_begun(
    store: SharedStore, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(work.job(), store=store, concurrency=2) as flow:
        await fill(flow, 5)
        held = len(flow.engine.ready)
        store.is_renewed = False
        await flow.clock.advance(0.6)
        work.let_go.set()
        await flow.clock.advance(20)
        states = sorted(await flow.states(await flow.runs()))
        health = await judge_health(flow.engine, [], flow.clock.now())

        assert (held, work.began) == (2, 2)
        assert states == ["completed", "completed", "queued", "queued", "queued"]
        assert health["problems"][-1].startswith("the kernel's lease could not be renewed in time")
        assert [line for line in said(caplog) if "lease" in line] == said(caplog)
        assert len(said(caplog)) == 1
        [event] = flow.told(StoreTroubled)
        assert "no run begins until it is; 2 that had not begun are given back" in event.problem

        store.is_renewed = True
        await flow.clock.advance(1)
        states = await flow.states(await flow.runs())
        health = await judge_health(flow.engine, [], flow.clock.now())

    assert (states, work.began, health["healthy"]) == (["completed"] * 5, 5, True)
    assert len(flow.told(StoreRecovered)) == 1


async def test_a_lease_in_doubt_is_seen_though_the_store_does_not_answer(store: SharedStore, work: Work) -> None:
    store.before["beat"] = asyncio.Event()
    async with running(work.job(), store=store, concurrency=1) as flow:
        await fill(flow, 2)
        await flow.clock.advance(6)  # now the watch waits for an answer
        store.is_renewed = False
        await flow.clock.advance(0.6)
        held = len(flow.engine.ready)
        store.before["beat"].set()

    assert held == 0


async def test_in_trouble_already_a_lease_in_doubt_is_one_line_more(
    store: SharedStore, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(work.job(), store=store, concurrency=1) as flow:
        await fill(flow, 2)
        store.failing = {call: StoreError("away") for call in ("claim", "beat", "finish", "signals")}
        await flow.clock.advance(20)
        before = said(caplog)
        store.is_renewed = False
        await flow.clock.advance(10)
        after = said(caplog)
        store.failing.clear()

    assert len(before) == 1
    assert after[1:] == [
        "the kernel's lease could not be renewed in time: no run begins until it is; 1 that had not begun are given back"
    ]


async def test_after_a_standstill_nothing_begins_before_the_lease_was_looked_at(store: SharedStore, work: Work) -> None:
    async with running(work.job(), store=store, concurrency=1) as flow:
        await fill(flow, 2)
        held = len(flow.engine.ready)
        flow.clock.skip(60)
        store.is_renewed = False
        work.let_go.set()
        await settle()  # what has ended is seen before any timer
        began = work.began
        store.is_renewed = True
        await flow.clock.advance(1)

        assert (held, began) == (1, 1)
        assert await flow.states(await flow.runs()) == ["completed", "completed"]


async def test_after_a_standstill_in_which_the_lease_was_lost_nothing_begins_of_what_was_claimed_before(
    store: SharedStore, work: Work
) -> None:
    async with running(work.job(), store=store, concurrency=1) as flow:
        ids = await fill(flow, 2)
        flow.clock.skip(60)
        await store.take_over("kernel-1")
        work.let_go.set()
        await settle()
        await flow.clock.advance(1)
        runs = await flow.runs()
        begun = sorted((event.run, event.attempt) for event in flow.told(RunStarted))

    assert begun == [(ids[0], 1), (ids[0], 2), (ids[1], 2)]
    assert [(run.state, run.attempt) for run in runs] == [("completed", 2)] * 2


# A lease that was lost


async def test_a_kernel_that_was_taken_for_dead_ends_what_it_does_and_goes_on_as_a_member(
    store: SharedStore, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(work.job(), store=store, concurrency=2) as flow:
        ids = await fill(flow, 4)
        begun = {event.run for event in flow.told(RunStarted)}
        await store.take_over("kernel-1")
        await flow.clock.advance(1)
        told, refused = list(work.told), {event.run for event in flow.told(OutcomeRefused)}
        work.let_go.set()
        await flow.clock.advance(1)
        runs = await flow.runs()

    assert told == ["the kernel's lease had run out, and others go on with what it had claimed"] * 2
    assert refused == begun
    assert [(run.id, run.state, run.losses) for run in runs] == [(one, "completed", 0) for one in ids]
    assert sorted(run.attempt for run in runs) == [2, 2, 2, 2]
    assert sorted(event.run for event in flow.told(RunCompleted)) == sorted(ids)
    first, *others = said(caplog)
    assert first.endswith("2 attempts are cancelled, 2 runs that had not begun are left to others")
    assert len([line for line in others if "came too late and was refused" in line]) == len(others) == 2


async def test_beside_an_attempt_that_was_lost_nothing_is_claimed_until_that_has_ended_or_is_stuck(
    store: SharedStore, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(is_obstinate=True)
    async with running(work.job(), store=store, concurrency=2) as flow:
        [run] = await fill(flow, 1)
        await store.take_over("kernel-1")
        await flow.clock.advance(1)
        flow.engine.claimer.wake()
        await flow.clock.advance(3)
        between = (work.began, (await flow.run(run)).state)
        await flow.clock.advance(3)
        found = await flow.run(run)
        marked = "stick" in store.calls
        work.let_go.set()
        await flow.clock.advance(1)
        ended = await flow.run(run)

    assert between == (1, "queued")
    assert (work.began, found.state, found.stuck, found.token) == (2, "running", False, 2)
    assert len(flow.told(RunStuck)) == 1
    assert not marked, "the mark would be on the attempt that is another's"
    assert (ended.state, ended.token) == ("completed", 2)
    assert "told to end" in caplog.text


async def test_what_a_claim_brings_that_was_under_way_when_the_lease_was_lost_is_given_back(
    store: SharedStore, work: Work
) -> None:
    async with running(work.job(), store=store, concurrency=2) as flow:
        [first] = await fill(flow, 1)
        store.after["claim"] = asyncio.Event()
        [second] = await fill(flow, 1)
        store.losses += (
            1  # what was claimed since is this kernel's own, by its token: it must not be lost with the rest
        )
        store.after.pop("claim").set()
        await settle()
        between = [(await flow.run(run)).state for run in (first, second)]
        began = work.began
        work.let_go.set()
        await flow.clock.advance(1)
        states = [(await flow.run(run)).state for run in (first, second)]

    assert (between, began) == (["queued", "queued"], 1)
    assert states == ["completed", "completed"]


async def test_a_suspect_that_was_dropped_with_the_lease_keeps_no_other_waiting(store: SharedStore, work: Work) -> None:
    async with running(work.job(), store=store, concurrency=1) as flow:
        await fill(flow, 1)
        await flow.clock.advance(11)
        [waits] = await fill(flow, 1)
        flow.engine.claimer._suspects.add(waits)
        held = next(iter(flow.engine.ready.held()))
        flow.engine.claimer.release(lambda _run: True, "aside")
        await settle()
        flow.engine.ready.push([held._replace(losses=2)])
        await store.take_over("kernel-1")
        await flow.clock.advance(1)

        assert flow.engine.claimer._suspects == set()


# One clock


@pytest.mark.parametrize("offset", [3600.0, -3600.0])
async def test_now_is_the_stores_clock_and_schedules_go_by_it(store: SharedStore, offset: float) -> None:
    store.offset = offset
    async with running(quick, store=store, schedules=[every(60, "demo.quick")]) as flow:
        assert flow.clock.now() != flow.clock._wall
        await flow.clock.advance(60)
        [tick] = await flow.ticks("demo.quick")
        [run] = await flow.runs()

    assert tick.first == pytest.approx(flow.clock._wall + offset, abs=1)
    assert run.started == pytest.approx(tick.first, abs=1)
    assert flow.told(ClockStepped) == []


async def test_what_the_clock_is_corrected_by_while_the_kernel_runs_is_no_step_unless_it_is_large(
    store: SharedStore,
) -> None:
    async with running(quick, store=store) as flow:
        for _ in range(20):
            store.offset += 0.3
            await flow.clock.advance(2)
        assert flow.told(ClockStepped) == []
        assert flow.clock.now() == pytest.approx(flow.clock._wall + 6)

        store.offset += 60.0
        await flow.clock.advance(2)

    assert [event.seconds for event in flow.told(ClockStepped)] == [pytest.approx(60)]
