"""Opens connections and brings the schema up to date: numbered files, each in one transaction, with a backup before."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from kernel.model.errors import ConfigError

APPLICATION_ID = 0x4D53_5052  # "MSPR"
OLDEST_SQLITE = (3, 37, 0)
_MIGRATIONS = Path(__file__).with_name("migrations")
_BUSY_SECONDS = 0.1
_STATEMENTS = 512


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


def check_library() -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        raise ConfigError(f"SQLite {sqlite3.sqlite_version} is too old: expected {needed} or newer; use a newer Python")


def check_owner(path: Path) -> None:
    """ConfigError when the file is not Mainspring's, or none of SQLite's. Takes no lock, and makes no file beside it."""
    connection = connect(path, "ro&immutable=1")
    try:
        _check_id(connection, path)
    except sqlite3.DatabaseError as error:
        # So it looks without its WAL while that is brought in, or when a kill has cut that short. Whoever opens it will see.
        if not getattr(error, "sqlite_errorname", "").startswith("SQLITE_CORRUPT"):
            raise
    finally:
        connection.close()


def connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    """A connection of which only the file is decided; it never makes one."""
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=_BUSY_SECONDS,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )
    # A row written by hand that is no UTF-8 spoils itself only; as the default does, this calls no Python code.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    return connection


def prepare_writer(connection: sqlite3.Connection, path: Path) -> None:
    # Statistics are never gathered: plans stay what the statements say. The WAL is brought in by the writer itself.
    for pragma in (
        "trusted_schema=OFF", "cell_size_check=ON", "temp_store=MEMORY", "cache_size=-32768", "secure_delete=OFF",
        "automatic_index=OFF", "wal_autocheckpoint=0", "journal_size_limit=67108864", "synchronous=FULL",
    ):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}").fetchall()
    if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
        raise ConfigError(f"{path}: SQLite cannot keep a WAL here; choose a path on a local disk, not on the network")


def connect_reader(path: Path) -> sqlite3.Connection:
    connection = connect(path, "ro")
    try:
        for pragma in ("trusted_schema=OFF", "query_only=ON", "temp_store=MEMORY", "cache_size=-8192"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def create(path: Path) -> None:
    """A new store, built beside and then put in its place whole: what is found there is never half of one.

    The write lock is the caller's: what another process has begun to build is left from its death.
    """
    fresh = path.with_name(f"{path.name}.new")
    _remove(fresh)
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    try:
        connection = connect(fresh)
        try:
            # Not safe as it is being built, which nobody sees; it is put on the disk whole before it gets its name.
            for pragma in ("journal_mode=OFF", "synchronous=OFF", f"application_id={APPLICATION_ID}"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            _apply(connection, migrations())
            connection.execute("PRAGMA journal_mode=WAL").fetchall()
        finally:
            connection.close()
        _sync(fresh)
        with suppress(FileExistsError):
            os.link(fresh, path)
        _sync(path.parent)
    finally:
        _remove(fresh)


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The schema's version; ConfigError when this is no store, or one of a newer program."""
    _check_id(connection, path)
    applied = dict(connection.execute("SELECT version, checksum FROM mainspring_schema").fetchall())
    if not applied:
        raise ConfigError(f"{path}: the store is damaged: it knows no schema version; put a backup in its place")
    version, newest = max(applied), migrations()[-1].version
    if version > newest:
        raise ConfigError(
            f"{path}: the store has schema {version}, and this program knows up to {newest}; install the newer Mainspring"
        )
    for migration in migrations():
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise ConfigError(
                f"{path}: its schema {migration.version} was made by another edition of {migration.name}; "
                "use the program that made it, or move the file away to begin with an empty store"
            )
    return int(version)


def _check_id(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise ConfigError(f"{path}: this database belongs to another program; choose another path")


def upgrade(connection: sqlite3.Connection, path: Path) -> tuple[int, int]:
    """(version before, version now). The write lock is the caller's."""
    before = version_of(connection, path)
    missing = [migration for migration in migrations() if migration.version > before]
    if missing:
        _back_up(connection, path, before)
        _apply(connection, missing)
    return before, missing[-1].version if missing else before


def _apply(connection: sqlite3.Connection, wanted: list[Migration]) -> None:
    for migration in wanted:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS mainspring_schema "
                "(version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at REAL NOT NULL) STRICT"
            )
            for statement in statements_of(migration.text):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO mainspring_schema (version, name, checksum, applied_at) VALUES (?, ?, ?, ?)",
                (migration.version, migration.name, migration.checksum, time.time()),
            )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def statements_of(text: str) -> list[str]:
    """The statements of a file; a script run whole would commit in between."""
    found, begun = [], ""
    for line in text.splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            found.append(begun)
            begun = ""
    return found


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> None:
    copy = path.with_name(f"{path.name}.schema-{version}.backup")
    copy.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    target = sqlite3.connect(copy)
    try:
        connection.backup(target)
    finally:
        target.close()
