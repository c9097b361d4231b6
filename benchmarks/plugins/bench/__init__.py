"""No-op jobs for the benchmarks, and as many schedules as the settings ask for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel

from kernel import Context, cron, hookimpl, job

started: list[float] = []
"""When each timed run began, by the clock of ``time.time``."""
lateness: list[float] = []


class Settings(BaseModel):
    """``schedules`` of periods from 1 to 60 s; ``idle``: they are due in a far month instead."""

    schedules: int = 0
    idle: bool = False


@job
async def noop(data: str) -> None:
    """Does nothing with about 100 bytes."""


@job(queue="timed")
async def timed(data: str) -> None:
    """Notes when it began."""
    started.append(time.time())


def specs(settings: Settings) -> Iterable[tuple[str, str]]:
    """Name and cron expression of each schedule."""
    for number in range(settings.schedules):
        period = 1 + number % 60
        seconds = "*" if period == 1 else f"*/{period}" if period < 60 else "0"
        yield f"s{number}", "0 0 31 12 *" if settings.idle else f"{seconds} * * * * *"


def tick_job(settings: Settings) -> Callable[..., Any]:
    """One job that carries all the schedules, and notes how late each run began."""

    async def ticked(ctx: Context) -> None:
        assert ctx.tick is not None
        lateness.append(time.time() - ctx.tick.due_at.timestamp())

    for name, spec in specs(settings):
        ticked = cron(spec, name=name, overlap="allow")(ticked)
    return job(queue="ticks")(ticked)


class Plugin:
    """The plugin."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @hookimpl
    def register_jobs(self) -> list[Callable[..., Any]]:
        return [noop, timed, tick_job(self._settings)]
