"""No-op jobs for the benchmarks, and as many schedules as the settings ask for."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from kernel import Context, Unique, cron, hookimpl, job

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


@job(unique=Unique(by=["data"]))
async def unique(data: str) -> None:
    """As ``noop``; each payload once at a time."""


@job(unique=Unique(by=["data"], within="1h"))
async def unique_within(data: str) -> None:
    """As ``noop``; each payload once an hour."""


@job(rate_limit="1000000/1s")
async def rated(data: str) -> None:
    """As ``noop``; under a rate limit that is never reached."""


@job(concurrency=10, concurrency_by="data")
async def keyed(data: str) -> None:
    """As ``noop``; at most ten of one payload at once."""


@job
async def stepping(ctx: Context, data: str) -> None:
    """One step."""
    await ctx.step("only", len, data)


@job
async def logging_one(ctx: Context, data: str) -> None:
    """One line in its log."""
    ctx.log.info("data of %d characters", len(data))


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
        return [
            noop, timed, unique, unique_within, rated, keyed, stepping, logging_one, tick_job(self._settings),
        ]  # fmt: skip
