"""A server or database in which no store can be kept: one clear error, in one line, without the password."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import pytest

from kernel.model.errors import ConfigError, StoreError
from plugins.postgres.schema import migrations
from plugins.postgres.store import PostgresStore
from tests.postgres_server import execute, with_options
from tests.unit.plugins.postgres.postgres_samples import row

if TYPE_CHECKING:
    from tests.postgres_server import Databases

CANARY = "canary-7f3a"

TODAY = migrations()[-1].version


async def _refusal(url: str) -> str:
    with pytest.raises(ConfigError) as caught:
        await PostgresStore(url).open(row())
    said = str(caught.value)
    assert "\n" not in said
    assert CANARY not in said
    return said


def _with(url: str, *, user: str | None = None, path: str | None = None) -> str:
    parts = urlsplit(url)
    netloc = parts.netloc if user is None else f"{user}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=netloc, path=parts.path if path is None else path))


async def test_a_server_that_does_not_answer_is_named() -> None:
    said = await _refusal(f"postgresql://me:{CANARY}@127.0.0.1:1/main")

    assert said.startswith("postgresql://me@127.0.0.1:1/main: the server cannot be reached: ")


async def test_a_server_that_never_says_a_word_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = await _refusal(f"postgresql://me:{CANARY}@127.0.0.1:{port}/main?sslmode=disable")

    assert "no answer in time" in said


async def test_a_user_that_the_server_does_not_know_is_refused(postgres_url: str) -> None:
    said = await _refusal(_with(postgres_url, user=f"nobody:{CANARY}"))

    assert "lets this user not in" in said


async def test_a_database_that_is_not_there_is_named(postgres_url: str) -> None:
    said = await _refusal(_with(postgres_url, path="/not_there"))

    assert 'database "not_there" does not exist; create the database' in said


async def test_a_user_who_may_not_create_a_schema_is_told_what_is_missing(postgres_url: str) -> None:
    execute(postgres_url, "DO $$ BEGIN CREATE ROLE humble LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")

    said = await _refusal(_with(postgres_url, user="humble"))

    assert "permission denied" in said
    assert "grant this user CREATE" in said


async def test_a_user_who_may_use_a_schema_that_was_made_for_it_needs_no_more(postgres_url: str) -> None:
    execute(postgres_url, "DO $$ BEGIN CREATE ROLE humble LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    execute(postgres_url, "CREATE SCHEMA mainspring AUTHORIZATION humble")

    store = PostgresStore(_with(postgres_url, user="humble"))
    await store.open(row())
    await store.close()


async def test_a_server_that_only_reads_is_refused(fresh_database: str) -> None:
    name = urlsplit(fresh_database).path[1:]
    execute(fresh_database, f"ALTER DATABASE {name} SET default_transaction_read_only = on")

    assert "only reads (a replica?); name the primary" in await _refusal(fresh_database)


async def test_a_database_of_another_encoding_is_refused(databases: Databases, postgres_url: str) -> None:
    name = f"{urlsplit(postgres_url).path[1:]}_ascii"
    execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")

    assert "encoding is SQL_ASCII: expected UTF8" in await _refusal(_with(postgres_url, path=f"/{name}"))


async def test_a_server_that_is_too_old_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugins.postgres.connecting.OLDEST_SERVER", (99, "99"))

    assert "is too old: expected 99 or newer" in await _refusal(postgres_url)


async def test_a_schema_of_another_program_is_left_alone(postgres_url: str) -> None:
    execute(postgres_url, "CREATE SCHEMA mainspring CREATE TABLE run (id int)")

    assert 'the schema "mainspring" belongs to another program; name another one' in await _refusal(postgres_url)


async def test_a_schema_of_a_newer_program_is_refused(postgres_url: str) -> None:
    await PostgresStore(postgres_url).upgrade()
    execute(
        postgres_url, "INSERT INTO mainspring.mainspring_schema (version, name, checksum) VALUES (99, '0099.sql', '')"
    )

    assert f"has version 99, and this program knows up to {TODAY}; install the newer" in await _refusal(postgres_url)


async def test_a_schema_of_another_edition_is_refused(postgres_url: str) -> None:
    await PostgresStore(postgres_url).upgrade()
    execute(postgres_url, "UPDATE mainspring.mainspring_schema SET checksum = 'another'")

    assert "was made by another edition of 0001_first.sql" in await _refusal(postgres_url)


async def test_a_schema_that_knows_no_version_is_refused(postgres_url: str) -> None:
    await PostgresStore(postgres_url).upgrade()
    execute(postgres_url, "DELETE FROM mainspring.mainspring_schema")

    assert "is damaged" in await _refusal(postgres_url)


async def test_what_may_lose_runs_is_warned_about(fresh_database: str, caplog: pytest.LogCaptureFixture) -> None:
    execute(fresh_database, f"ALTER DATABASE {urlsplit(fresh_database).path[1:]} SET synchronous_commit = off")

    store = PostgresStore(fresh_database)
    await store.open(row())
    await store.close()

    assert "synchronous_commit is off" in caplog.text


# The schema


async def test_kernels_that_start_together_on_an_empty_database_all_open(postgres_url: str) -> None:
    stores = [PostgresStore(postgres_url) for _ in range(6)]

    await asyncio.gather(*(store.open(row(number)) for number, store in enumerate(stores)))

    assert len(await stores[0].kernels()) == 6
    for store in stores:
        await store.close()


async def test_stores_in_different_schemas_of_one_database_know_nothing_of_each_other(postgres_url: str) -> None:
    one, two = (PostgresStore(with_options(postgres_url, schema=name)) for name in ("one", "two"))
    await one.open(row(1))
    await two.open(row(2))

    assert [kernel.id for kernel in await one.kernels()] == ["kernel-1"]
    assert [kernel.id for kernel in await two.kernels()] == ["kernel-2"]
    await one.close()
    await two.close()


async def test_status_tells_the_version_and_changes_nothing(postgres_url: str) -> None:
    store = PostgresStore(postgres_url)

    before = await store.status()
    versions = await store.upgrade()
    after = await store.status(check=True)

    assert (before.exists, before.version, before.size_bytes) == (False, None, 0)
    assert versions == (0, TODAY)
    assert (after.exists, after.version, after.newest_version, after.runs) == (True, TODAY, TODAY, {})
    assert after.size_bytes > 0


async def test_a_store_is_opened_once(postgres_url: str) -> None:
    store = PostgresStore(postgres_url)
    await store.open(row())

    with pytest.raises(StoreError, match="open already"):
        await store.open(row())

    await store.close()


async def test_a_store_that_is_not_open_says_so(postgres_url: str) -> None:
    store = PostgresStore(postgres_url)

    with pytest.raises(StoreError, match="not open"):
        await store.kernels()
    with pytest.raises(StoreError, match="not open"):
        await store.beat("a", 0.0)
