"""Procrastinate, with what its pages on concurrency, pool size and finished jobs have for speed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from procrastinate import App, PsycopgConnector

from benchmarks.bare import PAYLOAD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from benchmarks.postgres.board import Slot

_CONCURRENCY = 10


class ProcrastinatePeer:
    settings = (
        f"psycopg (C), concurrency={_CONCURRENCY}, a pool of one connection more, listen_notify; batch_defer of 1,000",
        "a tenth of the runs: it would take minutes",
    )
    divisor = 10
    unfinished = (
        "SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE task_name = 'noop' AND status IN ('todo', 'doing'))"
    )
    waiting = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'noop' AND status = 'todo'"
    finished = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'noop' AND status = 'succeeded'"

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        asyncio.run(main)

    async def prepare(self, url: str) -> None:
        async with _app(url).open_async() as app:
            await app.schema_manager.apply_schema_async()

    @asynccontextmanager
    async def producer(self, url: str) -> AsyncIterator[ProcrastinateProducer]:
        async with _app(url).open_async() as app:
            yield ProcrastinateProducer(app)

    client = producer

    @asynccontextmanager
    async def worker(self, url: str, slot: Slot) -> AsyncIterator[ProcrastinateWorker]:
        async with _app(url, slot).open_async() as app:
            worker = ProcrastinateWorker(app)
            try:
                yield worker
            finally:
                await worker.stop()

    def should_have_finished(self, total: int) -> int:
        return total


def _app(url: str, slot: Slot | None = None) -> Any:
    app = App(connector=PsycopgConnector(conninfo=url, min_size=_CONCURRENCY + 1, max_size=_CONCURRENCY + 1))

    async def noop(data: str) -> None:
        if slot is not None:
            slot.ran()

    async def timed(data: str) -> None:
        if slot is not None:
            slot.begin()

    app.task(noop, name="noop")
    app.task(timed, name="timed")
    return app


class ProcrastinateProducer:
    def __init__(self, app: Any) -> None:
        self._noop, self._timed = app.tasks["noop"], app.tasks["timed"]

    async def bulk(self, count: int) -> None:
        await self._noop.batch_defer_async(*[PAYLOAD] * count)

    async def single(self) -> None:
        await self._noop.defer_async(**PAYLOAD)

    async def timed(self) -> None:
        await self._timed.defer_async(**PAYLOAD)


class ProcrastinateWorker:
    def __init__(self, app: Any) -> None:
        self._app = app
        self._producer = ProcrastinateProducer(app)
        self._task: asyncio.Task[None] | None = None

    async def go(self) -> None:
        working = self._app.run_worker_async(concurrency=_CONCURRENCY, install_signal_handlers=False)
        self._task = asyncio.create_task(working)

    async def timed(self) -> None:
        await self._producer.timed()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
