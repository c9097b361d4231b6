"""Runs that depend on others: they are tied to them as they enter, and let go or cancelled as these end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.contracts.store import Ended
from kernel.model.errors import RequestError
from kernel.model.run import Terms

from .ids import known_id
from .rows import BLOCKED, CANCELLED, CODE_OF, COMPLETED, RUNNING, state_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.model.run import NewRun

    from .database import Database
    from .unique import Entrance


class Parent(NamedTuple):
    """A run that has just ended, and on which others may depend."""

    id: str
    state: int


class Freed(NamedTuple):
    """``freed``: whether runs may begin now. ``cancelled``: what was cancelled, with its schedule and whether it has children."""

    freed: bool
    cancelled: list[Cancelled]


class Cancelled(NamedTuple):
    ended: Ended
    schedule: str | None
    has_children: bool


async def tie(database: Database, entrance: Entrance, *, locked: bool = True) -> None:
    """Those that entered, or were replaced, on terms to depend on others: RequestError when there is no such parent.

    Parents that are not locked may end before this transaction does: that is seen to as it commits.
    """
    if entrance.replaced:
        await database.change("edges_forget", sorted(entrance.replaced))
    # In the order in which they came: what comes later cannot be depended on.
    tied = sorted((place, child, run) for child, (place, run) in entrance.ties.items() if _parents_of(run))
    if not tied:
        return
    wanted = sorted({parent for _, _, run in tied for parent in _parents_of(run)})
    known = [parent for parent in wanted if known_id(parent) is not None]
    states: dict[str, int] = dict(await database.rows("parents" if locked else "parents_there", known))
    edges: list[tuple[str, str, bool, str]] = []
    settled: list[tuple[str, int, str | None, float | None]] = []
    for place, child, run in tied:
        for parent in _parents_of(run):
            if parent not in states or entrance.arrivals.get(parent, -1) >= place:
                raise RequestError(f"depends_on: there is no run {parent}; expected runs that are in the store")
        state = _state_at_entrance(child, run, states, edges)
        if state is not None:
            settled.append((child, *state))
            if child in states:
                states[child] = state[0]
    await database.change("edge_put" if locked else "edge_put_late", *zip(*edges, strict=True))
    await _check_circles(database, [child for _, child, run in tied if run.id != child])
    if settled:
        await database.change("enqueue_settle", *zip(*settled, strict=True))
        await _leave(database, [run for run, state, _, _ in settled if state == CANCELLED])


def _parents_of(run: NewRun) -> list[str]:
    return list(dict.fromkeys(run.terms.depends_on)) if run.terms is not None else []


async def _check_circles(database: Database, replaced: Sequence[str]) -> None:
    """Only a run that was there before can be made to wait for one that waits for it."""
    for child in replaced:
        parent = await database.value("edges_circle", child)
        if parent is not None:
            raise RequestError(
                f"depends_on: run {parent} itself waits for run {child}, which would be replaced and wait for it"
            )


def _state_at_entrance(
    child: str, run: NewRun, states: Mapping[str, int], edges: list[tuple[str, str, bool, str]]
) -> tuple[int, str | None, float | None] | None:
    """(state, reason, finished) of a run that need not wait; its edges are added to ``edges``."""
    terms = run.terms or Terms()
    is_open, failed = False, None
    for parent in _parents_of(run):
        state = states[parent]
        edges.append((child, parent, state <= RUNNING, terms.on_parent_failure))
        is_open = is_open or state <= RUNNING
        if state > COMPLETED and failed is None:
            failed = parent
    if failed is not None and terms.on_parent_failure == "cancel":
        return CANCELLED, reason_of(failed, states[failed]), run.enqueued
    if is_open:
        return None
    return CODE_OF["queued" if run.due <= run.enqueued else "scheduled"], None, None


def reason_of(parent: str, state: int) -> str:
    return f"depends on {parent}, which {'has ' if state_name(state) in ('failed', 'expired') else 'was '}{state_name(state)}"


async def let_go(database: Database, parents: Sequence[Parent], now: float) -> Freed:
    """Sees to what depends on runs that have ended: children in the order of their ids."""
    cancelled: list[Cancelled] = []
    freed = False
    while parents:
        states = {parent.id: parent.state for parent in parents}
        ids = sorted(states)
        # The children are locked first: of two parents that end at one moment the later one sees that the other has.
        children: list[str] = await database.value("children_lock", ids) or []
        if not children:
            break
        closed = await database.rows("edges_close", ids)
        doomed: dict[str, str] = {}
        for child, parent, on_failure in closed:
            if on_failure == "cancel" and states[parent] > COMPLETED:
                doomed[child] = min(parent, doomed.get(child, parent))
        parents = []
        if doomed:
            order = sorted(doomed)
            reasons = [reason_of(doomed[child], states[doomed[child]]) for child in order]
            gone = [_cancelled_of(row) for row in await database.rows("children_cancel", order, reasons, now)]
            cancelled += gone
            parents = [Parent(one.ended.id, CANCELLED) for one in gone if one.has_children]
        waiting = sorted({child for child, _, _ in closed} - doomed.keys())
        if waiting and await database.change("children_free", waiting, now):
            freed = True
    await _leave(database, [one.ended.id for one in cancelled])
    return Freed(freed, cancelled)


async def _leave(database: Database, cancelled: Sequence[str]) -> None:
    """They wait for nobody any more, and keep no unique key."""
    if cancelled:
        await database.change("edges_leave", cancelled)
        await database.change("unique_period_end", cancelled)


def _cancelled_of(row: Sequence[Any]) -> Cancelled:
    run_id, job, queue, schedule, has_children = row
    ended = Ended(run_id, job, queue, state_name(BLOCKED), state_name(CANCELLED))
    return Cancelled(ended, schedule, has_children)
