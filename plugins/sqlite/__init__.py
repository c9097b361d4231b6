"""Keeps runs and schedules in a SQLite file, for ``sqlite:///path``: durable, one kernel at a time, nothing to install."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel import hookimpl

if TYPE_CHECKING:
    from .store import SqliteStore


@hookimpl
def open_store(url: str) -> SqliteStore | None:
    from .place import SCHEME, path_of  # noqa: PLC0415 - a kernel with another store need not load this one
    from .store import SqliteStore  # noqa: PLC0415 - as above

    return SqliteStore(path_of(url)) if url.lower().startswith(f"{SCHEME}:") else None
