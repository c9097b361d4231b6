"""Mainspring, through the real kernel with history and the default plugins on, as ``mainspring run`` would have it."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks import bare
from benchmarks.parts import JOB, KEPT, TIMED, configuration
from kernel import Client, Kernel
from kernel.process import tune

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from benchmarks.postgres.board import Slot
    from kernel.model.run import Run

_URL = "MAINSPRING_BENCH_STORE"
_OF_NOOP = f"FROM mainspring.run WHERE job = '{JOB}'"


class Mainspring:
    settings = (
        "concurrency 100, as in benchmarks/parts.py: the default plugins, history and pruning on; nothing else is set",
    )
    divisor = 1
    unfinished = (
        f"SELECT EXISTS (SELECT {_OF_NOOP} AND queue = 'default' AND state = 4 AND losses < 2) "
        f"OR EXISTS (SELECT {_OF_NOOP} AND state = 5) OR EXISTS (SELECT {_OF_NOOP} AND state BETWEEN 1 AND 3)"
    )
    waiting = f"SELECT count(*) {_OF_NOOP} AND queue = 'default' AND state = 4 AND losses < 2"
    finished = f"SELECT count(*) {_OF_NOOP} AND state = 6"

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        asyncio.run(main)

    async def prepare(self, url: str) -> None:
        """The first kernel makes the schema and announces the jobs."""
        async with _kernel(url):
            pass

    @asynccontextmanager
    async def producer(self, url: str) -> AsyncIterator[OurProducer]:
        """A kernel whose queue is paused, and stays so until a worker resumes it."""
        async with _kernel(url) as kernel:
            await kernel.control.queues_pause(queue="default")
            yield OurProducer(kernel)

    @asynccontextmanager
    async def client(self, url: str) -> AsyncIterator[OurProducer]:
        async with Client(url) as client:
            yield OurProducer(client)

    @asynccontextmanager
    async def worker(self, url: str, slot: Slot) -> AsyncIterator[OurWorker]:
        async with _kernel(url) as kernel:
            worker = OurWorker(kernel, slot)
            try:
                yield worker
            finally:
                await worker.stop()

    def should_have_finished(self, total: int) -> int:
        """Of what is older, the pruner keeps 10,000."""
        return min(total, KEPT)


@asynccontextmanager
async def _kernel(url: str) -> AsyncIterator[Kernel]:
    os.environ[_URL] = url  # it may hold a password, which is not to stand in a file
    with tempfile.TemporaryDirectory(prefix="mainspring-bench-") as name:
        async with Kernel.from_toml(configuration(Path(name), f"${{{_URL}}}")) as kernel:
            tune()
            yield kernel


class _Enqueues(Protocol):
    async def enqueue(self, job: str, payload: dict[str, Any] | None = None, **options: Any) -> Run: ...

    async def enqueue_many(self, requests: Any) -> list[Run]: ...


class OurProducer:
    def __init__(self, target: _Enqueues) -> None:
        self._target = target

    async def bulk(self, count: int) -> None:
        await self._target.enqueue_many([(JOB, bare.PAYLOAD)] * count)

    async def single(self) -> None:
        await self._target.enqueue(JOB, bare.PAYLOAD)

    async def timed(self) -> None:
        await self._target.enqueue(TIMED, bare.PAYLOAD)


class OurWorker:
    def __init__(self, kernel: Kernel, slot: Slot) -> None:
        self._kernel = kernel
        self._slot = slot
        self._plugin = sys.modules[kernel.catalog.jobs[TIMED].function.__module__]
        self._tasks = [asyncio.create_task(self._note_outcomes()), asyncio.create_task(self._note_starts())]

    async def go(self) -> None:
        await self._kernel.control.queues_resume(queue="default")

    async def timed(self) -> None:
        await self._kernel.enqueue(TIMED, bare.PAYLOAD)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _note_outcomes(self) -> None:
        """What is recorded, other jobs' runs too: the store is asked what is left once it may be nothing."""
        noted = 0
        while True:
            written = self._kernel.engine.recorder.written
            if written > noted:
                self._slot.ran(written - noted)
                noted = written
            await asyncio.sleep(0.001)

    async def _note_starts(self) -> None:
        while True:
            await self._plugin.has_started.wait()
            self._plugin.has_started.clear()
            self._slot.begin(self._plugin.started[-1])
