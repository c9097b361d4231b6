"""Group commit: what is handed over together, or while a transaction is being written, shares the next one.

First without savepoints; when a call fails that had changed something, the whole transaction is done again with one
for each call, so that none sinks the others.
"""

from __future__ import annotations

import math
import sqlite3
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from kernel.model.errors import StoreError

from .database import Redo
from .errors import as_store_error
from .worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kernel.contracts.store import KernelRow
    from kernel.model.run import Run

    from .database import Database
    from .locks import WriteLock
    from .opening import Files
    from .place import Identity
    from .worker import Call

T = TypeVar("T")

POLL_SECONDS = 0.04
_IDLE_CHECKPOINT_SECONDS = 1.0
_CHANGES_PER_CHECKPOINT = 4_000
"""Some megabytes of WAL; a longer one is read more slowly."""
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")


class Writer:
    """Owns the connection that writes. ``on_change`` is called on the loop when another connection has committed."""

    def __init__(self, path: Path, on_change: Callable[[], None], *, is_kernel: bool) -> None:
        self._path = path
        self._on_change = on_change
        self._is_kernel = is_kernel
        self._database: Database | None = None
        self._lock: WriteLock | None = None
        self._identity: Identity | None = None
        self._files: Files | None = None
        self._worker = Worker("sqlite-writer", self._carry_out, self._idle, POLL_SECONDS if is_kernel else None)
        self._polled_at = 0.0
        self._version = 0
        self._wrote_at: float | None = None
        self._checkpointed = 0

    # On the loop

    def call(self, step: Callable[[Database], T]) -> Any:
        """The step's answer, committed."""
        return self._worker.call(lambda: step(self._opened()))

    def call_alone(self, step: Callable[[], T]) -> Any:
        """A step on the writer's thread, outside of any transaction: opening and closing."""
        return self._worker.call(step, alone=True)

    def last_of_turn(self) -> Any:
        return self._worker.last_of_turn()

    def stop(self) -> Any:
        return self._worker.stop()

    # On the thread

    def open(self, files: Files, kernel: KernelRow | None) -> list[Run]:
        freed = files.open(kernel)
        self._files = files
        self._database, self._lock, self._identity = files.writer, files.write_lock, files.identity
        self._version = self._data_version()
        self._checkpointed = self._opened().connection.total_changes
        if kernel is None:
            self._opened().room.others_wrote(math.inf)
        return freed

    def close(self) -> None:
        """The last call: a kernel takes its row away, and the WAL goes into the database."""
        if self._files is None:
            return
        with suppress(sqlite3.Error, StoreError):
            self._opened().connection.execute("PRAGMA optimize")
        self.checkpoint("TRUNCATE")
        self._files.close()
        self._database = self._lock = self._identity = self._files = None

    def _opened(self) -> Database:
        if self._database is None:
            raise StoreError(f"{self._path}: the store is not open")
        return self._database

    def _carry_out(self, calls: list[Call[Any]]) -> None:
        together: list[Call[Any]] = []
        for call in calls:
            if not call.is_alone:
                together.append(call)
                continue
            self._transact(together)
            together = []
            _do(call, self._worker.begin([call]), self._path)
            self._worker.answer([call])
        self._transact(together)

    def _transact(self, calls: list[Call[Any]]) -> None:
        if not calls:
            return None
        if self._database is None or self._lock is None:
            return self._fail(self._worker.begin(calls), StoreError(f"{self._path}: the store is not open"))
        begun: list[Call[Any]] = []
        try:
            with self._lock.held(lambda: self._worker.wanted(calls)) as is_held:
                if is_held and self._begin(self._database, calls):
                    begun = self._worker.begin(calls)
                    self._write(self._database, begun)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must be told
            return self._fail(begun or self._worker.begin(calls), as_store_error(error, self._path))
        self._worker.answer(begun)
        self._wrote_at = time.monotonic()
        self._checkpoint_if_long(self._database)

    def _begin(self, database: Database, calls: list[Call[Any]]) -> bool:
        """False when nobody waits any more, for all the time that others held the database."""
        while self._worker.wanted(calls):
            try:
                database.connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith(_BUSY):
                    raise
            else:
                return True
        return False

    def _write(self, database: Database, calls: list[Call[Any]]) -> None:
        try:
            try:
                for call in calls:
                    self._run(database, call)
            except Redo:
                self._roll_back(database)
                database.connection.execute("BEGIN IMMEDIATE")
                for call in calls:
                    self._run_carefully(database, call)
            self._check_identity()
            database.connection.execute("COMMIT")
        except BaseException:
            self._roll_back(database)
            raise

    def _run(self, database: Database, call: Call[Any]) -> None:
        database.is_careful = False
        database.mark_unchanged()
        try:
            call.result = call.step()
        except Redo:
            raise
        except Exception as error:
            call.error = as_store_error(error, self._path)
            if database.connection.total_changes != database.mark or not database.connection.in_transaction:
                raise Redo from error

    def _run_carefully(self, database: Database, call: Call[Any]) -> None:
        database.is_careful = True
        call.error = None
        database.connection.execute("SAVEPOINT call")
        try:
            call.result = call.step()
        except Exception as error:
            if not database.connection.in_transaction:
                raise
            call.error = as_store_error(error, self._path)
            database.connection.execute("ROLLBACK TO call")
            database.room.forget()
        database.connection.execute("RELEASE call")

    def _roll_back(self, database: Database) -> None:
        database.room.forget()
        if database.connection.in_transaction:
            with suppress(sqlite3.Error):
                database.connection.execute("ROLLBACK")

    def _fail(self, calls: list[Call[Any]], error: Exception) -> None:
        for call in calls:
            call.error = error
        self._worker.answer(calls)

    def _check_identity(self) -> None:
        if self._identity is not None:
            self._identity.check()

    # Between transactions

    def _idle(self) -> None:
        if self._database is None or not self._is_kernel:
            return
        now = time.monotonic()
        if now - self._polled_at < POLL_SECONDS / 2:
            return
        self._polled_at = now
        with suppress(sqlite3.Error):
            version = self._data_version()
            if version != self._version:
                self._version = version
                self._database.room.others_wrote(now)
                self._worker.on_loop(self._on_change)
        if self._wrote_at is not None and now - self._wrote_at > _IDLE_CHECKPOINT_SECONDS:
            self._wrote_at = None
            self.checkpoint("TRUNCATE")

    def _data_version(self) -> int:
        found: int = self._opened().connection.execute("PRAGMA data_version").fetchone()[0]
        return found

    def _checkpoint_if_long(self, database: Database) -> None:
        if self._is_kernel and database.connection.total_changes - self._checkpointed > _CHANGES_PER_CHECKPOINT:
            self.checkpoint("PASSIVE")

    def checkpoint(self, how: str) -> None:
        """Brings what is in the WAL into the database; another time if it cannot be just now."""
        database, lock = self._opened(), self._lock
        self._checkpointed = database.connection.total_changes
        with suppress(sqlite3.Error, StoreError):
            self._check_identity()
            with lock.held(lambda: False) if lock else suppress() as is_held:
                if is_held:
                    database.connection.execute(_CHECKPOINT[how]).fetchall()


_CHECKPOINT = {"PASSIVE": "PRAGMA wal_checkpoint(PASSIVE)", "TRUNCATE": "PRAGMA wal_checkpoint(TRUNCATE)"}


def _do(call: Call[Any], begun: list[Call[Any]], path: Path) -> None:
    if begun:
        try:
            call.result = call.step()
        except Exception as error:  # noqa: BLE001 - the caller gets it
            call.error = as_store_error(error, path)
