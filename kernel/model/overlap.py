"""What becomes of a tick while earlier runs of its schedule are unfinished.

Pure: the store asks inside its transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kernel.model.counted import counted
from kernel.model.run import NewRun, RunState
from kernel.model.schedule import Plan, Schedule, Tick

if TYPE_CHECKING:
    from collections.abc import Sequence


class Verdict(NamedTuple):
    """Runs to insert, ledger lines to write, unfinished runs to cancel."""

    runs: tuple[NewRun, ...]
    ticks: tuple[Tick, ...]
    cancel: tuple[str, ...] = ()


def judge(schedule: Schedule, plan: Plan, runs: Sequence[NewRun], unfinished: Sequence[tuple[str, str]]) -> Verdict:
    """``runs`` are made for ``plan.runs``, in order; ``unfinished``: (id, state) of the schedule's earlier runs."""
    if plan.caught_up:
        return _one_after_another(schedule, plan, runs, unfinished)
    if not runs or not unfinished or schedule.overlap == "allow":
        return _all(schedule, plan, runs)
    run = runs[-1]
    first_id, first_state = unfinished[0]
    match schedule.overlap:
        case "skip":
            return _skipped(schedule, plan, f"run {first_id} was {first_state}")
        case "queue":
            blocked = sum(state == RunState.BLOCKED for _, state in unfinished)
            if blocked >= schedule.catch_up_max:
                waiting = counted(blocked, "run of this schedule was", "runs of this schedule were")
                return _skipped(schedule, plan, f"{waiting} waiting already")
            return _all(schedule, plan, (run._replace(state=RunState.BLOCKED),))
        case _:
            running = any(state == RunState.RUNNING for _, state in unfinished)
            mine = run._replace(state=RunState.BLOCKED) if running else run
            cancel = tuple(run_id for run_id, _ in unfinished)
            return _all(schedule, plan, (mine,))._replace(cancel=cancel)


def _one_after_another(
    schedule: Schedule, plan: Plan, runs: Sequence[NewRun], unfinished: Sequence[tuple[str, str]]
) -> Verdict:
    first = 0 if unfinished else 1
    return _all(schedule, plan, (*runs[:first], *(run._replace(state=RunState.BLOCKED) for run in runs[first:])))


def _all(schedule: Schedule, plan: Plan, runs: Sequence[NewRun]) -> Verdict:
    reason = f"{plan.folded} earlier ones folded into it" if plan.folded else None
    lines = (
        Tick(schedule.name, tick, tick, 1, "run", reason, run.id) for tick, run in zip(plan.runs, runs, strict=True)
    )
    return Verdict(tuple(runs), (*plan.ticks, *lines))


def _skipped(schedule: Schedule, plan: Plan, reason: str) -> Verdict:
    lines = (Tick(schedule.name, tick, tick, 1, "skipped", reason) for tick in plan.runs)
    return Verdict((), (*plan.ticks, *lines))
