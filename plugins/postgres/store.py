"""The store in a PostgreSQL database: each call of the contract becomes a step of a transaction, or one statement.

Called by kernels and by clients; the steps are in the modules beside this one, their statements in ``sql/``.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

from kernel.contracts.store import Finishes
from kernel.model.errors import RequestError, StoreError

from . import control, lists, looks, small
from .address import address_of
from .claim import claim, claim_quickly
from .clock import ServerClock
from .connecting import begin_text
from .connections import Connections
from .database import Database
from .enqueue import enqueue, enqueue_quickly
from .errors import as_store_error, is_gone
from .finish import finish
from .ids import known_ids
from .joining import Joined, check_connection, place_of
from .known import Known
from .lease import LEASE_SECONDS, RENEW_SECONDS, Lease
from .limits import reconcile
from .listening import Listener
from .opening import open_at
from .record import record
from .rescue import rescue
from .statements import Statements
from .status import status_of, upgraded
from .telling import Teller
from .trouble import Trouble
from .turns import OUTCOMES, WORK, Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    import asyncpg

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

    from .status import StoreStatus

T = TypeVar("T")

_RECONCILE_SECONDS = 60.0


class PostgresStore:
    """Durable, and shared: any number of kernels, each with a lease, and of clients."""

    def __init__(
        self,
        url: str,
        *,
        lease_seconds: float = LEASE_SECONDS,
        renew_seconds: float = RENEW_SECONDS,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._lease_seconds = lease_seconds
        self._renew_seconds = renew_seconds
        self._address = address_of(url)
        self._statements = Statements(self._address.schema)
        self._trouble = Trouble(self._address.url)
        self._clock = ServerClock(wall)
        self._connections: Connections | None = None
        self._turns: Turns | None = None
        self._known = Known()
        self._listener: Listener | None = None
        self._teller: Teller | None = None
        self._lease: Lease | None = None
        self._kernel: KernelRow | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._place: tuple[Any, ...] | None = None
        self._limits_seen: object = None
        self._reconciled_at = 0.0
        self._announcement: list[Announced] | None = None
        self._announced_at_losses = 0

    @property
    def url(self) -> str:
        return self._address.url

    @property
    def is_durable(self) -> bool:
        return True

    @property
    def is_shared(self) -> bool:
        return True

    @property
    def may_start(self) -> bool:
        return self._lease is None or self._lease.may_start

    @property
    def lease_losses(self) -> int:
        return 0 if self._lease is None else self._lease.losses

    @property
    def clock_offset(self) -> float:
        return self._clock.offset

    # Life

    async def open(self, kernel: KernelRow | None) -> None:
        if self._turns is not None:
            raise StoreError(f"{self.url}: the store is open already")
        connection, *_ = await open_at(self._address, self._statements, self._clock, kernel, self._lease_seconds)
        connections = Connections(self._address, self._trouble)
        connections.adopt(connection)
        self._kernel = kernel
        self._connections = connections
        self._listener = Listener(self._address, self._trouble, self._changed, connections.owns)
        self._teller = Teller(self._address, connections)
        self._turns = Turns(
            connections,
            self._statements,
            self._known,
            begin=begin_text(self._address),
            allow_quick=not self._address.poll_only,
            on_news=self._teller.tell,
            url=self.url,
        )
        if kernel is not None:
            self._lease = Lease(
                self._clock.of(kernel),
                self._address,
                self._statements,
                self._trouble,
                self._clock,
                lease_seconds=self._lease_seconds,
                renew_seconds=self._renew_seconds,
            )
            self._lease.begin()
        if self._callbacks:
            self._listener.start()

    async def close(self) -> None:
        turns, teller, listener, connections = self._turns, self._teller, self._listener, self._connections
        lease, self._lease, kernel, self._kernel = self._lease, None, self._kernel, None
        if turns is None or teller is None or listener is None or connections is None:
            return
        removed = None
        if kernel is not None:
            removed = self._write(lambda database: small.sign_out(database, kernel.id))
        self._turns = None
        await listener.stop()
        if lease is not None:
            await lease.end()
        await turns.drain()
        if removed is not None:
            removed.exception()  # others will find out by the lease
        await teller.close()
        self._teller = self._listener = self._connections = None
        await connections.close()

    async def rescue(
        self, kernel: str, decide: Callable[[KernelRow | None, Sequence[Run]], Sequence[Change]]
    ) -> list[Run]:
        if self._lease is not None and not self._lease.is_steady:
            return []
        return await self._write(lambda database: rescue(database, kernel, decide))

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)
        if self._listener is not None and len(self._callbacks) == 1:
            self._listener.start()

    async def signals(self) -> Signals:
        return await self._read(small.signals)

    async def status(self, *, check: bool = False) -> StoreStatus:  # noqa: ARG002 - the server looks after its files
        """What ``db status`` tells, open or not; nothing is changed."""
        return await status_of(self._address, self._statements)

    async def upgrade(self) -> tuple[int, int]:
        """What ``db upgrade`` does: (version before, version now). Opening a store does the same."""
        return await upgraded(self._address, self._statements)

    # The way of a run

    async def enqueue(self, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
        if not runs:
            return []
        return await self._write(
            lambda database: enqueue(database, runs, room),
            quick=lambda database: enqueue_quickly(database, runs, room),
        )

    async def join(self, connection: object) -> Joined:
        """The store within the transaction of this connection, which is the caller's; RequestError when it has none."""
        theirs = check_connection(connection)
        place = await place_of(theirs)
        if place != self._place:  # not asked for before, or the server was restarted
            self._place = await self._read(lambda database: place_of(database.connection))
        if place != self._place:
            raise RequestError(
                f"connection: it leads to another server, or to the database {place[0]}; expected one to the store's own, "
                f"{self.url}"
            )
        return Joined(theirs, self._address, self._statements, self._known)

    async def claim(self, wanted: Claim) -> Claims:
        if self._lease is not None:
            self._lease.check()
        self._reconcile_now_and_then(wanted)
        return await self._write(
            lambda database: claim(database, wanted), quick=lambda database: claim_quickly(database, wanted)
        )

    def _reconcile_now_and_then(self, wanted: Claim) -> None:
        """What is parked for limits that are not there any more would wait for ever."""
        now = asyncio.get_running_loop().time()
        limits = (wanted.key_limits, wanted.key_rates)
        if limits == self._limits_seen and now - self._reconciled_at < _RECONCILE_SECONDS:
            return
        self._limits_seen, self._reconciled_at = (dict(wanted.key_limits), dict(wanted.key_rates)), now
        self._write(lambda database: reconcile(database, wanted)).add_done_callback(_look_at)

    async def finish(self, changes: Sequence[Change]) -> Finishes:
        if not changes:
            return Finishes([])
        return await self._write(lambda database: finish(database, changes), lane=OUTCOMES)

    async def record(self, entries: Sequence[Entry]) -> list[bool]:
        return await self._write(lambda database: record(database, entries), lane=OUTCOMES) if entries else []

    async def attempts(self, run: str) -> list[AttemptRow]:
        return await self._read(lambda database: lists.attempts(database, run))

    async def steps(self, run: str) -> dict[str, str]:
        return await self._read(lambda database: lists.steps(database, run))

    async def log(self, run: str) -> RunLog:
        return await self._read(lambda database: lists.log(database, run))

    async def stick(self, ids: Sequence[str]) -> None:
        await self._write(lambda database: control.stick(database, known_ids(ids)))

    async def cancel(self, ids: Sequence[str], reason: str, now: float) -> list[Ended]:
        known = known_ids(ids)
        return await self._write(lambda database: control.cancel(database, known, reason, now)) if known else []

    async def cancels(self, kernel: str) -> list[tuple[str, int, str]]:
        return await self._read(lambda database: control.cancels(database, kernel))

    async def retry(self, ids: Sequence[str], now: float) -> list[Ended]:
        known = known_ids(ids)
        return await self._write(lambda database: control.retry(database, known, now)) if known else []

    async def release(self, kernel: str) -> list[Run]:
        return await self._write(lambda database: control.release(database, kernel))

    # Reading

    async def runs(self, query: RunQuery) -> list[Run]:
        return await self._read(lambda database: lists.runs(database, query))

    async def edges(self, runs: Sequence[str]) -> list[Edge]:
        return await self._read(lambda database: lists.edges(database, runs))

    async def rate_room_at(self, kind: str, name: str, key: str, limit: RateLimit, now: float) -> float:
        return await self._read(lambda database: lists.rate_room_at(database, kind, name, key, limit, now))

    async def count(self, query: RunQuery) -> dict[str, int]:
        return await self._read(lambda database: lists.count(database, query))

    async def prune(self, keep: Mapping[str, Keep], default: Keep, ticks_before: float, now: float, limit: int) -> int:
        # What is to go is found apart, so that those who write are not held up by looking for it.
        runs = await self._read(lambda database: lists.prunable(database, keep, default, now, limit))
        return await self._write(lambda database: lists.prune(database, runs, ticks_before, now, limit))

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
        return await self._write(lambda database: small.put_schedules(database, rows, back=back)) if rows else []

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
        return await self._read(small.kernels)

    async def members(self) -> list[Member]:
        return await self._read(small.members)

    async def beat(self, kernel: str, now: float) -> None:
        await self._write(lambda database: small.beat(database, kernel, now))
        if self._announcement is not None and self._announced_at_losses != self.lease_losses:
            await self._announce(kernel)  # while it was taken for dead others may have cleared it away

    async def announce(self, kernel: str, jobs: Sequence[Announced], now: float) -> None:  # noqa: ARG002 - by the database's clock
        self._announcement = list(jobs)
        await self._announce(kernel)

    async def _announce(self, kernel: str) -> None:
        jobs, losses = self._announcement or [], self.lease_losses
        await self._write(lambda database: small.announce(database, kernel, jobs))
        self._announced_at_losses = losses

    async def announced(self) -> list[Announced]:
        return await self._read(small.announced)

    async def announced_elsewhere(self, kernel: str) -> set[str]:
        return await self._read(lambda database: small.announced_elsewhere(database, kernel))

    # A small table for plugins

    async def get(self, plugin: str, keys: Iterable[str] | None = None) -> dict[str, str]:
        wanted = None if keys is None else list(keys)
        return await self._read(lambda database: small.get(database, plugin, wanted))

    async def put(self, plugin: str, values: Mapping[str, str | None]) -> None:
        await self._write(lambda database: small.put(database, plugin, values))

    # Ways to the server

    def _write(
        self,
        step: Callable[[Database], Awaitable[T]],
        *,
        quick: Callable[[Database], Awaitable[T]] | None = None,
        lane: str = WORK,
    ) -> asyncio.Future[T]:
        if self._turns is None:
            raise StoreError(f"{self.url}: the store is not open")
        return self._turns.call(step, quick=quick, lane=lane)

    async def _read(self, step: Callable[[Database], Awaitable[T]]) -> T:
        """After what this turn has written before it."""
        turns, connections = self._turns, self._connections
        if turns is None or connections is None:
            raise StoreError(f"{self.url}: the store is not open")
        before = turns.of_this_turn()
        if before:
            await asyncio.wait(before)
        for fresh in (False, True):
            try:
                async with connections.one(fresh=fresh) as connection:
                    return await self._read_on(connection, step)
            except Exception as error:
                # A connection that died while it lay idle: reading may be done again.
                if fresh or not is_gone(error):
                    raise as_store_error(error, self.url) from error
        raise AssertionError("unreachable")

    async def _read_on(self, connection: asyncpg.Connection[Any], step: Callable[[Database], Awaitable[T]]) -> T:
        database = Database(connection, self._statements, self._known)
        if not self._address.poll_only:
            return await step(database)
        # A pooler may give each statement to another of its connections, but for those of one transaction.
        await connection.execute(begin_text(self._address))
        try:
            return await step(database)
        finally:
            await connection.execute("ROLLBACK")

    def _changed(self) -> None:
        self._known.full.clear()
        for callback in self._callbacks:
            callback()


def _look_at(future: asyncio.Future[Any]) -> None:
    """asyncio would complain about an error that nobody looked at; what failed is done again in a while."""
    if not future.cancelled():
        future.exception()
