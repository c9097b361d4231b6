"""One part, in a process of its own: ``python -m benchmarks.postgres.part NAME [--runs N] [--idle N] …`` prints JSON.

Filled in lists of 1,000 and drained by one process; filled by 50 callers, each awaiting one enqueue after the other, and
drained by two; then runs that come one at a time to an idle process, from itself and from another one. The counts are
checked in the tables. The empty database's URL is taken from the environment.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from benchmarks.measure import Lap, percentiles
from benchmarks.postgres.board import Board
from benchmarks.postgres.server import cpu_seconds
from benchmarks.postgres.system import system_of
from benchmarks.postgres.table import PASTS, Past
from benchmarks.postgres.worker import DATABASE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.postgres.system import Producer, System

SLICE = 1_000
CALLERS = 50
PAUSE_SECONDS = 0.06
"""Between two runs for an idle process: Mainspring tells other kernels at most each 0.05 s."""
DRAIN_SECONDS = 900.0
_ANSWER_SECONDS = 900.0
_START_SECONDS = 10.0
_WARMING = 5
"""So many idle starts come first and are not counted: connections and statements are made then."""


class Part:
    def __init__(self, name: str, url: str, options: argparse.Namespace) -> None:
        self._name = name
        self._system: System = system_of(name)
        self._past = PASTS.get(name, Past())
        self._url = url
        self._count: int = options.runs // self._system.divisor
        self._idle: int = options.idle
        self._history: int = options.history
        self._server: int | None = options.server
        self.figures: dict[str, Any] = {}

    async def measure(self) -> None:
        await self._system.prepare(self._url)
        self._connection = await asyncpg.connect(self._url)
        try:
            # What it asks is to be found by an index, whatever is known of the table.
            await self._connection.execute("SET enable_seqscan = off")
            await self._measure()
        finally:
            await self._connection.close()

    async def _measure(self) -> None:
        await self._past.begin(self._connection, self._history)
        self.figures["bulk_enqueue"] = await self._fill_in_bulk()
        self.figures["drain_1"] = await self._drain(1, self._count)
        self.figures["single_enqueue"] = await self._fill_one_by_one()
        self.figures["drain_2"] = await self._drain(2, 2 * self._count)
        self.figures |= await self._begin_when_idle()

    async def _fill_in_bulk(self) -> dict[str, Any]:
        async with self._system.producer(self._url) as producer:
            await self._settle()
            with Lap(self._count) as lap:
                for first in range(0, self._count, SLICE):
                    await producer.bulk(min(SLICE, self._count - first))
        await self._check_waiting()
        return lap.figures()

    async def _fill_one_by_one(self) -> dict[str, Any]:
        left = self._count

        async def call() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await producer.single()

        async with self._system.producer(self._url) as producer:
            await self._settle()
            with Lap(self._count) as lap:
                await asyncio.gather(*(call() for _ in range(CALLERS)))
        await self._check_waiting()
        return lap.figures()

    async def _drain(self, processes: int, total: int) -> dict[str, Any]:
        await self._past.filled(self._connection)
        async with self._workers(processes) as workers:
            await self._settle()
            server = cpu_seconds(self._server)
            began = time.perf_counter()
            for worker in workers.all:
                await worker.say("go")
            await self._until_drained(workers)
            wall = time.perf_counter() - began
            server = cpu_seconds(self._server) - server
            cpu = sum([(await worker.stop())["cpu_seconds"] for worker in workers.all])
            done = workers.board.done()
        await self._check_drained(done, total)
        figures = {"runs_per_second": self._count / wall, "cpu_us_per_run": 1e6 * cpu / self._count}
        return figures | ({} if self._server is None else {"server_us_per_run": 1e6 * server / self._count})

    async def _until_drained(self, workers: Workers) -> None:
        """The table is asked only once nothing may be left: asking costs the server too."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while workers.board.done() < self._count:
                    workers.look()
                    await asyncio.sleep(0.001)
                while await self._connection.fetchval(self._system.unfinished):
                    await asyncio.sleep(0.001)

    async def _begin_when_idle(self) -> dict[str, Any]:
        if self._idle == 0:
            return {}
        async with self._workers(1) as workers, self._system.client(self._url) as client:
            worker = workers.all[0]
            await worker.say("go")
            await worker.ask(f"idle {_WARMING} {PAUSE_SECONDS}")
            inside = await worker.ask(f"idle {self._idle} {PAUSE_SECONDS}")
            waits = [await self._start_of(client, workers) for _ in range(_WARMING + self._idle)][_WARMING:]
            await worker.stop()
        return {"idle": inside, "idle_from_another": percentiles("ms", waits)}

    @staticmethod
    async def _start_of(client: Producer, workers: Workers) -> float:
        """As the worker's, of a run that comes from this process."""
        await asyncio.sleep(PAUSE_SECONDS)
        before, _ = workers.board.begun()
        called = time.time()
        await client.timed()
        async with asyncio.timeout(_START_SECONDS):
            while workers.board.begun()[0] == before:
                workers.look()
                await asyncio.sleep(0.001)
        return workers.board.begun()[1] - called

    async def _settle(self) -> None:
        """What was written before is on the disk: it is not paid for while the next thing is measured."""
        with suppress(asyncpg.InsufficientPrivilegeError):
            await self._connection.execute("CHECKPOINT")

    async def _check_waiting(self) -> None:
        waiting = await self._connection.fetchval(self._system.waiting)
        if waiting != self._count:
            raise AssertionError(f"{self._name}: {self._count:,} runs were enqueued, and {waiting:,} wait")

    async def _check_drained(self, done: int, total: int) -> None:
        finished = await self._connection.fetchval(self._system.finished)
        is_left = await self._connection.fetchval(self._system.unfinished)
        if done < self._count or finished < self._system.should_have_finished(total) or is_left:
            raise AssertionError(
                f"{self._name}: of {self._count:,} runs {done:,} were executed; the tables have {finished:,} of {total:,} as "
                f"ended well, and {'some' if is_left else 'none'} as not ended"
            )

    @asynccontextmanager
    async def _workers(self, count: int) -> AsyncIterator[Workers]:
        with tempfile.TemporaryDirectory(prefix="mainspring-bench-") as name:
            board = Board(Path(name), count)
            workers = Workers(board, [WorkerProcess(self._name, self._url, board, number) for number in range(count)])
            try:
                for worker in workers.all:
                    await worker.start()
                yield workers
            finally:
                for worker in workers.all:
                    await worker.end()


