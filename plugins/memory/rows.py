"""What is kept of a run in each part of its life, and the ``Run`` that a reader is shown."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kernel.model.run import Change, Claimed, NewRun, Run, RunState

if TYPE_CHECKING:
    from collections.abc import Callable

Waits = NewRun | Run
"""A waiting run: as it was enqueued, or as a whole row once it has been claimed before."""

Held = tuple[Claimed, str, float, str | None]
"""A running run: its claim, the kernel, the instant, and the last failure of an earlier attempt."""

Done = tuple[Change | Run, Held | None]
"""A run that has ended: by a change of what was held, or as a whole row. Both say ``id``, ``state`` and ``finished``."""

# A NamedTuple's own constructor costs three times as much, and a run passes 100,000 times a second.
_make: Callable[[tuple[object, ...]], Claimed] = partial(tuple.__new__, Claimed)


def claim_of(run: Waits) -> tuple[Claimed, str | None]:
    """The claim of a waiting run, and its last failure."""
    if type(run) is NewRun:
        run_id, job, queue, priority, payload, _, enqueued, due, urgency, extra = run
        return _make((run_id, job, queue, priority, payload, enqueued, due, urgency, 1, 1, 0, extra)), None
    assert isinstance(run, Run)
    return _make(
        (*run[:5], run.enqueued, run.due, run.urgency, run.token + 1, run.attempt + 1, run.failures, run.extra)
    ), run.error_text


def changed(held: Held, change: Change) -> Run:
    """The row of a run that was held, after ``change``."""
    claimed, kernel, started, error = held
    return Run(
        *claimed[:5], change.state, claimed.enqueued, change.due, change.urgency, claimed.extra, claimed.token,
        change.attempt, change.failures, kernel, started, change.finished, change.result,
        error if change.error is None else change.error, change.reason, change.notes,
    )  # fmt: skip


def running(held: Held) -> Run:
    claimed, kernel, started, error = held
    return Run(
        *claimed[:5], RunState.RUNNING, claimed.enqueued, claimed.due, claimed.urgency, claimed.extra, claimed.token,
        claimed.attempt, claimed.failures, kernel, started, error_text=error,
    )  # fmt: skip


def waiting(run: Waits) -> Run:
    return run if isinstance(run, Run) else Run(*run)


def done(done: Done) -> Run:
    end, held = done
    if isinstance(end, Run):
        return end
    assert held is not None
    return changed(held, end)


def with_state(run: Waits, state: str) -> Waits:
    """The same run, a new object: what is kept of the old one anywhere is out of date by that."""
    return run._replace(state=state)
