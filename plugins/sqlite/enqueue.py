"""Runs enter."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import TYPE_CHECKING

from kernel.model.errors import StoreFullError
from kernel.model.run import NewRun

from .rows import plain_columns, whole_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .database import Database

_EXTRA = itemgetter(NewRun._fields.index("extra"))


def enqueue(database: Database, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
    """Inserts all or none, and says which run each stands for."""
    if not room or database.room.takes(database, runs, room):
        return insert(database, runs)
    return _insert_within(database, runs, room)


def insert(database: Database, runs: Sequence[NewRun]) -> list[str]:
    """Those that are there are left alone, and so are those whose unique key an unfinished run has."""
    ids = [new.id for new in runs]
    if not any(map(_EXTRA, runs)):
        database.change_each("enqueue", plain_columns(runs))
        return ids
    keyed = [
        (index, (new.id, new.job, new.extra.unique))
        for index, new in enumerate(runs)
        if new.extra is not None and new.extra.unique is not None
    ]
    if keyed and len(set(ids)) < len(ids):
        # Of two runs with one id and different keys either may enter: who asks afterwards cannot tell which did.
        return [answer for new in runs for answer in insert(database, [new])]
    database.change_each("enqueue_whole", whole_columns(runs))
    if keyed:
        found = database.list_each("enqueue_answers", [columns for _, columns in keyed])
        for (index, _), run_id in zip(keyed, found, strict=True):
            ids[index] = run_id
    return ids


def _insert_within(database: Database, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
    """Inserts, sees what was really new, and takes all of it back when that is more than fits."""
    before = {queue: database.room.waiting(database, queue, -1) for queue in {new.queue for new in runs} & room.keys()}
    last = database.value("last_seq")
    database.connection.execute("SAVEPOINT room")
    answers = insert(database, runs)
    added: dict[str, int] = json.loads(database.value("added_since", last))
    for queue, waiting in before.items():
        if added.get(queue, 0) > max(room[queue] - waiting, 0):
            database.connection.execute("ROLLBACK TO room")
            database.connection.execute("RELEASE room")
            database.mark_unchanged()
            raise StoreFullError(
                f'queue "{queue}" is full: {waiting:,} runs wait and {room[queue]:,} may; '
                f"let it drain, or raise queues.{queue}.max_waiting"
            )
    database.connection.execute("RELEASE room")
    database.room.add(added)
    return answers
