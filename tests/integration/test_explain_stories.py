"""Explain names what really holds a run back: the kernel's own slots, a breaker behind a retry, a pause, a snooze."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Breaker, Retry, Snooze
from kernel.contracts.store import BreakerRow, KernelRow
from kernel.control import Control
from kernel.model.breaker import OPEN
from kernel.model.errors import RequestError
from tests.flow_kit import every, job_of, running

if TYPE_CHECKING:
    from tests.flow_kit import Flow


async def explain(flow: Flow, subject: str, at: str | None = None) -> dict[str, Any]:
    control = Control(
        store=flow.store,
        catalog=flow.catalog,
        intake=flow.engine.intake,
        recorder=flow.engine.recorder,
        clock=flow.clock,
        engine=flow.engine,
    )
    return await control.explain(subject=subject, at=at)


async def work() -> None:
    """Ends only when it is told to."""
    await asyncio.Event().wait()


async def fail() -> None:
    raise ConnectionError("down")


async def put_off() -> None:
    raise Snooze("5m")


async def test_a_run_that_is_claimed_ahead_is_said_to_wait_for_a_slot_and_who_has_it() -> None:
    async with running(work, concurrency=1) as flow:
        first, second = await flow.enqueue(), await flow.enqueue()
        answer = await explain(flow, second.id)
        begun = await explain(flow, first.id)

    assert (answer["state"], answer["reason"]) == ("running", "waiting for a slot")
    assert answer["text"].endswith(
        ", and waits for a slot: the kernel runs 1 of at most 1 run (concurrency): it begins when one of them ends; "
        f"these are {first.id} of demo.work"
    )
    assert begun["reason"] == "claimed by"
    assert "slot" not in begun["text"]


async def test_a_queued_run_is_said_to_wait_for_the_slots_of_the_kernel() -> None:
    async with running(work, concurrency=1) as flow:
        runs = []
        for _ in range(4):  # apart from one another, or they are claimed all at once
            runs.append(await flow.enqueue())
            await flow.clock.advance(1)
        answer = await explain(flow, runs[-1].id)
        now = flow.clock.now()
        await flow.store.open(KernelRow("kernel-2", 2, "host", "boot", now, now, ""))
        beside = await explain(flow, runs[-1].id)

    assert (answer["state"], answer["reason"]) == ("queued", "waiting for a slot")
    said = "the kernel runs 1 of at most 1 run (concurrency): it begins when one of them ends"
    assert answer["text"].startswith(said)
    assert "; due since 2026-01-01T00:00:03+00:00; 2 runs are queued in default" in answer["text"]
    assert "; another kernel may take it before; due since" in beside["text"]


@pytest.mark.parametrize(
    ("seconds", "reason", "until"),
    [(30.0, "retry at", "2026-01-01T00:01:00+00:00"), (90.0, "breaker", "2026-01-01T00:01:30+00:00")],
)
async def test_of_a_retrying_run_the_breaker_is_named_too_and_the_later_instant(
    seconds: float, reason: str, until: str
) -> None:
    guarded = job_of(fail, retry=Retry(attempts=2, base="1m", jitter=0), breaker=Breaker("partner"))
    async with running(guarded) as flow:
        run = await flow.until_state(await flow.enqueue("demo.fail"), "retrying")
        now = flow.clock.now()
        await flow.store.put_breaker(BreakerRow("partner", 1, OPEN, now, now + seconds, 0, None, "down"))
        answer = await explain(flow, run.id)

    assert (answer["reason"], answer["until"]) == (reason, until)
    assert "the next one begins at 2026-01-01T00:01:00+00:00; and the breaker partner is open" in answer["text"]


async def test_of_a_run_that_is_delayed_for_longer_than_the_breaker_is_open_the_delay_alone_is_told() -> None:
    async with running(job_of(fail, breaker=Breaker("partner"))) as flow:
        run = await flow.enqueue("demo.fail", delay="1h")
        now = flow.clock.now()
        await flow.store.put_breaker(BreakerRow("partner", 1, OPEN, now, now + 60, 0, None, "down"))
        answer = await explain(flow, run.id)

    assert answer["reason"] == "delayed until"
    assert "breaker" not in answer["text"]


async def test_a_run_that_has_put_itself_off_is_said_to_have_snoozed() -> None:
    async with running(put_off) as flow:
        run = await flow.until_state(await flow.enqueue("demo.put_off"), "scheduled")
        answer = await explain(flow, run.id)
        delayed = await explain(flow, (await flow.enqueue("demo.put_off", delay="5m")).id)

    assert (answer["reason"], answer["until"]) == ("snoozed until", "2026-01-01T00:05:00+00:00")
    assert answer["text"] == "it snoozed in attempt 1; the next one begins at 2026-01-01T00:05:00+00:00, in 5 m"
    assert delayed["reason"] == "delayed until"


async def test_a_paused_schedule_without_a_tick_is_said_to_be_paused() -> None:
    async with running(work, schedules=[every(600, paused=True)]) as flow:
        answer = await explain(flow, "demo.work")

    assert answer["reason"] == "no tick"
    assert answer["text"].startswith("it is paused, and its ticks make no runs; no tick is recorded")


async def test_an_instant_is_refused_for_a_run() -> None:
    async with running(work) as flow:
        run = await flow.enqueue()
        with pytest.raises(RequestError) as caught:
            await explain(flow, run.id, "2026-01-01T00:00")

    assert str(caught.value) == f"at: {run.id} is a run: expected the name of a schedule, whose tick it then chooses"
