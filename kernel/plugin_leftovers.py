"""What a plugin has left running though it was told to stop: tasks, which are ended, and threads, which cannot be."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any

from kernel.model.counted import counted

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from types import FrameType

    from kernel.plugin_guard import Guard

_OURS = "mainspring"


def left_behind(guard: Guard, before: Container[asyncio.Task[Any]]) -> list[str]:
    """In words, with the place of one of each; the tasks are cancelled. Those of jobs and hooks are not meant: they are known.

    ``before``: the tasks that were there when the plugin was started. They are the program's, whose code may be in that
    folder too, as a plugin's own test is.
    """
    known = {asyncio.current_task()}
    others = [task for task in asyncio.all_tasks() if task not in before and task not in known]
    tasks = [(task, place) for task in others if (place := _place_of_task(task, guard))]
    for task, _ in tasks:
        task.cancel()
    frames = sys._current_frames()  # noqa: SLF001 - as documented
    threads = [
        place
        for thread in threading.enumerate()
        if not thread.name.startswith(_OURS)
        and thread is not threading.current_thread()
        and (place := _place_in(_up(frames.get(thread.ident or 0)), guard))
    ]
    found = [(len(tasks), "task", tasks[-1][1] if tasks else ""), (len(threads), "thread", (threads or [""])[-1])]
    return [
        f"{counted(count, what)} left running when it was stopped ({place})" for count, what, place in found if count
    ]


def _place_of_task(task: asyncio.Task[Any], guard: Guard) -> str:
    if task.done() or task.get_name().startswith(_OURS):
        return ""
    coroutine: Any = task.get_coro()
    code = getattr(coroutine, "cr_code", None)
    if code is None or not guard.owns(code.co_filename):
        return ""
    frame = getattr(coroutine, "cr_frame", None)
    return f"{code.co_filename}:{code.co_firstlineno if frame is None else frame.f_lineno}"


def _place_in(frames: Iterator[FrameType], guard: Guard) -> str:
    return next(
        (f"{one.f_code.co_filename}:{one.f_lineno}" for one in frames if guard.owns(one.f_code.co_filename)), ""
    )


def _up(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
