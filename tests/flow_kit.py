"""An engine over a small store and a clock that is told the time, for tests of the flow."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import KernelRow, Member, RunQuery
from kernel.control import Control
from kernel.flow.catalog import Catalog
from kernel.flow.engine import Engine
from kernel.flow.event_bus import EventBus
from kernel.model.errors import StoreError
from kernel.model.events import Event
from kernel.model.job import declaration_of, declare, make_job
from kernel.model.loss import End, after_loss
from kernel.model.run import FINAL
from kernel.model.schedule import ScheduleRow, make_schedule
from kernel.testing import FakeClock, settle, until
from plugins.memory.store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from kernel.contracts.store import Claim, Claims, Store
    from kernel.model.job import Job
    from kernel.model.queue import Queue
    from kernel.model.run import Change, Run
    from kernel.model.schedule import Schedule, Tick

FAR = 1e12


def job_of(function: Callable[..., Any], plugin: str = "demo", **policies: Any) -> Job:
    """The job ``<plugin>.<function>``; a function without decorators will do."""
    if declaration_of(function) is None:
        declare(function)
    return make_job(plugin, function, policies)


def every(seconds: float, job: str = "demo.work", *, plugin: str | None = "demo", **options: Any) -> Schedule:
    """A schedule named after its job, as a plugin declares it."""
    return make_schedule(options.pop("name", job), job, "every", seconds, plugin=plugin, **options)


def cron(spec: str, job: str = "demo.work", *, plugin: str | None = "demo", **options: Any) -> Schedule:
    return make_schedule(options.pop("name", job), job, "cron", spec, plugin=plugin, **options)


class Flow:
    """One life of an engine. Several may follow one another on the same store and clock."""

    def __init__(
        self,
        jobs: Iterable[Job | Callable[..., Any]] = (),
        schedules: Sequence[Schedule] = (),
        *,
        store: Store | None = None,
        clock: FakeClock | None = None,
        concurrency: int = 10,
        queues: Sequence[Queue] = (),
        name: str = "kernel-1",
        listen: bool = True,
    ) -> None:
        self.clock = clock or FakeClock()
        self.store = store or MemoryStore()
        self.bus = EventBus(self.clock)
        self.catalog = Catalog(queues)
        self.catalog.add([job_of(one) if callable(one) else one for one in jobs])
        self.schedules = schedules
        self.name = name
        self.events: list[Event] = []
        self.off: dict[str, str] = {}
        self._listens = listen
        self.engine = Engine(
            kernel_id=name,
            store=self.store,
            catalog=self.catalog,
            bus=self.bus,
            clock=self.clock,
            concurrency=concurrency,
            why_unknown=lambda schedule: self.off.get(schedule.job, "job unknown"),
        )

    async def start(self, known: Iterable[str] = ()) -> Flow:
        """``known``: plugins that are there beside those of the jobs, and off."""
        now = self.clock.now()
        await self.store.open(KernelRow(self.name, 1, "host", "boot", now, now, ""))
        if self._listens:
            self.bus.subscribe("test", (Event,), self._hear)
        plugins = {job.plugin for job in self.catalog.jobs.values()} | {one.plugin or "" for one in self.schedules}
        plugins |= set(known)
        await self.engine.start(self.schedules, plugins)
        await settle()
        return self

    async def stop(self, grace: float = 0.0) -> bool:
        """Stops it; time goes on while it does, so that a grace can end."""
        stopping = asyncio.ensure_future(self.engine.stop(grace))
        await settle()
        while not stopping.done():
            await self.clock.advance(0.5)
            await asyncio.sleep(0.001)
        await self.bus.close()
        return await stopping

    async def _hear(self, events: Sequence[Event]) -> None:
        self.events += events

    # Doing

    async def cancel(self, *runs: Run, reason: str = "by hand") -> None:
        await self.engine.recorder.cancel([run.id for run in runs], reason)
        await self.engine.watch.refresh()
        await settle()

    async def quiet(self) -> None:
        """Until no look is under way, one that counts in a thread included."""
        await settle()
        await until(lambda: not self.engine.scheduler._looking.locked())
        await settle()

    async def ended(self, run: Run) -> Run:
        """The run once it has ended, without time going on by the clock."""
        return await self.until_state(run, *FINAL)

    async def until_state(self, run: Run, *states: str) -> Run:
        """The run once it is in one of these states; threads are waited for, the clock stands still."""
        deadline = time.monotonic() + 10.0
        while (found := await self.run(run)).state not in states:
            if time.monotonic() > deadline:
                raise AssertionError(f"still {found.state}")
            await asyncio.sleep(0.001)
        return found

    def row(self, schedule: Schedule, **changed: Any) -> ScheduleRow:
        """The row of a schedule that is added while the kernel runs."""
        now = self.clock.now()
        row = ScheduleRow(
            schedule.name, schedule.as_text(), dynamic=True, anchor=schedule.first_tick(now), looked_until=now
        )
        return row._replace(**changed)

    # Asking

    async def enqueue(self, job: str = "demo.work", payload: dict[str, Any] | None = None, **options: Any) -> Run:
        run = await self.engine.intake.enqueue(job, payload, **options)
        await settle()
        return run

    async def run(self, run: Run | str) -> Run:
        [found] = await self.store.runs(RunQuery(ids=[run if isinstance(run, str) else run.id]))
        return found

    async def runs(self, **query: Any) -> list[Run]:
        """Oldest first."""
        return [*reversed(await self.store.runs(RunQuery(limit=100_000, **query)))]

    async def states(self, runs: Iterable[Run]) -> list[str]:
        return [str((await self.run(run)).state) for run in runs]

    async def ticks(self, schedule: str = "demo.work", since: float = 0.0) -> list[Tick]:
        """The schedule's ledger, oldest first."""
        return [*reversed(await self.store.ticks(schedule, since, FAR, 1_000_000))]

    @property
    def control(self) -> Control:
        return Control(
            store=self.store,
            catalog=self.catalog,
            intake=self.engine.intake,
            recorder=self.engine.recorder,
            clock=self.clock,
            engine=self.engine,
        )

    def told(self, kind: type[Event]) -> list[Any]:
        """The events of this kind so far."""
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def running(*jobs: Job | Callable[..., Any], **options: Any) -> AsyncIterator[Flow]:
    """A Flow that is started, and stopped in the end."""
    flow = Flow(jobs, **options)
    await flow.start()
    try:
        yield flow
    finally:
        await flow.stop()


