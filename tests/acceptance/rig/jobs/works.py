"""Work for many kernels: pieces that write down when they begin and when they are over, and two ticks a second."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from kernel import Context, every, hookimpl, job

if TYPE_CHECKING:
    from collections.abc import Callable


LONG_AT_ONCE = 4


def write(file: str, what: str, ctx: Context) -> None:
    """What was written is there after SIGKILL: the file is the system's, not the process's."""
    opened = os.open(os.environ[file], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(opened, f"{time.monotonic():.6f} {what} {ctx.run.id} {ctx.attempt} {ctx.run.job}\n".encode())
    os.close(opened)


@job()
async def piece(ctx: Context, seconds: float) -> int:
    """Which attempt it was that is recorded."""
    write("CHORES_JOURNAL", "begun", ctx)
    await asyncio.sleep(seconds)
    write("CHORES_DEEDS", "over", ctx)
    return ctx.attempt


@job(concurrency=LONG_AT_ONCE, concurrency_scope="kernel")
async def long(ctx: Context, seconds: float) -> int:
    """Of these each kernel has a few, whatever the others take."""
    return await piece(ctx, seconds)


@every("1s", catch_up="all", catch_up_max=1000, overlap="allow")
async def beat(ctx: Context) -> int:
    """Each of its ticks makes a run, however late."""
    write("CHORES_JOURNAL", "begun", ctx)
    write("CHORES_DEEDS", "over", ctx)
    return ctx.attempt


@every("1s")
async def pulse(ctx: Context) -> int:
    """Of late ticks one run is made."""
    write("CHORES_JOURNAL", "begun", ctx)
    write("CHORES_DEEDS", "over", ctx)
    return ctx.attempt


JOBS: list[Callable[..., Any]] = [piece, long, beat, pulse]


@hookimpl
def register_jobs() -> list[Callable[..., Any]]:
    return JOBS
