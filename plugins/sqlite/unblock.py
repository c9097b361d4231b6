"""The next blocked run of a schedule goes when nothing else of it is unfinished."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .database import Database


def unblock(database: Database, schedules: Iterable[str | None], now: float) -> None:
    names = {name for name in schedules if name is not None}
    if names:
        database.change_each("unblock", [(name,) for name in sorted(names)], now)
