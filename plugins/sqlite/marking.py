"""What was picked is marked as running, and read whole."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from .database import json_of
from .rows import claimed_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kernel.contracts.store import Claim
    from kernel.model.run import Claimed

    from .database import Database


def mark_picked(database: Database, wanted: Claim, picked: Sequence[tuple[int, str, str]]) -> list[Claimed]:
    """``picked``: (seq, queue, job)."""
    rows = json.loads(database.value("claim_picked", json_of(seq for seq, _, _ in picked))) if picked else []
    return mark(database, wanted, rows, [(queue, job) for _, queue, job in picked])


def mark(database: Database, wanted: Claim, rows: list[list[Any]], lanes: Iterable[tuple[str, str]]) -> list[Claimed]:
    """What is taken runs from now on."""
    if not rows:
        return []
    seqs = [row[0] for row in rows]
    database.change("claim", wanted.kernel, wanted.now, json_of(seqs))
    runs = [claimed_of(row, queue, job) for row, (queue, job) in zip(rows, lanes, strict=False)]
    database.claimed.update(zip([run.id for run in runs], zip(seqs, runs, strict=True), strict=True))
    for queue, count in Counter([run.queue for run in runs]).items():
        database.room.left(queue, count)
    return runs


def keyed(claimed: Mapping[str, tuple[int, Claimed]]) -> set[str]:
    """The ids of those that have a concurrency key."""
    return {
        run_id
        for run_id, (_, run) in claimed.items()
        if run.extra is not None and run.extra.concurrency_key is not None
    }
