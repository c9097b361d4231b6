"""Tells other processes that something has changed: the first of a burst at once, what follows together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kernel.model.errors import StoreError

from .errors import is_gone
from .listening import channel_of

if TYPE_CHECKING:
    from .address import Address
    from .connections import Connections

_BURST_SECONDS = 0.05
"""A NOTIFY takes a lock of the whole server as it commits: so it stands alone, after the change, and not for each."""


class Teller:
    def __init__(self, address: Address, connections: Connections) -> None:
        # Nobody waits for the disk: what is told is written already, and should it be told in vain, others look in a second.
        self._statement = f'BEGIN; SET LOCAL synchronous_commit = off; NOTIFY "{channel_of(address)}"; COMMIT'
        self._connections = connections
        self._has_news = False
        self._task: asyncio.Task[None] | None = None

    def tell(self) -> None:
        self._has_news = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._tell(), name="mainspring:postgres-tell")

    async def close(self) -> None:
        """What there is to tell is told first."""
        while self._task is not None and not self._task.done():
            await asyncio.wait({self._task})

    async def _tell(self) -> None:
        while self._has_news:
            self._has_news = False
            try:
                async with self._connections.one() as connection:
                    await connection.execute(self._statement)
            except StoreError:
                return  # nobody can be told; others look once a second
            except Exception as error:
                if not is_gone(error):
                    raise
                return
            await asyncio.sleep(_BURST_SECONDS)
