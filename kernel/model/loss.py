"""What becomes of runs whose kernel has died.

A kernel that dies is nearly always innocent of its runs (a deploy, the machine, the out-of-memory killer); a run that
takes its kernel down will do so again. So the first loss costs a run nothing. Lost twice it is a suspect: tried alone,
after a wait, and a crash while one runs is charged to it and to no other. What it costs is never one of its attempts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from kernel.model.run import Change, Failure, RunState, urgency_of

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def end_of(boot: str | None, boot_now: str) -> End:
    """``boot``: the boot id that the kernel signed in with, None when it has signed out."""
    if boot is None:
        return End.ORDER
    return End.CRASH if boot == boot_now else End.RESTART


def after_loss(runs: Sequence[Run], end: End, now: float) -> list[Change]:
    """What becomes of the runs that one kernel had claimed at its end; ``now`` in epoch seconds."""
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
    # What somebody wants cancelled will not be tried any more: it needs no wait, and has not failed.
    if not is_suspect(losses) or run.cancel_reason is not None:
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
