"""What is read for people: runs, counts, queues, the ledger, and what may be pruned."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import CLOCKS_DIFFER_SECONDS, QueueRow, RunQuery
from kernel.model.run import FINAL, RunState
from kernel.model.schedule import Tick, newest

from .database import json_of
from .rates import instant_of
from .rows import STATE_OF, ascii_lower, codes_of, run_of, tag_filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kernel.model.job import Keep
    from kernel.model.run import Run

    from .database import Database

_WINDOW, _WIDE_WINDOW = 2_000, 20_000
_LARGE_JOB = 50_000
"""Of a job with more ended runs than these all runs are gone through, not those of the job one by one."""


def runs(database: Database, query: RunQuery) -> list[Run]:
    """Newest first."""
    return [run_of(row) for row in database.rows("runs", _listed(database, query, _filter(query)))]


def _listed(database: Database, query: RunQuery, wanted: dict[str, Any]) -> str:
    """The seqs, as JSON: mostly the newest runs will do; when they do not, the indexes are asked, and last every run."""
    if query.ids is not None:
        span = {"first": "", "before": query.before}
        return str(database.value("list_of", **wanted, **span, limit=query.limit, seqs=_seqs_of(database, query.ids)))
    page = {**_span(database, query), "limit": query.limit}
    if all(value is None for value in wanted.values()):
        return str(database.value("list_newest", **wanted, **page))
    found, is_all = _newest(database, query, wanted, page, _WINDOW)
    return json_of(found) if is_all else _searched(database, query, wanted, page)


def _searched(database: Database, query: RunQuery, wanted: dict[str, Any], page: dict[str, Any]) -> str:
    if _is_indexed(query):
        found = _by_state(database, query, wanted, page)
        return str(database.value("list_of", **wanted, **page, seqs=json_of(found)))
    if query.job is not None and not database.value("is_job_large", query.job, _LARGE_JOB):
        return str(database.value("list_job", **wanted, **page))
    found, is_all = _newest(database, query, wanted, page, _WIDE_WINDOW)
    if is_all:
        return json_of(found)
    is_by_time = query.since is not None or query.until is not None
    return str(database.value("list_newest" if is_by_time else "list_scan", **wanted, **page))


def _newest(
    database: Database, query: RunQuery, wanted: dict[str, Any], page: dict[str, Any], window: int
) -> tuple[list[int], bool]:
    """The seqs of those that are among so many newest runs, and whether they are all that is asked for."""
    size, found = database.row("list_window", **wanted, **{**page, "limit": window})
    seqs = json.loads(found)[: query.limit]
    return seqs, len(seqs) == query.limit or size < window


def _span(database: Database, query: RunQuery) -> dict[str, Any]:
    """The ids between which the runs of this query stand: from ``first`` on, and before ``before``."""
    first, before = "", query.before
    if query.since is not None:
        first = database.value("first_since", instant=query.since - CLOCKS_DIFFER_SECONDS, above=0)
    if query.until is not None:
        past = database.value("first_since", instant=query.until + CLOCKS_DIFFER_SECONDS, above=1)
        before = past if before is None else min(before, past)
    return {"first": first, "before": before}


def _is_indexed(query: RunQuery) -> bool:
    """Whether there are indexes by which each of the states is found; there is none of what has completed."""
    return query.wanted_states is not None and RunState.COMPLETED not in query.wanted_states


def _by_state(database: Database, query: RunQuery, wanted: dict[str, Any], page: dict[str, Any]) -> list[int]:
    """The seqs of the newest runs of each state, in no order; of all when the limit is less than 0."""
    states = set(query.wanted_states or ())
    found: list[int] = []
    for code in codes_of(states & FINAL):
        found += json.loads(database.value("list_ended_badly", **wanted, **page, state=code))
    if states - FINAL:
        unfinished = {**wanted, "states": json_of(codes_of(states - FINAL))}
        found += json.loads(database.value("list_unfinished", **unfinished, **page))
    return found


def count(database: Database, query: RunQuery) -> dict[str, int]:
    """Only states that there are."""
    wanted = _filter(query)
    if query.ids is not None:
        found = database.rows("count_of", **wanted, seqs=_seqs_of(database, query.ids))
    elif all(wanted[name] is None for name in wanted.keys() - {"states", "job"}):
        every = database.rows("count_all") if query.job is None else database.rows("count_job", job=query.job)
        found = [row for row in every if row[1] and (query.states is None or STATE_OF[row[0]] in query.states)]
    elif _is_indexed(query):
        page = {**_span(database, query._replace(before=None)), "limit": -1}
        found = database.rows("count_of", **wanted, seqs=json_of(_by_state(database, query, wanted, page)))
    elif query.since is query.until is None:
        found = database.rows("count", **wanted)
    else:
        found = database.rows("count_between", **wanted, **_span(database, query._replace(before=None)))
    counted: Counter[str] = Counter()
    for code, number in found:
        counted[str(STATE_OF[code])] += number
    return dict(counted)


def _filter(query: RunQuery) -> dict[str, Any]:
    return {
        "states": None if query.wanted_states is None else json_of(codes_of(query.wanted_states)),
        "job": query.job,
        "queue": query.queue,
        "schedule": query.schedule,
        "tag": tag_filter(query.tag),
        "since": query.since,
        "until": query.until,
        "error": None if query.error is None else ascii_lower(query.error),
    }


def _seqs_of(database: Database, ids: Iterable[str]) -> str:
    wanted = list(enumerate(dict.fromkeys(ids)))
    return json_of(seq for _, seq, _ in database.list_each("seqs", wanted)) if wanted else "[]"


def queues(database: Database) -> list[QueueRow]:
    return [QueueRow(*row) for row in database.rows("queues")]


def ticks(database: Database, schedule: str, since: float, until: float, limit: int) -> list[Tick]:
    return [Tick(*row) for row in database.rows("ticks", schedule=schedule, since=since, until=until, limit=limit)]


def ticks_of(database: Database, schedules: Iterable[str], since: float, until: float, limit: int) -> list[Tick]:
    return newest([ticks(database, name, since, until, limit) for name in sorted({*schedules})], limit)


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
        for name in ("prune_steps", "prune_attempts", "prune_progress", "prune_logs", "prune_edges"):
            database.change(name, json_of(seqs))
        gone = database.change("prune_runs", json_of(seqs))
    database.change("prune_periods", now)
    database.change("prune_rates", instant_of(now))
    return gone + database.change("prune_ticks", ticks_before, limit)
