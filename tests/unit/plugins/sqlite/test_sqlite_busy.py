"""Others that hold the database for long: the loop goes on, calls wait, and one that waited too long has not happened."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from kernel.contracts.store import RunQuery
from kernel.model.errors import StoreError
from plugins.sqlite import worker
from plugins.sqlite.store import SqliteStore
from tests.unit.plugins.sqlite.sqlite_samples import KERNEL, child, end, line_of, news, tell

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

_HOLD_DATABASE = """
import sqlite3
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
connection.close()
"""
_HOLD_LOCK = """
import fcntl
lock = open(sys.argv[1] + ".write", "r+")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
lock.close()
"""


def hold(how: str, path: Path) -> subprocess.Popen[str]:
    process = child(how, path)
    assert line_of(process) == "held"
    return process


async def longest_turn(until: asyncio.Future[Any]) -> float:
    """The longest time that the loop was away."""
    longest, last = 0.0, time.perf_counter()
    while not until.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest


@pytest.mark.parametrize("how", [_HOLD_DATABASE, _HOLD_LOCK], ids=["database", "lock"])
async def test_a_call_waits_while_others_hold_the_database_and_the_loop_does_not(
    path: Path, store: SqliteStore, how: str
) -> None:
    holder = hold(how, path)
    waiting = asyncio.ensure_future(store.enqueue(news(1), {}))
    asyncio.get_running_loop().call_later(0.5, tell, holder)

    longest = await longest_turn(waiting)

    assert len(await waiting) == 1
    assert longest < 0.3  # on an idle machine 0.01; what must not be is half a second
    end(holder)


@pytest.mark.parametrize("how", [_HOLD_DATABASE, _HOLD_LOCK], ids=["database", "lock"])
async def test_a_call_that_waited_too_long_has_not_happened_and_will_not(
    path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LIMIT_SECONDS", 0.2)
    store = SqliteStore(path)
    await store.open(KERNEL)
    holder = hold(how, path)

    with pytest.raises(StoreError, match="did nothing; try again"):
        await store.enqueue(news(1), {})
    tell(holder)

    assert len(await store.enqueue(news(2), {})) == 2
    assert await store.count(RunQuery()) == {"queued": 2}
    await store.close()
    end(holder)


async def test_reads_go_on_while_others_write(path: Path, store: SqliteStore) -> None:
    await store.enqueue(news(1), {})
    holder = hold(_HOLD_DATABASE, path)

    assert await store.count(RunQuery()) == {"queued": 1}

    end(holder)


async def test_a_list_that_takes_too_long_is_cut_off_and_the_next_one_works(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugins.sqlite.reader.LIMIT_SECONDS", 0.1)
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    assert store._reader is not None

    with pytest.raises(StoreError, match="interrupted"):
        await store._reader.call(lambda database: database.connection.execute(endless).fetchall())

    assert await store.count(RunQuery()) == {}


async def test_a_store_can_be_closed_while_a_long_list_is_read(store: SqliteStore) -> None:
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    assert store._reader is not None
    reading = store._reader.call(lambda database: database.connection.execute(endless).fetchall())
    await store.enqueue(news(1), {})

    await store.close()

    with pytest.raises(StoreError, match="interrupted"):
        await reading
