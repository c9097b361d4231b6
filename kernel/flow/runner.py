"""One attempt: on the loop, in a thread or by an executor; and how it ended. Called by the worker pool."""

from __future__ import annotations

import asyncio
import contextvars
import traceback
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from kernel.flow.own_loop import OwnLoop
from kernel.model.errors import BreakerOpen, Cancel, GiveUp, PayloadError, RetryAfter, Snooze, describe
from kernel.model.outcome import Cancelled, Completed, Failed, Outcome, Snoozed
from kernel.model.payload import MAX_BYTES, NotJsonError, encode
from kernel.model.run import Claimed, Failure

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from kernel.flow.context import Context
    from kernel.flow.executors import Executors
    from kernel.flow.threads import Result, ThreadPool
    from kernel.model.job import Job

_TRACEBACK_CHARACTERS = 16_000
_MESSAGE_CHARACTERS = 4_000
_DONE = Completed()


class Runner:
    """Never raises but for cancellation, whatever the job does."""

    def __init__(
        self,
        threads: ThreadPool,
        executors: Executors,
        max_result: int = MAX_BYTES,
        moved: AbstractSet[str] = frozenset(),
    ) -> None:
        """``moved``: the ``async def`` jobs that are to run in threads, as it changes."""
        self._threads = threads
        self._executors = executors
        self._max_result = max_result
        self._moved = moved

    async def attempt(
        self, run: Claimed, job: Job, context: Context, raised_by_job: list[BaseException] | None = None
    ) -> Outcome:
        """Tries ``run`` once. CancelledError passes through: why the attempt was to end, the worker pool knows.

        What the job raises is added to the list, if there is one.
        """
        try:
            if job.policies.executor not in {None, "thread"}:
                return await self._executors.attempt(run, job, context)
            arguments = job.parameters.arguments(run.job, run.payload)
            if job.is_async and not (self._moved and job.name in self._moved):
                if job.parameters.takes_context:
                    result = await job.function(context, **arguments)
                else:
                    result = await job.function(**arguments)
            else:
                result, raised = await self._in_thread(job, context, arguments)
                if raised is not None:
                    if raised_by_job is not None:
                        raised_by_job.append(raised)
                    return outcome_surely(raised, job)
                refuse_coroutine(result, job)
            if result is None and not context.notes:
                return _DONE
            return completed(result, job, context.notes, self._max_result)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the border around a job's function
            if raised_by_job is not None:
                raised_by_job.append(error)
            return outcome_surely(error, job)

    def kill(self, run_id: str) -> bool:
        """Ends the attempt of this run by force; False when nothing can, for it runs on the loop or in a thread."""
        return self._executors.kill(run_id)

    async def _in_thread(self, job: Job, context: Context, arguments: dict[str, Any]) -> Result:
        """What the function returned, or raised: StopIteration, for one, cannot be raised here."""
        own = OwnLoop(job, context, arguments) if job.is_async else None

        def call() -> Any:
            if own is not None:
                return own.make()
            here = contextvars.copy_context()
            if job.parameters.takes_context:
                return here.run(job.function, context, **arguments)
            return here.run(job.function, **arguments)

        caller = contextvars.copy_context()
        future = self._threads.run(lambda: caller.run(call))
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError as error:
                # A thread cannot be ended: it has been told by ctx.cancelled, and is awaited until it ends.
                cancelled = error
                if own is not None:
                    own.cancel()
        result, raised = future.result()
        # One that has not even looked at ctx.cancelled has done all its work.
        if cancelled is not None and (raised is not None or context.has_seen_cancelled):
            raise cancelled
        return result, raised


def refuse_coroutine(result: Any, job: Job) -> None:
    if isinstance(result, CoroutineType):
        result.close()
        raise TypeError(f"{job.name} returned a coroutine: expected `async def` for a job that awaits")


def completed(result: Any, job: Job, notes: tuple[str, ...] = (), max_result: int = MAX_BYTES) -> Outcome:
    try:
        return Completed(None if result is None else encode(result, limit=max_result), notes)
    except NotJsonError as error:
        return Completed(None, (*notes, f"the result of {job.name} was not kept: {error}"))


def outcome_surely(error: BaseException, job: Job) -> Outcome:
    try:
        return outcome_of(error, job)
    except BaseException as another:  # noqa: BLE001 - an error of the job's own making may break when it is looked at
        return Failed(failure_of(another))


def outcome_of(error: BaseException, job: Job) -> Outcome:
    """What an error that left the job's function means."""
    match error:
        case Snooze():
            return Snoozed(error.wait_seconds)
        case Cancel():
            return Cancelled(_message_of(error) or "the job cancelled itself")
        case GiveUp() | PayloadError():
            return Failed(failure_of(error), may_retry=False)
        case BreakerOpen():
            may = not isinstance(error, job.retry.give_up_on)
            return Failed(failure_of(error), may_retry=may, at_least_seconds=error.wait_seconds)
        case RetryAfter():
            return Failed(failure_of(error), wait_seconds=error.wait_seconds)
        case _:
            return Failed(failure_of(error), may_retry=may_retry(error, job))


def may_retry(error: BaseException, job: Job) -> bool:
    # SystemExit and its kin end an attempt like any error: the default `on=(Exception,)` is meant to hold for them too.
    if job.retry.on == (Exception,):
        return not isinstance(error, job.retry.give_up_on)
    return job.retry.may_retry(error)


def failure_of(error: BaseException) -> Failure:
    """The error as kept with the run: type, message and traceback, cut to what a person reads."""
    try:
        text = "".join(traceback.format_exception(error, limit=-20, chain=True))
    except BaseException:  # noqa: BLE001 - nor must what hangs on the error
        text = describe(error)
    return Failure(clean(type(error).__name__), _message_of(error), clean(text)[-_TRACEBACK_CHARACTERS:])


def _message_of(error: BaseException) -> str:
    try:
        return clean(str(error))[:_MESSAGE_CHARACTERS]
    except BaseException:  # noqa: BLE001 - a hostile __str__ must not hide the error, nor end the process
        return "(its message cannot be read)"


def clean(text: str) -> str:
    """The text as every store takes it."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
