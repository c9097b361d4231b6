"""Brings the store's schema up to date: numbered files, all that are missing in one transaction, under a lock."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.model.errors import ConfigError

if TYPE_CHECKING:
    import asyncpg

    from .address import Address
    from .statements import Statements

_MIGRATIONS = Path(__file__).with_name("migrations")
_PATIENCE_SECONDS = 600


class Migration(NamedTuple):
    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """In order; the file's number is the version that it makes."""
    return [
        Migration(int(path.name.split("_")[0]), path.name, path.read_text("utf-8"))
        for path in sorted(_MIGRATIONS.glob("[0-9]*.sql"))
    ]


async def upgrade(
    connection: asyncpg.Connection[Any], address: Address, statements: Statements
) -> tuple[int | None, int]:
    """(version before, None for a new store, and version now); ConfigError when the schema is not ours or is newer.

    In the caller's transaction.
    """
    newest = migrations()[-1].version
    before = await version_of(connection, address, statements)
    if before == newest:
        return before, newest
    # Kernels that are started together wait here for the first of them.
    await connection.execute(f"SET LOCAL lock_timeout = '{_PATIENCE_SECONDS}s'; SET LOCAL statement_timeout = 0")
    await connection.execute(_LOCK, "mainspring.migrations", address.schema, timeout=_PATIENCE_SECONDS)
    before = await version_of(connection, address, statements)
    if before is None:
        if await connection.fetchval(_SCHEMA, address.schema) is None:
            await connection.execute(f'CREATE SCHEMA "{address.schema}"')
        await connection.execute(statements.in_schema(_FIRST))
    for migration in migrations():
        if migration.version > (before or 0):
            await connection.execute(statements.in_schema(migration.text), timeout=_PATIENCE_SECONDS)
            await connection.execute(
                statements.in_schema(_APPLIED), migration.version, migration.name, migration.checksum
            )
    return before, newest


async def version_of(connection: asyncpg.Connection[Any], address: Address, statements: Statements) -> int | None:
    """The schema's version, None when there is none yet."""
    tables = {row[0] for row in await connection.fetch(_TABLES, address.schema)}
    place = f'{address.url}: the schema "{address.schema}"'
    if not tables:
        return None
    if "mainspring_schema" not in tables:
        raise ConfigError(f"{place} belongs to another program; name another one by ?schema= in the URL")
    applied = dict(
        await connection.fetch(statements.in_schema("SELECT version, checksum FROM mainspring.mainspring_schema"))
    )
    if not applied:
        raise ConfigError(f"{place} is damaged: it knows no version; put a backup in its place")
    version, newest = max(applied), migrations()[-1].version
    if version > newest:
        raise ConfigError(
            f"{place} has version {version}, and this program knows up to {newest}; install the newer Mainspring"
        )
    for migration in migrations():
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise ConfigError(
                f"{place} was made by another edition of {migration.name}; "
                "use the program that made it, or name another schema by ?schema= in the URL"
            )
    return int(version)


_TABLES = "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = $1"
_LOCK = "SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))"
_SCHEMA = "SELECT 1 FROM pg_namespace WHERE nspname = $1"
_FIRST = """
CREATE TABLE mainspring.mainspring_schema (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_APPLIED = "INSERT INTO mainspring.mainspring_schema (version, name, checksum) VALUES ($1, $2, $3)"
