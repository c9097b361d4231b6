"""The Unix socket of a running kernel (mode 0600): operations of control, and the live events, as lines of JSON.

A request is ``{"call": NAME, "with": {…}}``; its answer ``{"result": …}`` or ``{"error": TEXT, "kind": …}``.
``{"call": "events"}`` answers with one line for each event until the caller hangs up.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import socket
from typing import TYPE_CHECKING, Any

from kernel.model.errors import ConfigError, MainspringError, RequestError, StoreError
from kernel.model.events import Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from kernel.control import Control
    from kernel.flow.event_bus import EventBus

log = logging.getLogger(__name__)

_LONGEST_LINE = 64 * 1024 * 1024
_LONGEST_PATH = 100
_BACKLOG = 100
_KINDS: dict[str, type[MainspringError]] = {"request": RequestError, "config": ConfigError, "store": StoreError}


class SocketServer:
    """Serves control to processes of the same user."""

    def __init__(self, path: Path, control: Control, bus: EventBus) -> None:
        self._path = path
        self._control = control
        self._bus = bus
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listens; a path that a socket cannot have is told, and the kernel goes on without."""
        if len(os.fsencode(self._path)) > _LONGEST_PATH:
            log.warning(
                "no control socket: the path %s is too long for one; set kernel.run_dir to a shorter folder", self._path
            )
            return
        await asyncio.to_thread(_sweep, self._path.parent)
        self._server = await asyncio.start_unix_server(
            self._serve, sock=_listening(self._path), backlog=_BACKLOG, limit=_LONGEST_LINE
        )

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=1.0)
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            while line := await reader.readline():
                await self._answer(line, reader, writer)
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass
        finally:
            if task is not None:
                self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(line)
            operation, arguments = str(request["call"]), dict(request.get("with") or {})
        except (ValueError, KeyError, TypeError, RecursionError):
            await _send(writer, {"error": "expected one line of JSON with a call", "kind": "request"})
            return
        if operation == "events":
            await self._stream(reader, writer)
            return
        try:
            answer: dict[str, Any] = {"result": await self._control.call(operation, arguments)}
        except MainspringError as error:
            answer = {"error": str(error), "kind": _kind_of(error)}
        except Exception as error:
            log.exception("the operation %s failed", operation)
            answer = {"error": f"the operation {operation} failed: {type(error).__name__}", "kind": "store"}
        await _send(writer, answer)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def tell(events: Sequence[Event]) -> None:
            for event in events:
                await _send(writer, event.as_json())

        subscription = self._bus.subscribe("events --follow", (Event,), tell)
        try:
            await _send(writer, {"following": True})
            await reader.read()
        finally:
            await self._bus.unsubscribe(subscription, 0.0)


def _sweep(folder: Path) -> None:
    """Removes the sockets that killed kernels have left."""
    for path in folder.glob("kernel-*.sock"):
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.settimeout(1.0)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)


def _listening(path: Path) -> socket.socket:
    """A socket that nobody else may use from its first moment on. The umask is left alone: it is that of all threads.

    It has its name only once it listens: one that does not yet would look as left by a killed kernel to one that sweeps.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    new = path.with_suffix(".new")
    try:
        os.fchmod(listening.fileno(), 0o600)  # on Linux the path is made with this mode
        listening.bind(str(new))
        new.chmod(0o600)
        listening.listen(_BACKLOG)
        new.rename(path)
    except BaseException:
        listening.close()
        new.unlink(missing_ok=True)
        raise
    return listening


async def _send(writer: asyncio.StreamWriter, value: dict[str, Any]) -> None:
    writer.write(json.dumps(value, default=str).encode() + b"\n")
    await writer.drain()


def _kind_of(error: MainspringError) -> str:
    return next((kind for kind, family in _KINDS.items() if isinstance(error, family)), "request")


async def _connect(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if len(os.fsencode(path)) > _LONGEST_PATH:
        text = "this path is too long for a socket, so its kernel has none; set kernel.run_dir to a shorter folder"
        raise OSError(errno.ENAMETOOLONG, text, str(path))
    return await asyncio.open_unix_connection(path, limit=_LONGEST_LINE)


async def ask(path: Path, operation: str, arguments: dict[str, Any]) -> Any:
    """One operation on the kernel behind this socket; OSError when nobody listens there."""
    reader, writer = await _connect(path)
    try:
        await _send(writer, {"call": operation, "with": arguments})
        line = await reader.readline()
    except ConnectionError:  # a killed process that had not read all resets instead of closing
        line = b""
    finally:
        writer.close()
    if not line:
        raise StoreError(f"the kernel behind {path} hung up before it answered")
    answer = json.loads(line)
    if "error" in answer:
        raise _KINDS[answer["kind"]](answer["error"])
    return answer["result"]


async def follow(path: Path) -> AsyncIterator[dict[str, Any]]:
    """The live events of the kernel behind this socket, until it stops."""
    reader, writer = await _connect(path)
    try:
        await _send(writer, {"call": "events"})
        while line := await reader.readline():
            event = json.loads(line)
            if "event" in event:
                yield event
    except ConnectionError:  # killed
        return
    finally:
        writer.close()
