"""Calls the code of one plugin so that whatever it does, the kernel goes on: in a thread or task, with a limit."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from kernel.model.errors import ConfigError
from kernel.plugin_error import PluginError
from kernel.plugin_process import ProcessState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType, TracebackType

log = logging.getLogger(__name__)

_LONGEST_REASON = 300


class Guard:
    """The border around one plugin. ``roots`` are its files and folders: an error's place is sought in them.

    Calls to ``def`` functions happen one at a time, in one daemon thread; one that does not return in time is left
    behind with its thread, and the next call gets a new one.
    """

    def __init__(
        self,
        plugin: str,
        roots: tuple[Path, ...] = (),
        *,
        warn_seconds: float = 5.0,
        limit_seconds: float = 30.0,
        scrub: Callable[[str], str] = str,
    ) -> None:
        self.plugin = plugin
        self.roots = roots
        self.scrub = scrub
        self._warn_seconds = warn_seconds
        self._limit_seconds = limit_seconds
        self._turn = asyncio.Lock()
        self._worker: _Worker | None = None
        self._strays: set[asyncio.Task[Any]] = set()
        self.notes: list[str] = []

    @contextlib.contextmanager
    def keeping_the_process(self) -> Iterator[None]:
        """What the plugin's code changes for the whole process meanwhile is put back, and written down in ``notes``."""
        state = ProcessState()
        try:
            yield
        finally:
            for change in state.put_back():
                log.warning("plugin %s: %s", self.plugin, change)
                self.notes.append(change)

    async def in_thread(
        self, what: str, function: Callable[..., Any], *arguments: Any, within: float | None = None
    ) -> Any:
        """The result of a ``def``; PluginError when it raises anything at all or does not return in time."""
        async with self._turn:
            call = _Call(function, arguments)
            worker = self._worker = self._worker or _Worker(self.plugin)
            worker.do(call)
            try:
                if not await self._ends(call.done, what, within):
                    raise PluginError(self._overtime(what, within), self._place_in(worker.frames()))
            finally:
                if not call.done.done():
                    self._worker = None
                    call.is_wanted = False
                    worker.end()
        if call.error is not None:
            raise self.fault(what, call.error, call.text)
        if inspect.iscoroutine(call.result):
            return await self.on_loop(what, lambda: call.result, within=within)
        return call.result

    async def on_loop(
        self, what: str, function: Callable[..., Awaitable[Any]], *arguments: Any, within: float | None = None
    ) -> Any:
        """The same for an ``async def``, in a task of its own."""
        call = _Call(function, arguments)
        task = asyncio.create_task(call.run_on_loop(), name=f"mainspring:{self.plugin}:{what}")
        self._strays.add(task)
        task.add_done_callback(self._strays.discard)
        try:
            if not await self._ends(task, what, within):
                raise PluginError(self._overtime(what, within), self._place_in(_frames_of(call.awaited)))
        finally:
            # One that swallows its cancellation goes on as a stray; nobody waits for it.
            task.cancel()
        if call.error is not None:
            raise self.fault(what, call.error, call.text)
        return call.result

    def fault(self, what: str, error: BaseException, text: str) -> PluginError:
        """What ``error`` says, its ``text``, in one line, and where in the plugin it came from."""
        if isinstance(error, PluginError):
            return error
        place = self._place_of(error)
        kind = "" if isinstance(error, ConfigError) else f"{type(error).__name__}: "
        text = self.scrub(text).removeprefix(f"{place}: ")
        return PluginError(f"{what}: {kind}{text}".removesuffix(": "), place)

    def close(self) -> None:
        """Lets the thread end after what it is doing."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    async def _ends(self, done: asyncio.Future[Any], what: str, within: float | None) -> bool:
        limit = self._limit_seconds if within is None else min(within, self._limit_seconds)
        warn = min(self._warn_seconds, limit)
        await asyncio.wait({done}, timeout=warn)
        if not done.done() and limit > warn:
            log.warning("plugin %s: %s takes longer than %g s", self.plugin, what, warn)
            await asyncio.wait({done}, timeout=limit - warn)
        return done.done()

    def _overtime(self, what: str, within: float | None) -> str:
        limit = self._limit_seconds if within is None else min(within, self._limit_seconds)
        return f"{what}: has not returned within {limit:g} s"

    def _place_of(self, error: BaseException) -> str:
        """The place of the error, or of the one that it was made from."""
        seen: list[BaseException] = []
        cause: BaseException | None = error
        while cause is not None and cause not in seen:
            if isinstance(cause, SyntaxError) and cause.filename and self.owns(cause.filename):
                return f"{cause.filename}:{cause.lineno or 1}"
            if place := self._place_in(_frames_of_traceback(cause.__traceback__)):
                return place
            seen.append(cause)
            cause = cause.__cause__ or cause.__context__
        return ""

    def _place_in(self, frames: Iterator[tuple[str, int]]) -> str:
        """The last of the ``frames``, outermost first, that is the plugin's own."""
        own = [f"{filename}:{line}" for filename, line in frames if self.owns(filename)]
        return own[-1] if own else ""

    def owns(self, filename: str) -> bool:
        """Whether the file is the plugin's own."""
        return any(Path(filename) == root or root in Path(filename).parents for root in self.roots)


