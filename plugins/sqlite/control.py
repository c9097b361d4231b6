"""What an operator, or the end of a kernel, does to runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import Ended
from kernel.model.run import AGING_SECONDS

from .database import json_of
from .rows import QUEUED, RUNNING, STATE_OF, run_of
from .unblock import unblock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.model.run import Run

    from .database import Database


def cancel(database: Database, ids: Sequence[str], reason: str, now: float) -> list[Ended]:
    database.told(now)
    found = _find(database, ids)
    waiting = [row for row in found if row[4] <= QUEUED]
    if waiting:
        database.change("cancel_waiting", reason, now, json_of(row[0] for row in waiting))
        for row in waiting:
            database.room.left(row[3], 1)
        unblock(database, [row[5] for row in waiting], now)
    running = [row[0] for row in found if row[4] == RUNNING]
    if running:
        database.change("cancel_running", reason, json_of(running))
        database.signal("cancels")
    return _ended(database, found)


def retry(database: Database, ids: Sequence[str], now: float) -> list[Ended]:
    database.told(now)
    found = _find(database, ids)
    database.change("retry", now, AGING_SECONDS, json_of(row[0] for row in found))
    ended = _ended(database, found)
    for change in ended:
        if change.after != change.before:
            database.room.came_back(change.queue, 1)
    return ended


def stick(database: Database, ids: Sequence[str]) -> None:
    database.change_each("stick", [(run_id,) for run_id in ids])


def release(database: Database, kernel: str | None) -> list[Run]:
    """What this kernel (None: any) still has claimed waits again."""
    seqs = database.value("running_of", kernel)
    if seqs == "[]":
        return []
    database.change("release", database.now, seqs)
    database.claimed.clear()
    database.room.forget()
    runs = [run_of(row) for row in database.rows("runs", seqs)]
    unblock(database, [run.schedule for run in runs if run.is_final], database.now)
    return runs


def _find(database: Database, ids: Sequence[str]) -> list[list[Any]]:
    """[seq, id, job, queue, state, schedule] of each id that is there, in the order given, each once."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return []
    found = sorted(database.list_each("seqs", list(enumerate(wanted))))
    seqs = [seq for _, seq, _ in found]
    rows = json.loads(database.value("ended", json_of(seqs)))
    return [[seq, *row] for seq, row in zip(seqs, rows, strict=True)]


def _ended(database: Database, found: list[list[Any]]) -> list[Ended]:
    """What became of the rows that were found before."""
    after = json.loads(database.value("ended", json_of(row[0] for row in found)))
    return [
        Ended(run_id, job, queue, str(STATE_OF[before]), str(STATE_OF[now[3]]))
        for (_, run_id, job, queue, before, _), now in zip(found, after, strict=True)
    ]
