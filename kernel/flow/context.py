"""What a job's function gets as ``ctx``: its run, its time, and what it may ask of the kernel."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from kernel.model.errors import RequestError
from kernel.model.run import Claimed, Run, RunState, instant

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from datetime import datetime

    from kernel.model.job import Job

current: ContextVar[Any] = ContextVar("mainspring_worker", default=None)
"""The worker that runs the code which asks, when that is a job; its ``context`` is the attempt's."""


class TickInfo(NamedTuple):
    """The tick for which a run was made: its due instant, and how many earlier ticks were folded into it."""

    due_at: datetime
    folded: int


class Services(Protocol):
    """What the kernel does for a job."""

    async def enqueue(self, job: str, payload: dict[str, Any] | None = None, **options: Any) -> Run: ...

    def now(self) -> float: ...

    def notify(self, level: str, text: str, context: Context, details: dict[str, Any]) -> None: ...


class Context:
    """One attempt of one run. In ``def`` jobs the same methods block until they are done."""

    __slots__ = (
        "_cancelled", "_claimed", "_deadline", "_has_seen", "_job", "_log", "_loop", "_services", "_started",
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
        self._log: logging.LoggerAdapter[logging.Logger] | None = None

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
        """A logger that names job, run and attempt."""
        if self._log is None:
            run = self._claimed
            extra = {"job": run.job, "run": run.id, "attempt": run.attempt}
            self._log = logging.LoggerAdapter(logging.getLogger(f"mainspring.job.{run.job}"), extra)
        return self._log

    def enqueue(self, job: str, payload: dict[str, Any] | None = None, **options: Any) -> Any:
        """Enqueues a run; options as of ``Kernel.enqueue``. To be awaited in ``async def`` jobs, blocks in ``def`` jobs."""
        return self._reach(self._services.enqueue(job, payload, **options))

    def notify_info(self, text: str, **context: Any) -> None:
        """Tells people that something worth knowing went well; ``context`` is operation, counts, duration and so on."""
        self._services.notify("info", text, self, context)

    def notify_error(self, error: BaseException | str, **context: Any) -> None:
        """Tells people what went wrong. It does not end the attempt: raise for that."""
        text = error if isinstance(error, str) else describe(error)
        self._services.notify("error", text, self, context)

    def tell_cancelled(self, reason: str) -> None:
        """The kernel's word to the attempt."""
        self._cancelled = reason

    def _reach(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._job.is_async:
            return coroutine
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        coroutine.close()
        raise RequestError(f"{self._job.name}: ctx was used on an event loop by a job that runs in a thread")


def describe(error: BaseException) -> str:
    """``Type: message`` in one line, whatever the error's ``__str__`` does."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - a hostile __str__ must not hide the error, nor end the process
        text = "(its message cannot be read)"
    first = text.splitlines()[0] if text else ""
    return f"{type(error).__name__}: {first[:500]}" if first else type(error).__name__
