"""The schema is brought up to date file by file, each in one transaction, with a copy of the store made before."""

# ruff: noqa: ASYNC240 - a test may wait for its own small files

from __future__ import annotations

import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest

from kernel.contracts.store import RunQuery
from kernel.model.errors import ConfigError
from plugins.sqlite import schema
from plugins.sqlite.schema import Migration, migrations, statements_of
from plugins.sqlite.store import SqliteStore
from tests.unit.plugins.sqlite.sqlite_samples import KERNEL, look_into, news

if TYPE_CHECKING:
    from pathlib import Path

TODAY = migrations()[-1].version
NEXT = Migration(TODAY + 1, "9999_next.sql", "CREATE TABLE more (id);\nINSERT INTO more VALUES (1);\n")
BROKEN = Migration(TODAY + 1, "9999_broken.sql", "CREATE TABLE more (id);\nINSERT INTO nowhere VALUES (1);\n")


@pytest.fixture
async def old(path: Path) -> SqliteStore:
    """A store of today's schema with a run in it, closed."""
    store = SqliteStore(path)
    await store.open(KERNEL)
    await store.enqueue(news(1), {})
    await store.close()
    return store


def ship(monkeypatch: pytest.MonkeyPatch, *more: Migration) -> None:
    known = [*migrations(), *more]
    monkeypatch.setattr(schema, "migrations", lambda: known)


def test_the_files_are_numbered_without_a_gap() -> None:
    assert [migration.version for migration in migrations()] == list(range(1, len(migrations()) + 1))


def test_a_file_is_split_into_its_statements_whatever_stands_in_them() -> None:
    text = "-- a; comment\nCREATE TABLE a (b TEXT DEFAULT ';');\n\nINSERT INTO a\nVALUES ('x;y');\n"

    assert [one.strip().splitlines()[-1] for one in statements_of(text)] == [
        "CREATE TABLE a (b TEXT DEFAULT ';');",
        "VALUES ('x;y');",
    ]


async def test_a_new_store_says_which_schema_it_has(store: SqliteStore, path: Path) -> None:
    rows = look_into(path, "SELECT version, name, checksum, applied_at > 0 FROM mainspring_schema")

    assert rows == [(one.version, one.name, one.checksum, 1) for one in migrations()]


async def test_opening_an_older_store_upgrades_it_and_keeps_its_runs_and_a_copy(
    path: Path, old: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(monkeypatch, NEXT)

    await old.open(KERNEL)

    assert await old.count(RunQuery()) == {"queued": 1}
    await old.close()
    assert look_into(path, "SELECT id FROM more") == [(1,)]
    copy = path.with_name(f"mainspring.db.schema-{TODAY}.backup")
    assert look_into(copy, "SELECT count(*) FROM run") == [(1,)]
    assert look_into(copy, "SELECT max(version) FROM mainspring_schema") == [(TODAY,)]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


async def test_upgrade_says_from_which_version_to_which(old: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ship(monkeypatch, NEXT)

    assert await old.upgrade() == (TODAY, TODAY + 1)
    assert await old.upgrade() == (TODAY + 1, TODAY + 1)


async def test_a_step_that_fails_leaves_the_store_as_it_was(
    path: Path, old: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        ship(patched, BROKEN)
        with pytest.raises(ConfigError, match=str(path)):
            await old.open(KERNEL)

    assert look_into(path, "SELECT name FROM sqlite_schema WHERE name = 'more'") == []
    await old.open(KERNEL)
    assert await old.count(RunQuery()) == {"queued": 1}
    await old.close()


async def test_two_processes_that_make_one_store_at_the_same_time_get_the_same_one(path: Path) -> None:
    path.parent.mkdir()

    schema.create(path)
    before = path.read_bytes()
    schema.create(path)

    assert path.read_bytes() == before
    assert sorted(one.name for one in path.parent.iterdir()) == ["mainspring.db"]


# db status


async def test_status_tells_of_a_store_that_is_not_there_and_makes_none(path: Path) -> None:
    status = await SqliteStore(path).status()

    assert (status.exists, status.version, status.runs) == (False, None, {})
    assert not path.exists()


async def test_status_tells_version_size_runs_and_on_wish_integrity(path: Path, store: SqliteStore) -> None:
    await store.enqueue(news(3), {})

    status = await store.status()
    checked = await SqliteStore(path).status(check=True)

    assert (status.exists, status.version, status.newest_version) == (True, TODAY, TODAY)
    assert status.runs == {"queued": 3}
    assert status.size_bytes >= path.stat().st_size
    assert (status.integrity, checked.integrity) == (None, "ok")


async def test_status_of_an_older_schema_does_not_upgrade_it(old: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ship(monkeypatch, NEXT)
    monkeypatch.setattr("plugins.sqlite.status.migrations", schema.migrations)

    status = await old.status()

    assert (status.version, status.newest_version) == (TODAY, TODAY + 1)
    assert (await old.status()).version == TODAY


async def test_status_of_a_damaged_file_says_so(path: Path, old: SqliteStore) -> None:
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 8] = b"\x55" * 4096 * 5
    path.write_bytes(content)

    try:
        found = (await old.status(check=True)).integrity
    except ConfigError as error:
        found = str(error)

    assert found != "ok"


async def test_a_schema_can_be_read_by_a_person(path: Path, store: SqliteStore) -> None:
    await store.enqueue(news(1), {})

    assert look_into(path, "SELECT state, due_at FROM run_readable") == [("queued", "2027-01-15 08:00:00")]


def test_a_state_that_is_none_is_refused_by_the_schema(path: Path) -> None:
    path.parent.mkdir()
    schema.create(path)

    with pytest.raises(sqlite3.IntegrityError):
        look_into(
            path,
            "INSERT INTO run (id, job, queue, priority, state, enqueued, due, urgency, payload)"
            " VALUES ('a', 'b', 'c', 5, 12, 0, 0, 0, '{}')",
        )
