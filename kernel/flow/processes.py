"""The executor "process": workers of our own, each a process that makes one attempt at a time. Used by the executors.

A worker is started when none is idle for the job's plugin, is kept for the next attempt, and ends when it has been idle
for a minute; there are no more than the kernel has slots, and of idle ones no more than cores. It leads a process group of
its own, which is killed as a whole: with the attempt that does not end in time, with the worker, with the kernel.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

from kernel.flow.worker_process import WorkerProcess
from kernel.model.errors import CrashError
from kernel.model.job import CORES
from kernel.model.payload import MAX_BYTES

if TYPE_CHECKING:
    from kernel.contracts.executor import Work
    from kernel.flow.executors import PluginWork

IDLE_SECONDS = 60.0
_STOP_SECONDS = 0.5
_LINE_BYTES = 1024 * 1024
_TIMES_ESCAPED = 8
"""How much longer a result may become on its way: JSON in JSON in JSON."""


class ProcessPool:
    """An executor (contracts/executor.py), for work that says how its plugin is loaded."""

    def __init__(self, max_result: int = MAX_BYTES) -> None:
        self._most_bytes = _LINE_BYTES + _TIMES_ESCAPED * max_result
        self._idle: list[WorkerProcess] = []
        self._busy: dict[str, WorkerProcess] = {}
        self._alive: set[WorkerProcess] = set()
        self._timers: dict[WorkerProcess, asyncio.TimerHandle] = {}
        self._is_stopped = False
        # A worker outlives the attempt for which it was started: it begins with the kernel's own context variables.
        self._variables = contextvars.copy_context()

    async def start(self) -> None:
        """Workers are started when they are needed."""

    async def attempt(self, work: Work) -> str:
        """CrashError when the worker dies of it."""
        return await self._attempt(work)  # type: ignore[arg-type] # the executors give what has a plugin and its code

    def kill(self, run: str) -> None:
        if run in self._busy:
            self._busy[run].kill()

    def forget(self, plugin: str) -> None:
        """The plugin is switched off, or will be loaded anew: its workers end, busy ones after their attempt."""
        for worker in [worker for worker in self._alive if worker.plugin == plugin]:
            worker.is_last_attempt = True
            if worker in self._idle:
                self._dismiss(worker)

    async def stop(self) -> None:
        """Ends all workers within a second, whatever they do."""
        self._is_stopped = True
        for worker in [*self._idle]:
            self._dismiss(worker)
        for worker in self._busy.values():
            worker.kill()
        ends = {worker.life for worker in self._alive}
        if ends:
            _, late = await asyncio.wait(ends, timeout=_STOP_SECONDS)
            for worker in [*self._alive]:
                worker.kill()
            if late:
                await asyncio.wait(late, timeout=_STOP_SECONDS)

    async def _attempt(self, work: PluginWork) -> str:
        while True:
            worker = self._taken(work.code)
            is_new = worker is None
            if worker is None:
                worker = self._started(work)
            self._busy[work.run] = worker
            try:
                return await self._end_of(work, worker.give(work))
            except CrashError:
                if is_new or worker.has_begun or work.cancelled is not None:
                    raise
                # It died while it was idle, unnoticed: that is not this run's affair.
            finally:
                del self._busy[work.run]
                self._put_back(worker)

    async def _end_of(self, work: PluginWork, end: asyncio.Future[str]) -> str:
        while not end.done():
            try:
                await asyncio.wait({end})
            except asyncio.CancelledError:
                worker = self._busy[work.run]
                if work.cancelled is None:  # the loop itself ends
                    worker.kill()
                else:
                    worker.cancel(work.run, work.cancelled)
        return end.result()

    def _taken(self, code: str) -> WorkerProcess | None:
        """An idle worker that has loaded just this, the one that worked last."""
        for worker in reversed(self._idle):
            if worker.code == code:
                self._idle.remove(worker)
                self._timers.pop(worker).cancel()
                return worker
        return None

    def _started(self, work: PluginWork) -> WorkerProcess:
        worker = WorkerProcess(work.plugin, work.code, self._most_bytes, self._variables.copy(), self._gone)
        self._alive.add(worker)
        return worker

    def _put_back(self, worker: WorkerProcess) -> None:
        if worker not in self._alive:
            return
        if worker.is_last_attempt or self._is_stopped:
            worker.end()
            return
        self._idle.append(worker)
        self._timers[worker] = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._dismiss, worker)
        if len(self._idle) > CORES:
            self._dismiss(self._idle[0])

    def _dismiss(self, worker: WorkerProcess) -> None:
        self._idle.remove(worker)
        self._timers.pop(worker).cancel()
        worker.end()

    def _gone(self, worker: WorkerProcess) -> None:
        self._alive.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
            self._timers.pop(worker).cancel()
