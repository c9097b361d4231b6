"""What becomes of runs whose kernel has died.

A kernel that dies is nearly always innocent of its runs (a deploy, the machine, the out-of-memory killer); a run that
takes its kernel down will do so again. So the first loss costs a run nothing. Lost twice it is a suspect: tried alone,
after a wait, and a crash while one runs is charged to it and to no other. What it costs is never one of its attempts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from kernel.model.run import Change, Failure, RunState, urgency_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from kernel.model.run import Run

SUSPECT_LOSSES = 2
MOST_LOSSES = 5
FIRST_WAIT_SECONDS = 10.0
NEXT_WAIT_SECONDS = 30.0
SETTLED_SECONDS = 10.0
"""How long a kernel has to be up before it tries a suspect: what kills at once has shown itself by then."""


class End(StrEnum):
    """How a kernel came to its end, as another one finds it."""

    CRASH = "its kernel died"
    RESTART = "the machine was restarted"
    ORDER = "its kernel was stopped"


class Machine(NamedTuple):
    """What a kernel ran on; ``boot`` is new after each start of the machine."""

    host: str
    boot: str


def end_of(dead: Machine | None, alive: Collection[Machine]) -> End:
    """How the kernel that ran on ``dead`` came to its end, None when it has signed out; ``alive``: of those that live.

    That a machine was restarted, only a kernel on that machine can know. Where none has come up on it, it was a crash.
    """
    if dead is None:
        return End.ORDER
    if any(one.boot == dead.boot for one in alive):
        return End.CRASH
    return End.RESTART if any(one.host == dead.host for one in alive) else End.CRASH


def after_loss(runs: Sequence[Run], end: End, now: float) -> list[Change]:
    """What becomes of the runs that one kernel had claimed at its end; ``now`` in epoch seconds.

    What somebody wants cancelled ends here: it is not tried any more.
    """
    changes = _changes(runs, end, now)
    return [_as_wanted(run, change, now)._replace(ended=now) for run, change in zip(runs, changes, strict=True)]


def _as_wanted(run: Run, change: Change, now: float) -> Change:
    if run.cancel_reason is None:
        return change
    return change._replace(state=RunState.CANCELLED, finished=now, error=None, reason=run.cancel_reason)


def _changes(runs: Sequence[Run], end: End, now: float) -> list[Change]:
    if end is not End.CRASH:
        return [_again(run, str(end)) for run in runs]
    suspects = {run.id for run in runs if is_suspect(run.losses)}
    if suspects:
        reason = f"{End.CRASH} while {', '.join(sorted(suspects))} was tried alone"
        return [_charged(run, now) if run.id in suspects else _again(run, reason) for run in runs]
    return [_charged(run, now) for run in runs]


def is_suspect(losses: int) -> bool:
    return losses >= SUSPECT_LOSSES


def lost_in_words(losses: int) -> str:
    """`lost with its kernel twice`."""
    return "lost with its kernel" + {1: "", 2: " twice"}.get(losses, f" {losses} times")


def _again(run: Run, reason: str, *, losses: int | None = None) -> Change:
    return Change(
        run.id, run.token, RunState.QUEUED, run.due, run.urgency, run.attempt, run.failures,
        reason=reason, schedule=run.schedule, losses=losses,
    )  # fmt: skip


def _charged(run: Run, now: float) -> Change:
    losses = run.losses + 1
    again = _again(run, lost_in_words(losses), losses=losses)
    if not is_suspect(losses):
        return again
    if losses >= MOST_LOSSES:
        alone = MOST_LOSSES - SUSPECT_LOSSES
        error = Failure(
            "Lost", f"its kernel died {losses} times while it ran, {alone} times of these while it was tried alone"
        )
        return again._replace(state=RunState.FAILED, finished=now, error=error.as_text(), reason="lost")
    due = now + (FIRST_WAIT_SECONDS if losses == SUSPECT_LOSSES else NEXT_WAIT_SECONDS)
    return again._replace(
        state=RunState.SCHEDULED,
        due=due,
        urgency=urgency_of(due, run.priority),
        reason=f"{lost_in_words(losses)}; it is tried alone",
    )
