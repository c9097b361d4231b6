"""Reads on a connection of their own: a long list never holds up what is being written."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import as_store_error
from .worker import LIMIT_SECONDS, Worker

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .database import Database
    from .opening import Files
    from .worker import Call

T = TypeVar("T")


class Reader:
    """Each call sees one state of the store. One that takes too long is cut off: nothing depends on a list."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._database = files.opened().reader
        self._worker = Worker("sqlite-reader", self._carry_out)

    def call(self, step: Callable[[Database], T]) -> asyncio.Future[T]:
        future = self._worker.call(lambda: step(self._database))
        cut_off = future.get_loop().call_later(LIMIT_SECONDS, self._database.connection.interrupt)
        future.add_done_callback(lambda _: cut_off.cancel())
        return future

    def stop(self) -> asyncio.Future[None]:
        """What is being read is cut off."""
        self._database.connection.interrupt()
        return self._worker.stop()

    def _carry_out(self, calls: list[Call[Any]]) -> None:
        for call in calls:
            begun = self._worker.begin([call])
            if begun:
                self._read(call)
                self._worker.answer(begun)

    def _read(self, call: Call[Any]) -> None:
        connection = self._database.connection
        try:
            self._files.check_identity()
            connection.execute("BEGIN")
            try:
                call.result = call.step()
            finally:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
        except Exception as error:  # noqa: BLE001 - the caller gets it
            call.error = as_store_error(error, self._files.path)
