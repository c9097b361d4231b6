"""Runs enter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rows import plain_columns, whole_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.model.run import NewRun

    from .database import Database


def enqueue(database: Database, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
    """Inserts all or none, and says which run each stands for."""
    if room:
        database.room.check(database, runs, room)
    insert(database, runs)
    return answers(database, runs)


def insert(database: Database, runs: Sequence[NewRun]) -> None:
    """In the order given, which is the order of claims among equally urgent ones; those that are there are left alone."""
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
