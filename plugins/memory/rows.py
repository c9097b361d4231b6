"""What is kept of a run in each part of its life, and the ``Run`` that a reader is shown."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel.model.run import Change, Claimed, Run, RunExtra, RunState

if TYPE_CHECKING:
    from collections.abc import Callable


class Marks(NamedTuple):
    """What few running runs have: an earlier attempt's failure, a wish to cancel, the mark of being stuck."""

    error: str | None = None
    cancel_reason: str | None = None
    stuck: bool = False


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

NO_MARKS = Marks()
# A NamedTuple's own constructor costs three times as much, and a run passes 100,000 times a second.
_claimed: Callable[[tuple[object, ...]], Claimed] = partial(tuple.__new__, Claimed)


def held_by(kernel: str, now: float, run: Waits) -> Held:
    """The waiting ``run``, claimed."""
    if isinstance(run, Run):
        counted = (run.token + 1, run.attempt + 1, run.failures)
        claimed = _claimed((*run[:5], run.enqueued, run.due, run.urgency, *counted, run.extra))
        marks = Marks(run.error_text, run.cancel_reason)
        return claimed, kernel, now, None if marks == NO_MARKS else marks
    run_id, job, queue, priority, payload, _, enqueued, due, urgency, extra = run
    return _claimed((run_id, job, queue, priority, payload, enqueued, due, urgency, 1, 1, 0, extra)), kernel, now, None


def marked(held: Held, *, cancel_reason: str | None = None, stuck: bool = False) -> Held:
    """The same with a mark more."""
    claimed, kernel, now, marks = held
    error, reason, was_stuck = marks or NO_MARKS
    return claimed, kernel, now, Marks(error, reason if cancel_reason is None else cancel_reason, was_stuck or stuck)


def running(held: Held) -> Run:
    claimed, kernel, started, marks = held
    error, cancel_reason, stuck = marks or NO_MARKS
    return Run(
        *claimed[:5], RunState.RUNNING, claimed.enqueued, claimed.due, claimed.urgency, claimed.extra, claimed.token,
        claimed.attempt, claimed.failures, kernel, started, error_text=error, cancel_reason=cancel_reason, stuck=stuck,
    )  # fmt: skip


def changed(held: Held, change: Change) -> Run:
    """The row of a run that was held, after ``change``."""
    claimed, kernel, started, marks = held
    error, cancel_reason, _ = marks or NO_MARKS
    return Run(
        *claimed[:5], change.state, claimed.enqueued, change.due, change.urgency, claimed.extra, claimed.token,
        change.attempt, change.failures, kernel, started, change.finished, change.result,
        error if change.error is None else change.error, change.reason, change.notes, cancel_reason,
    )  # fmt: skip


def with_state(run: Waits, state: str) -> Waits:
    return run._replace(state=state) if isinstance(run, Run) else (*run[:5], state, *run[6:])


def waiting(run: Waits) -> Run:
    return run if isinstance(run, Run) else Run(*run)


def ended(done: Done) -> Run:
    return done if isinstance(done, Run) else changed(done[1], done[0])


def end_of(done: Done) -> End:
    return done if isinstance(done, Run) else done[0]
