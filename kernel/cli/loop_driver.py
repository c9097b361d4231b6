"""Drives the event loop to the end of one task, whatever the code of plugins does to the loop."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

log = logging.getLogger("kernel")

_CLEAN_UP_SECONDS = 1.0


def drive(main: Coroutine[Any, Any, T]) -> T:
    """The result of ``main`` on a loop of its own.

    A job's task that raises SystemExit or KeyboardInterrupt, or stops the loop, would end ``asyncio.run``; here it is
    logged, and the loop goes on. Threads of the default executor are not waited for.
    """
    loop = asyncio.new_event_loop()
    loop.stop = _Stop(loop)  # type: ignore[method-assign] # or nobody could say who has called it
    asyncio.set_event_loop(loop)
    try:
        try:
            return _result_of(loop, loop.create_task(main, name="mainspring:main"))
        finally:
            _result_of(loop, loop.create_task(_clean_up(), name="mainspring:end"))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _result_of(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T]) -> T:
    while True:
        try:
            return loop.run_until_complete(task)
        except BaseException as error:
            if task.done():
                raise
            log.error("%s; the kernel goes on", _what_happened(error, loop))  # noqa: TRY400 - the place is enough


class _Stop:
    """``loop.stop``, which remembers from where it was called."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._stop = loop.stop
        self.place = ""

    def __call__(self) -> None:
        caller = sys._getframe(1)  # noqa: SLF001 - as documented
        self.place = f" ({caller.f_code.co_filename}:{caller.f_lineno})"
        self._stop()


def _what_happened(error: BaseException, loop: asyncio.AbstractEventLoop) -> str:
    if isinstance(error, RuntimeError):  # what run_until_complete says then
        return f"a job has called stop() of the event loop{getattr(loop.stop, 'place', '')}"
    return f"a task has raised {type(error).__name__} to the event loop{_place_of(error)}"


def _place_of(error: BaseException) -> str:
    """The innermost line that is not asyncio's: where the plugin's code raised it."""
    inside = str(Path(asyncio.__file__).parent)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(inside)]
    last = frames[-1] if frames else None
    return f" ({last.filename}:{last.lineno})" if last is not None and last.filename != __file__ else ""


async def _clean_up() -> None:
    """Ends what is left on the loop; what will not end is left behind."""
    loop = asyncio.get_running_loop()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_CLEAN_UP_SECONDS)
    closing = loop.create_task(loop.shutdown_asyncgens())
    await asyncio.wait({closing}, timeout=_CLEAN_UP_SECONDS)
