"""What a process sets that is a kernel and nothing else; a program that embeds one decides for itself."""

from __future__ import annotations

import faulthandler
import gc

from kernel.contracts.clock import SystemClock
from kernel.contracts.service import Periodic


def tune() -> None:
    """Fewer passes of the garbage collector: what is loaded stays, and runs are tuples that form no cycles.

    Measured on 100,000 waiting runs in memory: 40 % less CPU a run than with the thresholds Python starts with.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


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
