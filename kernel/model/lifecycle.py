"""What follows from an outcome: pure, so that it can be read, tested and drawn.

scheduled --due--> queued --claim--> running --completed--> completed
                      ^                 |------ cancelled--> cancelled
blocked --others end--|                 |------ failed ----> failed      (attempts used up, or given up)
                      |                 |------ failed ----> retrying --due--> queued
                      |                 |------ snoozed ---> scheduled --due--> queued
                      '--- interrupted, not begun ----------'
scheduled, blocked, queued, retrying: --cancel--> cancelled, --expires--> expired (not once it has begun)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kernel.model.outcome import Cancelled, Completed, Failed, Interrupted, NotBegun, Outcome, Snoozed
from kernel.model.run import COMPLETED, Change, Claimed, RunState, change_of, urgency_of

if TYPE_CHECKING:
    from kernel.model.retry import Retry

SNOOZED = "snoozed"
"""The reason of a run that has put itself off."""
INTERRUPTED, LOST = "interrupted", "lost"
"""What became of an attempt that was cut short by its kernel's end: by one in order, and by its death."""


def settle(run: Claimed, outcome: Outcome, retry: Retry, now: float, spread: float) -> Change:
    """The change that ``outcome`` makes to ``run``; ``now`` in epoch seconds, ``spread`` in [0, 1) for the jitter."""
    if type(outcome) is Completed:  # nearly all of them: before the patterns, which take longer
        notes = json.dumps(outcome.notes) if outcome.notes else None
        schedule = run.extra.schedule if run.extra else None
        return change_of(
            (run.id, run.token, COMPLETED, run.due, run.urgency, run.attempt, run.failures,
             now, outcome.result, None, None, notes, schedule, 0, None)
        )  # fmt: skip
    match outcome:
        case Cancelled(reason):
            return _end(run, RunState.CANCELLED, now, reason=reason)
        case Snoozed(wait):
            return _again(run, RunState.SCHEDULED, now + wait, now, reason=SNOOZED)
        case Interrupted(reason):
            return _again(run, RunState.QUEUED, run.due, now, reason=reason)
        case NotBegun(reason):
            again = _again(run, RunState.QUEUED, run.due, None, reason=reason)
            return again._replace(attempt=run.attempt - 1, losses=None)
        case Failed():
            return _after_failure(run, outcome, retry, now, spread)
        case _:
            raise TypeError(f"{outcome!r} is no outcome")


def _after_failure(run: Claimed, failed: Failed, retry: Retry, now: float, spread: float) -> Change:
    failures = run.failures + 1
    error = failed.failure.as_text()
    if failures >= retry.attempts or not failed.may_retry:
        reason = "attempts used up" if failed.may_retry else "given up"
        return _end(run, RunState.FAILED, now, error=error, reason=reason)._replace(failures=failures)
    wait = failed.wait_seconds
    if wait is None:
        wait = max(retry.wait_after(failures, spread), failed.at_least_seconds)
    return _again(run, RunState.RETRYING, now + wait, now, error=error)._replace(failures=failures)


def _end(
    run: Claimed,
    state: RunState,
    now: float,
    *,
    error: str | None = None,
    reason: str | None = None,
) -> Change:
    schedule = run.extra.schedule if run.extra else None
    return Change(
        run.id, run.token, state, run.due, run.urgency, run.attempt, run.failures,
        now, None, error, reason, None, schedule,
    )  # fmt: skip


def _again(
    run: Claimed,
    state: RunState,
    due: float,
    ended: float | None,
    *,
    error: str | None = None,
    reason: str | None = None,
) -> Change:
    urgency = run.urgency if due == run.due else urgency_of(due, run.priority)
    return Change(
        run.id, run.token, state, due, urgency, run.attempt, run.failures,
        None, None, error, reason, None, run.extra.schedule if run.extra else None, ended=ended,
    )  # fmt: skip


def outcome_of(change: Change) -> str | None:
    """What became of the attempt that this change ends, in a word; None when it completed, or never began."""
    if change.state == COMPLETED or (change.ended is None and change.finished is None):
        return None
    match change.state:
        case RunState.SCHEDULED:
            return SNOOZED if change.reason == SNOOZED else LOST
        case RunState.QUEUED:
            return INTERRUPTED if change.losses == 0 else LOST
        case RunState.FAILED if change.reason == LOST:
            return LOST
        case state:
            return str(state)
