"""The limit: one asyncpg connection, batches of 1,000, no history, no retries, nothing but a table.

Runs come in by COPY; each claim takes what nobody has locked and deletes, in the same statement, what the last one took.
Single enqueues that are awaited at the same time share an INSERT. An idle worker is woken by NOTIFY.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from benchmarks.bare import PAYLOAD
from kernel.model.run import IdSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from benchmarks.postgres.board import Slot

_BATCH = 1_000
_COLUMNS = ("id", "timed", "priority", "due", "payload")
_TABLE = """
CREATE TABLE run (
    id uuid PRIMARY KEY,
    state smallint NOT NULL DEFAULT 0,
    timed boolean NOT NULL,
    priority smallint NOT NULL,
    due float8 NOT NULL,
    payload text NOT NULL
);
CREATE INDEX run_waiting ON run (priority, due) WHERE state = 0;
"""
_INSERT = """
INSERT INTO run (id, timed, priority, due, payload)
SELECT * FROM unnest($1::uuid[], $2::boolean[], $3::smallint[], $4::float8[], $5::text[])
"""
_INSERT_AND_TELL = """
WITH entered AS (INSERT INTO run (id, timed, priority, due, payload) VALUES ($1, $2, $3, $4, $5))
SELECT pg_notify('bare', '')
"""
_CLAIM = """
WITH ended AS (DELETE FROM run WHERE id = ANY ($1::uuid[])),
taken AS (SELECT id FROM run WHERE state = 0 ORDER BY priority, due LIMIT $2 FOR UPDATE SKIP LOCKED)
UPDATE run SET state = 1 FROM taken WHERE run.id = taken.id
RETURNING run.id, run.timed, run.payload
"""
_TEXT = json.dumps(PAYLOAD)
_IDS = IdSource()


class Bare:
    settings = (
        "asyncpg, one connection; COPY in; ack and claim of 1,000 by FOR UPDATE SKIP LOCKED in one statement; runs are deleted",
        "50 callers share an INSERT of unnest; idle: INSERT and pg_notify in one statement, a connection that listens",
    )
    divisor = 1
    unfinished = "SELECT EXISTS (SELECT FROM run)"
    waiting = "SELECT count(*) FROM run WHERE state = 0"
    finished = "SELECT 0"

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        asyncio.run(main)

    async def prepare(self, url: str) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(_TABLE)
        await connection.close()

    @asynccontextmanager
    async def producer(self, url: str) -> AsyncIterator[BareProducer]:
        connection = await asyncpg.connect(url)
        try:
            yield BareProducer(connection)
        finally:
            await connection.close()

    client = producer

    @asynccontextmanager
    async def worker(self, url: str, slot: Slot) -> AsyncIterator[BareWorker]:
        connections = [await asyncpg.connect(url) for _ in range(3)]
        working, listening, enqueueing = connections
        worker = BareWorker(working, listening, enqueueing, slot)
        try:
            yield worker
        finally:
            await worker.stop()
            for connection in connections:
                await connection.close()

    def should_have_finished(self, total: int) -> int:  # noqa: ARG002 - it keeps no history
        return 0


def _rows(count: int) -> list[tuple[str, bool, int, float, str]]:
    now = time.time()
    return [(run_id, False, number & 7, now, _TEXT) for number, run_id in enumerate(_IDS.next(count))]


class BareProducer:
    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection
        self._gathered: list[asyncio.Future[None]] = []
        self._writing: asyncio.Task[None] | None = None

    async def bulk(self, count: int) -> None:
        await self._connection.copy_records_to_table("run", records=_rows(count), columns=_COLUMNS)

    async def single(self) -> None:
        written = asyncio.get_running_loop().create_future()
        self._gathered.append(written)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await written

    async def timed(self) -> None:
        await self._connection.execute(_INSERT_AND_TELL, _IDS.one(), True, 5, time.time(), _TEXT)

    async def _write(self) -> None:
        """While one batch is written the next one gathers."""
        while self._gathered:
            batch, self._gathered = self._gathered, []
            await self._connection.execute(_INSERT, *zip(*_rows(len(batch)), strict=True))
            for written in batch:
                written.set_result(None)


class BareWorker:
    def __init__(
        self,
        connection: asyncpg.Connection[Any],
        listening: asyncpg.Connection[Any],
        enqueueing: asyncpg.Connection[Any],
        slot: Slot,
    ) -> None:
        self._connection = connection
        self._listening = listening
        self._producer = BareProducer(enqueueing)
        self._slot = slot
        self._told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def go(self) -> None:
        await self._listening.add_listener("bare", lambda *_told: self._told.set())
        self._task = asyncio.create_task(self._work())

    async def timed(self) -> None:
        await self._producer.timed()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _work(self) -> None:
        claim = await self._connection.prepare(_CLAIM)
        ended: list[Any] = []
        while True:
            self._told.clear()
            while rows := await claim.fetch(ended, _BATCH):
                for _, timed, payload in rows:
                    await (self._noop, self._timed)[timed](**json.loads(payload))
                self._slot.ran(len(rows))
                ended = [row[0] for row in rows]
            ended = []
            await self._told.wait()

    async def _noop(self, data: str) -> None:
        pass

    async def _timed(self, data: str) -> None:  # noqa: ARG002 - as a job takes it
        self._slot.begin()
