"""Opening and closing a store's files: every way in which that can fail is one clear error."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from kernel.model.errors import MainspringError, StoreError

from .database import Database
from .errors import as_config_error, is_busy, says_read_only
from .locks import KernelLock, WriteLock
from .place import Identity, beside, is_file, make_folder, tighten
from .room import Room
from .schema import check_library, check_owner, connect, connect_reader, create, prepare_writer, upgrade, version_of
from .worker import LIMIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kernel.contracts.store import KernelRow


class Opened(NamedTuple):
    """What an open store holds."""

    kernel_lock: KernelLock
    write_lock: WriteLock
    writer: Database
    reader: Database
    identity: Identity
    companions: tuple[Identity, ...]


class Files:
    """Used on the writer's thread, but for what says otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.versions = (0, 0)
        self.is_read_only = False
        self._opened: Opened | None = None

    @property
    def is_open(self) -> bool:
        return self._opened is not None

    def opened(self) -> Opened:
        if self._opened is None:
            raise StoreError(f"{self.path}: the store is not open")
        return self._opened

    def open(self, kernel: KernelRow | None) -> None:
        """ConfigError when the store cannot be used."""
        kernel_lock = write_lock = None
        try:
            check_library()
            is_there = is_file(self.path)
            if is_there:
                # Before anything is changed or made: it may be some other file, named by mistake.
                check_owner(self.path)
                if kernel is not None:
                    tighten(self.path)
            else:
                make_folder(self.path)
            kernel_lock = KernelLock(beside(self.path, ".lock"))
            if kernel is not None:
                kernel_lock.take(self.path, kernel.id)
            write_lock = WriteLock(beside(self.path, ".write"))
            with locked(write_lock, self.path):
                if not is_there:
                    create(self.path)
                self._connect(kernel, kernel_lock, write_lock)
        except BaseException as error:
            for lock in (kernel_lock, write_lock):
                if lock is not None:
                    lock.close()
            if isinstance(error, MainspringError) or not isinstance(error, Exception):
                raise
            raise as_config_error(error, self.path) from error

    def close(self) -> None:
        """The last one that closes brings the WAL into the database: under the lock that writers hold, if it can be had."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.reader.connection.close()
            with suppress(sqlite3.Error, StoreError), locked(opened.write_lock, self.path):
                opened.writer.connection.close()
            opened.writer.connection.close()
            opened.write_lock.close()
            opened.kernel_lock.close()

    def check_identity(self) -> None:
        """StoreError when the database is not the file any more that was opened. On any thread."""
        if self._opened is not None:
            self._opened.identity.check()

    def check_companions(self) -> None:
        """The same for the WAL and the locks."""
        for identity in self.opened().companions:
            identity.check()

    def living_kernel(self) -> str | None:
        """The id of the kernel that holds the lock, as a client sees it. On any thread."""
        if self._opened is None or self._opened.kernel_lock.is_free():
            return None
        return self._opened.kernel_lock.kernel()

    def _connect(self, kernel: KernelRow | None, kernel_lock: KernelLock, write_lock: WriteLock) -> None:
        connection = connect(self.path)
        reader = None
        try:
            version_of(connection, self.path)
            prepare_writer(connection, self.path)
            identity = Identity.of(self.path)
            self.versions = upgrade(connection, self.path)
            writer = Database(connection, Room())
            self.is_read_only = _begin_life(writer, kernel)
            reader = connect_reader(self.path)
            identity.check()
            companions = tuple(Identity.of(beside(self.path, suffix)) for suffix in ("-wal", "-shm", ".lock", ".write"))
        except BaseException:
            connection.close()
            if reader is not None:
                reader.close()
            raise
        self._opened = Opened(kernel_lock, write_lock, writer, Database(reader, Room()), identity, companions)


@contextmanager
def locked(lock: WriteLock, path: Path) -> Iterator[None]:
    """Holds the write lock; StoreError when others have it for too long."""
    until = time.monotonic() + LIMIT_SECONDS
    with lock.held(lambda: time.monotonic() < until) as is_held:
        if not is_held:
            raise StoreError(f"{path}: another process has been writing for {LIMIT_SECONDS:g} s; try again")
        yield


def _begin_life(database: Database, kernel: KernelRow | None) -> bool:
    """Whether the store can be read only, which does for a client that looks; a kernel signs in."""
    _begin(database.connection)
    is_read_only = False
    if kernel is not None:
        database.change("kernel_put", *kernel)
    else:
        try:
            # SQLite begins to write in a file that it may not write, and complains about the first change alone.
            database.connection.execute("UPDATE mainspring_schema SET version = version WHERE FALSE")
        except sqlite3.OperationalError as error:
            if not says_read_only(error):
                raise
            is_read_only = True
    database.connection.execute("COMMIT")
    return is_read_only


def _begin(connection: sqlite3.Connection) -> None:
    """Others that write without our lock, a person with the sqlite3 shell say, are waited for."""
    until = time.monotonic() + LIMIT_SECONDS
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > until:
                raise
        else:
            return
