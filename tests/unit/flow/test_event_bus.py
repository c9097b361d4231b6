"""Listeners: each gets its own events, and none can hurt the flow or another listener."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kernel.flow import event_bus, recorder
from kernel.flow.event_bus import EventBus
from kernel.model.events import (
    Event,
    EventsDropped,
    QueuePaused,
    QueueResumed,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunsCompleted,
)
from kernel.testing import FakeClock, settle
from tests.flow_kit import Flow, job_of, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

BEGUN = QueueResumed(1.0, "cars")
PAUSED = QueuePaused(2.0, "cars", None)
FAILED = RunFailed(3.0, "id", "demo.work", "default", 1, 0.5, "ValueError", "given up")
COMPLETED = RunCompleted(4.0, "id", "demo.work", "default", 1, 0.5)


class Listener:
    """Hears what it is told, but no further while it is held."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.lists: list[int] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def hear(self, events: Sequence[Event]) -> None:
        await self.goes_on.wait()
        self.heard += events
        self.lists.append(len(events))


@pytest.fixture
async def bus() -> AsyncIterator[EventBus]:
    bus = EventBus(FakeClock())
    yield bus
    await bus.close()


@pytest.fixture
def small_inbox(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(event_bus, "INBOX", 5)
    return 5


async def test_events_come_in_the_order_in_which_they_were_published(bus: EventBus) -> None:
    listener = Listener()
    bus.subscribe("one", (Event,), listener.hear)

    for event in (BEGUN, PAUSED, FAILED):
        bus.publish(event)
    await settle()

    assert listener.heard == [BEGUN, PAUSED, FAILED]


async def test_a_listener_gets_the_kinds_it_asked_for_and_what_is_derived_from_them(bus: EventBus) -> None:
    runs, queues = Listener(), Listener()
    bus.subscribe("runs", (RunEvent,), runs.hear)
    bus.subscribe("queues", (QueuePaused, QueueResumed), queues.hear)

    for event in (BEGUN, PAUSED, FAILED, COMPLETED):
        bus.publish(event)
    await settle()

    assert runs.heard == [FAILED, COMPLETED]
    assert queues.heard == [BEGUN, PAUSED]


async def test_what_nobody_listens_to_is_not_wanted(bus: EventBus) -> None:
    before = bus.wants(RunFailed)
    subscription = bus.subscribe("one", (RunEvent,), Listener().hear)
    meanwhile = (bus.wants(RunFailed), bus.wants(QueuePaused))
    await bus.unsubscribe(subscription)

    assert (before, meanwhile, bus.wants(RunFailed)) == (False, (True, False), False)


@pytest.mark.parametrize(("listen", "expected"), [(True, 3), (False, 0)])
async def test_the_event_of_a_run_is_built_only_when_somebody_listens(
    listen: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []

    class Noted(RunCompleted):
        def __init__(self, *fields: Any) -> None:
            built.append(fields[1])
            super().__init__(*fields)

    monkeypatch.setattr(recorder, "RunCompleted", Noted)

    async def work() -> None: ...

    async with running(work, listen=listen) as flow:
        for _ in range(3):
            await flow.enqueue()

    assert len(built) == expected


async def test_for_listeners_that_have_no_room_no_event_is_built_and_the_loss_is_counted(
    bus: EventBus, small_inbox: int
) -> None:
    asleep, awake = Listener(), Listener()
    asleep.goes_on.clear()
    deaf = bus.subscribe("deaf", (RunCompleted,), asleep.hear)
    for _ in range(small_inbox + 1):
        bus.publish(COMPLETED)
        await settle()  # the first one is taken out, and heard for ever

    assert not bus.wants(RunCompleted, 3)
    assert deaf.dropped == 3
    bus.skipped(RunCompleted, 4)
    assert deaf.dropped == 7
    bus.subscribe("awake", (RunCompleted,), awake.hear)
    assert bus.wants(RunCompleted, 2)
    assert deaf.dropped == 7
    asleep.goes_on.set()


async def test_completed_runs_are_told_together_to_who_names_that_alone_and_in_order_with_failures() -> None:
    together, everything = Listener(), Listener()

    async def work(name: str) -> None:
        if name == "fails":
            raise ValueError

    async with running(job_of(work, retry=1)) as flow:
        flow.engine.bus.subscribe("together", (RunsCompleted, RunFailed), together.hear)
        flow.engine.bus.subscribe("all", (Event,), everything.hear)
        names = ["a", "b", "fails", "c"]
        runs = [await flow.enqueue("demo.work", {"name": name}) for name in names]
        for run in runs:
            await flow.ended(run)
        await settle()

    told = [
        ("completed", end.run) for event in together.heard if isinstance(event, RunsCompleted) for end in event.ends
    ]
    failed = [event.run for event in together.heard if isinstance(event, RunFailed)]
    ended = [
        name
        for event in together.heard
        for name in ([end.run for end in event.ends] if isinstance(event, RunsCompleted) else [event.run])  # type: ignore[attr-defined] # RunFailed
    ]
    assert ended == [run.id for run in runs]
    assert len(told) == 3
    assert failed == [runs[2].id]
    assert not [event for event in everything.heard if isinstance(event, RunsCompleted)]
    assert len([event for event in everything.heard if isinstance(event, RunCompleted)]) == 3


async def test_events_that_wait_come_in_one_list(bus: EventBus) -> None:
    listener = Listener()
    bus.subscribe("one", (Event,), listener.hear)
    listener.goes_on.clear()
    bus.publish(BEGUN)
    await settle()

    for _ in range(1200):
        bus.publish(PAUSED)
    listener.goes_on.set()
    await settle()

    assert listener.lists == [1, 500, 500, 200]


async def test_publishing_never_waits_for_a_slow_listener(bus: EventBus) -> None:
    slow, quick = Listener(), Listener()
    bus.subscribe("slow", (Event,), slow.hear)
    bus.subscribe("quick", (Event,), quick.hear)
    slow.goes_on.clear()

    for _ in range(100):
        bus.publish(BEGUN)
    await settle()
    meanwhile = (len(slow.heard), len(quick.heard))
    slow.goes_on.set()

    assert meanwhile == (0, 100)


async def test_a_listener_that_is_too_slow_loses_its_own_events_counted_and_no_other_ones(
    bus: EventBus, small_inbox: int, caplog: pytest.LogCaptureFixture
) -> None:
    slow, quick = Listener(), Listener()
    subscription = bus.subscribe("slow", (QueueResumed,), slow.hear)
    bus.subscribe("quick", (QueueResumed,), quick.hear)
    slow.goes_on.clear()
    bus.publish(BEGUN)
    await settle()

    for _ in range(small_inbox + 3):
        bus.publish(BEGUN)
        await settle()
    told_at_once = caplog.text
    slow.goes_on.set()
    await settle()

    assert subscription.dropped == 3
    assert len(slow.heard) == 1 + small_inbox
    assert len(quick.heard) == 1 + small_inbox + 3
    assert "slow does not keep up" in told_at_once
    assert "slow keeps up again: 3 events were not told to it" in caplog.text


async def test_losses_are_told_to_whoever_listens_to_them_and_to_nobody_else(bus: EventBus, small_inbox: int) -> None:
    slow, watcher = Listener(), Listener()
    bus.subscribe("slow", (QueueResumed,), slow.hear)
    bus.subscribe("watcher", (EventsDropped,), watcher.hear)
    slow.goes_on.clear()
    bus.publish(BEGUN)
    await settle()

    for _ in range(small_inbox + 2):
        bus.publish(BEGUN)
    slow.goes_on.set()
    await settle()

    [event] = watcher.heard
    assert isinstance(event, EventsDropped)
    assert (event.listener, event.count) == ("slow", 2)
    assert {type(event) for event in slow.heard} == {QueueResumed}


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()], ids=repr
)
async def test_a_listener_that_raises_hears_the_next_event_all_the_same(
    bus: EventBus, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []

    async def hear(events: Sequence[Event]) -> None:
        heard.extend(events)
        raise error

    bus.subscribe("broken", (Event,), hear)
    bus.publish(BEGUN)
    await settle()
    bus.publish(PAUSED)
    await settle()

    assert heard == [BEGUN, PAUSED]
    assert "broken: telling it 1 event failed" in caplog.text


async def test_closing_tells_what_is_left_first(bus: EventBus) -> None:
    listener = Listener()
    bus.subscribe("one", (Event,), listener.hear)
    for _ in range(1200):
        bus.publish(BEGUN)

    await bus.close()

    assert len(listener.heard) == 1200


async def test_closing_waits_for_a_listener_that_hangs_no_longer_than_it_is_told(bus: EventBus) -> None:
    hanging = Listener()
    hanging.goes_on.clear()
    bus.subscribe("hanging", (Event,), hanging.hear)
    bus.publish(BEGUN)

    async with asyncio.timeout(5):
        await bus.close(0.01)

    assert hanging.heard == []
    assert bus.subscriptions == []


async def test_who_has_unsubscribed_is_told_nothing_more(bus: EventBus) -> None:
    listener = Listener()
    subscription = bus.subscribe("one", (Event,), listener.hear)

    await bus.unsubscribe(subscription)
    await bus.unsubscribe(subscription)
    bus.publish(BEGUN)
    await settle()

    assert listener.heard == []


async def test_a_broken_listener_does_not_hurt_the_runs() -> None:
    async def work() -> None: ...

    async def hear(events: Any) -> None:
        raise ValueError("broken")

    flow = Flow([work])
    flow.bus.subscribe("broken", (Event,), hear)
    await flow.start()
    run = await flow.enqueue()
    ended = await flow.ended(run)
    await flow.stop()

    assert ended.state == "completed"
    assert len(flow.told(RunCompleted)) == 1


async def test_past_its_quota_a_listener_is_told_none_of_a_kind_and_each_is_counted() -> None:
    bus = EventBus(FakeClock())
    told: list[Event] = []

    async def tell(events: Sequence[Event]) -> None:
        told.extend(events)

    subscription = bus.subscribe("few", (Event,), tell)
    subscription.quota = {QueuePaused: 2}
    for _ in range(3):
        bus.publish(PAUSED)
    is_wanted = bus.wants(QueuePaused, 5)
    bus.publish(BEGUN)
    await settle()

    assert not is_wanted
    assert [event.name for event in told] == ["QueuePaused"] * 2 + ["QueueResumed"]
    assert (subscription.left_out, subscription.dropped) == ({QueuePaused: 6}, 0)
    await bus.close()
