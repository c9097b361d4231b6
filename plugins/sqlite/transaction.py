"""Many calls in one transaction, none of which sinks the others.

First without savepoints; when a call fails that had changed something, the whole transaction is done again with one
for each call.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .database import Redo
from .errors import as_store_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .database import Database
    from .worker import Call


def transact(database: Database, calls: list[Call[Any]], path: Path, before_commit: Callable[[], None]) -> int:
    """Each call gets its result or its error; how many rows were changed. It has begun; raises when nothing is written."""
    before = database.connection.total_changes
    try:
        try:
            for call in calls:
                _run(database, call, path)
        except Redo:
            roll_back(database)
            database.connection.execute("BEGIN IMMEDIATE")
            for call in calls:
                _run_carefully(database, call, path)
        before_commit()
        database.connection.execute("COMMIT")
    except BaseException:
        roll_back(database)
        raise
    return database.connection.total_changes - before


def roll_back(database: Database) -> None:
    database.forget()
    if database.connection.in_transaction:
        with suppress(sqlite3.Error):
            database.connection.execute("ROLLBACK")


def _run(database: Database, call: Call[Any], path: Path) -> None:
    database.is_careful = False
    database.mark_unchanged()
    try:
        call.result = call.step()
    except Redo:
        raise
    except Exception as error:
        call.error = as_store_error(error, path)
        if database.connection.total_changes != database.mark or not database.connection.in_transaction:
            raise Redo from error


def _run_carefully(database: Database, call: Call[Any], path: Path) -> None:
    database.is_careful = True
    call.error = None
    database.connection.execute("SAVEPOINT call")
    try:
        call.result = call.step()
    except Exception as error:
        if not database.connection.in_transaction:
            raise  # SQLite has rolled everything back by itself, as it does when the disk is full
        call.error = as_store_error(error, path)
        database.connection.execute("ROLLBACK TO call")
        database.forget()
    database.connection.execute("RELEASE call")
