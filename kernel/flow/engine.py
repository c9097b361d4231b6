"""Puts the steps together, and starts and stops them in the order in which nothing is lost."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from kernel.contracts.clock import sleep
from kernel.flow.around import RunnerWithin
from kernel.flow.blocking import BlockingJobs
from kernel.flow.breakers import Breakers
from kernel.flow.claimer import Claimer
from kernel.flow.executors import Executors
from kernel.flow.intake import Intake
from kernel.flow.log_capture import LogCapture
from kernel.flow.membership import Membership
from kernel.flow.notebook import Notebook
from kernel.flow.processes import ProcessPool
from kernel.flow.pruner import Pruner
from kernel.flow.ready_queue import Limits, ReadyQueue
from kernel.flow.recorder import Recorder
from kernel.flow.runner import Runner, failure_of
from kernel.flow.scheduler import Scheduler
from kernel.flow.threads import ThreadPool
from kernel.flow.watch import Watch
from kernel.flow.worker_pool import Asked, WorkerPool
from kernel.model.counted import counted
from kernel.model.errors import RequestError, StoreError, printable
from kernel.model.events import Notified
from kernel.model.payload import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence

    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Store
    from kernel.flow.around import Around
    from kernel.flow.catalog import Catalog
    from kernel.flow.context import Context
    from kernel.flow.event_bus import EventBus
    from kernel.model.run import Claimed, Run
    from kernel.model.schedule import Schedule

log = logging.getLogger(__name__)

CANCEL_SECONDS = 2.0
KILL_SECONDS = 0.5
"""The end of these seconds, in which what has not heeded its cancellation is killed, where it can be."""
HURRIED_SECONDS = 1.2
"""After a second signal: the rest of the two seconds is for writing outcomes and closing."""
WRITE_SECONDS = 10.0
_STALL_SECONDS = 10.0
_SHOWN_CHARACTERS = 200


def _no_code(plugin: str) -> str:
    raise RequestError(f"the jobs of {plugin} run in this process only: how another one loads them is not known")


class Engine:
    """The flow of runs over one open store. ``code_of``: how another process loads a plugin (kernel/plugin_copy.py)."""

    def __init__(
        self,
        *,
        kernel_id: str,
        store: Store,
        catalog: Catalog,
        bus: EventBus,
        clock: Clock,
        concurrency: int,
        why_unknown: Callable[[Schedule], str],
        max_result: int = MAX_BYTES,
        code_of: Callable[[str], str] | None = None,
    ) -> None:
        self.store = store
        self.catalog = catalog
        self.bus = bus
        self._clock = clock
        if store.is_shared:  # before anything has asked for the time: later it would be a step
            clock.correct(store.clock_offset)
        self.recorder = Recorder(store, bus, clock)
        self.notebook = Notebook(self.recorder, clock)
        self.breakers = Breakers(kernel_id, store=store, catalog=catalog, recorder=self.recorder, bus=bus, clock=clock)
        self.max_result = max_result
        self._log_capture = LogCapture(lambda context: context.services is self)
        self.intake = Intake(catalog, self.recorder, store, clock)
        self.limits = Limits(catalog, is_shared=store.is_shared)
        self.ready = ReadyQueue(self.limits)
        self._threads = ThreadPool()
        self.processes = ProcessPool(max_result)
        self.executors = Executors(self.processes, code_of or _no_code, max_result)
        self.blocking = BlockingJobs(catalog, bus, clock)
        self._runner = Runner(self._threads, self.executors, max_result, self.blocking.moved)
        self.pool = WorkerPool(
            ready=self.ready,
            runner=self._runner,
            recorder=self.recorder,
            catalog=catalog,
            clock=clock,
            services=self,
            concurrency=concurrency,
        )
        self.claimer = Claimer(
            kernel_id,
            ready=self.ready,
            limits=self.limits,
            breakers=self.breakers,
            recorder=self.recorder,
            clock=clock,
            concurrency=concurrency,
            free_slots=lambda: self.pool.free_slots,
            wake_workers=self.pool.wake,
            running=self.pool.running,
        )
        self.scheduler = Scheduler(
            kernel_id,
            store=store,
            recorder=self.recorder,
            intake=self.intake,
            catalog=catalog,
            bus=bus,
            clock=clock,
            why_unknown=why_unknown,
        )
        self.watch = Watch(
            kernel_id,
            store=store,
            scheduler=self.scheduler,
            breakers=self.breakers,
            claimer=self.claimer,
            pool=self.pool,
            recorder=self.recorder,
            bus=bus,
            clock=clock,
        )
        self.membership = Membership(
            kernel_id, store=store, claimer=self.claimer, pool=self.pool, recorder=self.recorder, clock=clock
        )
        self._pruner = Pruner(store, catalog, clock)
        self._hurried = asyncio.Event()
        self.recorder.on_new_runs = self.claimer.new_runs
        self.recorder.on_new_work = self.claimer.new_work
        self.recorder.on_due = self.claimer.expect
        self.breakers.on_change = self.claimer.wake
        self.recorder.trouble.on_outcomes_taken = self.claimer.wake
        self.recorder.give_place = self.limits.give_place
        self.recorder.on_suspect_ended = self.claimer.suspect_ended
        self.recorder.on_schedule_run_ended = self.scheduler.run_ended
        self.pool.on_hungry = self.claimer.hungry
        self.pool.hungry_below = lambda: self.claimer.is_hungry_below

    def put_around(self, attempts: Around | None, enqueues: Around | None) -> None:
        """From here on these stand around each attempt that begins, and around what is enqueued."""
        self.pool.runner = self._runner if attempts is None else RunnerWithin(self._runner, attempts)
        self.intake.around = enqueues

    # What a job may ask for

    async def enqueue(self, job: str, payload: dict[str, Any] | None = None, **options: Any) -> Run:
        return await self.intake.enqueue(job, payload, **options)

    def now(self) -> float:
        return self._clock.now()

    async def recorded_steps(self, run: str) -> dict[str, str]:
        return await self.notebook.surely(lambda: self.store.steps(run))

    def notify(
        self, level: str, text: str, context: Context, details: dict[str, Any], error: BaseException | None = None
    ) -> None:
        """An event for plugins, and a line in the log. Any thread."""
        run = context.run
        page = context.told
        lines = () if page is None else page.last_lines()
        say = log.error if level == "error" else log.info
        extra = {"job": run.job, "run": run.id, "attempt": run.attempt}
        told = "".join(f" {key}={printable(str(value), _SHOWN_CHARACTERS)}" for key, value in details.items())
        say("%s: %s%s", run.job, text, told, extra=extra)
        if self.bus.wants(Notified):
            kind, traceback = ("", "") if error is None else failure_of(error)[::2]
            event = Notified(
                self._clock.now(), level, text, run.job, run.id, run.attempt, details, kind, traceback, lines
            )
            context.on_loop(self.bus.publish, event)

    @property
    def is_working(self) -> bool:
        """Whether due ticks are looked at; asked on the loop, so that it turns is clear from the asking.

        While the store is in trouble they cannot be, and that is no fault of this process.
        """
        return bool(self.recorder.trouble) or self.scheduler.overdue_seconds(self._clock.now()) < _STALL_SECONDS

    # Life

    async def start(self, schedules: Sequence[Schedule], known_plugins: Iterable[str]) -> None:
        """Takes up the work; when that fails, what was started is stopped again."""
        self._log_capture.install()
        try:
            await self.watch.start()
            await self.membership.start()
            await self.breakers.refresh()
            await self.claimer.start()
            await self.scheduler.start(schedules, known_plugins)
            await self._pruner.start()
        except BaseException:
            await self.stop(0.0)
            raise

    def hurry(self, reason: str) -> None:
        """Cancels what still runs instead of waiting for it: the second signal, or the end of the grace."""
        self._hurried.set()
        self.pool.ask_all(Asked("shutdown", reason))

    async def stop(self, grace_seconds: float) -> bool:
        """Timers, claiming, drain, cancel, close, in this order. True when everything ended within the grace."""
        await self._quietly(self._pruner.stop())
        await self._quietly(self.scheduler.stop())
        await self._quietly(self.claimer.stop())
        self.watch.drain()
        await self.membership.stop()
        self.claimer.release(lambda _run: True, "the kernel stops")
        is_drained = await self._drained_within(grace_seconds)
        if not is_drained:
            seconds = HURRIED_SECONDS if self._hurried.is_set() else CANCEL_SECONDS
            self.hurry("the kernel stops")
            if not await self._comes_within(self.pool.idle(), seconds - KILL_SECONDS):
                self.pool.kill()
            if not await self._comes_within(self.pool.idle(), KILL_SECONDS):
                names = sorted({worker.run.job for worker in self.pool.busy.values() if worker.run is not None})
                log.warning(
                    "attempts of %s did not end; their runs are queued again at the next start", ", ".join(names)
                )
        await self._quietly(self.watch.stop())
        await self.pool.close()
        self._threads.close()
        await self.processes.stop()
        await self._write_what_is_left()
        await self.breakers.stop()
        if not self.notebook.is_written:  # of attempts that have not ended
            await self._comes_within(self.notebook.drain(), 1.0)
        await self.notebook.close()
        self._log_capture.remove()
        await self.scheduler.finish_reanchoring()
        return is_drained and not self.pool.stuck

    async def _drained_within(self, seconds: float) -> bool:
        """Whether every attempt ended by itself; told to hurry, it is not waited for any longer."""
        idle = asyncio.create_task(self.pool.idle())
        hurried = asyncio.create_task(self._hurried.wait())
        try:
            await self._comes_within(asyncio.wait({idle, hurried}, return_when=asyncio.FIRST_COMPLETED), seconds)
            return idle.done() and not self._hurried.is_set()
        finally:
            idle.cancel()
            hurried.cancel()

    async def drain_plugin(self, plugin: str, grace_seconds: float, executors: Collection[str] = ()) -> None:
        """No run of the plugin goes on after this: not begun ones go back, running ones get the grace, then are cut short.

        So are runs of others that its ``executors`` make; those that begin now wait until there are executors again.
        """
        jobs = {name for name, job in self.catalog.jobs.items() if job.plugin == plugin}
        reason = f"plugin {plugin} is off"
        self.catalog.remove(plugin, reason)
        self.claimer.release(lambda run: run.job in jobs, reason)
        self.executors.hold(executors)

        def is_meant(run: Claimed) -> bool:
            return run.job in jobs or self.executors.is_made_by(run.id, executors)

        if not await self._ended_within(is_meant, grace_seconds):
            self.pool.ask_all(Asked("shutdown", reason), is_meant)
            if not await self._ended_within(is_meant, CANCEL_SECONDS - KILL_SECONDS):
                self.pool.kill(is_meant)
                await self._ended_within(is_meant, KILL_SECONDS)
        self.processes.forget(plugin)
        self.blocking.forget(plugin)

    async def _ended_within(self, which: Callable[[Claimed], bool], seconds: float) -> bool:
        """Whether no attempt of such runs holds a slot any more, looking every 20 ms for so long."""
        deadline = self._clock.elapsed() + seconds
        while any(worker.run is not None and which(worker.run) for worker in self.pool.busy.values()):
            if self._clock.elapsed() >= deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def _comes_within(self, waiting: Coroutine[Any, Any, Any], seconds: float) -> bool:
        """Whether what is waited for comes within so many seconds of the kernel's clock."""
        came = asyncio.create_task(waiting)
        over = asyncio.create_task(sleep(self._clock, seconds))
        await asyncio.wait({came, over}, return_when=asyncio.FIRST_COMPLETED)
        in_time = came.done()
        for task in (came, over):
            task.cancel()
        await asyncio.wait({came, over})
        return in_time

    async def _write_what_is_left(self) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await asyncio.gather(self.recorder.drain(), self.breakers.drain())
        except TimeoutError:
            lost = counted(self.recorder.unwritten, "outcome")
            log.error("%s could not be written; what had ended will be run again", lost)  # noqa: TRY400 - that it took too long is all there is to say
            await self.recorder.give_up()

    async def _quietly(self, stopping: Any) -> None:
        try:
            await stopping
        except StoreError as error:
            log.warning("while stopping: %s", error)
