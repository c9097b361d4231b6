"""What ``db status`` and ``db upgrade`` do, with the store open or not."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from kernel.contracts.store import RunQuery

from . import lists
from .database import Database
from .errors import as_config_error
from .locks import WriteLock
from .opening import Files, locked
from .place import beside, prepare
from .room import Room
from .schema import check_library, connect_reader, migrations, version_of

if TYPE_CHECKING:
    from pathlib import Path


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
    if not prepare(path):
        return StoreStatus(str(path), False, None, newest, 0, {}, None)
    lock = WriteLock(beside(path, ".write"))
    try:
        with closing(connect_reader(path)) as connection:
            with locked(lock, path):  # the first to read after a crash repairs the WAL
                version = version_of(connection, path)
            runs = lists.count(Database(connection, Room()), RunQuery()) if version == newest else {}
            found = [row[0] for row in connection.execute("PRAGMA quick_check(5)")] if check else None
    except Exception as error:  # a damaged file can break anything
        raise as_config_error(error, path) from error
    finally:
        lock.close()
    size = sum(one.stat().st_size for one in (path, beside(path, "-wal")) if one.exists())
    return StoreStatus(str(path), True, version, newest, size, runs, None if found is None else "; ".join(found))


def upgraded(path: Path) -> tuple[int, int]:
    """(version before, version now)."""
    files = Files(path)
    files.open(None)
    files.close()
    return files.versions
