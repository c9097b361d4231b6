"""What the tests of the SQLite store share: runs, kernels, and other processes that use the same file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kernel.contracts.store import Claim, KernelRow
from kernel.model.run import Change, Claimed, IdSource, NewRun, Run, RunExtra, urgency_of

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from plugins.sqlite.store import SqliteStore

T = TypeVar("T")
NOW = 1_800_000_000.0
JOB = "fleet.sync"
KERNEL = KernelRow("kernel-1", 101, "host", "boot", NOW, NOW, "/run/kernel-1.sock")
PROJECT = Path(__file__).parents[4]
_ids = IdSource()


def new(
    run_id: str | None = None, *, job: str = JOB, queue: str = "default", payload: str = "{}", **extra: object
) -> NewRun:
    return NewRun(
        run_id or _ids.one(), job, queue, 5, payload, "queued", NOW, NOW, urgency_of(NOW, 5),
        RunExtra(**extra) if extra else None,  # type: ignore[arg-type] # fields of RunExtra, as the test names them
    )  # fmt: skip


def news(count: int, **options: object) -> list[NewRun]:
    return [new(**options) for _ in range(count)]  # type: ignore[arg-type] # as for ``new``


def ask(limit: int = 1000, *, kernel: str = KERNEL.id) -> Claim:
    return Claim(kernel, NOW, limit, {JOB: 1000}, {})


def completed(run: Claimed) -> Change:
    return Change(run.id, run.token, "completed", run.due, run.urgency, run.attempt, run.failures, NOW)


def queued_again(run: Run) -> Change:
    return Change(run.id, run.token, "queued", run.due, run.urgency, run.attempt, run.failures, losses=run.losses + 1)


def look_into(path: Path, sql: str) -> list[Any]:
    """What the sqlite3 shell would show."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def child(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Another Python process of this project; it reads stdin and writes lines."""
    return subprocess.Popen(
        [sys.executable, "-c", _PRELUDE + script, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT,
    )  # fmt: skip


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that the process writes, or an empty text when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], text: str = "go") -> None:
    assert process.stdin is not None
    process.stdin.write(text + "\n")
    process.stdin.flush()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()


def vm_steps(store: SqliteStore, sql: str, *values: object) -> int:
    """About how many instructions SQLite needs for a statement: the same on every machine."""
    assert store._writer is not None
    connection = store._writer.files.opened().writer.connection
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 10
        return 0

    connection.set_progress_handler(count, 10)
    try:
        connection.execute(sql, values).fetchall()
    finally:
        connection.set_progress_handler(None, 0)
    return steps


async def work_of(store: SqliteStore, call: Awaitable[T]) -> tuple[T, int]:
    """What a call answers, and about how many instructions SQLite needed for it."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 10
        return 0

    # On the writer's thread: SQLite would hold this one, and the interpreter with it, until the writer's statement ends,
    # which waits for the interpreter.
    await store._write(lambda database: database.connection.set_progress_handler(count, 10))
    try:
        return await call, steps
    finally:
        await store._write(lambda database: database.connection.set_progress_handler(None, 0))


async def statements_of(store: SqliteStore, call: Awaitable[object]) -> list[str]:
    """The statements that the writer carries out for a call, those of the transaction left out."""
    seen: list[str] = []
    await store._write(lambda database: database.connection.set_trace_callback(seen.append))
    try:
        await call
        found = list(seen)
    finally:
        await store._write(lambda database: database.connection.set_trace_callback(None))
    seen = found
    return [text for text in seen if not text.startswith(("BEGIN", "COMMIT", "PRAGMA"))]


_PRELUDE = """
import asyncio, os, resource, sys
from tests.unit.plugins.sqlite.sqlite_samples import *
from plugins.sqlite.store import SqliteStore
"""
