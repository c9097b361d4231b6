"""What ``db status`` tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import lists
from .database import Database
from .errors import as_config_error
from .place import prepare
from .room import Room
from .schema import check_library, connect_reader, migrations, version_of

if TYPE_CHECKING:
    from pathlib import Path

from kernel.contracts.store import RunQuery


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
    """Reads and changes nothing, not even the schema."""
    check_library()
    newest = migrations()[-1].version
    if not prepare(path):
        return StoreStatus(str(path), False, None, newest, 0, {}, None)
    try:
        connection = connect_reader(path)
        try:
            version = version_of(connection, path)
            runs = lists.count(Database(connection, Room()), RunQuery()) if version == newest else {}
            found = [row[0] for row in connection.execute("PRAGMA quick_check(5)")] if check else None
        finally:
            connection.close()
    except Exception as error:
        raise as_config_error(error, path) from error
    size = sum(one.stat().st_size for one in (path, path.with_name(path.name + "-wal")) if one.exists())
    return StoreStatus(str(path), True, version, newest, size, runs, None if found is None else "; ".join(found))
