"""What a process sets that is a kernel and nothing else; a program that embeds one decides for itself."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import sys
import traceback
from typing import TYPE_CHECKING, Any

from kernel.contracts.clock import SystemClock
from kernel.contracts.service import Periodic
from kernel.model.counted import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SWITCH_SECONDS = 0.0005


def tune() -> None:
    """Fewer passes of the garbage collector, and threads that wait less for their turn.

    What is loaded stays, and runs are tuples that form no cycles: 40 % less CPU a run, measured on 100,000 waiting
    runs in memory. A store's thread has to get the interpreter back from a busy loop several times a batch, 5 ms each
    time by default.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def dump_tasks() -> None:
    """What every task is doing, to stderr: its name, and where it waits. To be called on the loop."""
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    lines = [f"{counted(len(tasks), 'task')}, each from its outermost call to what it waits for:"]
    for task in tasks:
        lines += [task.get_name(), *traceback.StackSummary.extract(_frames_of(task.get_coro()), limit=20).format()]
    sys.stderr.write("\n".join(line.rstrip("\n") for line in lines) + "\n")
    sys.stderr.flush()


def _frames_of(awaited: Any) -> Iterator[tuple[FrameType, int]]:
    """A task knows its outermost frame alone; the others hang on what each awaits."""
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            yield frame, frame.f_lineno
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)


class HangGuard:
    """Ends the process, status 1, with the stacks of all threads on stderr, when the loop has had no turn for so long.

    The watching thread is faulthandler's: it needs neither the loop nor the lock of the interpreter.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._periodic = Periodic("hang guard", 1.0, self._put_off, SystemClock())

    async def start(self) -> None:
        await self._put_off()
        await self._periodic.start()

    async def stop(self) -> None:
        await self._periodic.stop()
        faulthandler.cancel_dump_traceback_later()

    async def _put_off(self) -> None:
        faulthandler.dump_traceback_later(self._seconds, exit=True)
