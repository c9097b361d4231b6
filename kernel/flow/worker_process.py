"""One worker process as the kernel has it: its start, its conversation, its end. Used by the executor "process".

The kernel and the worker say lines of JSON on a socket of their own, so that what jobs print disturbs nothing. A pipe beside
it, to which nothing is written, ends with the kernel, and the worker with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kernel
from kernel.flow.executors import relay
from kernel.model.errors import CrashError, printable

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable

    from kernel.flow.executors import PluginWork

_LEAVING_SECONDS = 1.0
_PROGRAM = Path(kernel.__file__).parent / "worker" / "__main__.py"


class WorkerProcess:
    """One worker, from its start to its end. ``on_gone`` is told when it is no more."""

    def __init__(
        self,
        plugin: str,
        code: str,
        most_bytes: int,
        variables: contextvars.Context,
        on_gone: Callable[[WorkerProcess], None],
    ) -> None:
        self.plugin = plugin
        self.code = code
        self.is_last_attempt = False
        self.has_begun = False
        self._most_bytes = most_bytes
        self._on_gone = on_gone
        self._work: PluginWork | None = None
        self._end: asyncio.Future[str] | None = None
        self._fault = ""
        self._unsent: list[bytes] = []
        self._writer: asyncio.StreamWriter | None = None
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._process, self._socket, self._lifeline = _spawn(plugin)
        self._say(
            {
                "path": [str(entry) for entry in sys.path],
                "level": min(logging.INFO, logging.getLogger().getEffectiveLevel()),
            }
        )
        name = f"mainspring:process-{self._process.pid}"
        threading.Thread(target=self._wait, name=name, daemon=True).start()
        self.life = asyncio.create_task(self._live(), name=name, context=variables)

    def give(self, work: PluginWork) -> asyncio.Future[str]:
        """The future answer; CrashError when the worker dies before."""
        self._work, self.has_begun = work, False
        self._end = self._loop.create_future()
        end = self._end
        if self.life.done():
            self._fail()
        else:
            self._say({"kind": "attempt", "run": work.run, "text": work.as_text()})
        return end

    def cancel(self, run: str, reason: str) -> None:
        self._say({"kind": "cancel", "run": run, "reason": reason})

    def end(self) -> None:
        """Lets it end by itself; it is killed when it does not."""
        self._say({"kind": "end"})
        self._loop.call_later(_LEAVING_SECONDS, self.kill)

    def kill(self) -> None:
        """With all that it has started, now."""
        if self._process.returncode is None:
            _kill_group(self._process.pid)

    def _say(self, message: dict[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        if self._writer is None:
            self._unsent.append(line)
        else:
            self._writer.write(line)

    async def _live(self) -> None:
        try:
            await self._converse()
        except _RubbishError as error:
            self._fault = str(error)
            self.kill()
        except ValueError:
            self._fault = f"wrote a line of more than {self._most_bytes:,} bytes to the kernel, and was killed"
            self.kill()
        except OSError:  # it died and left something unread
            pass
        except asyncio.CancelledError:  # the loop ends
            self.kill()
        finally:
            self._bury(await self._status())

    async def _converse(self) -> None:
        """Until it hangs up."""
        reader, self._writer = await asyncio.open_connection(sock=self._socket, limit=self._most_bytes)
        for line in self._unsent:
            self._writer.write(line)
        self._exited.add_done_callback(lambda _exited: self._loop.call_later(_LEAVING_SECONDS, self._hang_up))
        while line := await reader.readline():
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            raise _RubbishError(line) from None
        match told:
            case {"kind": "begun"}:
                self.has_begun = True
            case {"kind": "answer", "text": str(text), "is_last": bool(is_last)} if self._end is not None:
                self.is_last_attempt |= is_last
                end, self._end, self._work = self._end, None, None
                if not end.done():
                    end.set_result(text)
            case {"kind": "log" | "progress"} if self._work is not None:
                self._work.hear(line.decode())
            case {
                "kind": "log",
                "logger": str(name),
                "level": int(level),
                "text": str(text),
                "at": int() | float() as at,
            }:
                relay(name, level, text, float(at), {"plugin": self.plugin})
            case {"kind": "progress"}:  # of a thread that its attempt has left behind
                pass
            case _:
                raise _RubbishError(line)

    async def _status(self) -> int:
        """Its exit status; waited for at most so long when it only has hung up, and then killed."""
        try:
            await asyncio.wait({self._exited}, timeout=_LEAVING_SECONDS)
        finally:
            self.kill()
        return await asyncio.shield(self._exited)

    def _bury(self, status: int) -> None:
        self._hang_up()
        os.close(self._lifeline)
        self._on_gone(self)
        self._fail(status)

    def _hang_up(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        else:
            self._socket.close()

    def _fail(self, status: int | None = None) -> None:
        end, self._end, self._work = self._end, None, None
        if end is not None and not end.done():
            how = "has died" if status is None else self._fault or _words(status)
            end.set_exception(CrashError(f"the worker process (pid {self._process.pid}) {how}"))

    def _wait(self) -> None:
        """In a thread: the loop's own watching of children depends on the program that embeds the kernel."""
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            # As long as it is not waited for, its number is not given to another: what it has left behind ends too.
            _kill_group(self._process.pid)
        status = self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._set_exited, status)

    def _set_exited(self, status: int) -> None:
        if not self._exited.done():
            self._exited.set_result(status)


class _RubbishError(Exception):
    def __init__(self, line: bytes) -> None:
        text = printable(line[:80].decode(errors="replace"), 60)
        super().__init__(f"wrote {text!r} to the kernel, which is no message, and was killed")


def _spawn(plugin: str) -> tuple[subprocess.Popen[bytes], socket.socket, int]:
    """The process, our end of the socket to it, and of the pipe whose end is the worker's."""
    ours, theirs = socket.socketpair()
    ends, lifeline = os.pipe()
    try:
        command = [sys.executable, "-P", str(_PROGRAM), str(theirs.fileno()), str(ends), plugin]
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, pass_fds=(theirs.fileno(), ends), stdin=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        ours.close()
        os.close(lifeline)
        raise CrashError(f"no worker process could be started: {error}") from None
    finally:
        theirs.close()
        os.close(ends)
    ours.setblocking(False)
    return process, ours, lifeline


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _words(status: int) -> str:
    """How a process ended."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    why = {"SIGKILL": ", by hand or for want of memory", "SIGSEGV": ": a fault in C code"}.get(name, "")
    return f"was killed by {name}{why}"
