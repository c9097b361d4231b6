"""What one channel has to send, with a channel that does as it is told and a clock that is told the time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Notice
from kernel.testing import FakeClock, settle, until
from plugins.notify.channel import DeliveryError
from plugins.notify.outbox import MOST, Outbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class FakeChannel:
    """Takes notices, or raises what it is told to."""

    def __init__(self) -> None:
        self.got: list[Notice] = []
        self.tried: list[float] = []
        self.error: BaseException | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.clock = FakeClock()
        self.is_closed = False

    async def send(self, notice: Notice) -> None:
        self.tried.append(self.clock.elapsed() - 1_000.0)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.got.append(notice)

    async def close(self) -> None:
        self.is_closed = True


class Told:
    def __init__(self) -> None:
        self.trouble: list[str] = []
        self.works = 0
        self.changes = 0


@pytest.fixture
async def channel() -> FakeChannel:
    return FakeChannel()


@asynccontextmanager
async def running(
    channel: FakeChannel, told: Told | None = None, *, has_failed: bool = False, **options: Any
) -> AsyncIterator[Outbox]:
    told = told or Told()

    def works(_name: str) -> None:
        told.works += 1

    outbox = Outbox(
        "ops", channel, channel.clock, on_trouble=lambda _name, problem: told.trouble.append(problem), on_works=works,
        **options,
    )  # fmt: skip
    outbox.start(has_failed=has_failed)
    try:
        yield outbox
    finally:
        await outbox.stop(1.0)


def notice(key: str = "", text: str = "text", **fields: Any) -> Notice:
    return Notice(at=0.0, severity="error", kind="failed", text=text, key=key, **fields)


async def test_notices_go_out_in_order(channel: FakeChannel) -> None:
    async with running(channel) as outbox:
        for number in range(5):
            outbox.put(notice(f"key {number}"))
        await settle()

    assert [one.key for one in channel.got] == [f"key {number}" for number in range(5)]
    assert channel.is_closed


async def test_what_is_not_taken_is_tried_again_ever_more_rarely_and_told(channel: FakeChannel) -> None:
    told = Told()
    channel.error = DeliveryError("answered 500")
    async with running(channel, told) as outbox:
        outbox.put(notice("a"))
        await channel.clock.advance(1000)
        assert channel.tried == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811]
        assert (outbox.trouble, told.trouble[0], told.works) == ("answered 500", "answered 500", 0)

        channel.error = None
        await channel.clock.advance(300)

        assert [one.key for one in channel.got] == ["a"]
        assert (outbox.trouble, told.works) == ("", 1)


async def test_who_asks_to_wait_is_left_alone_for_so_long(channel: FakeChannel) -> None:
    channel.error = DeliveryError("answered 429", retry_after_seconds=120)
    async with running(channel) as outbox:
        outbox.put(notice("a"))
        await channel.clock.advance(121)

    assert channel.tried == [0, 120]


async def test_one_that_will_never_be_taken_does_not_hold_up_the_others(channel: FakeChannel) -> None:
    channel.error = DeliveryError("answered 400", is_final=True)
    async with running(channel) as outbox:
        outbox.put(notice("bad"))
        await channel.clock.advance(3)
        channel.error = None
        outbox.put(notice("good"))
        await channel.clock.advance(10)

    assert [one.key for one in channel.got] == ["good"]
    assert channel.got[0].context["not_sent"] == "1 notices before this one could not be sent"


async def test_a_channel_that_hangs_is_cut_off(channel: FakeChannel) -> None:
    told = Told()
    channel.gate.clear()
    async with running(channel, told, timeout_seconds=0.01) as outbox:
        outbox.put(notice("a"))
        await until(lambda: bool(told.trouble))

    assert told.trouble == ["no answer within 0.01 s"]


async def test_an_error_of_a_foreign_library_is_told_by_its_type_alone(channel: FakeChannel) -> None:
    told = Told()
    channel.error = RuntimeError("https://secret")
    async with running(channel, told) as outbox:
        outbox.put(notice("a"))
        await settle()

    assert told.trouble == ["RuntimeError"]


async def test_of_one_incident_only_the_newest_waits(channel: FakeChannel) -> None:
    channel.error = DeliveryError("down")
    async with running(channel) as outbox:
        outbox.put(notice("a", state="failing"))
        outbox.put(notice("b", state="failing"))
        await settle()
        outbox.put(notice("a", state="still failing"))
        outbox.put(notice("a", state="recovered"))

        assert [(one.key, one.state) for one in outbox.waiting] == [("b", "failing"), ("a", "recovered")]


async def test_of_a_channel_that_works_again_nothing_goes_where_its_failure_was_not_told(channel: FakeChannel) -> None:
    failing, recovered = notice("b", state="failing"), notice("b", state="recovered")
    failing = replace(failing, kind="channel_failed")
    channel.error = DeliveryError("down")
    async with running(channel) as outbox:
        outbox.put(notice("a", state="failing"))
        await settle()
        outbox.put(failing)
        outbox.put(recovered)
        assert [one.key for one in outbox.waiting] == ["a"]
        channel.error = None
        await channel.clock.advance(5)

        outbox.put(failing)
        await settle()
        outbox.put(recovered)
        await settle()

    assert [(one.key, one.state) for one in channel.got] == [("a", "failing"), ("b", "failing"), ("b", "recovered")]


async def test_a_channel_that_failed_in_an_earlier_life_tells_at_its_first_notice_that_it_works(
    channel: FakeChannel, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    async with running(channel, told, has_failed=True) as outbox:
        for key in "ab":
            outbox.put(notice(key))
            await settle()

    assert told.works == 1
    # A terminal shows warnings, and the failure was one.
    again = [record for record in caplog.records if "are sent again" in record.message]
    assert [(record.levelname, record.message) for record in again] == [("WARNING", "notices by ops are sent again")]


async def test_what_is_no_incident_waits_as_one_that_has_all(channel: FakeChannel) -> None:
    channel.error = DeliveryError("down")
    async with running(channel) as outbox:
        for number in range(3):
            outbox.put(notice("reminders", f"car {number}"))

        [one] = outbox.waiting
        assert (one.text, one.times, one.held_back) == ("car 0\ncar 1\ncar 2", 3, 0)


async def test_no_more_than_a_thousand_wait_and_the_next_says_how_many_were_lost(channel: FakeChannel) -> None:
    channel.error = DeliveryError("down")
    async with running(channel) as outbox:
        for number in range(MOST + 5):
            outbox.put(notice(f"key {number}"))
        assert len(outbox.waiting) == MOST
        await settle()
        channel.error = None
        await channel.clock.advance(1)

    assert channel.got[0].key == "key 5"
    assert channel.got[0].context["not_sent"].startswith("5 notices")


async def test_after_an_outage_no_more_than_twenty_a_minute_go_out(channel: FakeChannel) -> None:
    async with running(channel) as outbox:
        for number in range(50):
            outbox.put(notice(f"key {number}"))
        counts = []
        for _ in range(3):
            await settle(200)
            counts.append(len(channel.got))
            await channel.clock.advance(60.1)

    assert counts == [20, 40, 50]


async def test_at_its_end_what_can_be_sent_is_and_what_cannot_is_left(channel: FakeChannel) -> None:
    async with running(channel) as outbox:
        outbox.put(notice("a"))
    assert [one.key for one in channel.got] == ["a"]

    channel.error = DeliveryError("down")
    async with running(channel) as outbox:
        outbox.put(notice("b"))
    assert [one.key for one in outbox.waiting] == ["b"]
