"""What becomes of runs whose kernel has died."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.model.run import Change, Run, RunState

if TYPE_CHECKING:
    from collections.abc import Sequence


def after_loss(runs: Sequence[Run]) -> list[Change]:
    """Queued again, at once."""
    return [
        Change(
            run.id, run.token, RunState.QUEUED, run.due, run.urgency, run.attempt, run.failures, schedule=run.schedule,
        )
        for run in runs
    ]  # fmt: skip
