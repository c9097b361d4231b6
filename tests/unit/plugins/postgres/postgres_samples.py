"""Runs and claims of these days: the database's clock has a say in what may be claimed, and when."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import Announced, Claim, KernelRow, Store
from kernel.model.announcement import describe_job
from kernel.model.queue import Queue
from kernel.model.run import Change, Claimed, IdSource, NewRun, RunExtra, Terms, urgency_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.model.job import Job
    from kernel.model.run import Run

NO_LIMIT: dict[str, int] = {}
_ids = IdSource()


def row(number: int = 1, **fields: Any) -> KernelRow:
    now = time.time()
    return KernelRow(f"kernel-{number}", 100 + number, "host", "boot", now, now, f"/run/{number}.sock")._replace(
        **fields
    )


def new(job: str = "fleet.sync", *, terms: Terms | None = None, **extra: Any) -> NewRun:
    """A run that is due; ``extra``: fields of RunExtra, and queue and priority."""
    now = time.time()
    queue, priority = extra.pop("queue", "default"), extra.pop("priority", 5)
    state = "blocked" if terms is not None and terms.depends_on else "queued"
    return NewRun(
        _ids.one(), job, queue, priority, "{}", state, now, now, urgency_of(now, priority),
        RunExtra(**extra) if extra else None, terms,
    )  # fmt: skip


def ask(kernel: str = "kernel-1", *, limit: int = 1000, jobs: Sequence[str] = ("fleet.sync",), **fields: Any) -> Claim:
    return Claim(kernel, fields.pop("now", time.time()), limit, dict.fromkeys(jobs, 1000), NO_LIMIT)._replace(**fields)


async def claimed(store: Store, kernel: str = "kernel-1", **fields: Any) -> list[Claimed]:
    return (await store.claim(ask(kernel, **fields))).runs


def done(run: Claimed, state: str = "completed", **fields: Any) -> Change:
    final = state in ("completed", "failed", "cancelled")
    values: dict[str, Any] = {"finished": time.time() if final else None, "schedule": run.extra and run.extra.schedule}
    return Change(run.id, run.token, state, run.due, run.urgency, run.attempt, run.failures, **values | fields)


def requeue(_dead: KernelRow | None, runs: Sequence[Run]) -> list[Change]:
    return [
        Change(run.id, run.token, "queued", run.due, run.urgency, run.attempt, run.failures, losses=run.losses + 1)
        for run in runs
    ]


async def announce(store: Store, *jobs: Job, queues: Sequence[Queue] = (), kernel: str = "kernel-1") -> None:
    """As a kernel does that has these."""
    known = {queue.name: queue for queue in queues}
    infos = [(job, describe_job(job, known.get(job.policies.queue, Queue(job.policies.queue)))) for job in jobs]
    await store.announce(
        kernel,
        [Announced(job.name, job.plugin, job.policies.queue, json.dumps(info)) for job, info in infos],
        time.time(),
    )
