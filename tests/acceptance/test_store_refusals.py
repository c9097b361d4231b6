"""A store on a server that cannot be used, as a newcomer meets it: one clear line, status 2, and no password."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import pytest

from plugins.postgres.store import PostgresStore
from tests.acceptance.rig.works import Works
from tests.postgres_server import execute, with_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.postgres_server import Databases, Server

CANARY = "canary-7f3a"


def _of_another(databases: Databases) -> str:
    url = databases.new()
    execute(url, "CREATE SCHEMA mainspring CREATE TABLE run (id int)")
    return url


def _of_a_newer(databases: Databases) -> str:
    url = databases.new()
    asyncio.run(PostgresStore(url).upgrade())
    execute(url, "INSERT INTO mainspring.mainspring_schema (version, name, checksum) VALUES (99, '0099_much.sql', '')")
    return url


def _read_only(databases: Databases) -> str:
    url = databases.new()
    execute(url, f"ALTER DATABASE {urlsplit(url).path[1:]} SET default_transaction_read_only = on")
    return url


REFUSALS: dict[str, tuple[Callable[[Databases], str], str]] = {
    "a server that is not there": (
        lambda _: f"postgresql://me:{CANARY}@127.0.0.1:1/main",
        "postgresql://me@127.0.0.1:1/main: the server cannot be reached: ",
    ),
    "a database that is not there": (
        lambda databases: urlunsplit(urlsplit(databases.url)._replace(path="/not_there")),
        'database "not_there" does not exist; create the database, or name another one in the URL',
    ),
    "no name of a schema": (
        lambda databases: with_options(databases.url, schema="Bad-Name"),
        "store: schema='Bad-Name': expected at most 40 of a-z, 0-9 and _",
    ),
    "a misspelt option": (
        lambda _: f"postgresql://me:{CANARY}@db/main?pol_only=true",
        "store: 'pol_only' is no option of a PostgreSQL URL; expected schema, pool, poll_only, or one of libpq's. Did you",
    ),
    "a schema of another program": (
        _of_another,
        'the schema "mainspring" belongs to another program; name another one by ?schema= in the URL',
    ),
    "a schema of a newer version": (_of_a_newer, "has version 99, and this program knows up to "),
    "a server that only reads": (_read_only, "the server only reads (a replica?); name the primary in the URL"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_store_that_cannot_be_used_is_one_line_and_status_2(tmp_path: Path, databases: Databases, case: str) -> None:
    make, expected = REFUSALS[case]
    works = Works(tmp_path, make(databases))

    for done in works.commands(("run",), ("runs", "list")):
        [said] = done.stderr.splitlines()
        assert expected in said
        assert CANARY not in done.stdout + done.stderr
        assert done.returncode == 2


def test_a_wrong_password_is_one_line_and_status_2_and_is_not_shown(tmp_path: Path, own_server: Server) -> None:
    execute(own_server.url(), "DROP ROLE IF EXISTS guarded")
    execute(own_server.url(), "CREATE ROLE guarded LOGIN PASSWORD 'right'")
    works = Works(tmp_path, own_server.url(user=f"guarded:{CANARY}"))

    for done in works.commands(("run",), ("runs", "list")):
        [said] = done.stderr.splitlines()
        assert "the server lets this user not in: password authentication failed" in said
        assert "look at user and password in the URL" in said
        assert CANARY not in done.stdout + done.stderr
        assert done.returncode == 2
