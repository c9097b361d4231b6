"""What an operator, or the end of a kernel, does to runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.contracts.store import SUSPECT_LOSSES, Ended
from kernel.model.run import AGING_SECONDS

from .database import json_of
from .dependents import Followed, follow
from .found import find, find_ids
from .limits import KEY, RATE, wake
from .rows import CANCELLED, COMPLETED, QUEUED, RUNNING, STATE_OF, run_of
from .unblock import unblock

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kernel.model.run import Run

    from .database import Database
    from .found import Found


def cancel(database: Database, ids: Sequence[str], reason: str, now: float) -> list[Ended]:
    found = find_ids(database, ids)
    schedules, followed = end(database, found, reason, now)
    unblock(database, schedules, now)
    return [*_ended(database, found, {}), *followed.cancelled]


def end(database: Database, found: Iterable[Found], reason: str, now: float) -> tuple[list[str | None], Followed]:
    """Waiting runs become cancelled, running ones carry the wish; the schedules of which something ended, and what followed."""
    waiting = [run for run in found if run.state <= QUEUED]
    running = [run.seq for run in found if run.state == RUNNING]
    followed = Followed()
    if waiting:
        database.change("cancel_waiting", reason, now, json_of(run.seq for run in waiting))
        database.change_each("period_end", [(run.id,) for run in waiting])
        leave(database, waiting)
        followed = follow(database, [(run.id, CANCELLED) for run in waiting], now)
    if running:
        database.change("cancel_running", reason, json_of(running))
        database.signal("cancels")
    return [run.schedule for run in waiting], followed


def leave(database: Database, waiting: Sequence[Found]) -> None:
    """These wait no longer, and do not run either."""
    for run in waiting:
        database.room.left(run.queue, 1)
    keys = [(run.job, run.concurrency_key) for run in waiting if run.concurrency_key is not None]
    rates = [(run.job, run.rate_key) for run in waiting if run.rate_key is not None]
    if keys:
        wake(database, KEY, keys)
    if rates:
        wake(database, RATE, rates)


def retry(database: Database, ids: Sequence[str], now: float) -> list[Ended]:
    """Of two that have one unique key the first is retried."""
    found = find_ids(database, ids)
    ended = [run for run in found if run.state > COMPLETED]
    held = _holders(database, [run for run in ended if run.unique_key is not None], now)
    database.change("retry", now=now, aging=AGING_SECONDS, seqs=json_of(run.seq for run in ended if run.id not in held))
    for run in ended:
        if run.id not in held:
            database.room.came_back(run.queue, 1)
    return _ended(database, found, held)


def _holders(database: Database, keyed: Sequence[Found], now: float) -> dict[str, str]:
    """Which of these runs cannot have their unique key, and the run that has it."""
    if not keyed:
        return {}
    asked = [(number, run.seq, run.id, now) for number, run in enumerate(keyed)]
    held = {keyed[number].id: holder for number, holder in database.list_each("unique_holders", asked)}
    first: dict[tuple[str, str | None], str] = {}
    for run in keyed:
        if run.id not in held:
            holder = first.setdefault((run.job, run.unique_key), run.id)
            if holder != run.id:
                held[run.id] = holder
    return held


def stick(database: Database, ids: Sequence[str]) -> None:
    database.change_each("stick", [(run_id,) for run_id in ids])


def release(database: Database, kernel: str) -> list[Run]:
    """What this kernel still has claimed waits again."""
    seqs = database.value("running_of", kernel)
    if seqs == "[]":
        return []
    database.change("release", SUSPECT_LOSSES, seqs)
    database.claimed.clear()
    database.keyed.clear()
    database.room.forget()
    return [run_of(row) for row in database.rows("runs", seqs)]


def _ended(database: Database, found: Sequence[Found], held: dict[str, str]) -> list[Ended]:
    """What became of the runs that were found before."""
    after = find(database, [run.seq for run in found])
    return [
        Ended(run.id, run.job, run.queue, str(STATE_OF[run.state]), str(STATE_OF[now.state]), held.get(run.id))
        for run, now in zip(found, after, strict=True)
    ]
