"""The store of ``memory://``: what every store promises, but for durability and other processes."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

from kernel.contracts.store import KernelRow, Member, QueueRow, RunQuery, Signals
from kernel.model.run import RunState
from kernel.model.schedule import newest

from .breakers import Breakers
from .runs import Runs
from .schedules import Ledger, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kernel.contracts.store import (
        Announced,
        AttemptRow,
        BreakerRow,
        Claim,
        Claims,
        Edge,
        Ended,
        Entry,
        Finishes,
        Look,
        Looked,
        RunLog,
        Unfinished,
    )  # fmt: skip
    from kernel.model.job import Keep
    from kernel.model.rate import RateLimit
    from kernel.model.run import Change, NewRun, Run
    from kernel.model.schedule import ScheduleRow, Tick


class MemoryStore:
    """Every call is carried out at once, without giving way: so it is one transaction, in order with the others."""

    def __init__(self, url: str = "memory://") -> None:
        self._url = url
        self._runs = Runs()
        self._rows = Rows()
        self._ledger = Ledger()
        self._kernels: dict[str, KernelRow] = {}
        self._announced: list[Announced] = []
        self._pauses: dict[str, float] = {}
        self._breakers = Breakers()
        self._queue_changes = 0
        self._values: dict[str, dict[str, str]] = {}

    @property
    def url(self) -> str:
        return self._url

    @property
    def is_durable(self) -> bool:
        return False

    @property
    def is_shared(self) -> bool:
        return False

    @property
    def may_start(self) -> bool:
        return True

    @property
    def lease_losses(self) -> int:
        return 0

    @property
    def clock_offset(self) -> float:
        return 0.0

    async def open(self, kernel: KernelRow | None) -> None:
        if kernel is not None:
            self._kernels[kernel.id] = kernel

    async def rescue(
        self,
        kernel: str,  # noqa: ARG002 - what a dead kernel had is gone with it
        decide: Callable[[KernelRow | None, Sequence[Run]], Sequence[Change]],  # noqa: ARG002 - as above
    ) -> list[Run]:
        return []

    async def close(self) -> None:
        self._kernels.clear()

    def on_change(self, callback: Callable[[], None]) -> None:
        """No other process can change it."""

    async def signals(self) -> Signals:
        return Signals(self._rows.changes, self._queue_changes, self._runs.wishes, self._breakers.changes)

    # The way of a run

    async def enqueue(self, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
        return self._runs.enqueue(runs, room)

    async def claim(self, claim: Claim) -> Claims:
        return self._runs.claim(claim)

    async def finish(self, changes: Sequence[Change]) -> Finishes:
        return self._runs.finish(changes)

    async def record(self, entries: Sequence[Entry]) -> list[bool]:
        return self._runs.record(entries)

    async def attempts(self, run: str) -> list[AttemptRow]:
        return self._runs.records.attempts(run)

    async def steps(self, run: str) -> dict[str, str]:
        return self._runs.records.steps(run)

    async def log(self, run: str) -> RunLog:
        return self._runs.records.log(run)

    async def stick(self, ids: Sequence[str]) -> None:
        self._runs.stick(ids)

    async def cancel(self, ids: Sequence[str], reason: str, now: float) -> list[Ended]:
        return self._runs.cancel(ids, reason, now)

    async def cancels(self, kernel: str) -> list[tuple[str, int, str]]:
        return self._runs.cancels(kernel)

    async def retry(self, ids: Sequence[str], now: float) -> list[Ended]:
        return self._runs.retry(ids, now)

    async def release(self, kernel: str) -> list[Run]:
        return self._runs.release(kernel)

    # Reading

    async def runs(self, query: RunQuery) -> list[Run]:
        return list(islice(self._runs.read.runs(query), query.limit))

    async def edges(self, runs: Sequence[str]) -> list[Edge]:
        return self._runs.edges.of(runs)

    async def rate_room_at(self, kind: str, name: str, key: str, limit: RateLimit, now: float) -> float:
        return self._runs.rates.room_at((kind, name, key), limit, now)

    async def count(self, query: RunQuery) -> dict[str, int]:
        return self._runs.read.count(query)

    async def prune(self, keep: Mapping[str, Keep], default: Keep, ticks_before: float, now: float, limit: int) -> int:
        self._runs.unique.tidy(now)
        self._runs.rates.tidy(now)
        return self._runs.ended.prune(keep, default, now, limit) + self._ledger.prune(ticks_before, limit)

    # Queues

    async def queues(self) -> list[QueueRow]:
        return self._runs.queues(self._pauses)

    async def pause_queue(self, queue: str, until: float | None) -> None:
        self._queue_changes += 1
        if until is None:
            self._pauses.pop(queue, None)
        else:
            self._pauses[queue] = until

    # Breakers

    async def breakers(self) -> list[BreakerRow]:
        return self._breakers.all()

    async def put_breaker(self, row: BreakerRow) -> bool:
        return self._breakers.put(row)

    # Schedules

    async def schedules(self, names: Sequence[str] | None = None) -> list[ScheduleRow]:
        rows = self._rows.by_name
        return sorted(rows.values()) if names is None else [rows[name] for name in sorted({*names}) if name in rows]

    async def put_schedules(self, rows: Sequence[ScheduleRow], back: bool = False) -> list[bool]:
        return self._rows.put(rows, back=back)

    async def remove_schedules(self, names: Sequence[str]) -> None:
        self._rows.remove(names)

    async def pause_schedule(self, name: str, paused: bool | None) -> bool:
        return self._rows.pause(name, paused)

    async def look(
        self, looks: Sequence[Look], decide: Callable[[Look, Sequence[Unfinished]], Looked]
    ) -> list[Looked | None]:
        answer: list[Looked | None] = [None] * len(looks)
        for turn in _turns(looks):
            # All is decided before anything is done, so that a decision that fails leaves everything as it was.
            decided = {
                number: decide(looks[number], self._runs.unfinished(looks[number].schedule))
                for number in turn
                if self._rows.counts(looks[number])
            }
            for number, looked in decided.items():
                answer[number] = looked
                self._rows.look(looks[number])
                self._runs.carry_out(looked, looks[number].until)
                self._ledger.write(looked.ticks)
        return answer

    async def ticks(self, schedule: str, since: float, until: float, limit: int) -> list[Tick]:
        return self._ledger.between(schedule, since, until, limit)

    async def ticks_of(self, schedules: Sequence[str], since: float, until: float, limit: int) -> list[Tick]:
        return newest([self._ledger.between(name, since, until, limit) for name in sorted({*schedules})], limit)

    # Kernels and what they announce

    async def kernels(self) -> list[KernelRow]:
        return list(self._kernels.values())

    async def members(self) -> list[Member]:
        running = Counter(run.kernel for run in self._runs.read.runs(RunQuery(states=[RunState.RUNNING])))
        rows = sorted(self._kernels.values(), key=lambda row: (row.started, row.id))
        return [Member(row, True, running[row.id]) for row in rows]

    async def beat(self, kernel: str, now: float) -> None:
        if kernel in self._kernels:
            self._kernels[kernel] = self._kernels[kernel]._replace(seen=now)

    async def announce(self, kernel: str, jobs: Sequence[Announced], now: float) -> None:  # noqa: ARG002 - one kernel, here
        self._announced = list(jobs)

    async def announced(self) -> list[Announced]:
        return list(self._announced)

    async def announced_elsewhere(self, kernel: str) -> set[str]:  # noqa: ARG002 - there is no other one
        return set()

    # A small table for plugins

    async def get(self, plugin: str, keys: Iterable[str] | None = None) -> dict[str, str]:
        values = self._values.get(plugin, {})
        return dict(values) if keys is None else {key: values[key] for key in keys if key in values}

    async def put(self, plugin: str, values: Mapping[str, str | None]) -> None:
        table = self._values.setdefault(plugin, {})
        for key, value in values.items():
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value


def _turns(looks: Sequence[Look]) -> list[list[int]]:
    """The numbers of the looks, the first of each schedule together, then the second ones, and so on."""
    turns: list[list[int]] = []
    seen: dict[str, int] = {}
    for number, look in enumerate(looks):
        turn = seen[look.schedule] = seen.get(look.schedule, -1) + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(number)
    return turns
