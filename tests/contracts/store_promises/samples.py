"""Runs, claims and changes for the promises: plain values around one instant, with ids in order of their numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import Claim, KernelRow, RunQuery, Store
from kernel.model.run import FINAL, Change, Claimed, NewRun, Run, RunExtra, Terms, urgency_of
from kernel.model.schedule import ScheduleRow, Tick

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NOW = 1_800_000_000.0
DAY = 86_400.0
KERNEL = KernelRow("kernel-1", 101, "host", "boot", NOW, NOW, "/run/kernel-1.sock")
OTHER = KernelRow("kernel-2", 102, "host", "boot", NOW + 60, NOW + 60, "/run/kernel-2.sock")
ALL: Mapping[str, int] = {"fleet.sync": 1000, "fleet.wash": 1000, "fleet.nightly": 1000}
NO_LIMIT: Mapping[str, int] = {}


def id_of(number: int) -> str:
    return f"01890000-0000-7000-8000-{number:012d}"


def signed_in(*rows: KernelRow) -> list[KernelRow]:
    """Rows without their instants, which a store with a clock of its own keeps by that one."""
    return [row._replace(started=0.0, seen=0.0) for row in rows]


def new(
    number: int, job: str = "fleet.sync", *, queue: str = "default", priority: int = 5, due: float = NOW,
    state: str = "queued", payload: str = '{"car_id":"42"}', **extra: Any,
) -> NewRun:  # fmt: skip
    """A run with this number's id; ``extra``: fields of RunExtra and of Terms, and when it was enqueued."""
    enqueued = extra.pop("enqueued", NOW)
    terms = {name: extra.pop(name) for name in Terms._fields if name in extra}
    return NewRun(
        id_of(number), job, queue, priority, payload, state, enqueued, due, urgency_of(due, priority),
        RunExtra(**extra) if extra else None, Terms(**terms) if terms else None,
    )  # fmt: skip


def later(number: int, due: float, job: str = "fleet.sync", **options: Any) -> NewRun:
    return new(number, job, due=due, state="scheduled", **options)


def after(number: int, *parents: int, **options: Any) -> NewRun:
    """A run that depends on these."""
    return new(number, state="blocked", depends_on=tuple(id_of(parent) for parent in parents), **options)


def tick_run(number: int, tick: float, *, state: str = "queued", schedule: str = "nightly", **options: Any) -> NewRun:
    """The run of a tick."""
    due = options.pop("due", tick)
    return new(number, "fleet.nightly", due=due, state=state, schedule=schedule, tick=tick, **options)


def ask(
    jobs: Mapping[str, int] = ALL, *, now: float = NOW, limit: int = 1000, queues: Mapping[str, int] = NO_LIMIT,
    before: float | None = None, kernel: str = KERNEL.id, **limits: Any,
) -> Claim:  # fmt: skip
    """``limits``: the other fields of Claim."""
    return Claim(kernel, now, limit, jobs, queues, before, **limits)


async def claim(store: Store, *, now: float = NOW, limit: int = 1000) -> list[Claimed]:
    """Everything that may be claimed."""
    return (await store.claim(ask(now=now, limit=limit))).runs


async def claim_one(store: Store, run: NewRun, *, now: float = NOW) -> Claimed:
    """``run``, enqueued and claimed; nothing else may be waiting."""
    await store.enqueue([run], NO_LIMIT)
    [claimed] = await claim(store, now=now)
    assert claimed.id == run.id
    return claimed


def change(run: Claimed | Run, state: str = "completed", *, at: float = NOW, **fields: Any) -> Change:
    """``run`` goes to ``state`` at this instant; a final one keeps its due instant."""
    final = state in FINAL
    due = fields.pop("due", run.due)
    values: dict[str, Any] = {
        "attempt": run.attempt,
        "failures": run.failures,
        "finished": at if final else None,
        "schedule": run.extra.schedule if run.extra else None,
        **fields,
    }
    return Change(run.id, run.token, state, due, urgency_of(due, run.priority), **values)


def requeue(_dead: KernelRow | None, runs: Sequence[Run]) -> list[Change]:
    """What a rescue may decide: all are queued again, with one loss more."""
    return [change(run, "queued", losses=run.losses + 1) for run in runs]


async def ended(store: Store, run: NewRun, state: str = "completed", *, at: float = NOW, **fields: Any) -> Run:
    """``run``, brought to this final state the way it comes about; nothing else may be waiting."""
    if state == "expired":
        await store.enqueue([run], NO_LIMIT)
        await store.claim(ask({}, now=at))
    elif state == "cancelled":
        await store.enqueue([run], NO_LIMIT)
        await store.cancel([run.id], "no longer needed", at)
    else:
        claimed = await claim_one(store, run, now=max(run.due, NOW))
        await store.finish([change(claimed, state, at=at, **fields)])
    found = await see(store, run.id)
    assert found.state == state
    return found


async def see(store: Store, run_id: str) -> Run:
    """The run as it stands in the store."""
    [run] = await store.runs(RunQuery(ids=[run_id]))
    return run


async def state_of(store: Store, *numbers: int) -> list[str]:
    """The states of these runs, in this order."""
    found = {run.id: str(run.state) for run in await store.runs(RunQuery(limit=1000))}
    return [found.get(id_of(number), "gone") for number in numbers]


def ids(runs: Iterable[NewRun | Claimed | Run]) -> list[str]:
    return [run.id for run in runs]


def numbers(runs: Iterable[NewRun | Claimed | Run]) -> list[int]:
    return [int(run.id[-12:]) for run in runs]


def row(name: str = "nightly", *, looked_until: float = NOW, **fields: Any) -> ScheduleRow:
    values: dict[str, Any] = {"definition": f'{{"name":"{name}"}}', "dynamic": False, "anchor": NOW, **fields}
    return ScheduleRow(name, looked_until=looked_until, **values)


def line(first: float, last: float | None = None, count: int = 1, result: str = "missed", **fields: Any) -> Tick:
    """A ledger line of the nightly schedule."""
    schedule = fields.pop("schedule", "nightly")
    return Tick(schedule, first, first if last is None else last, count, result, **fields)


FOREVER = math.inf
