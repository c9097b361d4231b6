"""What becomes of a tick while earlier runs of its schedule are unfinished. Pure: the store asks inside its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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
    """``runs`` are those of ``plan.runs``, in its order; ``unfinished`` the (id, state) of earlier runs of the schedule."""
    if plan.caught_up:
        return _one_after_another(plan, runs, unfinished)
    if not runs or not unfinished or schedule.overlap == "allow":
        return _all(plan, runs)
    run = runs[-1]
    first_id, first_state = unfinished[0]
    match schedule.overlap:
        case "skip":
            return _skipped(schedule, plan, run, f"run {first_id} was {first_state}")
        case "queue":
            blocked = sum(state == RunState.BLOCKED for _, state in unfinished)
            if blocked >= schedule.catch_up_max:
                return _skipped(schedule, plan, run, f"{blocked} runs of this schedule were waiting already")
            return _all(plan, (run._replace(state=RunState.BLOCKED),))
        case _:
            running = any(state == RunState.RUNNING for _, state in unfinished)
            mine = run._replace(state=RunState.BLOCKED) if running else run
            return _all(plan, (mine,))._replace(cancel=tuple(run_id for run_id, _ in unfinished))


def _one_after_another(plan: Plan, runs: Sequence[NewRun], unfinished: Sequence[tuple[str, str]]) -> Verdict:
    first = 0 if unfinished else 1
    return _all(plan, (*runs[:first], *(run._replace(state=RunState.BLOCKED) for run in runs[first:])))


def _all(plan: Plan, runs: Sequence[NewRun]) -> Verdict:
    lines = tuple(_line(run, plan.folded) for run in runs)
    return Verdict(tuple(runs), plan.ticks + lines)


def _line(run: NewRun, folded: int) -> Tick:
    assert run.extra is not None
    assert run.extra.tick is not None
    reason = f"{folded} earlier ones folded into it" if folded else None
    return Tick(run.extra.schedule or "", run.extra.tick, run.extra.tick, 1, "run", reason, run.id)


def _skipped(schedule: Schedule, plan: Plan, run: NewRun, reason: str) -> Verdict:
    tick = run.extra.tick if run.extra and run.extra.tick is not None else run.due
    return Verdict((), (*plan.ticks, Tick(schedule.name, tick, tick, 1, "skipped", reason)))
