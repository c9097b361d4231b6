"""What is read for people: runs, counts, queues, the ledger, and what may be pruned."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import QueueRow, RunQuery
from kernel.model.run import FINAL
from kernel.model.schedule import Tick

from .database import json_of
from .rates import instant_of
from .rows import STATE_OF, codes_of, run_of, tag_filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kernel.model.job import Keep
    from kernel.model.run import Run

    from .database import Database

_WINDOW = 2_000
_BAD = FINAL - {"completed"}


def runs(database: Database, query: RunQuery) -> list[Run]:
    """Newest first."""
    return [run_of(row) for row in database.rows("runs", _listed(database, query, _filter(query)))]


def _listed(database: Database, query: RunQuery, wanted: dict[str, Any]) -> str:
    """The seqs, as JSON: mostly the newest runs will do; when they do not, the indexes are asked, and last every run."""
    page = {"before": query.before, "limit": query.limit}
    if query.ids is not None:
        return str(database.value("list_of", **wanted, **page, seqs=_seqs_of(database, query.ids)))
    if all(value is None for value in wanted.values()):
        return str(database.value("list_newest", **wanted, **page))
    size, found = database.row("list_window", **wanted, before=query.before, limit=_WINDOW)
    seqs = json.loads(found)[: query.limit]
    if len(seqs) == query.limit or size < _WINDOW:
        return json_of(seqs)
    return str(database.value(_index_for(query), **wanted, **page))


def _index_for(query: RunQuery) -> str:
    """The statement that finds the runs of this query without reading all others, if there is one."""
    if query.states is not None and not FINAL.intersection(query.states):
        return "list_unfinished"
    if query.states is not None and _BAD.issuperset(query.states):
        return "list_ended_badly"
    return "list_newest" if query.job is None else "list_job"


def count(database: Database, query: RunQuery) -> dict[str, int]:
    """Only states that there are."""
    wanted = _filter(query)
    if query.ids is not None:
        found = database.rows("count_of", **wanted, seqs=_seqs_of(database, query.ids))
    elif query.queue is query.schedule is query.tag is None:
        every = database.rows("count_all") if query.job is None else database.rows("count_job", job=query.job)
        found = [row for row in every if row[1] and (query.states is None or STATE_OF[row[0]] in query.states)]
    else:
        found = database.rows("count", **wanted)
    counted: Counter[str] = Counter()
    for code, number in found:
        counted[str(STATE_OF[code])] += number
    return dict(counted)


def _filter(query: RunQuery) -> dict[str, Any]:
    codes = None
    if query.states is not None:
        codes = json_of(codes_of(query.states))
    return {
        "states": codes,
        "job": query.job,
        "queue": query.queue,
        "schedule": query.schedule,
        "tag": tag_filter(query.tag),
    }


def _seqs_of(database: Database, ids: Iterable[str]) -> str:
    wanted = list(enumerate(dict.fromkeys(ids)))
    return json_of(seq for _, seq, _ in database.list_each("seqs", wanted)) if wanted else "[]"


def queues(database: Database) -> list[QueueRow]:
    return [QueueRow(*row) for row in database.rows("queues")]


def ticks(database: Database, schedule: str, since: float, until: float, limit: int) -> list[Tick]:
    return [Tick(*row) for row in database.rows("ticks", schedule=schedule, since=since, until=until, limit=limit)]


def prunable(database: Database, keep: Mapping[str, Keep], default: Keep, now: float, limit: int) -> list[int]:
    """The seqs of at most ``limit`` finished runs that are kept no longer."""
    spare = database.value("period_any", now)
    found: dict[int, None] = {}
    for job in json.loads(database.value("prune_jobs")):
        kept = keep.get(job, default)
        wanted = {"job": job, "now": now, "limit": limit, "spare": spare}
        for seqs in (
            database.value("prune_count", **wanted, count=kept.count),
            database.value("prune_completed", **wanted, before=now - kept.completed_seconds),
            database.value("prune_others", **wanted, before=now - kept.failed_seconds),
        ):
            found |= dict.fromkeys(json.loads(seqs))
            if len(found) >= limit:
                return list(found)[:limit]
    return list(found)


def prune(database: Database, seqs: Sequence[int], ticks_before: float, now: float, limit: int) -> int:
    """How many of these runs, and of the old ticks, went."""
    gone = 0
    if seqs:
        for name in ("prune_steps", "prune_progress", "prune_logs", "prune_edges"):
            database.change(name, json_of(seqs))
        gone = database.change("prune_runs", json_of(seqs))
    database.change("prune_periods", now)
    database.change("prune_rates", instant_of(now))
    return gone + database.change("prune_ticks", ticks_before, limit)
