"""Other processes' changes: told by the server while a connection listens, and by looking once a second in any case."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .connecting import connect
from .connections import close_quietly
from .errors import words_of
from .trouble import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    from .address import Address
    from .trouble import Trouble

_POLL_SECONDS = 1.0
_KEEPALIVE_SECONDS = 5.0
_PATIENCE_SECONDS = 4.0


class Listener:
    """Calls back when something may have changed; often when nothing has.

    ``is_own``: whether a process of the server speaks for this store; what it tells is known here.
    """

    def __init__(
        self, address: Address, trouble: Trouble, callback: Callable[[], None], is_own: Callable[[int], bool]
    ) -> None:
        self._address = address
        self._trouble = trouble
        self._callback = callback
        self._task: asyncio.Task[None] | None = None
        self._poller: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._is_own = is_own
        self.is_listening = False

    def start(self) -> None:
        self._poller = asyncio.create_task(self._poll(), name="mainspring:postgres-poll")
        if not self._address.poll_only:
            self._task = asyncio.create_task(self._listen(), name="mainspring:postgres-listen")

    async def stop(self) -> None:
        tasks = [task for task in (self._poller, self._task) if task is not None]
        self._poller = self._task = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            self._callback()

    async def _listen(self) -> None:
        backoff = Backoff()
        while True:
            connection: asyncpg.Connection[Any] | None = None
            try:
                connection = await connect(self._address, "listen")
                self._lost.clear()
                connection.add_termination_listener(self._on_lost)
                await connection.add_listener(channel_of(self._address), self._on_notice)
                self.is_listening = True
                backoff.reset()
                self._trouble.over()
                self._callback()  # what was changed while nobody listened
                await self._watch(connection)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                self._trouble.tell(f"cannot listen: {words_of(error)}")
            finally:
                self.is_listening = False
                if connection is not None:
                    await _let_go(connection, self._on_lost)
            await asyncio.sleep(backoff.next())

    async def _watch(self, connection: asyncpg.Connection[Any]) -> None:
        """Until it is lost: a connection of which only this end is left tells nothing by itself."""
        while True:
            try:
                async with asyncio.timeout(_KEEPALIVE_SECONDS):
                    await self._lost.wait()
            except TimeoutError:
                await connection.execute("SELECT 1", timeout=_PATIENCE_SECONDS)
            else:
                raise ConnectionResetError("the server closed the connection")

    def _on_notice(self, _connection: object, pid: int, _channel: str, _payload: object) -> None:
        if not self._is_own(pid):
            self._callback()

    def _on_lost(self, _connection: object) -> None:
        self._lost.set()


async def _let_go(connection: asyncpg.Connection[Any], callback: Callable[[object], None]) -> None:
    connection.remove_termination_listener(callback)
    await close_quietly(connection)


def channel_of(address: Address) -> str:
    return f"{address.schema}_changes"
