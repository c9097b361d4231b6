"""The fleet's database as a SQLite file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from .car_store import CarStoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")

_BUSY_SECONDS = 5


class SqliteDatabase:
    """One connection on a thread of its own: the loop never waits for the disk, and calls never overlap.

    The journal is SQLite's default, not WAL: with one connection WAL gains little, and before SQLite 3.51.3 a
    second program that writes to the same file at the same moment could damage it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fleet-database")
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def open(self, schema: str) -> None:
        await self._call(self._connect, schema)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._call(self._disconnect)
            self._thread.shutdown(wait=False)

    async def fetch(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return await self._call(self._fetch, sql, values)

    async def execute(self, sql: str, *values: object) -> int:
        return await self.execute_all(sql, [values])

    async def execute_all(self, sql: str, rows: Sequence[Sequence[object]]) -> int:
        return await self._call(self._execute_all, sql, rows)

    async def _call(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    def _connect(self, schema: str) -> None:
        try:
            _create_private(self._path)
            connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise CarStoreError(f"cannot open the fleet's database {self._path}: {error}") from error
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.executescript(schema)
        except sqlite3.Error as error:
            connection.close()
            raise CarStoreError(f"cannot use the fleet's database {self._path}: {error}") from error
        self._connection = connection

    def _disconnect(self) -> None:
        # In the thread, so that an open which was given up while it was under way has ended.
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _fetch(self, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return self._opened().execute(sql, _parameters(values)).fetchall()

    def _execute_all(self, sql: str, rows: Sequence[Sequence[object]]) -> int:
        connection = self._opened()
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            return sum(connection.execute(sql, _parameters(row)).rowcount for row in rows)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise CarStoreError(f"the fleet's database {self._path} is not open")
        return self._connection


def _create_private(path: Path) -> None:
    """Make the file, and the folders above it that are missing, for their owner alone."""
    for folder in reversed(path.absolute().parents):
        folder.mkdir(mode=0o700, exist_ok=True)
    # A file that is there is not even opened: closing it again would drop the locks SQLite holds on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _parameters(values: Sequence[object]) -> dict[str, object]:
    """``$1`` is to SQLite a parameter with the name 1."""
    return {str(place): _encoded(value) for place, value in enumerate(values, start=1)}


def _encoded(value: object) -> object:
    """Instants as text in UTC, of one width, so that they sort as they follow each other."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value.isoformat() if isinstance(value, date) else value
