"""Runs enter."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import asyncpg

from kernel.model.errors import StoreFullError

from .dependencies import tie
from .errors import RepeatError
from .rows import plain_columns, whole_columns
from .turns import NotQuick
from .unique import Entrance, check_periods, enter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.model.run import NewRun

    from .database import Database

_BULK = 25
_COLUMNS = ("id", "job", "queue", "priority", "payload", "state", "enqueued", "due", "urgency")


async def enqueue_quickly(database: Database, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
    """In one statement, for runs that only need to be inserted where there is surely room."""
    if any(map(_needs_care, runs)) or (room and not database.known.room.surely_takes(runs, room)):
        raise NotQuick
    database.has_news = True
    if all(run.extra is None for run in runs):
        if len(runs) >= _BULK:
            await _copy(database, runs)
        else:
            await database.change("enqueue", *plain_columns(runs))
    else:
        await database.change("enqueue_whole", *whole_columns(runs))
    return [run.id for run in runs]


async def _copy(database: Database, runs: Sequence[NewRun]) -> None:
    """The cheapest way to write more than a few, for which none may be there yet."""
    try:
        await database.connection.copy_records_to_table(
            "run",
            schema_name=database.statements.schema,
            columns=_COLUMNS,
            records=zip(*plain_columns(runs), strict=True),
        )
    except asyncpg.UniqueViolationError as error:
        database.known.room.forget()
        raise NotQuick from error


async def enqueue(database: Database, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
    """Inserts all or none, and says which run each stands for."""
    database.has_news = True
    if not room or database.known.room.surely_takes(runs, room):
        answers, _ = await insert(database, runs)
        return answers
    before = await waiting_before(database, runs, room)
    answers, added = await insert(database, runs)
    check_room(added, before, room)
    database.known.room.add(added)
    return answers


async def waiting_before(database: Database, runs: Sequence[NewRun], room: Mapping[str, int]) -> dict[str, int]:
    """How many wait in each queue that these enter, up to one more than may."""
    return {
        queue: await database.known.room.waiting(database, queue, room[queue] + 1)
        for queue in sorted({run.queue for run in runs} & room.keys())
    }


def check_room(added: Counter[str], before: Mapping[str, int], room: Mapping[str, int]) -> None:
    """``before``: how many waited in each queue; StoreFullError when more were added than there was room for."""
    for queue, waiting in before.items():
        if added[queue] > max(room[queue] - waiting, 0):
            raise StoreFullError(
                f'queue "{queue}" is full: {waiting:,} runs wait and {room[queue]:,} may; '
                f"let it drain, or raise queues.{queue}.max_waiting"
            )


async def insert(database: Database, runs: Sequence[NewRun]) -> tuple[list[str], Counter[str]]:
    """Whom each stands for, and how many really entered each queue."""
    if not any(map(_needs_care, runs)):
        return [run.id for run in runs], await _insert(database, runs)
    entrance = await enter(database, runs)
    added = await _insert(database, entrance.entering, expected=True)
    await _write_rest(database, entrance)
    await tie(database, entrance)
    added.update(entrance.moved)
    return entrance.answers, added


async def insert_beside(database: Database, runs: Sequence[NewRun]) -> tuple[list[str], Counter[str]]:
    """The same in a transaction that may stay open for long: what others need is not locked for that time.

    Of two that enter with one key at one moment, the index of unfinished runs lets the first one in.
    """
    if not any(map(_needs_care, runs)):
        return [run.id for run in runs], await _insert(database, runs)
    entrance = await enter(database, runs, locked=False)
    if entrance.replaced:
        waiting = await database.rows("waiting_lock", sorted(entrance.replaced))
        if len(waiting) < len(entrance.replaced):
            raise RepeatError
    added = await _insert(database, entrance.entering, expected=True)
    await check_periods(database, entrance)
    await _write_rest(database, entrance)
    await tie(database, entrance, locked=False)
    added.update(entrance.moved)
    return entrance.answers, added


async def _insert(database: Database, runs: Sequence[NewRun], *, expected: bool = False) -> Counter[str]:
    """How many of each queue were not there yet; ``expected``: all of them, else somebody was faster."""
    if not runs:
        return Counter()
    if all(run.extra is None for run in runs):
        counts = await database.rows("enqueue_counted", *plain_columns(runs))
        added = Counter(dict(counts))
    else:
        added = Counter(queue for _, queue in await database.rows("enqueue_whole", *whole_columns(runs)))
    if expected and added.total() < len(runs):
        raise RepeatError
    return added


async def _write_rest(database: Database, entrance: Entrance) -> None:
    for holder, run in entrance.replaced.items():
        await database.change("run_replace", holder, *entrance.columns_of(run))
    if entrance.periods:
        jobs, keys = zip(*entrance.periods, strict=True)
        ids, untils = zip(*entrance.periods.values(), strict=True)
        await database.change("unique_period_put", jobs, keys, ids, untils)


def _needs_care(run: NewRun) -> bool:
    return run.terms is not None or (run.extra is not None and run.extra.unique is not None)
