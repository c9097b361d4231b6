"""Runs that depend on others: let go when the last of these has ended, or cancelled when one has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kernel.contracts.store import Edge, Ended
from kernel.model.errors import RequestError, shown

from .database import json_of, json_texts
from .found import find
from .rows import BLOCKED, CANCELLED, COMPLETED, STATE_OF
from .unblock import unblock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kernel.model.run import NewRun

    from .database import Database

_WHAT = {"failed": "failed", "cancelled": "was cancelled", "expired": "expired"}


class Followed(NamedTuple):
    """What followed the end of runs. ``freed``: whether a dependent waits for nobody now; which ones were ``cancelled``."""

    freed: bool = False
    cancelled: Sequence[Ended] = ()


NOTHING = Followed()


def somebody_waits(database: Database) -> bool:
    """Whether there is any run that depends on an unfinished one."""
    return database.row("edge_any") is not None


def follow(database: Database, ended: Iterable[tuple[str, int]], now: float) -> Followed:
    """``ended``: (id, code of the final state) of runs that have just ended."""
    parents = list(ended)
    if not parents or not somebody_waits(database):
        return NOTHING
    freed = False
    cancelled: list[Ended] = []
    while parents:
        failed = [(parent,) for parent, state in parents if state > COMPLETED]
        database.change_each("edge_leave", [(parent,) for parent, _ in parents])
        to_cancel = database.list_each("edge_failed", failed) if failed else []
        children = database.list_each("edge_children", [(parent,) for parent, _ in parents])
        database.change_each("edge_close", [(parent,) for parent, _ in parents])
        gone = _cancel(database, to_cancel, now)
        freed = _let_go(database, children, now) or freed
        cancelled += gone
        parents = [(one.id, CANCELLED) for one in gone]
    return Followed(freed, cancelled)


def check_parents(database: Database, runs: Sequence[NewRun]) -> None:
    """RequestError when a run depends on one that is neither there nor stands before it; one that is there is left alone."""
    children = [new for new in runs if new.terms is not None and new.terms.depends_on]
    if not children:
        return
    parents = [parent for new in children if new.terms is not None for parent in new.terms.depends_on]
    wanted = list(dict.fromkeys([*parents, *(new.id for new in children)]))
    known = {wanted[number] for number, _, _ in database.list_each("seqs", list(enumerate(wanted)))}
    for new in runs:
        for parent in new.terms.depends_on if new.terms is not None and new.id not in known else ():
            if parent not in known:
                raise RequestError(
                    f"depends_on: there is no run {shown(parent)}; expected the id of a run that is in the store, "
                    "or of an earlier one of the same list"
                )
        known.add(new.id)


def depend(database: Database, children: Mapping[str, NewRun], answers: Mapping[str, str]) -> None:
    """``children``: newcomers that depend on others, by the id under which they are there; each begins as it can.

    ``answers``: the id that each id of the list stands for.
    """
    rows = [
        (child, answers.get(parent, parent), new.terms.on_parent_failure)
        for child, new in children.items()
        if new.terms is not None
        for parent in new.terms.depends_on
    ]
    now = max(new.enqueued for new in children.values())
    database.change_each("edge_add", rows)
    _refuse_circles(database, [(child, parent) for child, parent, _ in rows if children[child].id != child])
    ids = sorted(children)
    gone = _cancel(database, database.list_each("edge_failed_before", [(child,) for child in ids]), now)
    _let_go(database, ids, now)
    follow(database, [(one.id, CANCELLED) for one in gone], now)


def refuse_circles_of_one(runs: Sequence[NewRun], stands_for: Mapping[str, str], replaced: set[str]) -> None:
    """RequestError when a newcomer makes a run that it replaces wait for itself, even if a later one replaces it again."""
    for new in runs:
        child = stands_for[new.id]
        if child in replaced and child != new.id and new.terms is not None and new.terms.on_conflict != "keep":
            for parent in new.terms.depends_on:
                if stands_for.get(parent, parent) == child:
                    raise _circle(parent, child)


def _refuse_circles(database: Database, edges: Sequence[tuple[str, str]]) -> None:
    """The same for what was there before and waits over others for itself. What has just entered cannot."""
    for child, parent in edges:
        if database.value("edge_reached", parent, child):
            raise _circle(parent, child)


def _circle(parent: str, child: str) -> RequestError:
    return RequestError(f"depends_on: run {parent} waits for run {child}, which cannot wait for it too")


def edges(database: Database, runs: Sequence[str]) -> list[Edge]:
    ids = json_texts(runs)
    return [
        Edge(child, parent, bool(is_open), on_failure)
        for child, parent, is_open, on_failure in database.rows("edges_of", runs=ids)
    ]


def _cancel(database: Database, wanted: Sequence[tuple[int, str, int]], now: float) -> list[Ended]:
    """``wanted``: (seq of a blocked run, the parent that failed, its state)."""
    if not wanted:
        return []
    reasons = [(seq, f"run {parent}, on which it depends, {_what(state)}") for seq, parent, state in wanted]
    database.change_each("cancel_dependents", reasons, now)
    found = find(database, [seq for seq, _ in reasons])
    database.change_each("period_end", [(run.id,) for run in found])
    for run in found:
        database.room.left(run.queue, 1)
    unblock(database, [run.schedule for run in found], now)
    return [Ended(run.id, run.job, run.queue, str(STATE_OF[BLOCKED]), str(STATE_OF[CANCELLED])) for run in found]


def _what(state: int) -> str:
    name = str(STATE_OF[state])
    return _WHAT.get(name, name)


def _let_go(database: Database, children: Sequence[str], now: float) -> bool:
    """Whether there was one to let go."""
    ready = database.list_each("edge_ready", [(child,) for child in children]) if children else []
    going = [seq for seq, schedule in ready if schedule is None]
    if going:
        database.change("let_go", now, json_of(going))
    unblock(database, [schedule for _, schedule in ready], now)
    return bool(ready)