class _Call:
    """One call on its way; what comes of it stands in ``result`` or ``error``."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._function = function
        self._arguments = arguments
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.is_wanted = True
        self.awaited: Any = None
        self.result: Any = None
        self.error: BaseException | None = None
        self.text = ""

    def run(self) -> None:
        pid = os.getpid()
        try:
            self.result = self._function(*self._arguments)
        except BaseException as error:  # noqa: BLE001 - the border around plugin code: SystemExit too ends here
            self.text = text_of(error)  # read here, for its __str__ is plugin code too
            self.error = error
        if os.getpid() != pid:
            # The plugin has forked; its child must not go on as a second kernel.
            os._exit(70)
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(self._end)

    async def run_on_loop(self) -> None:
        try:
            self.awaited = self._function(*self._arguments)
            self.result = await self.awaited
        except BaseException as error:  # noqa: BLE001 - the border around plugin code: SystemExit would end the loop
            self.text = text_of(error)
            self.error = error

    def _end(self) -> None:
        if self.is_wanted and not self.done.done():
            self.done.set_result(None)
        elif inspect.iscoroutine(self.result):
            self.result.close()


class _Worker:
    """A daemon thread that makes one call after the other; the process does not wait for it."""

    def __init__(self, plugin: str) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"mainspring:{plugin}", daemon=True)
        self._thread.start()

    def do(self, call: _Call) -> None:
        self._calls.put(call)

    def end(self) -> None:
        self._calls.put(None)

    def frames(self) -> Iterator[tuple[str, int]]:
        """Where it is now, outermost frame first."""
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 - as documented
        return reversed(list(_frames_up(frame)))

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()
            del call  # or its result would live until the next one


def text_of(error: BaseException) -> str:
    """What an error says: one line, without control characters, and safe whatever its ``__str__`` does."""
    try:
        text = str(error)
    except BaseException as second:  # noqa: BLE001 - a hostile __str__ must not replace the message
        text = f"its text cannot be read: __str__ raises {type(second).__name__}"
    line = " ".join("".join(char if char.isprintable() else " " for char in text[:4096]).split())
    return line if len(line) <= _LONGEST_REASON else line[: _LONGEST_REASON - 1] + "…"


def _frames_of_traceback(traceback: TracebackType | None) -> Iterator[tuple[str, int]]:
    while traceback is not None:
        yield traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next


def _frames_up(frame: FrameType | None) -> Iterator[tuple[str, int]]:
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back


def _frames_of(awaited: Any) -> Iterator[tuple[str, int]]:
    """Where a coroutine waits, outermost first."""
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            yield frame.f_code.co_filename, frame.f_lineno
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
