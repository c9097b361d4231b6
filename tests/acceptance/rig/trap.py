"""Kills its own process at one exact point: before a call of the store, on either side of its commit, after it."""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from plugins.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from types import FrameType

    from tests.acceptance.rig.kill_points import Point

Spot = Literal["before", "uncommitted", "committed", "after"]
SPOTS: tuple[Spot, ...] = ("before", "uncommitted", "committed", "after")
_PROJECT = str(Path(__file__).parents[3] / "kernel")


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


class Trap:
    """Springs at the ``nth`` call that is made at ``point``. One for a process."""

    def __init__(self, point: Point, spot: Spot, nth: int) -> None:
        self._point = point
        self._spot = spot
        self._left = nth
        self.is_armed = False

    def set(self) -> None:
        """Puts itself between the kernel and the store, and between the store and SQLite."""
        original = getattr(SqliteStore, self._point.call)

        @functools.wraps(original)
        def call(store: SqliteStore, *arguments: Any, **options: Any) -> Any:
            if not self._is_here(sys._getframe(1)):
                return original(store, *arguments, **options)
            return self._sprung(original(store, *arguments, **options))

        setattr(SqliteStore, self._point.call, call)
        connect = sqlite3.connect
        trap = self

        class Connection(sqlite3.Connection):
            is_loaded = False

            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                if sql == "BEGIN IMMEDIATE":
                    self.is_loaded = trap.is_armed  # what was handed over before belongs to another transaction
                elif sql == "COMMIT" and self.is_loaded:
                    if trap._spot == "committed":
                        super().execute(sql, *parameters)
                    die()
                return super().execute(sql, *parameters)

        sqlite3.connect = functools.partial(connect, factory=Connection)  # type: ignore[assignment] # it is called as before

    def _is_here(self, frame: FrameType) -> bool:
        code = frame.f_code
        if self._point.is_passed:
            is_here = not code.co_filename.startswith(_PROJECT)
        else:
            is_here = code.co_filename.endswith(self._point.file) and code.co_qualname == self._point.function
        self._left -= is_here
        return is_here and self._left == 0

    async def _sprung(self, calling: Any) -> Any:
        if self._spot == "before":
            die()
        self.is_armed = self._spot in ("uncommitted", "committed")
        answer = await calling
        if self._spot == "after":
            die()
        return answer
