"""``/api/v1/events``: what follows is told once each, what was missed is replayed or owned up to, floods are counted."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from kernel.events import QueueResumed, RunQueued, RunStarted
from kernel.testing import FakeClock, until
from plugins.web import feed
from plugins.web.json_text import as_json
from tests.unit.plugins.web.web_kit import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.plugins.web.web_kit import Web


class Message(NamedTuple):
    id: str
    event: str
    data: Any


class Follower:
    """One stream, read as a browser's EventSource reads it."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self.last = ""

    async def next(self, *, seconds: float = 5.0) -> Message:
        fields: dict[str, str] = {}
        async with asyncio.timeout(seconds):
            while True:
                line = (await self._response.content.readline()).decode()
                assert line, "the stream has ended"
                line = line.removesuffix("\n")
                if line and not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif not line:
                    self.last = fields.get("id", self.last)
                    if "data" in fields:
                        return Message(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
                    fields = {}

    async def until(self, event: str) -> list[Message]:
        """Up to the first of this name."""
        found: list[Message] = []
        while not found or found[-1].event != event:
            found.append(await self.next())
        return found


@asynccontextmanager
async def following(web: Web, query: str = "", last: str | None = None) -> AsyncIterator[Follower]:
    headers = {} if last is None else {"Last-Event-ID": last}
    before = web.site.feed.streams
    async with web.session.get(f"{web.url}/api/v1/events{query}", headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield Follower(response)
    await until(lambda: web.site.feed.streams <= before)


def publish(web: Web, count: int = 1, job: str = "demo.ok", queue: str = "default") -> None:
    """As the kernel does for runs that come together."""
    bus = web.kernel.bus
    if bus.wants(RunQueued, count):
        for number in range(count):
            bus.publish(RunQueued(web.kernel.clock.now(), f"run-{number}", job, queue, 0.0))


async def test_the_life_of_a_run_is_told_in_order_with_names_and_ids(tmp_path: Path) -> None:
    async with running(tmp_path) as web, following(web) as stream:
        run = await web.kernel.enqueue("demo.ok")
        told = [one for one in await stream.until("RunCompleted") if one.data.get("run") == run.id]
        assert [one.event for one in told] == ["RunQueued", "RunStarted", "RunLogged", "RunCompleted"] or [
            one.event for one in told
        ] == ["RunQueued", "RunStarted", "RunCompleted"]
        assert all(one.data["event"] == one.event for one in told)
        assert len({one.id for one in told}) == len(told)


async def test_a_filter_lets_only_its_kinds_and_its_job_through(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        async with (
            following(web, "?kinds=RunFailed,RunCompleted&job=demo.fails") as failures,
            following(web, "?kinds=RunQueued") as queued,
        ):
            await web.kernel.enqueue("demo.ok")
            run = await web.kernel.enqueue("demo.fails")
            told = await failures.next()
            assert (told.event, told.data["run"]) == ("RunFailed", run.id)
            assert [(await queued.next()).data["job"] for _ in range(2)] == ["demo.ok", "demo.fails"]
        subscription = web.site.feed._subscription
        assert RunStarted not in subscription.kinds


async def test_who_was_cut_off_gets_what_was_missed_and_nothing_twice(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        async with following(web, "?kinds=RunQueued") as stream:
            publish(web, queue="first")
            assert (await stream.next()).data["queue"] == "first"
            last = stream.last
        publish(web, queue="missed")
        await until(lambda: web.site.feed._kept and b"missed" in web.site.feed._kept[-1].chunk)
        async with following(web, "?kinds=RunQueued", last) as stream:
            publish(web, queue="new")
            assert [(await stream.next()).data["queue"] for _ in range(2)] == ["missed", "new"]
        async with following(web, "?kinds=RunQueued", stream.last) as stream:
            publish(web, queue="newer")
            assert (await stream.next()).data["queue"] == "newer"


@pytest.mark.parametrize("last", ["unknown", "00000000-1", "{kernel}-99999", "{kernel}-0", "{kernel}-x", "-"])
async def test_an_id_that_is_not_known_begins_with_a_gap(tmp_path: Path, last: str) -> None:
    async with running(tmp_path) as web, following(web, "", last.format(kernel=web.kernel.id[:8])) as stream:
        publish(web)
        assert (await stream.next()).event == "gap"
        assert (await stream.next()).event == "RunQueued"


async def test_an_id_that_is_too_old_begins_with_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as web:
        web.site.feed._kept = deque(maxlen=3)
        async with following(web, "?kinds=RunQueued") as stream:
            publish(web, 5)
            first = await stream.next()
            for _ in range(4):
                newest = await stream.next()
        async with following(web, "?kinds=RunQueued", first.id) as stream:
            assert (await stream.next()).event == "gap"
        kernel, _, number = newest.id.rpartition("-")
        async with following(web, "?kinds=RunQueued", f"{kernel}-{int(number) - 2}") as stream:
            assert [(await stream.next()).id for _ in range(2)][-1] == newest.id


async def test_another_filter_does_not_know_what_it_has_not_heard(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        async with following(web, "?kinds=RunQueued") as stream:
            publish(web)
            last = (await stream.next()).id
        web.kernel.bus.publish(QueueResumed(0.0, "unheard"))
        async with following(web, "?kinds=QueueResumed", last) as stream:
            assert (await stream.next()).event == "gap"


async def test_nothing_is_listened_to_a_minute_after_the_last_stream(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock=clock) as web:
        assert not web.site.feed.is_listening
        async with following(web) as stream:
            await web.kernel.enqueue("demo.ok")
            last = (await stream.next()).id
        await clock.advance(feed.STAY_SECONDS - 1)
        assert web.site.feed.is_listening
        async with following(web):
            await clock.advance(feed.STAY_SECONDS + 1)
            assert web.site.feed.is_listening
        await clock.advance(feed.STAY_SECONDS + 1)
        await until(lambda: not web.site.feed.is_listening)
        assert "web events" not in {one.name for one in web.kernel.bus.subscriptions}
        async with following(web, "", last) as stream:
            publish(web)
            assert (await stream.next()).event == "gap"


async def test_in_a_flood_the_rest_is_counted_by_kind_and_what_is_seldom_comes_through(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock=clock) as web, following(web) as stream:
        made = web.site.feed
        for _ in range(100):
            publish(web, 100)
            await asyncio.sleep(0)
        web.kernel.bus.publish(QueueResumed(0.0, "seldom"))
        told = await stream.until("QueueResumed")
        clock.skip(1.0)
        told += await stream.until("left_out")
        counts = Counter(one.event for one in told)
        assert counts["RunQueued"] == feed.MOST_OF_A_KIND
        assert told[-1].data == {"RunQueued": 10_000 - feed.MOST_OF_A_KIND}
        assert made._encoded <= feed.MOST_A_SECOND
        publish(web)
        assert (await stream.next()).event == "RunQueued"


async def test_in_a_flood_of_another_job_none_of_the_own_is_left_out(tmp_path: Path) -> None:
    async with running(tmp_path, clock=FakeClock()) as web, following(web, "?job=demo.fails") as stream:
        for _ in range(20):
            publish(web, 100)
            publish(web, 1, job="demo.fails")
            await asyncio.sleep(0.001)
        assert [(await stream.next()).data["job"] for _ in range(20)] == ["demo.fails"] * 20


async def test_an_event_is_encoded_once_whatever_number_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[Any] = []

    def counting(value: Any) -> str:
        encoded.append(value)
        return as_json(value)

    monkeypatch.setattr(feed, "as_json", counting)
    async with (
        running(tmp_path) as web,
        following(web) as one,
        following(web) as two,
        following(web, "?kinds=RunQueued") as three,
    ):
        publish(web)
        for stream in (one, two, three):
            assert (await stream.next()).event == "RunQueued"
        assert len(encoded) == 1


async def test_too_many_different_filters_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MOST_FILTERS", 1)
    async with running(tmp_path) as web, following(web), following(web):
        reply = await web.get("/api/v1/events?job=demo.ok")
        assert (reply.status, reply.headers["Retry-After"]) == (503, "10")


async def test_open_streams_end_with_the_kernel(tmp_path: Path) -> None:
    async with running(tmp_path) as web, web.session.get(f"{web.url}/api/v1/events") as response:
        await response.content.readline()
        async with asyncio.timeout(5):
            await web.kernel.host.stop(web.kernel, ["web"])
            await response.content.read()
