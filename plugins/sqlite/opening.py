"""Opening and closing a store's files: every way in which that can fail is one clear error."""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from kernel.model.errors import MainspringError, StoreError

from .control import release
from .database import Database
from .errors import as_config_error
from .locks import KernelLock, WriteLock
from .place import Identity, prepare
from .room import Room
from .schema import check_library, connect, connect_reader, create, prepare_writer, upgrade, version_of
from .worker import LIMIT_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.contracts.store import KernelRow
    from kernel.model.run import Run


class Files:
    """What one open store holds: two locks and two connections."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kernel_lock: KernelLock | None = None
        self.write_lock: WriteLock | None = None
        self.writer: Database | None = None
        self.reader: Database | None = None
        self.identity: Identity | None = None
        self.versions = (0, 0)

    def open(self, kernel: KernelRow | None) -> list[Run]:
        """What a dead kernel had claimed; ConfigError when the store cannot be used."""
        try:
            return self._open(kernel)
        except MainspringError:
            self.close()
            raise
        except (sqlite3.Error, OSError, ValueError, TypeError, LookupError) as error:
            self.close()
            raise as_config_error(error, self.path) from error

    def close(self) -> None:
        """Lets go of everything. The WAL goes into the database, under the lock that writers hold."""
        if self.reader is not None:
            self.reader.connection.close()
        if self.writer is not None and self.write_lock is not None:
            until = time.monotonic() + LIMIT_SECONDS
            with self.write_lock.held(lambda: time.monotonic() < until), suppress(sqlite3.Error):
                self.writer.connection.close()
        for lock in (self.write_lock, self.kernel_lock):
            if lock is not None:
                lock.close()
        self.reader = self.writer = self.write_lock = self.kernel_lock = None

    def upgrade(self) -> tuple[int, int]:
        """(version before, version now)."""
        self.open(None)
        self.close()
        return self.versions

    def is_kernel_alive(self) -> bool:
        """As a client sees it."""
        return self.kernel_lock is not None and not self.kernel_lock.is_free()

    def _open(self, kernel: KernelRow | None) -> list[Run]:
        check_library()
        is_there = prepare(self.path)
        self.kernel_lock = KernelLock(self._beside(".lock"))
        if kernel is not None:
            self.kernel_lock.take(self.path)
        self.write_lock = WriteLock(self._beside(".write"))
        until = time.monotonic() + LIMIT_SECONDS
        with self.write_lock.held(lambda: time.monotonic() < until) as is_held:
            if not is_held:
                raise StoreError(f"{self.path}: another process has been writing for {LIMIT_SECONDS:g} s; try again")
            if not is_there:
                create(self.path)
            connection = connect(self.path)
            self.writer = Database(connection, Room())
            version_of(connection, self.path)
            prepare_writer(connection)
            self.identity = Identity.of(self.path)
            self.versions = upgrade(connection, self.path)
            freed = self._begin_life(self.writer, kernel, until)
            self.reader = Database(connect_reader(self.path), Room())
            return freed

    def _begin_life(self, database: Database, kernel: KernelRow | None, until: float) -> list[Run]:
        begin(database.connection, until)
        freed = []
        if kernel is not None:
            freed = release(database, None)
            database.change("kernel_clear")
            database.change("kernel_put", *kernel)
        database.connection.execute("COMMIT")
        return freed

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


def begin(connection: sqlite3.Connection, until: float) -> None:
    """BEGIN IMMEDIATE; others that write without our lock are waited for."""
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or time.monotonic() > until:
                raise
        else:
            return
