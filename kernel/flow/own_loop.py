"""An attempt of an ``async def`` job in a thread, on a loop of its own: there it may block. Made by the runner."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernel.flow.context import Context
    from kernel.flow.threads import Result
    from kernel.model.job import Job


class OwnLoop:
    """One attempt: ``make`` blocks until it has ended, in the thread; ``cancel`` is for the kernel's loop."""

    def __init__(self, job: Job, context: Context, arguments: dict[str, Any]) -> None:
        self._job = job
        self._context = context
        self._arguments = arguments
        self._lock = threading.Lock()
        self._task: asyncio.Task[Any] | None = None
        self._is_cancelled = False

    def make(self) -> Any:
        """What the job returns, or raises. Tasks that it leaves behind are cancelled."""
        self._context.live_apart()
        result, error = contextvars.copy_context().run(asyncio.run, self._awaited())
        if error is not None:
            raise error
        return result

    def cancel(self) -> None:
        """Cancels the job, before it has begun too; it may be asked for again."""
        with self._lock:
            self._is_cancelled = True
            if self._task is not None:
                # Under the lock, so that its loop is not closed yet.
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    async def _awaited(self) -> Result:
        with self._lock:
            self._task = asyncio.current_task()
        try:
            if self._is_cancelled:
                raise asyncio.CancelledError(self._context.cancelled)  # noqa: TRY301 - told to end before it began
            if self._job.parameters.takes_context:
                return await self._job.function(self._context, **self._arguments), None
            return await self._job.function(**self._arguments), None
        except BaseException as error:  # noqa: BLE001 - SystemExit and its like would leave the loop as they are
            return None, error
        finally:
            with self._lock:
                self._task = None
