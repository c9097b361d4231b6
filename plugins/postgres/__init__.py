"""Keeps runs and schedules in a PostgreSQL database, for ``postgresql://…``: durable, and shared by many kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel import hookimpl

if TYPE_CHECKING:
    from .store import PostgresStore

_SCHEMES = ("postgresql://", "postgres://")


@hookimpl
def open_store(url: str) -> PostgresStore | None:
    if not url.lower().startswith(_SCHEMES):
        return None
    from .store import PostgresStore  # noqa: PLC0415 - asyncpg is slow to import, and a kernel with another store needs none

    return PostgresStore(url)
