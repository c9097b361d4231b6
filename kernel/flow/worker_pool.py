"""Takes a free slot first, then pops the most urgent run that may start, and settles how its attempt ended.

A worker is a slot: a task that lives on from run to run. Fed by the ready queue, reports to the recorder.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import random
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kernel.flow.context import Context, Services
from kernel.flow.log_capture import current
from kernel.flow.recorder import Recorder, finished_of
from kernel.flow.runner import failure_of, may_retry
from kernel.model.duration import words
from kernel.model.lifecycle import settle
from kernel.model.outcome import Cancelled, Completed, Failed, Interrupted, NotBegun, Outcome, Snoozed
from kernel.model.retry import Retry
from kernel.model.run import Claimed, Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.contracts.clock import Clock, Timer
    from kernel.flow.catalog import Catalog
    from kernel.flow.ready_queue import ReadyQueue
    from kernel.model.job import Job

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0
KILLED_SECONDS = 1.0
"""What has been killed is stuck when it has not come back after so long."""
_SLICE_SECONDS = 0.005
_NO_RETRY = Retry()
_UNKNOWN = "no kernel knows the job"
_LATE = "it had not begun in time"
_NOT_OURS = "the kernel's lease is lost, or about to be"


class Attempts(Protocol):
    """What makes attempts: the runner, or one with something around it."""

    async def attempt(self, run: Claimed, job: Job, context: Context) -> Outcome: ...

    def kill(self, run_id: str) -> bool: ...


class Asked(NamedTuple):
    """Why an attempt was told to end."""

    kind: str  # timeout, cancel, shutdown, lost
    reason: str


class Worker:
    """One slot and what it does just now."""

    __slots__ = (
        "asked", "context", "deadline", "is_stuck", "is_touched", "job", "number", "rest", "run", "serial", "task",
        "untouched",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.serial = 0
        self.task: asyncio.Task[None] | None = None
        self.rest: asyncio.Future[None] | None = None
        self.run: Claimed | None = None
        self.job: Job | None = None
        self.context: Context | None = None
        self.deadline = math.inf
        self.asked: Asked | None = None
        self.is_stuck = False
        self.untouched: contextvars.Context | None = None
        """The context variables that it has between two runs."""
        self.is_touched = False
        """Whether its run has left other ones."""

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has cancelled its task, in vain maybe: that might yet end, or disturb, the next run."""
        return self.task is not None and self.task.cancelling() > 0


