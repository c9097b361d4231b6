"""What plugins have around attempts and enqueueing, as the flow sees it; and the runner for when there is any of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from kernel.model.errors import AttemptError
from kernel.model.outcome import Failed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.flow.context import Context
    from kernel.flow.runner import Runner
    from kernel.model.job import Job
    from kernel.model.outcome import Outcome
    from kernel.model.run import Claimed


class Entered(Protocol):
    """``given``: what the plugins gave when they were entered."""

    @property
    def given(self) -> Sequence[Any]: ...

    async def leave(self, error: BaseException | None) -> None:
        """Raises nothing but CancelledError, when the task is cancelled."""


class Around(Protocol):
    """Plugins that stand around something (kernel/plugin_around.py)."""

    async def enter(self, value: Any) -> Entered:
        """Raises nothing but CancelledError, when the task is cancelled."""


class RunnerWithin:
    """Makes attempts by the ``runner``, with ``around`` around each."""

    def __init__(self, runner: Runner, around: Around) -> None:
        self._runner = runner
        self._around = around

    async def attempt(self, run: Claimed, job: Job, context: Context) -> Outcome:
        """As the runner's."""
        entered = await self._around.enter(context)
        raised: list[BaseException] = []
        try:
            outcome = await self._runner.attempt(run, job, context, raised)
        except asyncio.CancelledError as error:
            await entered.leave(error)
            raise
        await entered.leave(raised[0] if raised else _told_by(outcome))
        return outcome

    def kill(self, run_id: str) -> bool:
        return self._runner.kill(run_id)


def _told_by(outcome: Outcome) -> BaseException | None:
    """An error for an attempt that was made elsewhere, and has left none."""
    if isinstance(outcome, Failed):
        return AttemptError(f"{outcome.failure.type}: {outcome.failure.message}")
    return None
