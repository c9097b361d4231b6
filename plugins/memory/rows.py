"""What is kept of a run in each part of its life, and the ``Run`` that a reader is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kernel.contracts.store import SUSPECT_LOSSES, AttemptRow
from kernel.model.run import Change, Claimed, Run, RunExtra, RunState, claim_of

if TYPE_CHECKING:
    from kernel.model.run import NewRun


class Marks(NamedTuple):
    """What few running runs have: an earlier attempt's failure, a wish to cancel, the mark of being stuck, progress."""

    error: str | None = None
    cancel_reason: str | None = None
    stuck: bool = False
    progress: float | None = None
    progress_text: str | None = None


Enqueued = tuple[str, str, str, int, str, str, float, float, float, RunExtra | None]
"""A ``NewRun`` as a plain tuple: the garbage collector leaves one of plain values alone. At each of its full turns it
would go through every waiting ``NewRun``: for a million of them that holds the loop up for 400 ms."""

Waits = Enqueued | Run
"""A waiting run: as it was enqueued, or as a whole row once it has been claimed before; their first items are alike."""

ID: Final = 0
JOB: Final = 1
QUEUE: Final = 2
PRIORITY: Final = 3
STATE: Final = 5
DUE: Final = 7
URGENCY: Final = 8
EXTRA: Final = 9

Held = tuple[Claimed, str, float, Marks | None]
"""A running run: its claim, by which kernel, when, and its marks if it has any."""

End = Change | Run
"""How a run ended. Both say ``id``, ``state`` and ``finished``."""

Done = Run | tuple[Change, Held]
"""A run that has ended: as a whole row, or the change and what was held before."""

Keys = tuple[str | None, str | None]
"""The concurrency key and the rate key of a run."""

Place = tuple[str, str, int] | tuple[str, str, int, bool, Keys]
"""Where a queued run stands: queue, job and priority; of one that stands apart also whether it is a suspect, and its
keys."""

NO_MARKS = Marks()
NO_KEYS: Final = (None, None)


def held_by(kernel: str, now: float, run: Waits) -> Held:
    """The waiting ``run``, claimed."""
    if isinstance(run, Run):
        counted = (run.token + 1, run.attempt + 1, run.failures)
        claimed = claim_of((*run[:5], run.enqueued, run.due, run.urgency, *counted, run.extra, run.losses))
        marks = Marks(run.error_text, run.cancel_reason, False, run.progress, run.progress_text)
        return claimed, kernel, now, None if marks == NO_MARKS else marks
    run_id, job, queue, priority, payload, _, enqueued, due, urgency, extra = run
    return (
        claim_of((run_id, job, queue, priority, payload, enqueued, due, urgency, 1, 1, 0, extra, 0)),
        kernel,
        now,
        None,
    )


def wanted_cancelled(held: Held, reason: str) -> Held:
    claimed, kernel, now, marks = held
    return claimed, kernel, now, (marks or NO_MARKS)._replace(cancel_reason=reason)


def stuck(held: Held) -> Held:
    claimed, kernel, now, marks = held
    return claimed, kernel, now, (marks or NO_MARKS)._replace(stuck=True)


def gone_on(held: Held, progress: float, text: str) -> Held:
    """The same with this progress."""
    claimed, kernel, now, marks = held
    return claimed, kernel, now, (marks or NO_MARKS)._replace(progress=progress, progress_text=text)


def running(held: Held) -> Run:
    claimed, kernel, started, marks = held
    error, cancel_reason, is_stuck, progress, text = marks or NO_MARKS
    return Run(
        *claimed[:5], RunState.RUNNING, claimed.enqueued, claimed.due, claimed.urgency, claimed.extra, claimed.token,
        claimed.attempt, claimed.failures, kernel, started, error_text=error, cancel_reason=cancel_reason,
        stuck=is_stuck, losses=claimed.losses, progress=progress, progress_text=text,
    )  # fmt: skip


def changed(held: Held, change: Change) -> Run:
    """The row of a run that was held, after ``change``."""
    claimed, kernel, started, marks = held
    error, cancel_reason, _, progress, text = marks or NO_MARKS
    return Run(
        *claimed[:5], change.state, claimed.enqueued, change.due, change.urgency, claimed.extra, claimed.token,
        change.attempt, change.failures, kernel, started, change.finished, change.result,
        error if change.error is None else change.error, change.reason, change.notes, cancel_reason, False,
        claimed.losses if change.losses is None else change.losses, progress, text,
    )  # fmt: skip


def attempt_of(held: Held, change: Change, outcome: str) -> AttemptRow:
    """The attempt that was held, as ``change`` ends it."""
    claimed, kernel, started, _ = held
    ended = change.finished if change.ended is None else change.ended
    return AttemptRow(claimed.attempt, started, ended or 0.0, outcome, change.error, change.reason, kernel)


def is_apart(run: Waits) -> bool:
    """Whether more than the room of its job and queue may hold a queued run back."""
    return keys_of(run) != NO_KEYS or is_suspect(run)


def is_suspect(run: Waits) -> bool:
    return isinstance(run, Run) and run.losses >= SUSPECT_LOSSES


def keys_of(run: Waits) -> Keys:
    extra = run[EXTRA]
    return NO_KEYS if extra is None else (extra.concurrency_key, extra.rate_key)


def place_of(run: Waits) -> Place:
    place = (run[QUEUE], run[JOB], run[PRIORITY])
    return (*place, is_suspect(run), keys_of(run)) if is_apart(run) else place


def with_state(run: Waits, state: str) -> Waits:
    return run._replace(state=state) if isinstance(run, Run) else (*run[:5], state, *run[6:])


def replaced(run: Waits, newcomer: NewRun, state: str) -> Waits:
    """The waiting ``run`` with what it takes of a newcomer that has the same unique key."""
    old, new = run[EXTRA] or RunExtra(), newcomer.extra or RunExtra()
    extra = old._replace(
        expires=new.expires, tags=new.tags, concurrency_key=new.concurrency_key, rate_key=new.rate_key
    )  # fmt: skip
    if isinstance(run, Run):
        return run._replace(
            queue=newcomer.queue, priority=newcomer.priority, payload_text=newcomer.payload, state=state,
            due=newcomer.due, urgency=newcomer.urgency, extra=extra,
        )  # fmt: skip
    run_id, job, _, _, _, _, enqueued, *_ = run
    return (
        run_id, job, newcomer.queue, newcomer.priority, newcomer.payload, state, enqueued, newcomer.due,
        newcomer.urgency, extra,
    )  # fmt: skip


def waiting(run: Waits) -> Run:
    return run if isinstance(run, Run) else Run(*run)


def ended(done: Done) -> Run:
    return done if isinstance(done, Run) else changed(done[1], done[0])


def end_of(done: Done) -> End:
    return done if isinstance(done, Run) else done[0]
