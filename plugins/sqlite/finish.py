"""What became of claimed runs is written, each fenced by its token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.contracts.store import MOST_ATTEMPTS, SUSPECT_LOSSES, Finishes
from kernel.model.lifecycle import outcome_of
from kernel.model.run import FINAL, RunState

from .database import Redo
from .dependents import NOTHING, follow, somebody_waits
from .limits import KEY, wake
from .rows import CODE_OF
from .unblock import unblock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.model.run import Change, Claimed

    from .database import Database
    from .dependents import Followed


def finish(database: Database, changes: Sequence[Change]) -> Finishes:
    """Takes all changes for live ones and counts; when one is stale, the careful way asks first."""
    if not database.is_careful:
        if _write(database, changes) != len(changes):
            raise Redo
        return Finishes([True] * len(changes), *_follow(database, changes))
    live = _live(database, changes)
    written = [changes[number] for number in sorted(live)]
    _write(database, written)
    return Finishes([number in live for number in range(len(changes))], *_follow(database, written))


def _live(database: Database, changes: Sequence[Change]) -> set[int]:
    """The numbers of the changes that are of running attempts; of two of one claim the first."""
    asked: dict[tuple[str, int], list[Any]] = {}
    for number, change in enumerate(changes):
        asked.setdefault((change.id, change.token), [number, change.id, change.token])
    return set(database.list_each("live", list(asked.values())))


def _write(database: Database, changes: Sequence[Change]) -> int:
    """How many rows were written."""
    completed: list[Sequence[Any]] = []
    others: list[Change] = []
    claimed = database.claimed
    keys = _keys(database, changes) if database.keyed else []
    for change in changes:
        known = claimed.get(change.id)
        if known is not None and _is_plain(change, known[1]):
            del claimed[change.id]
            completed.append((known[0], change.id, change.token, change.finished, change.result))
        else:
            others.append(change)
    written = database.change_each("finish_completed", completed) if completed else 0
    written += _write_others(database, others, keys) if others else 0
    if keys:
        wake(database, KEY, keys)
    return written


def _keys(database: Database, changes: Sequence[Change]) -> list[tuple[str, str]]:
    """The concurrency keys that these no longer hold."""
    keys = []
    for run_id in database.keyed.intersection([change.id for change in changes]):
        database.keyed.remove(run_id)
        known = database.claimed.get(run_id)
        if known is not None and known[1].extra is not None and known[1].extra.concurrency_key is not None:
            keys.append((known[1].job, known[1].extra.concurrency_key))
    return keys


def _is_plain(change: Change, run: Claimed) -> bool:
    """Completed, and nothing else is different from what was claimed."""
    _, token, state, due, urgency, attempt, failures, _, _, error, reason, notes, _, losses, _ = change
    return (
        state == "completed"
        and error is reason is notes is None
        and not losses
        and not run.losses
        and token == run.token
        and attempt == run.attempt
        and failures == run.failures
        and due == run.due
        and urgency == run.urgency
    )


def _write_others(database: Database, changes: Sequence[Change], keys: list[tuple[str, str]]) -> int:
    """Adds to ``keys`` those of runs that this process has not claimed."""
    seqs = {change.id: database.claimed[change.id][0] for change in changes if change.id in database.claimed}
    unknown = [(number, change.id) for number, change in enumerate(changes) if change.id not in seqs]
    if unknown:
        for number, seq, _ in database.list_each("seqs", unknown):
            seqs[changes[number].id] = seq
        keys += [(job, key) for job, key in database.list_each("keys_of", [(run_id,) for _, run_id in unknown])]
    rows = [
        (
            seqs.get(change.id), change.id, change.token, CODE_OF[change.state], change.due, change.urgency,
            change.attempt, change.failures, change.finished, change.result, change.error, change.reason, change.notes,
            change.losses,
        )
        for change in changes
    ]  # fmt: skip
    cancelled = [(change.id,) for change in changes if change.state == RunState.CANCELLED]
    if cancelled:
        database.change_each("period_end", cancelled)
    _write_attempts(database, changes, seqs)
    for change in changes:
        known = database.claimed.pop(change.id, None)
        if change.state not in FINAL:
            database.room.came_back(known[1].queue, 1) if known is not None else database.room.forget()
    return database.change_each("finish", rows, SUSPECT_LOSSES)


def _write_attempts(database: Database, changes: Sequence[Change], seqs: Mapping[str, int]) -> None:
    """What became of attempts that did not complete."""
    told = []
    for change in changes:
        outcome = outcome_of(change)
        if outcome is not None:
            ended = change.finished if change.ended is None else change.ended
            told.append((seqs.get(change.id), change.id, change.token, ended, outcome, change.reason, change.error))
    if told:
        database.change_each("attempt_add", told)
        old = [(one.id, one.attempt - MOST_ATTEMPTS) for one in changes if one.attempt > MOST_ATTEMPTS]
        if old:
            database.change_each("attempt_cut", old)


def _follow(database: Database, changes: Sequence[Change]) -> Followed:
    """What the ends among the changes set going."""
    schedules = {change.schedule for change in changes if change.schedule is not None and change.state in FINAL}
    if not schedules and not somebody_waits(database):
        return NOTHING
    now = max((change.finished or 0.0 for change in changes), default=0.0)
    ended = [(change.id, CODE_OF[change.state]) for change in changes if change.state in FINAL]
    followed = follow(database, ended, now)
    unblock(database, schedules, now)
    return followed
