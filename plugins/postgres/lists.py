"""What is read for people: runs, counts, queues, the ledger; and what may be pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.contracts.store import Edge, QueueRow, RunLog, RunQuery
from kernel.model.run import FINAL
from kernel.model.schedule import Tick

from .ids import known_id, known_ids
from .limits import windows
from .rates import Window
from .rows import codes_of, run_of, state_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.model.job import Keep
    from kernel.model.rate import RateLimit
    from kernel.model.run import Run

    from .database import Database

_BAD = FINAL - {"completed"}


async def runs(database: Database, query: RunQuery) -> list[Run]:
    """Newest first."""
    page = [*_filter(query), known_id(query.before), query.limit]
    if query.ids is not None:
        rows = await database.rows("list_of", *page, known_ids(query.ids))
    elif query.states is not None and not FINAL.intersection(query.states):
        rows = await database.rows("list_unfinished", *page)
    elif query.states is not None and _BAD.issuperset(query.states):
        rows = await database.rows("list_ended_badly", *page)
    else:
        rows = await database.rows("list_newest", *page)
    return [run_of(row) for row in rows]


async def count(database: Database, query: RunQuery) -> dict[str, int]:
    """Only states that there are."""
    if query.ids is not None:
        rows = await database.rows("count_of", *_filter(query), known_ids(query.ids))
    else:
        rows = await database.rows("count", *_filter(query))
    found: dict[str, int] = {}
    for code, number in rows:
        state = state_name(code)
        found[state] = found.get(state, 0) + number
    return found


def _filter(query: RunQuery) -> list[Any]:
    states = None if query.states is None else codes_of(query.states)
    return [states, query.job, query.queue, query.schedule, query.tag]


async def queues(database: Database) -> list[QueueRow]:
    return [QueueRow(*row) for row in await database.rows("queues")]


async def ticks(database: Database, schedule: str, since: float, until: float, limit: int) -> list[Tick]:
    return [Tick(*row) for row in await database.rows("ticks", schedule, since, until, limit)]


async def edges(database: Database, of: Sequence[str]) -> list[Edge]:
    return [Edge(*row) for row in await database.rows("edges", known_ids(of))]


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
