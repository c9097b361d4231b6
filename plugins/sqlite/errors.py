"""What SQLite reports, in the store's words."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from kernel.model.errors import ConfigError, MainspringError, RequestError, StoreError, StoreFullError

if TYPE_CHECKING:
    from pathlib import Path

_BACKUP = "put a backup in its place, or move the file away to begin with an empty store"


def is_busy(error: Exception) -> bool:
    """Somebody else holds the database."""
    return _name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def says_read_only(error: Exception) -> bool:
    return _name(error).startswith("SQLITE_READONLY")


def unwritable(error: object, path: Path) -> ConfigError:
    return ConfigError(f"{path}: cannot be written ({error}); look at the rights of the file and of its folder")


def as_store_error(error: Exception, path: Path) -> Exception:
    """The error that the caller gets; what is none of the database's stays as it is."""
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return RequestError(f"{path}: a text or number that cannot be stored: {error}")
    if not isinstance(error, sqlite3.Error):
        return error
    if _is_full(error):
        return StoreFullError(f"{path}: the disk is full ({error}); free some space, the store goes on by itself")
    if _is_damaged(error):
        return StoreError(f"{path}: the store is damaged ({error}); stop the kernel, then {_BACKUP}")
    return StoreError(f"{path}: {error} ({_name(error) or type(error).__name__}); tried again, it may work")


def as_config_error(error: Exception, path: Path) -> Exception:
    """The same while the store is being opened."""
    name = _name(error)
    if isinstance(error, MainspringError):
        return error
    if is_busy(error) or _is_full(error) or name.startswith("SQLITE_IOERR"):
        return as_store_error(error, path)
    if name == "SQLITE_NOTADB":
        return ConfigError(
            f"{path}: this file is no SQLite database; choose another path, or, if it was the store, {_BACKUP}"
        )
    if isinstance(error, OSError) or name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return unwritable(error, path)
    return ConfigError(f"{path}: the store is damaged ({error}); {_BACKUP}")


def _is_full(error: Exception) -> bool:
    """A limit on the size of files shows as an error of writing, not as a full disk."""
    return _name(error) in {"SQLITE_FULL", "SQLITE_IOERR_WRITE"}


def _is_damaged(error: Exception) -> bool:
    return _name(error).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _name(error: Exception) -> str:
    return getattr(error, "sqlite_errorname", None) or ""
