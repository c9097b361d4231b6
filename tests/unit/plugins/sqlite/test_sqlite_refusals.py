"""Files that are no store, or none that this program can use: one clear error, with the path and the next step."""

# ruff: noqa: ASYNC240 - a test may wait for its own small files

from __future__ import annotations

import random
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from kernel.contracts.store import Claim, RunQuery
from kernel.model.errors import ConfigError, MainspringError, StoreLockedError
from plugins.sqlite import opening
from plugins.sqlite.schema import connect
from plugins.sqlite.store import SqliteStore
from tests.unit.plugins.sqlite.sqlite_samples import (
    JOB,
    KERNEL,
    NOW,
    child,
    completed,
    end,
    line_of,
    look_into,
    new,
    news,
)  # fmt: skip

if TYPE_CHECKING:
    from pathlib import Path


async def opened_and_closed(path: Path, runs: int = 0) -> SqliteStore:
    store = SqliteStore(path)
    await store.open(KERNEL)
    await store.enqueue([new(tags=("a", "b")), *news(runs)], {})
    await store.close()
    return store


async def refusal(path: Path) -> str:
    """What is said to a kernel and, in the same words, to a client."""
    said = []
    for kernel in (KERNEL, None):
        store = SqliteStore(path)
        with pytest.raises(ConfigError) as caught:
            await store.open(kernel)
        await store.close()
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert str(path) in said[0]
    assert "\n" not in said[0]
    return said[0]


async def test_an_empty_file_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.touch()

    assert "put a backup in its place, or delete it" in await refusal(path)
    assert path.stat().st_size == 0


