"""What SQLite reports, in the store's words."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from kernel.model.errors import ConfigError, MainspringError, RequestError, StoreError, StoreFullError

if TYPE_CHECKING:
    from pathlib import Path

_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def as_store_error(error: Exception, path: Path) -> Exception:
    """The error that the caller gets; what is none of the database's stays as it is."""
    if isinstance(error, MainspringError):
        return error
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return RequestError(f"{path}: a text or number that cannot be stored: {error}")
    if not isinstance(error, sqlite3.Error):
        return error
    name = getattr(error, "sqlite_errorname", "") or ""
    if name == "SQLITE_FULL":
        return StoreFullError(f"{path}: the disk is full; free some space, the store goes on by itself")
    if name.startswith("SQLITE_IOERR"):
        return StoreError(f"{path}: {error} ({name}); look at the disk, the store goes on by itself")
    if name.startswith(_DAMAGED):
        return StoreError(f"{path}: the store is damaged: {error}; {_NEXT_STEP}")
    return StoreError(f"{path}: {error}")


def as_config_error(error: Exception, path: Path) -> Exception:
    """The same while the store is being opened."""
    if isinstance(error, MainspringError):
        return error
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR")):
        return as_store_error(error, path)
    if name == "SQLITE_NOTADB":
        return ConfigError(f"{path}: this file is no SQLite database; {_NEXT_STEP}")
    if name == "SQLITE_READONLY" or name == "SQLITE_CANTOPEN":
        return ConfigError(f"{path}: cannot be written: {error}; look at the rights of the file and its folder")
    return ConfigError(f"{path}: the store is damaged: {error}; {_NEXT_STEP}")


_NEXT_STEP = "put a backup in its place, or move the file away to begin with an empty store"
