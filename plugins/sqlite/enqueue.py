"""Runs enter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kernel.model.errors import StoreFullError

from .rows import plain_columns, whole_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.model.run import NewRun

    from .database import Database


def enqueue(database: Database, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
    """Inserts all or none, and says which run each stands for."""
    if not room or database.room.takes(database, runs, room):
        insert(database, runs)
    else:
        _insert_within(database, runs, room)
    return answers(database, runs)


def insert(database: Database, runs: Sequence[NewRun]) -> None:
    """Those that are there are left alone, and so are those whose unique key an unfinished run has."""
    if all(new.extra is None for new in runs):
        database.change_each("enqueue", [plain_columns(new) for new in runs])
    else:
        database.change_each("enqueue_whole", [whole_columns(new) for new in runs])


def answers(database: Database, runs: Sequence[NewRun]) -> list[str]:
    ids = [new.id for new in runs]
    keyed = [
        (index, (new.id, new.job, new.extra.unique))
        for index, new in enumerate(runs)
        if new.extra is not None and new.extra.unique is not None
    ]
    if keyed:
        found = database.list_each("enqueue_answers", [columns for _, columns in keyed])
        for (index, _), run_id in zip(keyed, found, strict=True):
            ids[index] = run_id
    return ids


def _insert_within(database: Database, runs: Sequence[NewRun], room: Mapping[str, int]) -> None:
    """Inserts, sees what was really new, and takes all of it back when that is more than fits."""
    before = {queue: database.room.waiting(database, queue, -1) for queue in {new.queue for new in runs} & room.keys()}
    last = database.value("last_seq")
    database.connection.execute("SAVEPOINT room")
    insert(database, runs)
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
