"""What an operator, or the end of a kernel, does to runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.contracts.store import Ended
from kernel.model.run import AGING_SECONDS

from .database import json_of
from .rows import QUEUED, RUNNING, STATE_OF, run_of
from .unblock import unblock

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kernel.model.run import Run

    from .database import Database


class Found(NamedTuple):
    """As ``ended.sql`` gives it."""

    seq: int
    id: str
    job: str
    queue: str
    state: int
    schedule: str | None
    unique_key: str | None


def cancel(database: Database, ids: Sequence[str], reason: str, now: float) -> list[Ended]:
    found = find_ids(database, ids)
    unblock(database, end(database, found, reason, now), now)
    return _ended(database, found)


def end(database: Database, found: Iterable[Found], reason: str, now: float) -> list[str | None]:
    """Waiting runs become cancelled, running ones carry the wish; the schedules of which something ended."""
    waiting = [run for run in found if run.state <= QUEUED]
    running = [run.seq for run in found if run.state == RUNNING]
    if waiting:
        database.change("cancel_waiting", reason, now, json_of(run.seq for run in waiting))
        for run in waiting:
            database.room.left(run.queue, 1)
    if running:
        database.change("cancel_running", reason, json_of(running))
        database.signal("cancels")
    return [run.schedule for run in waiting]


def retry(database: Database, ids: Sequence[str], now: float) -> list[Ended]:
    found = find_ids(database, ids)
    first: dict[Any, int] = {}
    for run in found:
        first.setdefault(run.seq if run.unique_key is None else (run.job, run.unique_key), run.seq)
    database.change("retry", now=now, aging=AGING_SECONDS, seqs=json_of(first.values()))
    ended = _ended(database, found)
    for change in ended:
        if change.after != change.before:
            database.room.came_back(change.queue, 1)
    return ended


def stick(database: Database, ids: Sequence[str]) -> None:
    database.change_each("stick", [(run_id,) for run_id in ids])


def release(database: Database, kernel: str | None) -> list[Run]:
    """What this kernel (None: any) still has claimed waits again."""
    seqs = database.value("running_of", kernel=kernel)
    if seqs == "[]":
        return []
    database.change("release", seqs)
    database.claimed.clear()
    database.room.forget()
    return [run_of(row) for row in database.rows("runs", seqs)]


def find_ids(database: Database, ids: Sequence[str]) -> list[Found]:
    """What is there of these ids, in their order, each once."""
    wanted = list(dict.fromkeys(ids))
    numbers = sorted(database.list_each("seqs", list(enumerate(wanted)))) if wanted else []
    return _find(database, [seq for _, seq, _ in numbers])


def _find(database: Database, seqs: Sequence[int]) -> list[Found]:
    if not seqs:
        return []
    rows = json.loads(database.value("ended", json_of(seqs)))
    return [Found(seq, *row) for seq, row in zip(seqs, rows, strict=True)]


def _ended(database: Database, found: Sequence[Found]) -> list[Ended]:
    """What became of the runs that were found before."""
    after = _find(database, [run.seq for run in found])
    return [
        Ended(run.id, run.job, run.queue, str(STATE_OF[run.state]), str(STATE_OF[now.state]))
        for run, now in zip(found, after, strict=True)
    ]
