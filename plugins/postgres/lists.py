"""What is read for people: runs, counts, queues, the ledger; and what may be pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.contracts.store import CLOCKS_DIFFER_SECONDS, AttemptRow, Edge, QueueRow, RunLog, RunQuery
from kernel.model.run import FINAL, RunState
from kernel.model.schedule import Tick

from .ids import known_id, known_ids
from .limits import windows
from .rates import Window
from .rows import ascii_lower, codes_of, run_of, state_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.model.job import Keep
    from kernel.model.rate import RateLimit
    from kernel.model.run import Run

    from .database import Database


async def runs(database: Database, query: RunQuery) -> list[Run]:
    """Newest first."""
    wanted = [*_filter(query), *await _span(database, query), query.limit]
    if query.ids is not None:
        rows = await database.rows("list_of", *wanted, known_ids(query.ids))
    elif _is_indexed(query):
        parts = [await database.rows(f"list_{name}", codes, *wanted[1:]) for name, codes in _parts(query)]
        # By their ids: one that has ended meanwhile may be in both.
        found = {row[0]: row for rows in parts for row in rows}
        rows = [found[run_id] for run_id in sorted(found, reverse=True)[: query.limit]]
    else:
        rows = await database.rows("list_newest", *wanted)
    return [run_of(row) for row in rows]


async def count(database: Database, query: RunQuery) -> dict[str, int]:
    """Only states that there are."""
    wanted = [*_filter(query), *await _span(database, query._replace(before=None))]
    if query.ids is not None:
        rows = await database.rows("count_of", *wanted, known_ids(query.ids))
    elif _is_indexed(query):
        rows = [
            row for name, codes in _parts(query) for row in await database.rows(f"count_{name}", codes, *wanted[1:])
        ]
    else:
        rows = await database.rows("count", *wanted)
    found: dict[str, int] = {}
    for code, number in rows:
        state = state_name(code)
        found[state] = found.get(state, 0) + number
    return found


def _is_indexed(query: RunQuery) -> bool:
    """Whether there are indexes by which each of the states is found; there is none of what has completed."""
    return query.wanted_states is not None and RunState.COMPLETED not in query.wanted_states


def _parts(query: RunQuery) -> list[tuple[str, list[int]]]:
    """The ends of the statements' names by which the states are found, and the codes for each."""
    states = set(query.wanted_states or ())
    parts = [("unfinished", states - FINAL), ("ended_badly", states & FINAL)]
    return [(name, codes_of([*some])) for name, some in parts if some]


def _filter(query: RunQuery) -> list[Any]:
    states = None if query.wanted_states is None else codes_of(query.wanted_states)
    error = None if query.error is None else ascii_lower(query.error)
    return [states, query.job, query.queue, query.schedule, query.tag, query.since, query.until, error]


async def _span(database: Database, query: RunQuery) -> list[str | None]:
    """The ids between which the runs of this query stand: from the first on, and before the second."""
    first, before = None, known_id(query.before)
    if query.since is not None and query.ids is None:
        first = await database.value("first_since", query.since - CLOCKS_DIFFER_SECONDS, 0)
    if query.until is not None and query.ids is None:
        past: str | None = await database.value("first_since", query.until + CLOCKS_DIFFER_SECONDS, 1)
        before = min((one for one in (before, past) if one is not None), default=None)
    return [first, before]


async def queues(database: Database) -> list[QueueRow]:
    return [QueueRow(*row) for row in await database.rows("queues")]


async def ticks(database: Database, schedule: str, since: float, until: float, limit: int) -> list[Tick]:
    return [Tick(*row) for row in await database.rows("ticks", schedule, since, until, limit)]


async def ticks_of(database: Database, schedules: Sequence[str], since: float, until: float, limit: int) -> list[Tick]:
    names = sorted({*schedules})
    return [Tick(*row) for row in await database.rows("ticks_of", names, since, until, limit)]


async def edges(database: Database, of: Sequence[str]) -> list[Edge]:
    return [Edge(*row) for row in await database.rows("edges", known_ids(of))]


async def attempts(database: Database, run: str) -> list[AttemptRow]:
    return [AttemptRow(*row) for row in await database.rows("attempts", known_ids([run]))]


async def steps(database: Database, run: str) -> dict[str, str]:
    return dict(await database.rows("steps", known_ids([run])))


async def log(database: Database, run: str) -> RunLog:
    row = await database.row("log", known_ids([run]))
    return RunLog("", False) if row is None else RunLog(*row)


async def rate_room_at(  # noqa: PLR0917 - as the contract has it
    database: Database, kind: str, name: str, key: str, limit: RateLimit, now: float
) -> float:
    rate = (kind, name, key if kind == "key" else "")
    found = await windows(database, [rate])
    return found.get(rate, Window()).opens_at(limit, now)


async def prunable(database: Database, keep: Mapping[str, Keep], default: Keep, now: float, limit: int) -> list[str]:
    """At most ``limit`` finished runs that are kept no longer."""
    found: dict[str, None] = {}
    for (job,) in await database.rows("prune_jobs"):
        kept = keep.get(job, default)
        rows = await database.rows(
            "prunable", job, kept.count, now - kept.completed_seconds, now - kept.failed_seconds, limit - len(found)
        )
        found |= dict.fromkeys(row[0] for row in rows)
        if len(found) >= limit:
            break
    return list(found)


async def prune(database: Database, runs: Sequence[str], ticks_before: float, now: float, limit: int) -> int:
    """How many runs and ticks went."""
    gone: int = await database.value("prune_runs", sorted(runs)) if runs else 0
    await database.change("prune_periods", now)
    return gone + await database.change("prune_ticks", ticks_before, limit)
