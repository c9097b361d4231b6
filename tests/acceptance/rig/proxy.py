"""Stands between a program and a PostgreSQL server: hears what is asked, and may stop passing anything on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_LARGEST = 65536
_STARTUP_BYTES = 8
"""Length and version stand before the parameters."""


class Proxy:
    """``async with Proxy(server.url()) as proxy``; ``url`` leads through it. The server's has a socket in a folder."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self._user = parts.username
        self._database = parts.path
        self._passes = asyncio.Event()
        self._passes.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: list[bytearray] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"postgresql://{self._user}@127.0.0.1:{port}{self._database}?sslmode=disable"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def cut(self) -> None:
        """From now on nothing arrives, at either end, and neither is told."""
        self._passes.clear()

    def mend(self) -> None:
        """What was sent meanwhile arrives, as TCP would have it."""
        self._passes.set()

    def asked(self) -> list[list[tuple[str, bytes]]]:
        """(kind, body) of the messages that programs sent, of each connection: first ``startup``, then by their letter."""
        return [list(_messages(bytes(said))) for said in self._asked]

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        said = bytearray()
        self._asked.append(said)
        theirs: asyncio.StreamWriter | None = None
        try:
            await self._passes.wait()
            answers, theirs = await asyncio.open_unix_connection(self._socket)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, theirs, said))
                group.create_task(self._pass_on(answers, writer, None))
        except (OSError, ExceptionGroup):
            pass  # one end has gone; so does the other one
        except asyncio.CancelledError:
            pass  # at the end of the test; a server's task that is cancelled would be reported
        finally:
            for one in (writer, theirs):
                if one is not None:
                    one.transport.abort()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray | None
    ) -> None:
        while data := await _read(reader):
            await self._passes.wait()
            if heard is not None:
                heard += data
            writer.write(data)
            await writer.drain()
        await self._passes.wait()
        writer.write_eof()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Nothing at the end, of whichever kind: that one end has gone is news, too, which may not pass."""
    try:
        return await reader.read(_LARGEST)
    except OSError:
        return b""


def _messages(said: bytes) -> Iterator[tuple[str, bytes]]:
    if len(said) < _STARTUP_BYTES:
        return
    length = int.from_bytes(said[:4])
    yield "startup", said[_STARTUP_BYTES:length]
    at = length
    while at + 5 <= len(said):
        length = int.from_bytes(said[at + 1 : at + 5])
        yield chr(said[at]), said[at + 5 : at + 1 + length]
        at += 1 + length
