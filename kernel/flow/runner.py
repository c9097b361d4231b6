"""One attempt: calls the job's function, on the loop or in a thread, and says how it ended. Called by the worker pool."""

from __future__ import annotations

import asyncio
import contextvars
import traceback
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from kernel.flow.context import Context, describe
from kernel.model.errors import Cancel, GiveUp, PayloadError, RetryAfter, Snooze
from kernel.model.outcome import Cancelled, Completed, Failed, Outcome, Snoozed
from kernel.model.payload import NotJsonError, encode
from kernel.model.run import Claimed, Failure

if TYPE_CHECKING:
    from kernel.flow.threads import Result, ThreadPool
    from kernel.model.job import Job

_TRACEBACK_CHARACTERS = 16_000
_MESSAGE_CHARACTERS = 4_000
_DONE = Completed()


class Runner:
    """Never raises but for cancellation, whatever the job does."""

    def __init__(self, threads: ThreadPool) -> None:
        self._threads = threads

    async def attempt(self, run: Claimed, job: Job, context: Context) -> Outcome:
        """Tries ``run`` once. CancelledError passes through: why the attempt was to end, the worker pool knows."""
        try:
            arguments = job.parameters.arguments(run.job, run.payload)
            if job.is_async:
                if job.parameters.takes_context:
                    result = await job.function(context, **arguments)
                else:
                    result = await job.function(**arguments)
            else:
                result, raised = await self._in_thread(job, context, arguments)
                if raised is not None:
                    return _outcome_surely(raised, job)
                _refuse_coroutine(result, job)
            return _DONE if result is None else _completed(result, job)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the border around a job's function
            return _outcome_surely(error, job)

    async def _in_thread(self, job: Job, context: Context, arguments: dict[str, Any]) -> Result:
        """What the function returned, or raised: StopIteration, for one, cannot be raised here."""

        def call() -> Any:
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
        result, raised = future.result()
        # One that has not even looked at ctx.cancelled has done all its work.
        if cancelled is not None and (raised is not None or context.has_seen_cancelled):
            raise cancelled
        return result, raised


def _refuse_coroutine(result: Any, job: Job) -> None:
    if isinstance(result, CoroutineType):
        result.close()
        raise TypeError(f"{job.name} returned a coroutine: expected `async def` for a job that awaits")


def _completed(result: Any, job: Job) -> Outcome:
    try:
        return Completed(encode(result))
    except NotJsonError as error:
        return Completed(None, (f"the result of {job.name} was not kept: {error}",))


def _outcome_surely(error: BaseException, job: Job) -> Outcome:
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
    return Failure(_clean(type(error).__name__), _message_of(error), _clean(text)[-_TRACEBACK_CHARACTERS:])


def _message_of(error: BaseException) -> str:
    try:
        return _clean(str(error))[:_MESSAGE_CHARACTERS]
    except BaseException:  # noqa: BLE001 - a hostile __str__ must not hide the error, nor end the process
        return "(its message cannot be read)"


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
