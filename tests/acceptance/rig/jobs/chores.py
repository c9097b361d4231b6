"""Jobs of every kind. Each writes down that it has begun, so that after a kill it shows what was lost or doubled."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from kernel import Context, GiveUp, Keep, Retry, Snooze, after, cron, every, hookimpl, job

if TYPE_CHECKING:
    from collections.abc import Callable

LIFE = os.environ["CHORES_LIFE"]


def begun(ctx: Context) -> None:
    """What was written is there after SIGKILL: the file is the system's, not the process's."""
    run = ctx.run
    journal = os.open(os.environ["CHORES_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(journal, f"{time.monotonic():.6f} begun {run.id} {ctx.attempt} {run.job}\n".encode())
    os.close(journal)


@job()
async def quick(ctx: Context, number: int) -> int:
    begun(ctx)
    return number


@job()
def thread(ctx: Context, number: int) -> int:
    begun(ctx)
    return number


@job(retry=Retry(attempts=3, base="30ms"))
async def flaky(ctx: Context) -> None:
    begun(ctx)
    if ctx.run.failures < 1:
        raise ConnectionError("the first time it never works")


@job(retry=Retry(attempts=1))
async def hopeless(ctx: Context) -> None:
    begun(ctx)
    raise GiveUp("it never works")


@job()
async def sleepy(ctx: Context) -> None:
    begun(ctx)
    if ctx.attempt == 1:
        raise Snooze("40ms")


@job(concurrency=20)
async def slow(ctx: Context) -> None:
    begun(ctx)
    await asyncio.sleep(0.3)


@job(keep=Keep(completed="100ms"))
async def fleeting(ctx: Context) -> None:
    """Is pruned soon after it has ended."""
    begun(ctx)


@job(queue="parked", expires="50ms")
async def expiring(ctx: Context) -> None:
    begun(ctx)


@job(timeout="50ms", retry=Retry(attempts=1))
async def stubborn(ctx: Context) -> None:
    """Does not end when it is told to."""
    begun(ctx)
    until = time.monotonic() + 0.4
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.4)
        except asyncio.CancelledError:
            continue


@every("200ms", overlap="skip")
async def ticks_skip(ctx: Context) -> None:
    begun(ctx)
    await asyncio.sleep(0.25)


@every("200ms", overlap="queue", catch_up="all", catch_up_max=3)
async def ticks_queue(ctx: Context) -> None:
    begun(ctx)
    await asyncio.sleep(0.22)


@every("200ms", overlap="allow", catch_up="skip")
async def ticks_allow(ctx: Context) -> None:
    begun(ctx)


@every("200ms", overlap="replace")
async def ticks_replace(ctx: Context) -> None:
    begun(ctx)
    await asyncio.sleep(0.25)


@every("100ms", anchor="finish")
async def ticks_finish(ctx: Context) -> None:
    begun(ctx)


# In each life another definition on the same grid.
@every("200ms", payload={"life": int(LIFE)})
async def ticks_changed(ctx: Context, life: int) -> None:
    begun(ctx)


@cron("* * * * * *")
def ticks_cron(ctx: Context) -> None:
    begun(ctx)


@after("50ms")
async def ticks_start(ctx: Context) -> None:
    begun(ctx)


JOBS: list[Callable[..., Any]] = [
    quick, thread, flaky, hopeless, sleepy, slow, fleeting, expiring, stubborn,
    ticks_skip, ticks_queue, ticks_allow, ticks_replace, ticks_finish, ticks_changed, ticks_cron, ticks_start,
]  # fmt: skip


@hookimpl
def register_jobs() -> list[Callable[..., Any]]:
    return JOBS