@pytest.mark.parametrize("content", [b"hello", b"\0" * 5000, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_what_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)

    assert "put a backup in its place" in await refusal(path)
    assert path.read_bytes() == content


async def test_a_database_of_another_program_is_refused_and_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE run (id)")
    connection.close()
    before = path.read_bytes()

    assert "belongs to another program; choose another path" in await refusal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("is_database", [True, False])
async def test_a_file_that_is_no_store_keeps_its_rights_and_stands_alone(path: Path, is_database: bool) -> None:
    path.parent.mkdir()
    if is_database:
        look_into_and_commit(path, "CREATE TABLE run (id)")
    else:
        path.write_text("notes")
    path.chmod(0o644)

    await refusal(path)
    for operation in (SqliteStore(path).status, SqliteStore(path).upgrade, SqliteStore(path).peek_schedules):
        with pytest.raises(ConfigError):
            await operation()

    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o644


async def test_a_client_of_a_store_that_can_only_be_read_lists_and_says_why_it_writes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened_and_closed(path)
    # As root may write everything: what SQLite does by itself for another user.
    monkeypatch.setattr(opening, "connect", lambda path: connect(path, "ro"))
    store = SqliteStore(path)
    await store.open(None)

    assert len(await store.runs(RunQuery())) == 1
    with pytest.raises(ConfigError, match=r"cannot be written .*; look at the rights of the file"):
        await store.enqueue(news(1), {})

    await store.close()


async def test_looking_at_a_store_that_is_not_open_changes_nothing(path: Path) -> None:
    store = await opened_and_closed(path)
    for lock in (".lock", ".write"):
        path.with_name(path.name + lock).unlink()
    path.chmod(0o644)
    before = path.stat()

    found = await store.status(check=True)

    assert (found.runs, found.integrity, await store.peek_schedules()) == ({"queued": 1}, "ok", [])
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert (path.stat().st_mode, path.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


async def test_what_another_has_not_checkpointed_yet_is_seen_by_a_look_too(path: Path) -> None:
    store = SqliteStore(path)
    await store.open(KERNEL)
    await store.enqueue(news(3), {})

    assert (await SqliteStore(path).status()).runs == {"queued": 3}

    await store.close()


async def test_a_store_of_a_newer_schema_is_refused(path: Path) -> None:
    await opened_and_closed(path)
    look_into_and_commit(path, "INSERT INTO mainspring_schema VALUES (99, 'x', 'x', 0)")

    assert "schema 99" in await refusal(path)


async def test_a_store_whose_schema_another_edition_made_is_refused(path: Path) -> None:
    await opened_and_closed(path)
    look_into_and_commit(path, "UPDATE mainspring_schema SET checksum = 'x'")

    assert "another edition of 0001_" in await refusal(path)


async def test_a_store_that_knows_no_schema_is_refused(path: Path) -> None:
    await opened_and_closed(path)
    look_into_and_commit(path, "DELETE FROM mainspring_schema")

    assert "knows no schema version" in await refusal(path)


def look_into_and_commit(path: Path, sql: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(sql)
    connection.close()


async def test_a_library_that_is_too_old_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 36, 0))

    with pytest.raises(ConfigError, match=r"expected 3\.37\.0 or newer"):
        await SqliteStore(path).open(KERNEL)


# The kernel's lock


async def test_a_second_kernel_is_refused_at_once_with_the_process_id_of_the_first(path: Path) -> None:
    first = child(
        "asyncio.run(SqliteStore(sys.argv[1]).open(KERNEL)); print('open', flush=True); sys.stdin.read()", path
    )
    assert line_of(first) == "open"

    with pytest.raises(StoreLockedError, match=f"process {first.pid};"):
        await SqliteStore(path).open(KERNEL)

    end(first)


async def test_kill_9_frees_the_lock_even_when_a_forked_child_lives_on(path: Path) -> None:
    first = child(
        """
async def main():
    await SqliteStore(sys.argv[1]).open(KERNEL)
    if os.fork() == 0:
        print("forked", os.getpid(), flush=True)
        sys.stdin.read()
        os._exit(0)
    sys.stdin.read()
asyncio.run(main())
""",
        path,
    )
    assert line_of(first).startswith("forked")
    first.kill()
    first.wait()

    store = SqliteStore(path)
    await store.open(KERNEL)
    await store.close()

    end(first)


async def test_a_client_that_asks_whether_a_kernel_lives_does_not_keep_one_from_starting(path: Path) -> None:
    await opened_and_closed(path)
    client = SqliteStore(path)
    await client.open(None)
    kernel = SqliteStore(path)

    assert await client.kernels() == []
    await kernel.open(KERNEL)
    assert await client.kernels() == [KERNEL]
    await kernel.close()
    assert await client.kernels() == []

    await client.close()


async def test_a_store_that_is_open_is_not_opened_again(store: SqliteStore) -> None:
    with pytest.raises(MainspringError, match="open already"):
        await store.open(KERNEL)


async def test_a_store_that_is_closed_says_so(path: Path) -> None:
    store = await opened_and_closed(path)

    with pytest.raises(MainspringError, match="not open"):
        await store.enqueue(news(1), {})
    with pytest.raises(MainspringError, match="not open"):
        await store.runs(RunQuery())


# Damage


async def use(path: Path) -> None:
    """Everything that a kernel's start, a few runs and an operator's look do."""
    store = SqliteStore(path)
    try:
        await store.open(KERNEL)
        await store.enqueue(news(3), {"default": 100_000})
        runs = (await store.claim(Claim(KERNEL.id, NOW, 20, {JOB: 20}, {}))).runs
        await store.finish([completed(run) for run in runs])
        await store.runs(RunQuery())
        await store.count(RunQuery())
        await store.queues()
        await store.schedules()
    finally:
        await store.close()


def flipped(content: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(chance.choice([1, 1, 3, 20])):
        at = chance.randrange(100 if chance.random() < 0.3 else len(damaged))
        damaged[at] ^= 1 << chance.randrange(8)
    return bytes(damaged)


@pytest.fixture(scope="module")
def damages() -> int:
    return 60


async def test_a_damaged_file_works_or_is_refused_and_never_ends_in_a_traceback(path: Path, damages: int) -> None:
    await opened_and_closed(path, runs=300)
    whole = path.read_bytes()
    chance = random.Random(20)  # noqa: S311 - the same damage in every run

    for _ in range(damages):
        path.write_bytes(flipped(whole, chance))
        try:
            await use(path)
        except MainspringError as error:
            assert str(path) in str(error)  # noqa: PT017 - it may also work
        for one in (path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            one.unlink(missing_ok=True)


async def test_a_damaged_wal_loses_nothing_that_was_not_in_it(path: Path) -> None:
    first = child(_FILL, path)
    acknowledged = int(line_of(first))
    end(first)
    wal = path.with_name(path.name + "-wal")
    chance = random.Random(21)  # noqa: S311 - as above
    content: Any = wal.read_bytes()
    database = path.read_bytes()

    for _ in range(15):
        path.write_bytes(database)
        wal.write_bytes(flipped(content, chance))
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
        try:
            store = SqliteStore(path)
            await store.open(None)
            found = sum((await store.count(RunQuery())).values())
            await store.close()
        except MainspringError as error:
            assert str(path) in str(error)  # noqa: PT017 - it may also work
        else:
            assert 0 <= found <= acknowledged
            assert look_into(path, "PRAGMA integrity_check") == [("ok",)]


_FILL = """
async def main():
    store = SqliteStore(sys.argv[1])
    await store.open(KERNEL)
    for _ in range(20):
        await store.enqueue(news(5), {})
    print(100, flush=True)
    sys.stdin.read()
asyncio.run(main())
"""