class Workers:
    def __init__(self, board: Board, workers: list[WorkerProcess]) -> None:
        self.board = board
        self.all = workers

    def look(self) -> None:
        """Nobody waits for a worker that has ended."""
        for worker in self.all:
            worker.look()


class WorkerProcess:
    def __init__(self, system: str, url: str, board: Board, number: int) -> None:
        self._arguments = ("-m", "benchmarks.postgres.worker", system, str(board.path), str(number))
        self._environment = {**os.environ, DATABASE: url}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._arguments, stdin=pipe, stdout=pipe, env=self._environment
        )
        await self._answer()

    async def say(self, words: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{words}\n".encode())
        await self._process.stdin.drain()

    async def ask(self, words: str) -> Any:
        await self.say(words)
        return await self._answer()

    async def stop(self) -> Any:
        return await self.ask("stop")

    def look(self) -> None:
        if self._process is not None and self._process.returncode is not None:
            raise AssertionError(f"a worker ended by itself, with status {self._process.returncode}")

    async def end(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(20):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _answer(self) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(_ANSWER_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise AssertionError(f"a worker ended by itself, with status {await self._process.wait()}")
        return json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.postgres.part")
    parser.add_argument("name")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--idle", type=int, default=200)
    parser.add_argument("--history", type=int, default=1_000_000)
    parser.add_argument("--server", type=int, help="the process id of the server, whose CPU is to be told too")
    options = parser.parse_args()
    part = Part(options.name, os.environ[DATABASE], options)
    system_of(options.name).run(part.measure())
    print(json.dumps(part.figures))


if __name__ == "__main__":
    main()
