"""What follows when runs end: the next blocked run of a schedule goes, and so does what depended on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dependencies import Freed, let_go

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .database import Database
    from .dependencies import Parent


async def lock_schedules(database: Database, schedules: Iterable[str | None]) -> list[str]:
    """Taken before a run of theirs is changed: of two that end at one moment the later one sees that the other has."""
    names = sorted({name for name in schedules if name is not None})
    if names:
        await database.rows("schedules_lock", names, database.statements.in_schema("mainspring.schedule"))
    return names


async def after_ends(
    database: Database, parents: Sequence[Parent], schedules: Iterable[str | None], now: float
) -> Freed:
    """``parents``: those of the ended runs on which others may depend. ``schedules`` are locked."""
    freed = await let_go(database, parents, now) if parents else Freed(False, [])
    names = {name for name in schedules if name is not None}
    later = await lock_schedules(database, {one.schedule for one in freed.cancelled} - names)
    if names or later:
        await database.change("unblock", sorted({*names, *later}), now)
    return freed