class WorkerPool:
    """At most ``concurrency`` attempts at once, each in a slot. A stuck attempt gives its slot to another worker."""

    def __init__(
        self,
        *,
        ready: ReadyQueue,
        runner: Attempts,
        recorder: Recorder,
        catalog: Catalog,
        clock: Clock,
        services: Services,
        concurrency: int,
    ) -> None:
        self._ready = ready
        self.runner = runner
        self._recorder = recorder
        self._catalog = catalog
        self._clock = clock
        self._services = services
        self._concurrency = concurrency
        self._workers: set[Worker] = set()
        self._resting: list[Worker] = []
        self._busy: dict[str, Worker] = {}
        self._stuck: dict[str, Worker] = {}
        self._numbers = 0
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._timer: Timer | None = None
        self._armed_for = math.inf
        self._is_over = False
        self._yield_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        # A worker may be hired by whoever asks a run to end: it begins with the kernel's own context variables.
        self._context = contextvars.copy_context()
        self.on_hungry: Callable[[], None] = lambda: None
        self.hungry_below: Callable[[], int] = lambda: 0
        self.sure_until = math.inf
        """Until then (elapsed time) what is claimed is known to be this kernel's; what begins later is asked about first."""
        self.may_begin: Callable[[], bool] = lambda: True

    @property
    def concurrency(self) -> int:
        return self._concurrency

    @property
    def free_slots(self) -> int:
        return self._concurrency - len(self._busy)

    @property
    def busy(self) -> dict[str, Worker]:
        """Run id -> worker, of the attempts that hold a slot of the kernel."""
        return self._busy

    @property
    def stuck(self) -> dict[str, Worker]:
        return self._stuck

    def running(self) -> list[Claimed]:
        """The runs whose attempts go on, stuck ones too."""
        workers = [*self._busy.values(), *self._stuck.values()]
        return [worker.run for worker in workers if worker.run is not None]

    def run_of(self, task: asyncio.Task[object]) -> Claimed | None:
        """The run that this task works on; may be asked from any thread."""
        for worker in [*self._busy.values(), *self._stuck.values()]:
            if worker.task is task:
                return worker.run
        return None

    def wake(self) -> None:
        """Runs are ready: as many workers as there are runs get up, and new ones come while there are slots."""
        wanted = self._ready.startable
        while wanted > 0 and self._resting:
            self._get_up(self._resting.pop())
            wanted -= 1
        while wanted > 0 and len(self._workers) < self._concurrency:
            self._hire()
            wanted -= 1

    def ask(self, run_id: str, asked: Asked) -> bool:
        """Tells the attempt of this run to end; False when it is not here."""
        worker = self._busy.get(run_id) or self._stuck.get(run_id)
        if worker is None or worker.run is None or worker.context is None or worker.task is None:
            return False
        if worker.asked is not None:
            return True
        worker.asked = asked
        worker.deadline = math.inf
        worker.context.tell_cancelled(asked.reason, asked.kind)
        worker.task.cancel()
        serial = worker.serial
        self._clock.call_in(GRACE_SECONDS, lambda: self._see_whether_stuck(worker, serial))
        return True

    def ask_all(self, asked: Asked, which: Callable[[Claimed], bool] = lambda _run: True) -> None:
        for run_id, worker in [*self._busy.items(), *self._stuck.items()]:
            if worker.run is not None and which(worker.run):
                self.ask(run_id, asked)

    def kill(self, which: Callable[[Claimed], bool] = lambda _run: True) -> None:
        """Ends by force what can be so ended: the attempts that executors make."""
        for worker in [*self._busy.values(), *self._stuck.values()]:
            if worker.run is not None and which(worker.run):
                self.runner.kill(worker.run.id)

    async def idle(self) -> None:
        """Waits until no attempt holds a slot."""
        await self._idle.wait()

    async def close(self) -> None:
        """Ends the resting workers. Attempts that will not end are left to the end of the process."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        for worker in self._resting:
            if worker.task is not None:
                worker.task.cancel()
        tasks = {worker.task for worker in self._resting if worker.task is not None} | self._tasks
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def _hire(self) -> None:
        self._numbers += 1
        worker = Worker(self._numbers)
        self._workers.add(worker)
        worker.task = asyncio.create_task(
            self._work(worker), name=f"mainspring:worker-{worker.number}", context=self._context.copy()
        )
        worker.task.add_done_callback(lambda _task: self._gone(worker))

    def _gone(self, worker: Worker) -> None:
        self._workers.discard(worker)
        if worker.task is not None and not worker.task.cancelled() and (error := worker.task.exception()):
            log.error("a worker ended by an error of the kernel's own", exc_info=error)
        if not self._closing and self._ready.startable:
            self.wake()

    def _get_up(self, worker: Worker) -> None:
        if worker.rest is not None and not worker.rest.done():
            worker.rest.set_result(None)

    async def _work(self, worker: Worker) -> None:
        current.set(None)
        worker.untouched = contextvars.copy_context()
        while not self._closing:
            run = self._ready.pop()
            if run is None:
                worker.rest = self._loop.create_future()
                self._resting.append(worker)
                await worker.rest
                continue
            ended = await self._serve(worker, run)
            if worker.is_stuck or worker.is_cancelled or worker.is_touched:
                # Its slot has been given away, somebody cancelled the task (the pool, the loop that ends, or a job that
                # cancelled what it runs in), or the job has left context variables: a fresh worker takes over.
                return
            if ended > self._yield_at:
                if not self._is_over:
                    self._is_over = True
                    self._loop.call_soon(self._begin_slice)
                await asyncio.sleep(0)

    def _begin_slice(self) -> None:
        """The loop has been everywhere since the last one."""
        self._is_over = False
        self._yield_at = self._clock.elapsed() + _SLICE_SECONDS

    async def _serve(self, worker: Worker, run: Claimed) -> float:
        """One attempt; when it ended."""
        job = self._catalog.jobs.get(run.job)
        clock = self._clock
        started = clock.elapsed()
        page = None
        is_late = run.extra is not None and _has_expired(run, clock.now())
        if job is None or is_late or (started > self.sure_until and not self.may_begin()):
            # One that has expired is ended by the next claim.
            outcome: Outcome = NotBegun(_UNKNOWN if job is None else _LATE if is_late else _NOT_OURS)
            retry = _NO_RETRY
            ended = started
        else:
            retry = job.retry
            context = self._begin(worker, run, job, started)
            barred = None
            try:
                if job.policies.breaker is not None:
                    barred = await context.breaker_calls.begin(job.policies.breaker)
                if barred is None:
                    self._recorder.started(run)
                outcome = barred or await self.runner.attempt(run, job, context)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it costs neither slot nor run
                outcome = self._cut_short(worker, run, job, error)
            ended = clock.elapsed()
            if worker.asked is not None:
                outcome = _as_asked(worker.asked, outcome, job)
            elif ended > worker.deadline:
                log.warning(
                    "run %s of %s took %s, past its timeout, and gave the loop no turn to end it: use `def`, or await",
                    run.id, run.job, words(ended - started),
                )  # fmt: skip
            if context.calls_made is not None:
                context.calls_made.end(outcome)
            page = context.told
            self._end(worker, run)
        if self._ready.ended(run) > 1:  # this worker will take one of them
            self.wake()
        change = settle(run, outcome, retry, clock.now(), random.random())  # noqa: S311 - spreads retries, guards nothing
        self._recorder.finish(finished_of((change, run, ended - started, page)))
        if self._ready.startable < self.hungry_below():
            self.on_hungry()
        return ended

    def _cut_short(self, worker: Worker, run: Claimed, job: Job, error: BaseException) -> Outcome:
        if not isinstance(error, asyncio.CancelledError):
            log.error("the attempt of run %s failed by an error of the kernel's own", run.id, exc_info=error)
            return Failed(failure_of(error))
        if worker.asked is not None:
            return Interrupted(worker.asked.reason)
        # The job cancelled itself, or let a cancelled task's error through: a failure like any other.
        return Failed(failure_of(error), may_retry=may_retry(error, job))

    def _begin(self, worker: Worker, run: Claimed, job: Job, started: float) -> Context:
        timeout = job.policies.timeout_seconds
        now = self._clock.now()
        deadline = None if timeout is None else now + timeout
        worker.run, worker.job = run, job
        worker.context = context = Context(run, job, self._services, now, deadline, self._loop)
        if not self._busy:
            self._idle.clear()
        self._busy[run.id] = worker
        if timeout is not None:
            worker.deadline = started + timeout
            if worker.deadline < self._armed_for:
                self._arm(worker.deadline, started)
        # Last: a timer keeps the context variables of who sets it.
        current.set(context)
        return context

    def _end(self, worker: Worker, run: Claimed) -> None:
        (self._stuck if worker.is_stuck else self._busy).pop(run.id, None)
        worker.serial += 1
        current.set(None)
        worker.is_touched = contextvars.copy_context() != worker.untouched
        worker.run = worker.job = worker.context = worker.asked = None
        worker.deadline = math.inf
        if not self._busy:
            self._idle.set()

    def _arm(self, deadline: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = deadline
        self._timer = self._clock.call_in(deadline - now, self._see_deadlines)

    def _see_deadlines(self) -> None:
        self._timer, self._armed_for = None, math.inf
        now = self._clock.elapsed()
        for run_id, worker in list(self._busy.items()):
            if worker.deadline <= now and worker.job is not None:
                limit = worker.job.policies.timeout_seconds or 0.0
                self.ask(run_id, Asked("timeout", f"took longer than its timeout of {words(limit)}"))
        earliest = min((worker.deadline for worker in self._busy.values()), default=math.inf)
        if earliest < math.inf:
            self._arm(earliest, now)

    def _see_whether_stuck(self, worker: Worker, serial: int, *, is_killed: bool = False) -> None:
        if worker.serial != serial or worker.run is None or worker.is_stuck or worker.asked is None or self._closing:
            return
        if not is_killed and self.runner.kill(worker.run.id):
            self._clock.call_in(KILLED_SECONDS, lambda: self._see_whether_stuck(worker, serial, is_killed=True))
            return
        run, reason = worker.run, worker.asked.reason
        is_ours = worker.asked.kind != "lost"
        log.error(
            "run %s of %s is stuck: told to end (%s) and has not within %g s; it keeps its place until it ends",
            run.id, run.job, reason, GRACE_SECONDS,
        )  # fmt: skip
        worker.is_stuck = True
        if worker.context is not None and worker.context.calls_made is not None:
            worker.context.calls_made.give_up(reason)
        self._stuck[run.id] = self._busy.pop(run.id)
        self._workers.discard(worker)
        if not self._busy:
            self._idle.set()
        task = asyncio.create_task(self._recorder.stick(run, reason, is_ours=is_ours), name="mainspring:stick")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.wake()


def _has_expired(run: Claimed, now: float) -> bool:
    """Whether it waited for its slot for too long; what has begun once does not expire."""
    return run.attempt == 1 and run.extra is not None and run.extra.expires is not None and run.extra.expires <= now


def _as_asked(asked: Asked, outcome: Outcome, job: Job) -> Outcome:
    """The outcome of an attempt that was told to end."""
    if isinstance(outcome, NotBegun) and asked.kind != "cancel":
        return outcome
    match asked.kind:
        case "timeout":
            return Failed(Failure("TimeoutError", asked.reason), may_retry=may_retry(TimeoutError(), job))
        case "cancel":
            return Cancelled(asked.reason)
        case _:
            # The kernel shuts down: what the job did by itself counts, a failure is taken for a consequence.
            return outcome if isinstance(outcome, Completed | Cancelled | Snoozed) else Interrupted(asked.reason)
