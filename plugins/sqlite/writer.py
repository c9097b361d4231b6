"""Group commit: what is handed over together, or while a transaction is being written, shares the next one."""

from __future__ import annotations

import math
import sqlite3
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from kernel.model.errors import StoreError

from .errors import as_store_error, is_busy
from .opening import Files
from .transaction import transact
from .worker import Worker

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    from kernel.contracts.store import KernelRow

    from .database import Database
    from .worker import Call

T = TypeVar("T")

_POLL_SECONDS = 0.07
"""Others' changes are told within 100 ms. A wake-up costs some 150 µs of a core, cold as everything is by then."""
_QUIET_SECONDS = 1.0
_CHECK_SECONDS = 1.0
_WEIGHT_OF_TRANSACTION = 40
_HEAVY = 4_000
"""Changed rows, and a transaction counts as 40: past this, some megabytes, the WAL goes into the database."""


class Writer:
    """The connection that writes, on a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = Files(path)
        self._worker = Worker("sqlite-writer", self._carry_out, self._between)
        self._on_change: Callable[[], None] | None = None
        self._version = 0
        self._looked_at = 0.0
        self._checked_at = 0.0
        self._trouble: StoreError | None = None
        self._wrote_at = math.inf
        self._weight = 0

    # On the loop

    @property
    def files(self) -> Files:
        return self._files

    def call(self, step: Callable[[Database], T]) -> asyncio.Future[T]:
        """The step's answer, once it is committed."""
        return self._worker.call(lambda: step(self._files.opened().writer))

    def open(self, kernel: KernelRow | None) -> asyncio.Future[None]:
        """A kernel looks after the WAL when nothing happens."""
        if kernel is not None:
            self._worker.wake_every(_POLL_SECONDS)
        return self._worker.call(lambda: self._open(kernel), alone=True)

    def close(self, last: Callable[[Database], Any] | None = None) -> asyncio.Future[None]:
        """Done when all is written, ``last`` as the last (if it can be), and everything let go of."""
        if last is not None:
            self.call(last).add_done_callback(_look_at)
        self._worker.call(self._close, alone=True).add_done_callback(_look_at)
        return self._worker.stop()

    def on_change(self, callback: Callable[[], None]) -> None:
        """``callback`` is called on the loop when another connection has committed."""
        self._on_change = callback
        self._worker.wake_every(_POLL_SECONDS)

    def last_of_turn(self) -> asyncio.Future[Any] | None:
        return self._worker.last_of_turn()

    # On the thread

    def _open(self, kernel: KernelRow | None) -> None:
        self._files.open(kernel)
        self._version = self._data_version()
        if kernel is None:
            self._files.opened().writer.room.others_wrote(math.inf)

    def _close(self) -> None:
        try:
            if self._files.is_open:
                self._checkpoint("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._files.close()

    def _carry_out(self, calls: list[Call[Any]]) -> None:
        together: list[Call[Any]] = []
        for call in calls:
            if call.is_alone:
                self._transact(together)
                together = []
                self._do_alone(call)
            else:
                together.append(call)
        self._transact(together)

    def _do_alone(self, call: Call[Any]) -> None:
        if self._worker.begin([call]):
            try:
                call.result = call.step()
            except Exception as error:  # noqa: BLE001 - the caller gets it
                call.error = as_store_error(error, self._path)
            self._worker.answer([call])

    def _transact(self, calls: list[Call[Any]]) -> None:
        if not calls:
            return
        begun: list[Call[Any]] = []
        try:
            files = self._files.opened()
            with files.write_lock.held(lambda: self._worker.wanted(calls)) as is_held:
                if is_held and self._begin(files.writer, calls):
                    begun = self._worker.begin(calls)
                    self._weight += transact(files.writer, begun, self._path, self._before_commit)
                    self._weight += _WEIGHT_OF_TRANSACTION
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
            begun = begun or self._worker.begin(calls)
            for call in begun:
                call.error = as_store_error(error, self._path)
        self._worker.answer(begun)
        self._wrote_at = time.monotonic()
        if self._weight > _HEAVY:
            self._checkpoint("PRAGMA wal_checkpoint(PASSIVE)")

    def _begin(self, database: Database, calls: list[Call[Any]]) -> bool:
        """False when others held the database for so long that nobody waits any more."""
        while self._worker.wanted(calls):
            try:
                database.connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
            else:
                return True
        return False

    def _before_commit(self) -> None:
        self._files.check_identity()
        if self._trouble is not None:
            raise self._trouble

    # Between transactions

    def _between(self) -> None:
        now = time.monotonic()
        if not self._files.is_open or now - self._looked_at < _POLL_SECONDS / 2:
            return
        self._looked_at = now
        self._look_for_changes(now)
        if now - self._checked_at > _CHECK_SECONDS:
            self._checked_at = now
            self._look_for_trouble()
        if now - self._wrote_at > _QUIET_SECONDS:
            self._wrote_at = math.inf
            self._checkpoint("PRAGMA wal_checkpoint(TRUNCATE)")

    def _look_for_changes(self, now: float) -> None:
        with suppress(sqlite3.Error):
            version = self._data_version()
            if version != self._version:
                self._version = version
                self._files.opened().writer.room.others_wrote(now)
                if self._on_change is not None:
                    self._worker.on_loop(self._on_change)

    def _look_for_trouble(self) -> None:
        try:
            self._files.check_companions()
        except StoreError as error:
            self._trouble = error
        else:
            self._trouble = None

    def _data_version(self) -> int:
        found: int = self._files.opened().writer.connection.execute("PRAGMA data_version").fetchone()[0]
        return found

    def _checkpoint(self, how: str) -> None:
        """Brings the WAL into the database; another time, if that cannot be done just now."""
        self._weight = 0
        files = self._files.opened()
        with suppress(sqlite3.Error, StoreError), files.write_lock.held(lambda: False) as is_held:
            if is_held:
                self._files.check_identity()
                files.writer.connection.execute(how).fetchall()


def _look_at(future: asyncio.Future[Any]) -> None:
    """asyncio would complain about an error that nobody looked at."""
    if not future.cancelled():
        future.exception()
