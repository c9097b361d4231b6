"""Runs that enter in a transaction of the caller's own, to be committed or rolled back with whatever else is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import asyncpg

from kernel.model.errors import RequestError, StoreError

from . import lists
from .database import Database
from .enqueue import check_room, insert_beside, waiting_before
from .errors import RepeatError, as_store_error
from .listening import channel_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from kernel.contracts.store import RunQuery
    from kernel.model.run import NewRun, Run

    from .address import Address
    from .known import Known
    from .statements import Statements

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"

T = TypeVar("T")

_MOST_TRIES = 5
_PLACE = "SELECT current_database(), pg_postmaster_start_time()"


class Joined:
    """The store as it is seen within the caller's transaction. Each call is a savepoint: one that fails leaves no trace."""

    def __init__(self, connection: Connection, address: Address, statements: Statements, known: Known) -> None:
        self._connection = connection
        self._address = address
        self._statements = statements
        self._known = known

    async def enqueue(self, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
        """As of the store; other processes are told when the caller commits."""
        return await self._in_savepoint(lambda database: self._enqueue(database, runs, room))

    async def runs(self, query: RunQuery) -> list[Run]:
        """As of the store, with what the transaction has changed."""
        return await self._in_savepoint(lambda database: lists.runs(database, query))

    async def _enqueue(self, database: Database, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
        # What counts though it is rolled back makes the estimate too high: near the limit that is counted anew.
        if not room or self._known.room.surely_takes(runs, room):
            answers, _ = await insert_beside(database, runs)
        else:
            before = await waiting_before(database, runs, room)
            answers, added = await insert_beside(database, runs)
            check_room(added, before, room)
            self._known.room.add(added)
        await database.connection.execute(f'NOTIFY "{channel_of(self._address)}"')
        return answers

    async def _in_savepoint(self, step: Callable[[Database], Awaitable[T]]) -> T:
        tries = 0
        while True:
            tries += 1
            try:
                async with self._connection.transaction():
                    return await step(Database(self._connection, self._statements, self._known))
            except RepeatError as error:
                if tries == _MOST_TRIES:
                    raise StoreError(
                        f"{self._address.url}: others were faster each time; roll the transaction back and try it again"
                    ) from error
            except asyncpg.SerializationError as error:
                raise StoreError(
                    f"{self._address.url}: another transaction was faster, and this one sees the state of before "
                    "(REPEATABLE READ or SERIALIZABLE); roll it back and try it again"
                ) from error
            except Exception as error:
                raise as_store_error(error, self._address.url) from error


def check_connection(connection: object) -> Connection:
    """RequestError unless it is one that can be joined."""
    if not isinstance(connection, asyncpg.Connection | asyncpg.pool.PoolConnectionProxy):
        kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
        raise RequestError(
            f"connection: {kind}: expected a connection of asyncpg; with another driver, or without asyncio, call the SQL "
            "function `mainspring.enqueue` in the transaction"
        )
    if connection.is_closed():
        raise RequestError("connection: it is closed; expected one in a transaction")
    if not connection.is_in_transaction():
        raise RequestError(
            "connection: it is in no transaction; begin one, or leave connection= out to have the run written at once"
        )
    return connection


async def place_of(connection: Connection) -> tuple[Any, ...]:
    """The database, and when its server was started: no two servers agree in both."""
    return tuple(await connection.fetchrow(_PLACE))
