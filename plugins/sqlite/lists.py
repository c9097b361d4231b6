"""What is read for people: runs, counts, queues, the ledger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import QueueRow, RunQuery
from kernel.model.run import FINAL
from kernel.model.schedule import Tick

from .rows import CODE_OF, STATE_OF, run_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.model.job import Keep
    from kernel.model.run import Run

    from .database import Database


def runs(database: Database, query: RunQuery) -> list[Run]:
    """Newest first."""
    codes = _codes(query.states)
    values = (codes, query.job, query.queue, query.schedule, query.tag, query.before, query.limit)
    if query.ids is not None:
        wanted = list(dict.fromkeys(query.ids))
        rows = database.list_each("seqs", list(enumerate(wanted))) if wanted else []
        seqs = database.value("list_of", *values, json.dumps([seq for _, seq, _ in rows]))
    elif query.states is not None and not FINAL.intersection(query.states):
        seqs = database.value("list_unfinished", *values)
    elif query.states is not None and FINAL.issuperset(query.states) and "completed" not in query.states:
        seqs = database.value("list_ended_badly", *values)
    else:
        seqs = database.value("list_newest", *values)
    return [run_of(row) for row in database.rows("runs", seqs)]


def count(database: Database, query: RunQuery) -> dict[str, int]:
    values = (_codes(query.states), query.job, query.queue, query.schedule, query.tag)
    if query.ids is not None:
        wanted = list(dict.fromkeys(query.ids))
        rows = database.list_each("seqs", list(enumerate(wanted))) if wanted else []
        found = database.rows("count_of", *values, json.dumps([seq for _, seq, _ in rows]))
    elif query.job is query.queue is query.schedule is query.tag is None:
        found = [row for row in database.rows("count_all") if row[1]]
        if query.states is not None:
            found = [row for row in found if STATE_OF[row[0]] in query.states]
    else:
        found = database.rows("count", *values)
    return {str(STATE_OF[code]): number for code, number in found}


def queues(database: Database) -> list[QueueRow]:
    return [QueueRow(*row) for row in database.rows("queues")]


def ticks(database: Database, schedule: str, since: float, until: float, limit: int) -> list[Tick]:
    return [Tick(*row) for row in database.rows("ticks", schedule, since, until, limit)]


def prunable(database: Database, keep: Mapping[str, Keep], default: Keep, now: float, limit: int) -> list[int]:
    """The seqs of at most ``limit`` finished runs that are kept no longer."""
    found: dict[int, None] = {}
    for job in json.loads(database.value("prune_jobs")):
        kept = keep.get(job, default)
        for name, *values in (
            ("prune_count", job, kept.count),
            ("prune_completed", job, now - kept.completed_seconds),
            ("prune_others", job, now - kept.failed_seconds),
        ):
            found |= dict.fromkeys(json.loads(database.value(name, *values, limit)))
            if len(found) >= limit:
                return list(found)[:limit]
    return list(found)


def _codes(states: Sequence[Any] | None) -> str | None:
    return None if states is None else json.dumps([CODE_OF[state] for state in states if state in CODE_OF])