class TroubledStore(MemoryStore):
    """A store whose calls can be made to fail, or to take their time: before they are carried out, or after it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.failing: dict[str, Exception] = {}
        """Call -> what it raises, without having done anything."""
        self.lying: dict[str, Exception] = {}
        """Call -> what it raises after it has done all it should."""
        self.before: dict[str, asyncio.Event] = {}
        self.after: dict[str, asyncio.Event] = {}
        self.fail_at: tuple[int, Exception, bool] | None = None
        """The number of the one call that fails, over all calls; whether it is carried out before."""

    async def carry_out(self, name: str, *given: Any) -> Any:
        self.calls.append(name)
        if name in self.before:
            await self.before[name].wait()
        failing = self.fail_at if self.fail_at is not None and len(self.calls) - 1 == self.fail_at[0] else None
        if failing is not None and not failing[2]:
            raise failing[1]
        if name in self.failing:
            raise self.failing[name]
        answer = await getattr(super(), name)(*given)
        if failing is not None:
            raise failing[1]
        if name in self.lying:
            raise self.lying[name]
        if name in self.after:
            await self.after[name].wait()
        return answer


class SharedStore(TroubledStore):
    """As one that several kernels share: the test says what becomes of the lease, and which kernels have died with what."""

    def __init__(self) -> None:
        super().__init__()
        self.is_renewed = True
        self.losses = 0
        self.offset = 0.0
        self.dead: dict[str, KernelRow | None] = {}
        """Kernel -> its row; None of one that has signed out."""
        self.rescues = 0
        self.after_rescue: Callable[[], None] = lambda: None

    @property
    def is_shared(self) -> bool:
        return True

    @property
    def may_start(self) -> bool:
        return self.is_renewed

    @property
    def lease_losses(self) -> int:
        return self.losses

    @property
    def clock_offset(self) -> float:
        return self.offset

    async def claim(self, claim: Claim) -> Claims:
        if not self.is_renewed:
            raise StoreError("this kernel's lease was not renewed")
        return await super().claim(claim)

    async def members(self) -> list[Member]:
        if "members" in self.failing:
            raise self.failing["members"]
        dead = [Member(row, False, 0) for row in self.dead.values() if row is not None]
        return [*dead, *await super().members()]

    async def rescue(
        self, kernel: str, decide: Callable[[KernelRow | None, Sequence[Run]], Sequence[Change]]
    ) -> list[Run]:
        self.rescues += 1
        if "rescue" in self.failing:
            raise self.failing["rescue"]
        held = await self.runs(RunQuery(states=["running"], limit=1_000))
        taken: list[str] = []
        for name, row in [*self.dead.items()]:
            runs = [run for run in held if run.kernel == name != kernel]
            taken += [run.id for run in runs]
            taken += [one.id for one in (await self.finish(decide(row, runs))).cancelled]
            del self.dead[name]
        self.after_rescue()
        return await self.runs(RunQuery(ids=taken, limit=len(taken))) if taken else []

    async def take_over(self, kernel: str) -> None:
        """Another kernel takes this one for dead, and what it has claimed; it signs in again."""
        held = await self.runs(RunQuery(states=["running"], limit=1_000))
        await self.finish(after_loss([run for run in held if run.kernel == kernel], End.CRASH, 0.0))
        self.losses += 1


def _through_trouble(name: str) -> Any:
    async def call(self: TroubledStore, *given: Any) -> Any:
        return await self.carry_out(name, *given)

    return call


for _name in (
    "signals", "enqueue", "claim", "finish", "stick", "cancel", "cancels", "retry", "runs", "prune", "queues",
    "pause_queue", "schedules", "put_schedules", "remove_schedules", "pause_schedule", "look", "beat",
    "record", "steps",
):  # fmt: skip
    setattr(TroubledStore, _name, _through_trouble(_name))
