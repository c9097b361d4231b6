"""The fleet's database on a PostgreSQL server. Imports asyncpg: import this file only for a URL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

from .car_store import CarStoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONNECTIONS = 4
_CONNECT_SECONDS = 10
_STATEMENT_SECONDS = 30
_CLOSE_SECONDS = 5

# Any number of our own will do: it keeps two kernels from creating the same tables at the same moment.
_SCHEMA_LOCK = 0x636172


class PostgresDatabase:
    """A small pool of connections, made when they are needed; a lost one is replaced at the next call."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool | None = None

    async def open(self, schema: str) -> None:
        # With a minimum the pool would connect, and log what fails, behind our back.
        pool = asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=_CONNECTIONS,
            timeout=_CONNECT_SECONDS,
            command_timeout=_STATEMENT_SECONDS,
        )
        try:
            await pool
            await _create_tables(pool, schema)
            self._pool = pool
        except ValueError:
            # Its message may hold a piece of the password.
            form = "postgresql://user:password@host:port/name"
            raise CarStoreError(f"the fleet's database: no valid URL; expected {form}") from None
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            problem = " ".join(str(error).split()) or f"no answer within {_CONNECT_SECONDS} s"
            raise CarStoreError(f"cannot open the fleet's PostgreSQL database: {problem}") from error
        finally:
            if self._pool is not pool:
                pool.terminate()

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    async def fetch(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return [tuple(record) for record in await self._opened().fetch(sql, *values)]

    async def execute(self, sql: str, *values: object) -> int:
        return _rows_changed(await self._opened().execute(sql, *values))

    async def execute_all(self, sql: str, rows: Sequence[Sequence[object]]) -> int:
        async with self._opened().acquire() as connection, connection.transaction():
            return sum([_rows_changed(await connection.execute(sql, *row)) for row in rows])

    def _opened(self) -> asyncpg.Pool:
        if self._pool is None:
            raise CarStoreError("the fleet's PostgreSQL database is not open")
        return self._pool


async def _create_tables(pool: asyncpg.Pool, schema: str) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)
        await connection.execute(schema)


def _rows_changed(status: str) -> int:
    """PostgreSQL answers ``UPDATE 3`` or ``INSERT 0 3``."""
    return int(status.rsplit(" ", 1)[-1])
