"""Jobs that do what no job should."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from kernel import Cancel, Context, Retry, Snooze, hookimpl, job

if TYPE_CHECKING:
    from collections.abc import Callable

ONCE = Retry(attempts=1)


def begun(ctx: Context) -> None:
    """What was written is there after SIGKILL: the file is the system's, not the process's."""
    run = ctx.run
    journal = os.open(os.environ["CHORES_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(journal, f"{time.monotonic():.6f} begun {run.id} {ctx.attempt} {run.job}\n".encode())
    os.close(journal)


class DeafError(BaseException):
    """No Exception."""


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise ValueError("I cannot be read")


@job()
async def kind(ctx: Context, filling: str = "") -> str:
    """The only one that does nothing wrong."""
    begun(ctx)
    return "done"


@job(retry=ONCE)
async def patient(ctx: Context, seconds: float) -> None:
    begun(ctx)
    await asyncio.sleep(seconds)


@job(timeout="100ms", retry=ONCE)
async def deaf(ctx: Context) -> None:
    """Swallows cancellation for ever."""
    begun(ctx)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


@job(timeout="100ms", retry=ONCE)
def deaf_thread(ctx: Context) -> None:
    begun(ctx)
    while True:
        time.sleep(3600)


@job(retry=ONCE)
async def blocks(ctx: Context, seconds: float) -> None:
    """Nothing else of the loop gets a turn."""
    begun(ctx)
    time.sleep(seconds)  # noqa: ASYNC251 - that is what it is for


@job(retry=ONCE)
async def raises(ctx: Context, what: str) -> None:
    begun(ctx)
    error = ERRORS[what]()
    raise error


@job(retry=ONCE)
def raises_in_thread(ctx: Context, what: str) -> None:
    begun(ctx)
    error = ERRORS[what]()
    raise error


ERRORS: dict[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "CancelledError": asyncio.CancelledError,
    "BaseException": DeafError,
    "BaseExceptionGroup": lambda: BaseExceptionGroup("both", [SystemExit(1), KeyboardInterrupt()]),
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
    "unreadable": UnreadableError,
    "surrogate": lambda: RuntimeError("\ud800"),
    "NUL": lambda: RuntimeError("a\0b"),
    "cancel with a surrogate": lambda: Cancel("\ud800"),
    "cancel with an endless reason": lambda: Cancel("x" * 10_000_000),
    "endless": lambda: RuntimeError("x" * 10_000_000),
    "snooze for a century": lambda: Snooze("5200w"),
}


@job(retry=ONCE)
async def returns(ctx: Context, what: str) -> Any:
    begun(ctx)
    return RESULTS[what]()


RESULTS: dict[str, Callable[[], Any]] = {
    "NaN": lambda: float("nan"),
    "bytes": lambda: b"\xff",
    "object": object,
    "surrogate": lambda: "\ud800",
    "too much": lambda: "x" * 10_000_000,
    "deep": lambda: _deep(100_000),
    "itself": lambda: CYCLIC,
    "a large number": lambda: 1 << 100_000,
}


def _deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


CYCLIC: list[Any] = []
CYCLIC.append(CYCLIC)


@job(retry=ONCE)
async def exits(ctx: Context) -> None:
    begun(ctx)
    sys.exit(3)


@job(retry=ONCE)
async def exits_behind_the_back(ctx: Context) -> None:
    """By a task of its own, and by a callback of the loop."""
    begun(ctx)

    async def leave() -> None:
        sys.exit(3)

    task = asyncio.create_task(leave())
    asyncio.get_running_loop().call_soon(sys.exit, 4)
    await asyncio.sleep(0.05)
    del task


@job(retry=ONCE)
async def stops_the_loop(ctx: Context) -> None:
    begun(ctx)
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.05)


@job(retry=ONCE)
async def cancels_itself(ctx: Context) -> None:
    begun(ctx)
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0.05)


@job(retry=ONCE)
async def closes_files(ctx: Context) -> None:
    """Standard input, output and error."""
    begun(ctx)
    for number in range(3):
        os.close(number)


@job(retry=ONCE)
async def floods(ctx: Context, count: int) -> None:
    begun(ctx)
    for at in range(0, count, 1000):
        await asyncio.gather(*(ctx.enqueue("hostile.drop", priority=9) for _ in range(at, min(at + 1000, count))))


@job()
async def drop() -> None:
    """One of a flood."""


JOBS: list[Callable[..., Any]] = [
    kind, patient, deaf, deaf_thread, blocks, raises, raises_in_thread, returns, exits, exits_behind_the_back,
    stops_the_loop, cancels_itself, closes_files, floods, drop,
]  # fmt: skip


@hookimpl
def register_jobs() -> list[Callable[..., Any]]:
    return JOBS
