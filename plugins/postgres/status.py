"""What ``db status`` and ``db upgrade`` do, with the store open or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kernel.contracts.store import RunQuery

from . import lists
from .clock import ServerClock
from .connecting import connect
from .connections import close_quietly
from .database import Database
from .errors import as_config_error
from .known import Known
from .opening import open_at
from .schema import migrations, version_of

if TYPE_CHECKING:
    from .address import Address
    from .statements import Statements

_SIZE = (
    "SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint FROM pg_class "
    "JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = $1 AND relkind = 'r'"
)


class StoreStatus(NamedTuple):
    """``path`` is the URL without secrets. ``runs``: state -> how many. ``integrity`` is the server's own matter: None."""

    path: str
    exists: bool
    version: int | None
    newest_version: int
    size_bytes: int
    runs: dict[str, int]
    integrity: str | None


async def status_of(address: Address, statements: Statements) -> StoreStatus:
    """ConfigError when the database cannot be read as a store."""
    newest = migrations()[-1].version
    try:
        connection = await connect(address)
        try:
            async with connection.transaction(readonly=True):
                version = await version_of(connection, address, statements)
                size = await connection.fetchval(_SIZE, address.schema)
                database = Database(connection, statements, Known())
                runs = await lists.count(database, RunQuery()) if version == newest else {}
        finally:
            await close_quietly(connection)
    except Exception as error:
        raise as_config_error(error, address.url) from error
    return StoreStatus(address.url, version is not None, version, newest, size, runs, None)


async def upgraded(address: Address, statements: Statements) -> tuple[int, int]:
    """(version before, 0 for none, and version now)."""
    connection, before, now = await open_at(address, statements, ServerClock())
    await close_quietly(connection)
    return before or 0, now
