"""What became of claimed runs is written, each fenced by its token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.model.run import FINAL

from .database import Redo
from .rows import CODE_OF
from .unblock import unblock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.model.run import Change, Claimed

    from .database import Database


def finish(database: Database, changes: Sequence[Change]) -> list[bool]:
    """Takes all changes for live ones and counts; when one is stale, the careful way asks first."""
    if not database.is_careful:
        if _write(database, changes) != len(changes):
            raise Redo
        return [True] * len(changes)
    live = _live(database, changes)
    _write(database, [changes[number] for number in sorted(live)])
    return [number in live for number in range(len(changes))]


def _live(database: Database, changes: Sequence[Change]) -> set[int]:
    """The numbers of the changes that are of running attempts; of two of one claim the first."""
    asked: dict[tuple[str, int], list[Any]] = {}
    for number, change in enumerate(changes):
        asked.setdefault((change.id, change.token), [number, change.id, change.token])
    return set(database.list_each("finish_live", list(asked.values())))


def _write(database: Database, changes: Sequence[Change]) -> int:
    """How many rows were written."""
    completed: list[Sequence[Any]] = []
    others: list[Change] = []
    claimed = database.claimed
    for change in changes:
        known = claimed.get(change.id)
        if known is not None and _is_plain(change, known[1]):
            del claimed[change.id]
            completed.append((known[0], change.id, change.token, change.finished, change.result))
        else:
            others.append(change)
    written = database.change_each("finish_completed", completed) if completed else 0
    written += _write_others(database, others) if others else 0
    ended = {change.schedule for change in changes if change.schedule is not None and change.state in FINAL}
    if ended:
        unblock(database, ended, max(change.finished or 0.0 for change in changes))
    return written


def _is_plain(change: Change, run: Claimed) -> bool:
    """Completed, and nothing else is different from what was claimed."""
    _, token, state, due, urgency, attempt, failures, _, _, error, reason, notes, _, _ = change
    return (
        state == "completed"
        and error is reason is notes is None
        and token == run.token
        and attempt == run.attempt
        and failures == run.failures
        and due == run.due
        and urgency == run.urgency
    )


def _write_others(database: Database, changes: Sequence[Change]) -> int:
    seqs = {change.id: database.claimed[change.id][0] for change in changes if change.id in database.claimed}
    unknown = [(number, change.id) for number, change in enumerate(changes) if change.id not in seqs]
    if unknown:
        for number, seq, _ in database.list_each("seqs", unknown):
            seqs[changes[number].id] = seq
    rows = [
        (
            seqs.get(change.id), change.id, change.token, CODE_OF[change.state], change.due, change.urgency,
            change.attempt, change.failures, change.finished, change.result, change.error, change.reason, change.notes,
        )
        for change in changes
    ]  # fmt: skip
    for change in changes:
        known = database.claimed.pop(change.id, None)
        if change.state not in FINAL:
            database.room.came_back(known[1].queue, 1) if known is not None else database.room.forget()
    return database.change_each("finish", rows)
