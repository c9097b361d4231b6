"""No-op jobs for the benchmarks, and as many schedules as the settings ask for."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from kernel import Context, cron, hookimpl, job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

started: list[float] = []
"""When each timed run began, by the clock of ``time.time``."""
has_started = asyncio.Event()
lateness: list[float] = []


class Settings(BaseModel):
    """``many`` schedules of periods from 1 to 60 s; ``idle``: they are due in a far month instead."""

    many: int = 0
    idle: bool = False


@job
async def noop(data: str) -> None:
    """Does nothing with about 100 bytes."""


@job(queue="timed")
async def timed(data: str) -> None:
    """Notes when it began, and says so."""
    started.append(time.time())
    has_started.set()


def specs(settings: Settings) -> Iterable[tuple[str, str]]:
    """Name and cron expression of each schedule."""
    for number in range(settings.many):
        yield f"s{number}", "0 0 31 12 *" if settings.idle else spread(number)


def spread(number: int) -> str:
    """A period of 1 to 60 s, and a phase within it, so that every second has about as many ticks."""
    period, phase = 1 + number % 60, number // 60
    first = phase % period
    return f"{first}-59/{period} * * * * *" if first + period < 60 else f"{first} * * * * *"


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
