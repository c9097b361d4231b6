"""What ``db status`` and ``db upgrade`` do, with the store open or not."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from kernel.contracts.store import RunQuery

from . import lists, small
from .database import Database
from .errors import as_config_error
from .locks import WriteLock
from .opening import Files, locked
from .place import beside, is_file
from .room import Room
from .schema import check_library, check_owner, connect, connect_reader, migrations, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kernel.model.schedule import ScheduleRow

T = TypeVar("T")


class StoreStatus(NamedTuple):
    """``integrity``: None when it was not asked for, "ok", or what SQLite found. ``runs``: state -> how many."""

    path: str
    exists: bool
    version: int | None
    newest_version: int
    size_bytes: int
    runs: dict[str, int]
    integrity: str | None


def status_of(path: Path, *, check: bool) -> StoreStatus:
    """ConfigError when the file cannot be read as a store."""
    check_library()
    newest = migrations()[-1].version
    if not is_file(path):
        return StoreStatus(str(path), False, None, newest, 0, {}, None)

    def look(connection: sqlite3.Connection) -> tuple[int, dict[str, int], list[str] | None]:
        version = version_of(connection, path)
        runs = lists.count(Database(connection, Room()), RunQuery()) if version == newest else {}
        return version, runs, [row[0] for row in connection.execute("PRAGMA quick_check(5)")] if check else None

    version, runs, found = _read(path, look)
    size = sum(one.stat().st_size for one in (path, beside(path, "-wal")) if one.exists())
    return StoreStatus(str(path), True, version, newest, size, runs, None if found is None else "; ".join(found))


def schedules_of(path: Path) -> list[ScheduleRow]:
    """None of a store whose schema is older; ConfigError when the file cannot be read as a store. Nothing is changed."""
    check_library()

    def look(connection: sqlite3.Connection) -> list[ScheduleRow]:
        is_newest = version_of(connection, path) == migrations()[-1].version
        return small.schedules(Database(connection, Room()), None) if is_newest else []

    return _read(path, look)


def upgraded(path: Path) -> tuple[int, int]:
    """(version before, version now)."""
    files = Files(path)
    files.open(None)
    files.close()
    return files.versions


def _read(path: Path, look: Callable[[sqlite3.Connection], T]) -> T:
    """What ``look`` sees. Where nobody has the store open, no file is made beside it."""
    try:
        check_owner(path)
        before = _quiet(path)
        if before is not None:
            with suppress(sqlite3.Error), closing(connect(path, "ro&immutable=1")) as connection:
                seen = look(connection)
                if _quiet(path) == before:
                    return seen
        with closing(connect_reader(path)) as connection:
            with _not_written(path):  # the first to read after a crash repairs the WAL
                version_of(connection, path)
            return look(connection)
    except Exception as error:  # a damaged file can break anything
        raise as_config_error(error, path) from error


def _quiet(path: Path) -> int | None:
    """When the file was written last, in nanoseconds; None while others may be writing it."""
    return None if beside(path, "-wal").exists() else path.stat().st_mtime_ns


@contextmanager
def _not_written(path: Path) -> Iterator[None]:
    lock = WriteLock(beside(path, ".write"))
    try:
        with locked(lock, path):
            yield
    finally:
        lock.close()
