"""Jobs that take their kernel down with them, and one that does not."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from typing import TYPE_CHECKING

from kernel import Context, Retry, hookimpl, job

if TYPE_CHECKING:
    from collections.abc import Callable


def begun(ctx: Context) -> None:
    """What was written is there after SIGKILL: the file is the system's, not the process's."""
    run = ctx.run
    journal = os.open(os.environ["CHORES_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(journal, f"{time.monotonic():.6f} begun {run.id} {ctx.attempt} {run.job}\n".encode())
    os.close(journal)


@job(retry=Retry(attempts=1))
async def leaves(ctx: Context) -> None:
    begun(ctx)
    os._exit(9)


@job(retry=Retry(attempts=1))
def segfaults(ctx: Context) -> None:
    begun(ctx)
    ctypes.string_at(0)


@job(retry=Retry(attempts=1))
async def eats_all_memory(ctx: Context) -> None:
    """What the out-of-memory killer does then."""
    begun(ctx)
    os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(60)


@job(retry=Retry(attempts=1))
async def innocent(ctx: Context, seconds: float = 0.05) -> None:
    begun(ctx)
    await asyncio.sleep(seconds)


JOBS: list[Callable[..., object]] = [leaves, segfaults, eats_all_memory, innocent]


@hookimpl
def register_jobs() -> list[Callable[..., object]]:
    return JOBS
