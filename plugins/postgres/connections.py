"""The few connections that the calls of a store share; one that is lost is replaced at the next call."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from kernel.model.errors import StoreError

from .connecting import connect
from .errors import as_store_error, is_gone, words_of
from .trouble import Backoff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from .address import Address
    from .trouble import Trouble

_CLOSE_SECONDS = 3.0


class Connections:
    """At most ``address.pool`` at once, made when they are needed.

    asyncpg's own pool asks the server to reset each connection that comes back: a round trip for nothing here.
    """

    def __init__(self, address: Address, trouble: Trouble) -> None:
        self._address = address
        self._trouble = trouble
        self._slots = asyncio.Semaphore(address.pool)
        self._idle: list[asyncpg.Connection[Any]] = []
        self._backoff = Backoff()
        self._not_before = 0.0
        self._last_error: Exception | None = None
        self._is_closed = False
        self._pids: dict[asyncpg.Connection[Any], int] = {}

    @asynccontextmanager
    async def one(self, *, fresh: bool = False) -> AsyncIterator[asyncpg.Connection[Any]]:
        """A connection for the block; StoreError when there is none to be had. ``fresh``: not one that has lain idle.

        Whatever happens in the block to the connection: one that is of no use any more is dropped.
        """
        async with self._slots:
            connection = await self._take(fresh=fresh)
            try:
                yield connection
            except BaseException as error:
                # A call that was cut off in mid-talk leaves the connection in a state that nobody knows.
                if is_gone(error) or not isinstance(error, Exception):
                    self._drop(connection)
                    if isinstance(error, Exception):
                        self._trouble.tell(words_of(error))
                raise
            finally:
                self._give_back(connection)

    def adopt(self, connection: asyncpg.Connection[Any]) -> None:
        """Takes over one that was made before."""
        self._pids[connection] = connection.get_server_pid()
        self._idle.append(connection)

    def owns(self, pid: int) -> bool:
        """Whether this is the server's process at the other end of one of them."""
        return pid in self._pids.values()

    async def close(self) -> None:
        """What is still in use is dropped when it comes back."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            await close_quietly(connection)

    async def _take(self, *, fresh: bool) -> asyncpg.Connection[Any]:
        while self._idle:
            connection = self._idle.pop()
            if not fresh and not connection.is_closed():
                return connection
            self._drop(connection)
        if time.monotonic() < self._not_before and self._last_error is not None:
            raise as_store_error(self._last_error, self._address.url)
        try:
            connection = await connect(self._address)
        except Exception as error:
            self._last_error = error
            self._not_before = time.monotonic() + self._backoff.next()
            self._trouble.tell(f"cannot connect: {words_of(error)}")
            found = as_store_error(error, self._address.url)
            raise found if isinstance(found, StoreError) else StoreError(str(found)) from error
        self._backoff.reset()
        self._trouble.over()
        self._pids[connection] = connection.get_server_pid()
        return connection

    def _give_back(self, connection: asyncpg.Connection[Any]) -> None:
        if self._is_closed or connection.is_closed() or connection.is_in_transaction():
            self._drop(connection)
        else:
            self._idle.append(connection)

    def _drop(self, connection: asyncpg.Connection[Any]) -> None:
        self._pids.pop(connection, None)
        connection.terminate()


async def close_quietly(connection: asyncpg.Connection[Any]) -> None:
    """Says good-bye to the server, or lets go of it without when that takes too long."""
    try:
        await connection.close(timeout=_CLOSE_SECONDS)
    except Exception:  # noqa: BLE001 - it is let go of in any case
        connection.terminate()
