"""A kernel is told within 100 ms what other processes have written, and never of its own writing."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING

from tests.unit.plugins.sqlite.sqlite_samples import ask, child, end, line_of, news, tell

if TYPE_CHECKING:
    from pathlib import Path

    from plugins.sqlite.store import SqliteStore

_ENQUEUE = """
import time
async def main():
    store = SqliteStore(sys.argv[1])
    await store.open(None)
    print("open", flush=True)
    while sys.stdin.readline():
        await store.enqueue(news(1), {})
        print(time.time(), flush=True)
asyncio.run(main())
"""


async def test_a_client_of_another_process_is_noticed_within_100_ms(path: Path, store: SqliteStore) -> None:
    client = child(_ENQUEUE, path)
    assert await asyncio.to_thread(line_of, client) == "open"
    noticed = asyncio.Event()
    at: list[float] = []

    def note() -> None:
        at.append(time.time())
        noticed.set()

    store.on_change(note)

    delays = []
    for number in range(9):
        noticed.clear()
        at.clear()
        tell(client)
        written = float(await asyncio.to_thread(line_of, client))
        await asyncio.wait_for(noticed.wait(), 5)
        delays.append(at[0] - written)

        assert len((await store.claim(ask())).runs) == 1, number

    assert statistics.median(delays) < 0.1
    end(client)


async def test_a_kernels_own_writing_is_not_told(store: SqliteStore, client: SqliteStore) -> None:
    told = asyncio.Event()
    store.on_change(told.set)
    await client.put("health", {"a": "1"})
    await asyncio.wait_for(told.wait(), 5)
    told.clear()

    for _ in range(5):
        await store.enqueue(news(1), {})
        await asyncio.sleep(0.05)

    assert not told.is_set()


async def test_a_client_is_told_too_when_it_asks(store: SqliteStore, client: SqliteStore) -> None:
    told = asyncio.Event()
    client.on_change(told.set)

    await store.enqueue(news(1), {})

    await asyncio.wait_for(told.wait(), 5)
