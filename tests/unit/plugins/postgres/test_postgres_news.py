"""Other processes' changes are told soon; what is told is no more than that there is something to look at."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import asyncpg

from kernel.contracts.store import RunQuery
from kernel.testing import until
from tests.postgres_server import execute, with_options
from tests.unit.plugins.postgres.postgres_samples import NO_LIMIT, claimed, done, new

if TYPE_CHECKING:
    import pytest

    from plugins.postgres.store import PostgresStore
    from tests.unit.plugins.postgres.conftest import Open

_KILL_LISTENERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = 'mainspring listen' AND datname = current_database()"
)


class Told:
    """How often a store has told of changes, and when it did last."""

    def __init__(self, store: PostgresStore) -> None:
        self.times = 0
        self.at = 0.0
        self.event = asyncio.Event()
        store.on_change(self._told)

    def _told(self) -> None:
        self.times += 1
        self.at = time.monotonic()
        self.event.set()

    async def next(self) -> float:
        """When it tells the next time."""
        self.event.clear()
        async with asyncio.timeout(10):
            await self.event.wait()
        return self.at


async def _listening(store: PostgresStore) -> None:
    await until(lambda: store._listener is not None and store._listener.is_listening)


async def test_what_another_process_enqueues_is_told_within_a_tenth_of_a_second(open_store: Open) -> None:
    store, client = await open_store(1), await open_store(None)
    told = Told(store)
    await _listening(store)
    waits = []
    for _ in range(5):
        await told.next()  # the look of each second: what follows it is the notice
        begun = time.monotonic()
        enqueued = asyncio.ensure_future(client.enqueue([new()], NO_LIMIT))
        waits.append(await told.next() - begun)
        await enqueued

    assert sorted(waits)[2] < 0.1


async def test_the_end_of_a_run_is_told_to_a_client_that_waits_for_it(open_store: Open) -> None:
    store, client = await open_store(1), await open_store(None)
    await store.enqueue([new()], NO_LIMIT)
    [run] = await claimed(store)
    told = Told(client)
    await _listening(client)
    await told.next()

    await store.finish([done(run)])

    await told.next()
    assert [one.state for one in await client.runs(RunQuery(ids=[run.id]))] == ["completed"]


async def test_what_a_store_does_itself_is_not_told_to_it(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugins.postgres.listening._POLL_SECONDS", 1000.0)
    store, client = await open_store(1), await open_store(None)
    mine, others = Told(store), Told(client)
    await _listening(store)
    await _listening(client)
    before = mine.times

    for _ in range(20):
        await store.enqueue([new()], NO_LIMIT)
    await others.next()

    assert mine.times == before


async def test_a_burst_of_changes_is_told_a_few_times(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugins.postgres.listening._POLL_SECONDS", 1000.0)
    store, client = await open_store(1), await open_store(None)
    told = Told(store)
    await _listening(store)
    before, begun = told.times, time.monotonic()

    for _ in range(100):
        await client.enqueue([new()], NO_LIMIT)
    await until(lambda: told.times > before)

    assert told.times - before <= 2 + (time.monotonic() - begun) / 0.05


async def test_a_listener_that_is_cut_off_listens_again_and_meanwhile_it_is_looked_once_a_second(
    open_store: Open, postgres_url: str
) -> None:
    store, client = await open_store(1), await open_store(None)
    told = Told(store)
    await _listening(store)

    execute(postgres_url, _KILL_LISTENERS)
    begun = time.monotonic()
    await client.enqueue([new()], NO_LIMIT)

    assert await told.next() - begun < 2.0
    await _listening(store)


async def test_without_listening_it_is_looked_once_a_second(open_store: Open, postgres_url: str) -> None:
    store = await open_store(1, url=with_options(postgres_url, poll_only="true"))
    told = Told(store)

    await told.next()

    listeners = await _listeners(postgres_url)
    assert (told.times, listeners) == (1, 0)


async def _listeners(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        found: int = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mainspring listen' "
            "AND datname = current_database()"
        )
        return found
    finally:
        await connection.close()
