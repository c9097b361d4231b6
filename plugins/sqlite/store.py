"""The store in a SQLite file: each call of the contract is handed to the writer's or the reader's thread.

Called by the kernel and by clients; the steps are in the modules beside this one, their statements in ``sql/``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kernel.contracts.store import Finishes
from kernel.model.errors import StoreError

from . import control, lists, looks, records, small
from .claim import claim
from .dependents import edges
from .enqueue import enqueue
from .errors import unwritable
from .finish import finish
from .place import SCHEME
from .rates import Rate, room_at
from .reader import Reader
from .rescue import rescue
from .status import StoreStatus, schedules_of, status_of, upgraded
from .writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kernel.contracts.store import (
        Announced,
        AttemptRow,
        BreakerRow,
        Claim,
        Claims,
        Edge,
        Ended,
        Entry,
        KernelRow,
        Look,
        Looked,
        Member,
        QueueRow,
        RunLog,
        RunQuery,
        Signals,
        Unfinished,
    )  # fmt: skip
    from kernel.model.job import Keep
    from kernel.model.rate import RateLimit
    from kernel.model.run import Change, NewRun, Run
    from kernel.model.schedule import ScheduleRow, Tick

    from .database import Database

T = TypeVar("T")


class SqliteStore:
    """Durable with ``synchronous=FULL``. One kernel at a time; clients of other processes may work beside it."""

    def __init__(self, path: Path | str) -> None:
        # A plugin may change the working directory later.
        self._path = Path(path).absolute()
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._kernel: str | None = None
        self._callbacks: list[Callable[[], None]] = []

    @property
    def url(self) -> str:
        return f"{SCHEME}:///{self._path}"

    @property
    def is_durable(self) -> bool:
        return True

    @property
    def is_shared(self) -> bool:
        """One kernel at a time: it holds the lock of the file."""
        return False

    @property
    def may_start(self) -> bool:
        return True

    @property
    def lease_losses(self) -> int:
        return 0

    @property
    def clock_offset(self) -> float:
        return 0.0

    # Life

    async def open(self, kernel: KernelRow | None) -> None:
        if self._writer is not None:
            raise StoreError(f"{self._path}: the store is open already")
        self._kernel = None if kernel is None else kernel.id
        writer = self._writer = Writer(self._path)
        try:
            await writer.open(kernel)
            self._reader = Reader(writer.files)
        except BaseException:
            self._writer = None
            writer.close()
            raise
        if self._callbacks:
            writer.on_change(self._changed)

    async def close(self) -> None:
        writer, reader, kernel = self._writer, self._reader, self._kernel
        self._writer = self._reader = None
        if reader is not None:
            await reader.stop()
        if writer is not None:
            await writer.close(None if kernel is None else lambda database: small.sign_out(database, [kernel]))

    async def rescue(
        self, kernel: str, decide: Callable[[KernelRow | None, Sequence[Run]], Sequence[Change]]
    ) -> list[Run]:
        """Who holds the lock is the only kernel there is: all others are dead."""
        return await self._write(lambda database: rescue(database, {kernel, self._living_kernel()}, decide))

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)
        if self._writer is not None:
            self._writer.on_change(self._changed)

    async def signals(self) -> Signals:
        return await self._read(small.signals)

    async def status(self, *, check: bool = False) -> StoreStatus:
        """What ``db status`` tells, open or not; nothing is changed. ``check`` reads the whole file."""
        return await asyncio.to_thread(status_of, self._path, check=check)

    async def peek_schedules(self) -> list[ScheduleRow]:
        """What ``check`` looks at; the store need not be open, and nothing is changed."""
        return await asyncio.to_thread(schedules_of, self._path)

    async def upgrade(self) -> tuple[int, int]:
        """What ``db upgrade`` does: (version before, version now). Opening a store does the same."""
        return await asyncio.to_thread(upgraded, self._path)

    # The way of a run

    async def enqueue(self, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
        return await self._write(lambda database: enqueue(database, runs, room)) if runs else []

    async def claim(self, wanted: Claim) -> Claims:
        return await self._write(lambda database: claim(database, wanted))

    async def finish(self, changes: Sequence[Change]) -> Finishes:
        return await self._write(lambda database: finish(database, changes)) if changes else Finishes([])

    async def record(self, entries: Sequence[Entry]) -> list[bool]:
        return await self._write(lambda database: records.record(database, entries)) if entries else []

    async def attempts(self, run: str) -> list[AttemptRow]:
        return await self._read(lambda database: records.attempts(database, run))

    async def steps(self, run: str) -> dict[str, str]:
        return await self._read(lambda database: records.steps(database, run))

    async def log(self, run: str) -> RunLog:
        return await self._read(lambda database: records.log(database, run))

    async def stick(self, ids: Sequence[str]) -> None:
        await self._write(lambda database: control.stick(database, ids))

    async def cancel(self, ids: Sequence[str], reason: str, now: float) -> list[Ended]:
        return await self._write(lambda database: control.cancel(database, ids, reason, now)) if ids else []

    async def cancels(self, kernel: str) -> list[tuple[str, int, str]]:
        return await self._read(lambda database: database.rows("cancels", kernel))

    async def retry(self, ids: Sequence[str], now: float) -> list[Ended]:
        return await self._write(lambda database: control.retry(database, ids, now)) if ids else []

    async def release(self, kernel: str) -> list[Run]:
        return await self._write(lambda database: control.release(database, kernel))

    # Reading

    async def runs(self, query: RunQuery) -> list[Run]:
        return await self._read(lambda database: lists.runs(database, query))

    async def edges(self, runs: Sequence[str]) -> list[Edge]:
        return await self._read(lambda database: edges(database, runs))

    async def rate_room_at(self, kind: str, name: str, key: str, limit: RateLimit, now: float) -> float:
        return await self._read(lambda database: room_at(database, Rate(kind, name, key), limit, now))

    async def count(self, query: RunQuery) -> dict[str, int]:
        return await self._read(lambda database: lists.count(database, query))

    async def prune(self, keep: Mapping[str, Keep], default: Keep, ticks_before: float, now: float, limit: int) -> int:
        # What is to go is found by the reader, so that the writer is not held up by looking for it.
        seqs = await self._read(lambda database: lists.prunable(database, keep, default, now, limit))

        return await self._write(lambda database: lists.prune(database, seqs, ticks_before, now, limit))

    # Queues

    async def queues(self) -> list[QueueRow]:
        return await self._read(lists.queues)

    async def pause_queue(self, queue: str, until: float | None) -> None:
        await self._write(lambda database: small.pause_queue(database, queue, until))

    # Breakers

    async def breakers(self) -> list[BreakerRow]:
        return await self._read(small.breakers)

    async def put_breaker(self, row: BreakerRow) -> bool:
        return await self._write(lambda database: small.put_breaker(database, row))

    # Schedules

    async def schedules(self, names: Sequence[str] | None = None) -> list[ScheduleRow]:
        return await self._read(lambda database: small.schedules(database, names))

    async def put_schedules(self, rows: Sequence[ScheduleRow], back: bool = False) -> list[bool]:
        return await self._write(lambda database: small.put_schedules(database, rows, back=back))

    async def remove_schedules(self, names: Sequence[str]) -> None:
        await self._write(lambda database: small.remove_schedules(database, names))

    async def pause_schedule(self, name: str, paused: bool | None) -> bool:
        return await self._write(lambda database: small.pause_schedule(database, name, paused))

    async def look(
        self, given: Sequence[Look], decide: Callable[[Look, Sequence[Unfinished]], Looked]
    ) -> list[Looked | None]:
        return await self._write(lambda database: looks.look(database, given, decide)) if given else []

    async def ticks(self, schedule: str, since: float, until: float, limit: int) -> list[Tick]:
        return await self._read(lambda database: lists.ticks(database, schedule, since, until, limit))

    async def ticks_of(self, schedules: Sequence[str], since: float, until: float, limit: int) -> list[Tick]:
        return await self._read(lambda database: lists.ticks_of(database, schedules, since, until, limit))

    # Kernels and what they announce

    async def kernels(self) -> list[KernelRow]:
        """The lock says whether one is alive, not the row."""
        alive = self._living_kernel()
        if alive is None:
            return []
        return await self._read(lambda database: [row for row in small.kernels(database) if row.id == alive])

    async def members(self) -> list[Member]:
        alive = self._living_kernel()
        return await self._read(lambda database: small.members(database, alive))

    def _living_kernel(self) -> str | None:
        return None if self._writer is None else self._kernel or self._writer.files.living_kernel()

    async def beat(self, kernel: str, now: float) -> None:
        await self._write(lambda database: small.beat(database, kernel, now))

    async def announce(self, kernel: str, jobs: Sequence[Announced], now: float) -> None:  # noqa: ARG002 - one kernel
        await self._write(lambda database: small.announce(database, jobs, now))

    async def announced(self) -> list[Announced]:
        return await self._read(small.announced)

    async def announced_elsewhere(self, kernel: str) -> set[str]:  # noqa: ARG002 - no other one can be alive
        return set()

    # A small table for plugins

    async def get(self, plugin: str, keys: Iterable[str] | None = None) -> dict[str, str]:
        wanted = None if keys is None else list(keys)
        return await self._read(lambda database: small.get(database, plugin, wanted))

    async def put(self, plugin: str, values: Mapping[str, str | None]) -> None:
        await self._write(lambda database: small.put(database, plugin, values))

    # The two threads

    def _write(self, step: Callable[[Database], T]) -> asyncio.Future[T]:
        if self._writer is None:
            raise StoreError(f"{self._path}: the store is not open")
        if self._writer.files.is_read_only:
            raise unwritable("attempt to write a readonly database", self._path)
        return self._writer.call(step)

    async def _read(self, step: Callable[[Database], T]) -> T:
        """After what this turn has written before it."""
        if self._reader is None or self._writer is None:
            raise StoreError(f"{self._path}: the store is not open")
        written = self._writer.last_of_turn()
        if written is not None:
            await asyncio.wait([written])
        if self._reader is None:
            raise StoreError(f"{self._path}: the store was closed")
        return await self._reader.call(step)

    def _changed(self) -> None:
        for callback in self._callbacks:
            callback()
