"""Calls a function of another plugin for a request: whatever it does, the site goes on."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from kernel import MainspringError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    _Calling = asyncio.Task[tuple[Any, BaseException | None]]

MOST_AT_ONCE = 8
"""Calls of one function that have not returned; with more nobody else waits for it."""
REST_SECONDS = 60.0
_LONGEST = 300
_PASSED = (web.HTTPException, MainspringError)
"""What a handler may raise to say that the request is wrong."""


class Fault(Exception):  # noqa: N818 - the plugin's, as PluginFaulted tells it
    """``place``: file and line in the plugin, or an empty text."""

    def __init__(self, text: str, place: str = "") -> None:
        self.place = place
        super().__init__(text)


class NoAnswerError(Fault):
    """It has not returned in time."""


class Border:
    """Around one function. ``what``: "page month", as people are told of it."""

    def __init__(self, plugin: str, what: str, function: Callable[..., Any]) -> None:
        self.plugin = plugin
        self.what = what
        self._function = function
        self._calls: set[_Calling] = set()
        self._threads = 0
        self._shared: _Calling | None = None
        self._rests_until = 0.0

    async def call(self, seconds: float, *arguments: Any) -> Any:
        """What it gives; Fault when it fails, NoAnswerError when it takes longer."""
        task = self._begin(arguments)
        try:
            return await self._result_of(task, seconds)
        finally:
            task.cancel()

    async def shared(self, seconds: float) -> Any:
        """The same, without arguments. Who asks meanwhile gets the same answer; after none it is left alone for a minute."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._rests_until:
            raise NoAnswerError(f"it did not return within {seconds:g} s; it is asked again soon", self._place())
        if self._shared is None or self._shared.done():
            self._shared = self._begin(())
        task = self._shared
        try:
            return await self._result_of(task, seconds)
        except NoAnswerError:
            task.cancel()
            self._shared = None
            self._rests_until = loop.time() + REST_SECONDS
            raise

    def fault(self, text: str) -> Fault:
        return Fault(text, self._place())

    def _begin(self, arguments: tuple[Any, ...]) -> _Calling:
        if max(len(self._calls), self._threads) >= MOST_AT_ONCE:
            raise NoAnswerError("earlier calls have not returned", self._place())
        task = asyncio.create_task(self._make(arguments), name=f"mainspring:web:{self.plugin}")
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return task

    async def _result_of(self, task: _Calling, seconds: float) -> Any:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done() or task.cancelled():  # by another one who waited for it too
            raise NoAnswerError(f"it has not returned within {seconds:g} s", self._place())
        value, error = task.result()
        if error is None:
            return value
        if isinstance(error, _PASSED):
            raise error
        raise Fault(_text_of(error), self._place_in(error.__traceback__) or self._place()) from error

    async def _make(self, arguments: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
        try:
            if inspect.iscoroutinefunction(self._function):
                return await self._function(*arguments), None
            value = await self._in_thread(arguments)
            return (await value if inspect.isawaitable(value) else value), None
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            return None, error
        except BaseException as error:  # noqa: BLE001 - the border around plugin code: SystemExit would end the loop
            return None, error

    async def _in_thread(self, arguments: tuple[Any, ...]) -> Any:
        """In a daemon thread of its own: one that hangs takes nothing from others, and the process does not wait for it."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        context = contextvars.copy_context()

        def end(value: Any, error: BaseException | None) -> None:
            self._threads -= 1
            if not done.done():
                done.set_result((value, error))

        def work() -> None:
            value, error = None, None
            try:
                value = context.run(self._function, *arguments)
            except BaseException as raised:  # noqa: BLE001 - as above
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop may have ended
                loop.call_soon_threadsafe(end, value, error)

        self._threads += 1
        threading.Thread(target=work, name=f"mainspring:web:{self.plugin}", daemon=True).start()
        value, error = await done
        if error is not None:
            raise error
        return value

    def _place(self) -> str:
        code = getattr(inspect.unwrap(self._function), "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""

    def _place_in(self, traceback: TracebackType | None) -> str:
        """The last line of the traceback that is in the function's own folder."""
        code = getattr(inspect.unwrap(self._function), "__code__", None)
        found = ""
        while code is not None and traceback is not None:
            filename = traceback.tb_frame.f_code.co_filename
            if Path(code.co_filename).parent in Path(filename).parents:
                found = f"{filename}:{traceback.tb_lineno}"
            traceback = traceback.tb_next
        return found


def _text_of(error: BaseException) -> str:
    """The kind and the text of an error in one line, whatever its ``__str__`` does."""
    try:
        text = str(error)
    except BaseException as second:  # noqa: BLE001 - as above
        text = f"its text cannot be read: __str__ raises {type(second).__name__}"
    line = " ".join("".join(char if char.isprintable() else " " for char in text[:4096]).split())
    return f"{type(error).__name__}: {line}"[:_LONGEST].removesuffix(": ")
