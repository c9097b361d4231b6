"""The bounded pool of daemon threads in which ``def`` jobs run. Used by the runner alone.

Bounded by the worker pool: each busy thread belongs to one attempt. A thread that cannot be ended keeps its attempt.
"""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Result = tuple[Any, BaseException | None]


class ThreadPool:
    """Runs functions in threads that are kept for the next ones; the process never waits for them at its end."""

    def __init__(self) -> None:
        self._idle: list[SimpleQueue[Any]] = []
        self._count = 0
        self._is_closed = False

    def run(self, function: Callable[[], Any]) -> asyncio.Future[Result]:
        """(result, None) or (None, error) of ``function``, which runs in a thread; the future never raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        inbox = self._idle.pop() if self._idle else self._grow()
        inbox.put((function, future, loop))
        return future

    def close(self) -> None:
        """Idle threads end; busy ones end after their function."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().put(None)

    def _grow(self) -> SimpleQueue[Any]:
        inbox: SimpleQueue[Any] = SimpleQueue()
        self._count += 1
        threading.Thread(target=self._serve, args=(inbox,), name=f"mainspring-job-{self._count}", daemon=True).start()
        return inbox

    def _serve(self, inbox: SimpleQueue[Any]) -> None:
        while (work := inbox.get()) is not None:
            function, future, loop = work
            result: Result
            try:
                result = (function(), None)
            except BaseException as error:  # noqa: BLE001 - whatever a job raises is its outcome
                result = (None, error)
            try:
                loop.call_soon_threadsafe(self._done, future, result, inbox)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return
            del function, future, result, work

    def _done(self, future: asyncio.Future[Result], result: Result, inbox: SimpleQueue[Any]) -> None:
        if self._is_closed:
            inbox.put(None)
        else:
            self._idle.append(inbox)
        if not future.done():
            future.set_result(result)
