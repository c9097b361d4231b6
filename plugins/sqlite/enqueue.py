"""Runs enter."""

from __future__ import annotations

import json
from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING

from kernel.model.errors import StoreFullError
from kernel.model.run import NewRun

from .dependents import check_parents
from .limits import hold_newcomers
from .rows import plain_columns, whole_columns
from .terms import keep_terms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .database import Database

_EXTRA, _TERMS = (itemgetter(NewRun._fields.index(name)) for name in ("extra", "terms"))


def enqueue(database: Database, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
    """Inserts all or none, and says which run each stands for."""
    if not room:
        database.room.forget()
        return insert(database, runs)
    if database.room.takes(database, runs, room):
        return insert(database, runs)
    return _insert_within(database, runs, room)


def insert(database: Database, runs: Sequence[NewRun], moved: Counter[str] | None = None) -> list[str]:
    """Those that are there are left alone, and so are those whose unique key another run has.

    ``moved``: to it is added how many of those that are there went over to which queue, less those that left it.
    """
    has_terms = any(map(_TERMS, runs))
    if not has_terms and not any(map(_EXTRA, runs)):
        database.change_each("enqueue", plain_columns(runs))
        return [new.id for new in runs]
    if has_terms:
        check_parents(database, runs)
    return _insert_whole(database, runs, {}, Counter() if moved is None else moved, has_terms=has_terms)


def _insert_whole(
    database: Database, runs: Sequence[NewRun], stands_for: dict[str, str], moved: Counter[str], *, has_terms: bool
) -> list[str]:
    """``stands_for``: what the ids of earlier ones of the same list stand for; those of these are added."""
    ids = [new.id for new in runs]
    extras = [(index, new, new.extra) for index, new in enumerate(runs) if new.extra is not None]
    asked = [
        (index, (new.id, new.job, extra.unique, new.enqueued))
        for index, new, extra in extras
        if extra.unique is not None
    ]
    if (asked or has_terms) and len(set(ids)) < len(ids):
        # Of two runs with one id and different keys either may enter: who asks afterwards cannot tell which did.
        return [
            answer for new in runs for answer in _insert_whole(database, [new], stands_for, moved, has_terms=has_terms)
        ]
    has_limits = any(extra.concurrency_key is not None or extra.rate_key is not None for _, _, extra in extras)
    last = database.value("last_seq") if has_terms or has_limits else 0
    database.change_each("enqueue_whole", whole_columns(runs))
    if asked:
        found = database.list_each("enqueue_answers", [columns for _, columns in asked])
        for (index, _), run_id in zip(asked, found, strict=True):
            ids[index] = run_id
    stands_for |= zip((new.id for new in runs), ids, strict=True)
    if has_terms:
        moved.update(keep_terms(database, runs, stands_for, last))
    if has_limits:
        hold_newcomers(database, last)
    return ids


def _insert_within(database: Database, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
    """Inserts, sees what was really new, and takes all of it back when that is more than fits."""
    before = {queue: database.room.waiting(database, queue, -1) for queue in {new.queue for new in runs} & room.keys()}
    last = database.value("last_seq")
    database.connection.execute("SAVEPOINT room")
    moved: Counter[str] = Counter()
    ids = insert(database, runs, moved)
    added: dict[str, int] = json.loads(database.value("added_since", last))
    for queue, waiting in before.items():
        if added.get(queue, 0) + moved[queue] > max(room[queue] - waiting, 0):
            database.connection.execute("ROLLBACK TO room")
            database.connection.execute("RELEASE room")
            database.mark_unchanged()
            database.room.forget()
            raise StoreFullError(
                f'queue "{queue}" is full: {waiting:,} runs wait and {room[queue]:,} may; '
                f"let it drain, or raise queues.{queue}.max_waiting"
            )
    database.connection.execute("RELEASE room")
    if any(map(_TERMS, runs)):
        database.room.forget()  # some may have been cancelled at once
    else:
        database.room.add(added)
    return ids
