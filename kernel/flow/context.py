"""What a job's function gets as ``ctx``: its run, its time, and what it may ask of the kernel."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from kernel.flow.breaker_calls import BreakerCalls, BreakerOfJob, given_thresholds
from kernel.flow.calls import called, called_in_thread, check_call
from kernel.flow.log_capture import JobLog
from kernel.flow.steps import Steps
from kernel.model.errors import Cancel, GiveUp, RequestError, RetryAfter, Snooze, StaleAttemptError, describe, shown
from kernel.model.run import Claimed, Run, RunState, instant

if TYPE_CHECKING:
    import logging
    from datetime import datetime

    from kernel.flow.breakers import Breakers
    from kernel.flow.notebook import Notebook
    from kernel.flow.page import Page
    from kernel.model.duration import Duration
    from kernel.model.job import Job

MOST_NOTES = 50
Bridge = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]
_WISHES = (Snooze, Cancel, GiveUp, RetryAfter, StaleAttemptError)
"""How a job asks for another end of its attempt: no failure of what is optional."""


class TickInfo(NamedTuple):
    """The tick for which a run was made: its due instant, and how many earlier ticks were folded into it."""

    due_at: datetime
    folded: int


class Services(Protocol):
    """What the kernel does for a job."""

    async def enqueue(self, job: str, payload: dict[str, Any] | None = None, **options: Any) -> Run: ...

    def now(self) -> float: ...

    def notify(
        self, level: str, text: str, context: Context, details: dict[str, Any], error: BaseException | None = None
    ) -> None: ...

    @property
    def notebook(self) -> Notebook: ...

    @property
    def breakers(self) -> Breakers: ...

    @property
    def max_result(self) -> int:
        """Of a step too; bytes of JSON."""

    async def recorded_steps(self, run: str) -> dict[str, str]:
        """Name -> result as JSON text; asked for until the store answers."""


class Context:
    """One attempt of one run. In ``def`` jobs the same methods block until they are done."""

    __slots__ = (
        "_breaker_calls", "_bridge", "_cancelled", "_claimed", "_deadline", "_ending", "_has_seen", "_job", "_log", "_loop",
        "_page", "_services", "_started", "_steps", "_waiting", "notes",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917 - made for each attempt, and keywords take time
        self, claimed: Claimed, job: Job, services: Services, started: float, deadline: float | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:  # fmt: skip
        self._claimed = claimed
        self._job = job
        self._services = services
        self._started = started
        self._deadline = deadline
        self._loop = loop
        self._cancelled: str | None = None
        self._has_seen = False
        self._log: JobLog | None = None
        self._page: Page | None = None
        self._steps: Steps | None = None
        self._ending: str | None = None
        self._breaker_calls: BreakerCalls | None = None
        self._waiting: set[concurrent.futures.Future[Any]] | None = None
        self._bridge: Bridge | None = None
        self.notes: tuple[str, ...] = ()
        """What the attempt has done without so far; of a completed run it is kept."""

    @property
    def run(self) -> Run:
        """The run as it was claimed."""
        claimed = self._claimed
        return Run(
            claimed.id, claimed.job, claimed.queue, claimed.priority, claimed.payload, RunState.RUNNING,
            claimed.enqueued, claimed.due, claimed.urgency, claimed.extra, claimed.token, claimed.attempt,
            claimed.failures, started=self._started,
        )  # fmt: skip

    def now(self) -> datetime:
        """The kernel's own time, which a test tells; aware UTC."""
        return instant(self._services.now())

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure of this attempt ends the run."""
        return self._claimed.failures + 1 >= self._job.retry.attempts

    @property
    def attempt(self) -> int:
        """1 for the first execution of the run."""
        return self._claimed.attempt

    @property
    def tick(self) -> TickInfo | None:
        """The tick that made the run; None when it was enqueued otherwise."""
        extra = self._claimed.extra
        return None if extra is None or extra.tick is None else TickInfo(instant(extra.tick), extra.folded)

    @property
    def deadline(self) -> datetime | None:
        """When the attempt will be told to end; None without a timeout."""
        return None if self._deadline is None else instant(self._deadline)

    @property
    def cancelled(self) -> str | None:
        """Why the attempt should end, or None. A ``def`` job has to look here now and then: nothing else can end it."""
        if self._cancelled is not None:
            self._has_seen = True
        return self._cancelled

    @property
    def has_seen_cancelled(self) -> bool:
        """Whether the job has looked at ``cancelled`` since there is a reason: then its end may be an early one."""
        return self._has_seen

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that names job, run and attempt; what it says from INFO on is kept with the run."""
        if self._log is None:
            run = self._claimed
            self._log = JobLog(run.job, {"job": run.job, "run": run.id, "attempt": run.attempt}, self.page)
        return self._log

    def enqueue(self, job: str, payload: dict[str, Any] | None = None, **options: Any) -> Any:
        """Enqueues a run; options as of ``Kernel.enqueue``. To be awaited in ``async def`` jobs, blocks in ``def`` jobs."""
        return self._reach(self._services.enqueue(job, payload, **options))

    def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """What ``function(*args, **kwargs)`` returns, done once a run: a later attempt gets the recorded result.

        The result is JSON. When this returns it is recorded, and survives a crash. The function may be ``async def``; a
        ``def`` is called on the loop by an ``async def`` job (what blocks: ``ctx.step(name, asyncio.to_thread, function)``),
        and in the job's own thread by a ``def`` job. To be awaited in ``async def`` jobs, blocks in ``def`` jobs.
        """
        check_call("step", name, function)
        steps = self._steps
        if steps is None:
            with self._services.notebook.lock:
                steps = self._steps = self._steps or Steps(self.page, self._read_steps, self._services.max_result)
        if self._job.is_async:
            if self._bridge is not None:
                return steps.do_apart(name, function, args, kwargs, self._bridge, self._loop)
            return steps.do(name, function, args, kwargs)
        return steps.do_in_thread(name, function, args, kwargs, self._reach, self._loop)

    def optional(
        self, label: str, function: Callable[..., Any], /, *args: Any, fallback: Any = None, **kwargs: Any
    ) -> Any:
        """What ``function(*args, **kwargs)`` returns; when it raises, ``fallback``, and the run will end degraded.

        The label and the error are kept in the run's notes. ``Snooze``, ``Cancel``, ``GiveUp`` and ``RetryAfter`` are
        meant, and pass. Called where a step is; to be awaited in ``async def`` jobs, blocks in ``def`` jobs.
        """
        check_call("optional", label, function)
        if self._job.is_async:
            return self._optional(label, function, args, kwargs, fallback)
        try:
            return called_in_thread(function, args, kwargs, self._reach)
        except _WISHES:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the job goes on without
            return self._do_without(label, error, fallback)

    def breaker(
        self,
        name: str,
        *,
        failure_threshold: int | None = None,
        recovery_timeout: Duration | None = None,
        success_threshold: int | None = None,
    ) -> BreakerOfJob:
        """The circuit breaker of this name, shared by all jobs of all kernels: ``await ctx.breaker(name).call(function, *args)``.

        Opens at the ``failure_threshold``-th failure in a row (5), lets one call at a time through from
        ``recovery_timeout`` on (60 s), closes after ``success_threshold`` successes (3). What is not given is as others
        have it who use the name; a call with other thresholds than theirs is an error. Inside an attempt that the same
        breaker has let through, for it is the job's policy, a call is part of the attempt and not counted by itself.
        """
        given = given_thresholds(name, failure_threshold, recovery_timeout, success_threshold)
        place = ""
        if given:
            caller = sys._getframe(1)  # noqa: SLF001 - with inspect the frame would refer to itself, call after call
            place = f" ({caller.f_code.co_filename}:{caller.f_lineno})"
        return BreakerOfJob(
            name,
            given,
            place=f"ctx.breaker of {self._claimed.job}{place}",
            calls=self.breaker_calls,
            loop=self._loop,
            reach=None if self._job.is_async else self._reach,
            bridge=self._bridge,
        )

    def progress(self, fraction: float, text: str = "") -> Any:
        """How far the run is, from 0 to 1, and with what; shown while it runs. To be awaited in ``async def`` jobs."""
        if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction <= 1:
            raise RequestError(f"ctx.progress: {shown(fraction)}: expected a number from 0 to 1")
        self.tell_progress(fraction, text)
        return _nothing() if self._job.is_async else None

    def notify_info(self, text: str, **context: Any) -> None:
        """Tells people that something worth knowing went well; ``context`` is operation, counts, duration and so on.

        Two names in it mean something: ``kind`` groups notices that are alike, ``incident`` says that what
        ``notify_error`` told under this name is over.
        """
        self._services.notify("info", text, self, context)

    def notify_error(self, error: BaseException | str, **context: Any) -> None:
        """Tells people what went wrong. It does not end the attempt: raise for that.

        ``incident`` in the context names what is out of order, where several jobs suffer from one thing.
        """
        if isinstance(error, str):
            self._services.notify("error", error, self, context)
        else:
            self._services.notify("error", describe(error), self, context, error)

    # The kernel's part

    def live_apart(self) -> None:
        """The job is ``async def`` and runs on a loop of its own: what it asks of the kernel's is awaited there."""
        self._bridge = self._across

    def on_loop(self, function: Callable[..., None], *args: Any) -> None:
        """Calls it, on the kernel's loop: at once there, soon from the thread of a ``def`` job."""
        if asyncio._get_running_loop() is self._loop:  # noqa: SLF001 - as documented: None without a loop, and no error
            function(*args)
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(function, *args)

    def tell_cancelled(self, reason: str, kind: str = "cancel") -> None:
        """The attempt is to end. A ``def`` job that waits for the loop is no longer kept waiting."""
        self._cancelled = reason
        self._ending = kind
        if self._breaker_calls is not None:
            self._breaker_calls.ending = kind
        if self._waiting is not None:
            with self._services.notebook.lock:
                waiting = list(self._waiting)
            for future in waiting:
                future.cancel()

    def tell_progress(self, fraction: float, text: str) -> None:
        """Any thread; ``fraction`` is checked."""
        self.page.report(float(fraction), str(text))

    @property
    def services(self) -> Services:
        return self._services

    @property
    def page(self) -> Page:
        """Where the attempt's log, progress and steps are noted down; made at first use."""
        if self._page is None:
            notebook = self._services.notebook
            with notebook.lock:
                self._page = self._page or notebook.open(self._claimed)
        return self._page

    @property
    def breaker_calls(self) -> BreakerCalls:
        """The attempt's calls through breakers; made at first use."""
        if self._breaker_calls is None:
            with self._services.notebook.lock:
                self._breaker_calls = self._breaker_calls or BreakerCalls(self._services.breakers, self._ending)
        return self._breaker_calls

    @property
    def calls_made(self) -> BreakerCalls | None:
        """The same, if there are any."""
        return self._breaker_calls

    @property
    def told(self) -> Page | None:
        """The page, if there is one."""
        return self._page

    async def _optional(
        self, label: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], fallback: Any
    ) -> Any:
        try:
            return await called(function, args, kwargs)
        except _WISHES:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the job goes on without
            return self._do_without(label, error, fallback)

    def _do_without(self, label: str, error: Exception, fallback: Any) -> Any:
        note = f"{label}: {describe(error)}"
        if len(self.notes) < MOST_NOTES:
            self.notes = (*self.notes, note if len(self.notes) < MOST_NOTES - 1 else "and more, which the log has")
        self.log.warning("done without %s", note, exc_info=error)
        return fallback

    async def _read_steps(self) -> dict[str, str]:
        return await self._services.recorded_steps(self._claimed.id)

    async def _across(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """On another loop: what the kernel's makes of it. Cancelled together."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def _reach(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._job.is_async:
            return coroutine if self._bridge is None else self._bridge(coroutine)
        if _is_on_a_loop():
            coroutine.close()
            raise RequestError(f"{self._job.name}: ctx was used on an event loop by a job that runs in a thread")
        return self._wait_for(coroutine)

    def _wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """In a thread: what the loop makes of it. CancelledError when the attempt is told to end meanwhile."""
        before = self._cancelled  # what is asked for after the word to end, the job needs to end
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        with self._services.notebook.lock:
            self._waiting = self._waiting or set()
            self._waiting.add(future)
        if self._cancelled is not before:
            future.cancel()
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            # The other one: an Exception, which a job might take for a failure of what it called.
            self._has_seen = self._cancelled is not None
            raise asyncio.CancelledError(self._cancelled) from None
        finally:
            with self._services.notebook.lock:
                self._waiting.discard(future)


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _nothing() -> None: ...
