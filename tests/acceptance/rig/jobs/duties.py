"""Jobs of which the store keeps more than how they end: steps, progress, logs, breakers, keys, rates and dependencies.

Each writes down that it has begun, and as deeds what it does within the attempt, so that a kill shows what was broken.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from kernel import Breaker, Context, Retry, Unique, hookimpl, job

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel import Kernel

LIFE = int(os.environ["CHORES_LIFE"])
ONCE = Retry(attempts=1)
KERNELS: list[Kernel] = []
"""The one that has started this plugin."""


def write(file: str, what: str, run: str, attempt: int, name: str) -> None:
    """What was written is there after SIGKILL: the file is the system's, not the process's."""
    opened = os.open(os.environ[file], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(opened, f"{time.monotonic():.6f} {what} {run} {attempt} {name}\n".encode())
    os.close(opened)


def begun(ctx: Context) -> None:
    write("CHORES_JOURNAL", "begun", ctx.run.id, ctx.attempt, ctx.run.job)


def did(ctx: Context, what: str) -> None:
    write("CHORES_DEEDS", what, ctx.run.id, ctx.attempt, ctx.run.job)


@job()
async def stepwise(ctx: Context) -> list[int]:
    begun(ctx)
    results = []
    for number in range(4):
        results.append(await ctx.step(f"step-{number}", one_step, ctx, number))
        did(ctx, f"kept-{number}")
    return results


async def one_step(ctx: Context, number: int) -> int:
    did(ctx, f"does-{number}")
    await asyncio.sleep(0.01)
    return ctx.attempt


@job()
def stepwise_thread(ctx: Context) -> list[int]:
    begun(ctx)
    results = []
    for number in range(3):
        results.append(ctx.step(f"step-{number}", one_step_of_thread, ctx, number))
        did(ctx, f"kept-{number}")
    return results


def one_step_of_thread(ctx: Context, number: int) -> int:
    did(ctx, f"does-{number}")
    time.sleep(0.01)
    return ctx.attempt


@job()
async def telling(ctx: Context) -> None:
    begun(ctx)
    for number in range(4):
        ctx.log.info("line-%d", number)
        await ctx.progress(number / 4)
        await asyncio.sleep(0.02)
    await ctx.progress(1.0, "all told")


@job(
    retry=ONCE,
    breaker=Breaker("partner", failure_threshold=2, recovery_timeout="300ms", success_threshold=2),
)
async def asking(ctx: Context, life: int, fails: bool) -> None:
    """Fails only in the life in which it was wished for: what is left over must not keep the breaker open."""
    begun(ctx)
    await asyncio.sleep(0.02)
    did(ctx, "over")
    if fails and life == LIFE:
        raise ConnectionError("the partner does not answer")


@job(unique=Unique(by=["key"], within="300ms"))
async def alone(ctx: Context, key: str) -> None:
    begun(ctx)
    await asyncio.sleep(0.02)


@job(rate_limit="6/500ms")
async def rated(ctx: Context) -> None:
    begun(ctx)


@job(concurrency=1, concurrency_by="key", rate_limit="6/500ms", rate_limit_by="key")
async def keyed(ctx: Context, key: str) -> None:
    begun(ctx)
    await asyncio.sleep(0.02)
    did(ctx, "over")


@job(retry=ONCE)
async def parent(ctx: Context, fails: bool) -> None:
    begun(ctx)
    await asyncio.sleep(0.1 if fails else 0.02)
    did(ctx, "over")
    if fails:
        raise ValueError("its children are to be cancelled")


@job()
async def child(ctx: Context, parents: list[str]) -> None:
    begun(ctx)
    did(ctx, "over")


@job(concurrency=1)
async def counting(ctx: Context) -> None:
    """Counts in the plugin's own table. Not as the plugin starts: one in which starts die is taken for broken."""
    begun(ctx)
    values = KERNELS[-1].values("duties")
    number = (await values.get("count")).get("count", 0) + 1
    write("CHORES_DEEDS", "counts", "-", number, "duties")
    await values.put({"count": number})
    write("CHORES_DEEDS", "counted", "-", number, "duties")


JOBS: list[Callable[..., Any]] = [
    stepwise,
    stepwise_thread,
    telling,
    asking,
    alone,
    rated,
    keyed,
    parent,
    child,
    counting,
]


@hookimpl
def register_jobs() -> list[Callable[..., Any]]:
    return JOBS


@hookimpl
async def start(kernel: Kernel) -> None:
    KERNELS.append(kernel)
