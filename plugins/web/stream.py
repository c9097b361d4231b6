"""Server-sent events to many browsers at once: what all get is made once, and who does not read is dropped."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from aiohttp import web

from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_STREAMS = 250
MOST_BEHIND = 1_000_000
"""Bytes that wait for one client; with more it is dropped."""
STALL_SECONDS = 60.0
"""So long a client may take to read what is on its way to it; then it is dropped, however little that is."""
PING_SECONDS = 15.0
PING = b": still here\n\n"
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold them back
}


class _Client:
    def __init__(self, first: bytes) -> None:
        self.waiting: deque[bytes] = deque([first] if first else [])
        self.behind = len(first)
        self.filled = asyncio.Event()
        self.is_over = False
        self.transport: asyncio.Transport | None = None
        if first:
            self.filled.set()

    def put(self, chunk: bytes) -> None:
        self.waiting.append(chunk)
        self.behind += len(chunk)
        self.filled.set()

    def drop(self) -> None:
        self.is_over = True
        self.filled.set()
        if self.transport is not None:
            self.transport.abort()


class Streams:
    """``on_change`` is told how many there are, when the first one comes or the last one goes."""

    def __init__(self, on_change: Callable[[int], None] = lambda _: None) -> None:
        self._clients: set[_Client] = set()
        self._on_change = on_change
        self._pinging: asyncio.Task[None] | None = None
        self.dropped = 0
        """Clients that did not read."""

    def __len__(self) -> int:
        return len(self._clients)

    def send(self, chunk: bytes) -> None:
        """To all; never waits."""
        for client in [*self._clients]:
            client.put(chunk)
            if client.behind > MOST_BEHIND:
                self.dropped += 1
                self._clients.discard(client)
                client.drop()

    async def serve(self, request: web.Request, first: bytes = b"") -> web.StreamResponse:
        """Until the client goes, is dropped, or the server stops. ``first`` goes to this one alone, before all else."""
        if len(self._clients) >= MOST_STREAMS:
            raise Problem(503, "Too many streams", f"{MOST_STREAMS} are open already", headers={"Retry-After": "10"})
        response = web.StreamResponse(headers=_HEADERS)
        client = _Client(first)
        self._clients.add(client)
        self._changed()
        try:
            await response.prepare(request)
            client.transport = request.transport
            await response.write(b"retry: 2000\n\n")
            while not client.is_over:
                await client.filled.wait()
                client.filled.clear()
                chunk = b"".join(client.waiting)
                client.waiting.clear()
                async with asyncio.timeout(STALL_SECONDS):
                    await response.write(chunk)
                client.behind = sum(map(len, client.waiting))
        except ConnectionError:
            pass
        except TimeoutError:
            self.dropped += 1
            client.drop()
        finally:
            self._clients.discard(client)
            self._changed()
        return response

    def close(self) -> None:
        """Ends all of them: a server that stops would wait for them."""
        for client in self._clients:
            client.is_over = True
            client.filled.set()
        if self._pinging is not None:
            self._pinging.cancel()
            self._pinging = None

    def _changed(self) -> None:
        self._on_change(len(self._clients))
        if self._clients and self._pinging is None:
            self._pinging = asyncio.create_task(self._ping(), name="mainspring:web:ping")
        elif not self._clients and self._pinging is not None:
            self._pinging.cancel()
            self._pinging = None

    async def _ping(self) -> None:
        # The time between two pings is that of the network's devices, not of the kernel's clock.
        while True:
            await asyncio.sleep(PING_SECONDS)
            self.send(PING)
