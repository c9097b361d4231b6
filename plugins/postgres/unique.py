"""Who holds a unique key, and what becomes of a newcomer with one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.model.run import RunExtra, Terms

from .errors import RepeatError
from .rows import CODE_OF, QUEUED, tags_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.model.run import NewRun

    from .database import Database

Key = tuple[str, str]
"""(job, unique key)."""

_NO_TERMS = Terms()
_NO_EXTRA = RunExtra()


class Entrance(NamedTuple):
    """``entering``: the runs to insert, in order. ``replaced``: holder -> the newcomer whose values it takes.

    ``periods``: (job, key) -> (run, until), to be written.
    """

    answers: list[str]
    entering: list[NewRun]
    replaced: dict[str, NewRun]
    periods: dict[Key, tuple[str, float]]
    moved: Counter[str]
    """How many more runs each queue has by what is replaced."""
    ties: dict[str, tuple[int, NewRun]]
    """child -> the newcomer with the terms on which it depends on others, and its place among all that came."""
    arrivals: dict[str, int]
    """id -> place, of those that enter."""

    @staticmethod
    def columns_of(run: NewRun) -> list[Any]:
        """As ``run_replace.sql`` takes them."""
        extra = run.extra or _NO_EXTRA
        return [
            run.payload, run.queue, run.priority, CODE_OF[run.state], run.due, run.urgency, extra.expires,
            tags_text(extra.tags), extra.concurrency_key, extra.rate_key,
        ]  # fmt: skip


class _Holder(NamedTuple):
    run: str
    may_be_replaced: bool
    queue: str = ""


async def enter(database: Database, runs: Sequence[NewRun], *, locked: bool = True) -> Entrance:
    """Decides for each run, in order, whether it enters or stands for another one. Keys stay locked until the end.

    Without a lock somebody may be faster: what is replaced, and periods, are then to be looked at again.
    """
    keys = list(dict.fromkeys(key for run in runs if (key := key_of(run)) is not None))
    if keys and locked:
        jobs, texts = zip(*keys, strict=True)
        await database.rows("unique_lock", database.statements.in_schema("mainspring.unique"), jobs, texts)
    known = {row[0] for row in await database.rows("ids_there", [run.id for run in runs])}
    holders = await unfinished_holders(database, keys, locked=locked)
    periods = await period_holders(database, keys)
    return _decide(runs, known, holders, periods)


def _decide(
    runs: Sequence[NewRun],
    known: set[str],
    found: Mapping[Key, tuple[str, int, str]],
    periods: Mapping[Key, tuple[str, float]],
) -> Entrance:
    holders = {key: _Holder(run, state <= QUEUED, queue) for key, (run, state, queue) in found.items()}
    until = dict(periods)
    entrance = Entrance([], [], {}, {}, Counter(), {}, {})
    places: dict[str, int] = {}
    for place, run in enumerate(runs):
        key = key_of(run)
        if run.id in known:
            entrance.answers.append(run.id)
            continue
        terms = run.terms or _NO_TERMS
        holder = holders.get(key) if key is not None else None
        if holder is None and key in until and until[key][1] > run.enqueued:
            holder = _Holder(until[key][0], may_be_replaced=False)
        if holder is None:
            known.add(run.id)
            places[run.id] = len(entrance.entering)
            entrance.entering.append(run)
            entrance.answers.append(run.id)
            entrance.arrivals[run.id] = place
            entrance.ties[run.id] = (place, run)
            if key is not None:
                holders[key] = _Holder(run.id, may_be_replaced=True)
        else:
            entrance.answers.append(holder.run)
            if terms.on_conflict == "keep" or not holder.may_be_replaced:
                continue
            entrance.ties[holder.run] = (place, run)
            if holder.run in places:
                at = places[holder.run]
                entrance.entering[at] = _replaced(entrance.entering[at], run)
            else:
                entrance.replaced[holder.run] = run
                entrance.moved[run.queue] += 1
                entrance.moved[holder.queue] -= 1
                holders[run.job, key[1] if key else ""] = holder._replace(queue=run.queue)
        if key is not None and terms.unique_until is not None:
            last = until[key][1] if key in until and entrance.answers[-1] != run.id else terms.unique_until
            until[key] = entrance.periods[key] = (entrance.answers[-1], max(last, terms.unique_until))
    return entrance


def _replaced(held: NewRun, newcomer: NewRun) -> NewRun:
    """The held run with what the newcomer brings."""
    extra = (held.extra or _NO_EXTRA)._replace(
        **{
            name: getattr(newcomer.extra or _NO_EXTRA, name)
            for name in ("expires", "tags", "concurrency_key", "rate_key")
        }
    )
    return newcomer._replace(id=held.id, enqueued=held.enqueued, extra=extra, terms=held.terms)


async def check_periods(database: Database, entrance: Entrance) -> None:
    """RepeatError when a key of those that have entered was somebody's in between, though his run has ended already."""
    keys = {key: run for run in entrance.entering if (key := key_of(run)) is not None}
    held = await period_holders(database, list(keys))
    if any(until > keys[key].enqueued for key, (_, until) in held.items()):
        raise RepeatError


async def unfinished_holders(
    database: Database, keys: Sequence[Key], *, locked: bool = True
) -> dict[Key, tuple[str, int, str]]:
    """(job, key) -> (run, state, queue), of those that an unfinished run has."""
    if not keys:
        return {}
    jobs, texts = zip(*keys, strict=True)
    rows = await database.rows("unique_holders" if locked else "unique_holders_there", jobs, texts)
    return {keys[number - 1]: (run, state, queue) for number, run, state, queue in rows}


async def period_holders(database: Database, keys: Sequence[Key]) -> dict[Key, tuple[str, float]]:
    """(job, key) -> (run, until), of those that were enqueued for a period; it may be over."""
    if not keys:
        return {}
    jobs, texts = zip(*keys, strict=True)
    rows = await database.rows("unique_periods", jobs, texts)
    return {keys[number - 1]: (run, until) for number, run, until in rows}


def key_of(run: NewRun) -> Key | None:
    return None if run.extra is None or run.extra.unique is None else (run.job, run.extra.unique)
