"""An attempt away from the kernel's own loop and threads: what is known of it there, its ``ctx``, and the call itself.

Used by the workers' program and by ``Work.here``; the executors write the facts.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from kernel.flow.answer import as_text
from kernel.flow.context import Context, TickInfo
from kernel.flow.runner import completed, outcome_surely, refuse_coroutine
from kernel.model.errors import RequestError, shown
from kernel.model.outcome import Completed, Interrupted
from kernel.model.run import Run, RunExtra, instant

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kernel.model.job import Job
    from kernel.model.outcome import Outcome

    JobLogger = logging.LoggerAdapter[logging.Logger]

_PROGRESS_CHARACTERS = 2_000


def facts_of(context: Context) -> dict[str, Any]:
    """What there is to know of an attempt elsewhere: JSON."""
    run = context.run
    return {
        "run": run._asdict() | {"extra": None if run.extra is None else run.extra._asdict()},
        "is_last_attempt": context.is_last_attempt,
        "deadline": None if context.deadline is None else context.deadline.timestamp(),
        "now": context.services.now(),
        "max_result": context.services.max_result,
    }


class RemoteContext:
    """``ctx`` where there is no kernel: what can be known, told and noticed there. The rest says that it is not there."""

    def __init__(
        self, facts: dict[str, Any], job: Job, tell: Callable[[str], None], log: JobLogger | None = None
    ) -> None:
        run = dict(facts["run"])
        if run["extra"] is not None:
            run["extra"] = RunExtra(**run["extra"] | {"tags": tuple(run["extra"]["tags"])})
        self.run = Run(**run)
        self.is_last_attempt: bool = facts["is_last_attempt"]
        self._deadline: float | None = facts["deadline"]
        self._started = facts["now"] - time.monotonic()
        self._job = job
        self._tell = tell
        self._reason: str | None = None
        self.has_seen_cancelled = False
        extra = {"job": self.run.job, "run": self.run.id, "attempt": self.run.attempt}
        self.log = log or logging.LoggerAdapter(logging.getLogger(f"mainspring.job.{self.run.job}"), extra)

    @property
    def attempt(self) -> int:
        return self.run.attempt

    @property
    def tick(self) -> TickInfo | None:
        extra = self.run.extra
        return None if extra is None or extra.tick is None else TickInfo(instant(extra.tick), extra.folded)

    @property
    def deadline(self) -> datetime | None:
        return None if self._deadline is None else instant(self._deadline)

    def now(self) -> datetime:
        return instant(self._started + time.monotonic())

    @property
    def cancelled(self) -> str | None:
        if self._reason is not None:
            self.has_seen_cancelled = True
        return self._reason

    def progress(self, fraction: float, text: str = "") -> Any:
        """As in the kernel: to be awaited in ``async def`` jobs."""
        if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction <= 1:
            raise RequestError(f"ctx.progress: {shown(fraction)}: expected a number from 0 to 1")
        line = {"kind": "progress", "fraction": float(fraction), "text": str(text)[:_PROGRESS_CHARACTERS]}
        self._tell(json.dumps(line))
        return _nothing() if self._job.is_async else None

    def tell_cancelled(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(Context, name):
            raise AttributeError(f"ctx has no {name}")
        raise RequestError(
            f"{self._job.name}: ctx.{name} is not there in a job of the executor {shown(self._job.policies.executor)}, "
            "which runs apart from the kernel; there are run, attempt, is_last_attempt, tick, deadline, now, log, "
            "progress and cancelled"
        )


class RemoteAttempt:
    """One attempt: ``make`` blocks until it has ended; ``cancel`` may be called from any thread, before it too."""

    def __init__(
        self, job: Job, facts: dict[str, Any], tell: Callable[[str], None], log: JobLogger | None = None
    ) -> None:
        self._job = job
        self._context = RemoteContext(facts, job, tell, log)
        self._max_result: int = facts["max_result"]
        self._lock = threading.Lock()
        self._task: asyncio.Task[Any] | None = None

    @property
    def run(self) -> str:
        """The run's id."""
        return self._context.run.id

    def make(self) -> str:
        """The answer; whatever the job does, it raises nothing."""
        outcome = contextvars.copy_context().run(self._outcome)
        return as_text(outcome, has_seen=self._context.has_seen_cancelled or isinstance(outcome, Interrupted))

    def cancel(self, reason: str) -> None:
        """Tells the job that it should end; an ``async def`` job is cancelled."""
        with self._lock:
            self._context.tell_cancelled(reason)
            task = self._task
        if task is not None:
            try:
                task.get_loop().call_soon_threadsafe(task.cancel)
            except RuntimeError:  # its loop is closed: it has ended meanwhile
                return

    def _outcome(self) -> Outcome:
        job, run = self._job, self._context.run
        pid = os.getpid()
        try:
            arguments = job.parameters.arguments(run.job, run.payload_text)
            result, error = self._on_loop(arguments) if job.is_async else self._call(arguments)
            if error is None:
                refuse_coroutine(result, job)
                return Completed() if result is None else completed(result, job, max_result=self._max_result)
        except BaseException as raised:  # noqa: BLE001 - the border around a job's function
            error = raised
        finally:
            if os.getpid() != pid:
                # The job has forked: its child must not answer too.
                os._exit(70)
        if isinstance(error, asyncio.CancelledError) and (reason := self._context.cancelled) is not None:
            return Interrupted(reason)
        return outcome_surely(error, job)

    def _call(self, arguments: dict[str, Any]) -> tuple[Any, None]:
        if self._job.parameters.takes_context:
            return self._job.function(self._context, **arguments), None
        return self._job.function(**arguments), None

    def _on_loop(self, arguments: dict[str, Any]) -> tuple[Any, BaseException | None]:
        return asyncio.run(self._awaited(arguments))

    async def _awaited(self, arguments: dict[str, Any]) -> tuple[Any, BaseException | None]:
        with self._lock:
            self._task = asyncio.current_task()
        try:
            if (reason := self._context.cancelled) is not None:
                raise asyncio.CancelledError(reason)  # noqa: TRY301 - it was told to end before it began
            coroutine, _ = self._call(arguments)
            return await coroutine, None
        except BaseException as error:  # noqa: BLE001 - SystemExit and its like would leave the loop as they are
            return None, error
        finally:
            with self._lock:
                self._task = None


async def _nothing() -> None: ...
