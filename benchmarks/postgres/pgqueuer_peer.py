"""PgQueuer, with what its pages "Performance Tuning" and "Benchmarks" have for speed without giving up durability."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, AsyncpgPoolDriver, PgQueuer, Queries

from benchmarks.bare import PAYLOAD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from benchmarks.postgres.board import Slot

_BATCH = 1_000
_NOOP, _TIMED = "noop", "timed"
_BYTES = json.dumps(PAYLOAD).encode()


class PgQueuerPeer:
    settings = (
        f"asyncpg on uvloop; a direct connection for the manager, batch_size={_BATCH} (short jobs), `pgq autovac` applied, durable",
        "no roll-up of the log (log_aggregation_interval=0); producers: AsyncpgPoolDriver, pool of 5 to 20; lists of 1,000",
    )
    divisor = 1
    unfinished = "SELECT EXISTS (SELECT FROM pgqueuer WHERE entrypoint = 'noop')"
    waiting = "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'noop' AND status = 'queued'"
    finished = "SELECT count(*) FROM pgqueuer_log WHERE entrypoint = 'noop' AND status = 'successful'"

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        uvloop.run(main)

    async def prepare(self, url: str) -> None:
        connection = await asyncpg.connect(url)
        queries = Queries(AsyncpgDriver(connection))
        await queries.install()
        await queries.optimize_autovacuum()
        await connection.close()

    @asynccontextmanager
    async def producer(self, url: str) -> AsyncIterator[PgQueuerProducer]:
        async with asyncpg.create_pool(url, min_size=5, max_size=20) as pool:
            yield PgQueuerProducer(Queries(AsyncpgPoolDriver(pool)))

    client = producer

    @asynccontextmanager
    async def worker(self, url: str, slot: Slot) -> AsyncIterator[PgQueuerWorker]:
        connection = await asyncpg.connect(url)
        async with self.producer(url) as producer:
            worker = PgQueuerWorker(PgQueuer(AsyncpgDriver(connection)), producer, slot)
            try:
                yield worker
            finally:
                await worker.stop()
                await connection.close()

    def should_have_finished(self, total: int) -> int:
        return total


class PgQueuerProducer:
    def __init__(self, queries: Any) -> None:
        self._queries = queries

    async def bulk(self, count: int) -> None:
        await self._queries.enqueue([_NOOP] * count, [_BYTES] * count, [0] * count)

    async def single(self) -> None:
        await self._queries.enqueue(_NOOP, _BYTES)

    async def timed(self) -> None:
        await self._queries.enqueue(_TIMED, _BYTES)


class PgQueuerWorker:
    def __init__(self, pgq: Any, producer: PgQueuerProducer, slot: Slot) -> None:
        self._pgq = pgq
        self._producer = producer
        self._slot = slot
        self._task: asyncio.Task[None] | None = None
        pgq.entrypoint(_NOOP)(self._noop)
        pgq.entrypoint(_TIMED)(self._timed)

    async def go(self) -> None:
        running = self._pgq.run(batch_size=_BATCH, log_aggregation_interval=timedelta(0))
        self._task = asyncio.create_task(running)

    async def timed(self) -> None:
        await self._producer.timed()

    async def stop(self) -> None:
        self._pgq.shutdown.set()
        if self._task is not None:
            await self._task

    async def _noop(self, job: Any) -> None:  # noqa: ARG002 - as a job takes it
        self._slot.ran()

    async def _timed(self, job: Any) -> None:  # noqa: ARG002 - as a job takes it
        self._slot.begin()
