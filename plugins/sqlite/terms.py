"""The terms on which runs enter: how long a unique key is taken, what becomes of the run that has it, and dependencies."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import SUSPECT_LOSSES
from kernel.model.run import RunExtra

from .control import leave
from .dependents import depend, refuse_circles_of_one
from .found import find_ids
from .rows import CODE_OF, QUEUED, tags_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.model.run import NewRun

    from .database import Database


def keep_terms(database: Database, runs: Sequence[NewRun], stands_for: Mapping[str, str], last: int) -> Counter[str]:
    """How many runs went over to each queue, less those that left it.

    ``stands_for``: id -> that of the run it stands for. Those that have entered just now have a seq after ``last``.
    """
    fresh = set(json.loads(database.value("ids_since", last)))
    replaced, moved = _replace(database, runs, stands_for, fresh)
    entered = {new.id: new for new in runs if new.id in fresh} | replaced
    periods = []
    for new in runs:
        run_id = stands_for[new.id]
        if new.extra is None or new.terms is None or new.terms.unique_until is None:
            continue
        if new.id in fresh or (run_id in replaced and new.terms.on_conflict != "keep"):
            periods.append((new.job, new.extra.unique, run_id, new.terms.unique_until))
    if periods:
        database.change_each("period_put", periods)
    children = {run_id: new for run_id, new in entered.items() if new.terms is not None and new.terms.depends_on}
    if children:
        depend(database, children, stands_for)
    return moved


def _replace(
    database: Database, runs: Sequence[NewRun], stands_for: Mapping[str, str], fresh: set[str]
) -> tuple[dict[str, NewRun], Counter[str]]:
    """What waits under a newcomer's key takes what the last such newcomer brings: id -> that newcomer; where they went."""
    wanted = {
        stands_for[new.id]: new
        for new in runs
        if stands_for[new.id] != new.id and new.terms is not None and new.terms.on_conflict != "keep"
    }
    waiting = [run for run in find_ids(database, list(wanted)) if run.state <= QUEUED]
    if not waiting:
        return {}, Counter()
    refuse_circles_of_one(runs, stands_for, {run.id for run in waiting})
    ids = [(run.id,) for run in waiting]
    database.change_each("edge_remove", ids)
    database.change_each("step_remove", ids)
    database.change_each("attempt_remove", ids)
    database.change_each("replace", [_columns(run.seq, wanted[run.id]) for run in waiting], SUSPECT_LOSSES)
    leave(database, waiting)
    for run in waiting:
        database.room.came_back(wanted[run.id].queue, 1)
    over = [run for run in waiting if run.id not in fresh]
    moved = Counter(wanted[run.id].queue for run in over)
    moved.subtract(run.queue for run in over)
    return {run.id: wanted[run.id] for run in waiting}, moved


def _columns(seq: int, new: NewRun) -> tuple[Any, ...]:
    """As ``replace.sql`` takes them."""
    extra = new.extra or RunExtra()
    return (
        seq, new.payload, new.queue, new.priority, CODE_OF[new.state], new.due, new.urgency, extra.expires,
        tags_text(extra.tags), extra.concurrency_key, extra.rate_key,
    )  # fmt: skip
