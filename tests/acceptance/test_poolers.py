"""Kernels with a connection pooler between them and the server, which they tell by ``poll_only``."""

from __future__ import annotations

import shutil
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.acceptance.rig.proxy import Proxy
from tests.acceptance.rig.works import LIMIT, Works, at_work, stop, warnings_of
from tests.postgres_server import as_no_root, with_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres_server import Server


@pytest.mark.timeout(300)
async def test_with_poll_only_three_kernels_ask_for_nothing_that_outlasts_a_transaction(
    tmp_path: Path, own_url: str
) -> None:
    async with Proxy(own_url) as proxy:
        works = Works(tmp_path, with_options(proxy.url, poll_only="true"))
        async with at_work(works.member(), works.member(), works.member()) as members:
            await works.enqueue(1000, 0.02)
            await works.take_part(*members)
            await works.all_ended()
            await works.has_members(*members)
            await stop(*members)
        assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()

    connections = proxy.asked()
    assert len(connections) > 6
    for messages in connections:
        for what in lasting(messages):
            raise AssertionError(what)


def lasting(messages: list[tuple[str, bytes]]) -> Iterator[str]:
    """What of these a pooler in transaction mode would not carry over to the next transaction."""
    is_within = False
    for kind, body in messages:
        if kind == "startup":
            names = body.split(b"\0")[0:-1:2]
            if set(names) - {b"user", b"database", b"client_encoding", b"application_name", b""}:
                yield f"startup with {names}"
        elif kind == "P":
            if not body.startswith(b"\0"):
                yield f"a prepared statement: {body[:80]!r}"
            if not is_within:
                yield f"a statement in several messages outside of a transaction: {body[:80]!r}"
        elif kind == "Q":
            lines = (line for line in body.upper().splitlines() if not line.lstrip().startswith(b"--"))
            for one in b" ".join(lines).split(b";"):
                text = one.strip()
                is_within = text.startswith(b"BEGIN") or (is_within and not text.startswith((b"COMMIT", b"ROLLBACK")))
                if text.startswith((b"LISTEN", b"SET ", b"PREPARE")) and not text.startswith(b"SET LOCAL"):
                    yield f"a change of the session: {text[:80]!r}"


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="PgBouncer is not installed")
async def test_three_kernels_behind_pgbouncer_in_transaction_mode(
    tmp_path: Path, own_server: Server, own_url: str
) -> None:
    with bouncer(tmp_path, own_server) as url:
        works = Works(tmp_path, with_options(url, poll_only="true", sslmode="disable"))
        async with at_work(works.member(), works.member(), works.member()) as members:
            await works.enqueue(1000, 0.02)
            await works.take_part(*members)
            await works.all_ended()
            await works.has_members(*members)
            await stop(*members)
        assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()
        assert [warnings_of(member, 0) for member in members] == [[], [], []]


@contextmanager
def bouncer(folder: Path, server: Server) -> Iterator[str]:
    """Two connections of the server for all that programs do at once; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = parse_qs(urlsplit(server.url()).query)["host"][0]
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\npostgres = host={place} dbname=postgres user=mainspring\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\nunix_socket_dir =\n"
        "pool_mode = transaction\ndefault_pool_size = 2\n"
    )
    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(as_no_root("pgbouncer", str(folder / "pgbouncer.ini")), stdout=log, stderr=log)
    try:
        yield f"postgresql://mainspring@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(LIMIT)
