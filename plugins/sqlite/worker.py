"""A thread that carries out calls of the loop: those of one turn come to it together, and each answers a future."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kernel.model.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

LIMIT_SECONDS = 9.5
"""A call that has not begun by then is withdrawn: nothing of it has happened."""


class Call(Generic[T]):
    """One step to be done on the thread. ``is_alone``: outside of a transaction."""

    __slots__ = ("deadline", "error", "future", "has_begun", "is_alone", "result", "step")

    def __init__(
        self, step: Callable[[], T], future: asyncio.Future[T], deadline: float, *, is_alone: bool = False
    ) -> None:
        self.step = step
        self.future = future
        self.deadline = deadline
        self.is_alone = is_alone
        self.has_begun = False
        self.result: T | None = None
        self.error: BaseException | None = None


class Worker:
    """Daemon: an exit that forgets to close does not hang. ``between`` is called after calls, and when woken without."""

    def __init__(
        self,
        name: str,
        carry_out: Callable[[list[Call[Any]]], None],
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self._carry_out = carry_out
        self._between = between
        self._wake_seconds: float | None = None
        self._loop = asyncio.get_running_loop()
        self._inbox: SimpleQueue[list[Call[Any]] | None] = SimpleQueue()
        self._gathered: list[Call[Any]] = []
        self._waiting: deque[Call[Any]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._lock = threading.Lock()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, name=f"mainspring:{name}", daemon=True)
        self._thread.start()

    # On the loop

    def call(self, step: Callable[[], T], *, alone: bool = False) -> asyncio.Future[T]:
        """The step's answer, or what it raised; StoreError when it could not begin in time."""
        call = Call(step, self._loop.create_future(), self._loop.time() + LIMIT_SECONDS, is_alone=alone)
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(call)
        self._waiting.append(call)
        if self._timer is None:
            self._timer = self._loop.call_at(call.deadline, self._withdraw_late)
        return call.future

    def wake_every(self, seconds: float) -> None:
        """From now on ``between`` is called that often when there are no calls."""
        self._wake_seconds = seconds
        self._inbox.put([])

    def last_of_turn(self) -> asyncio.Future[Any] | None:
        """The newest call of this turn, not handed over yet."""
        return self._gathered[-1].future if self._gathered else None

    def stop(self) -> asyncio.Future[None]:
        """Ends the thread after what it was given; the future is done when it has ended."""
        self._hand_over()
        self._inbox.put(None)
        return self._ended

    def _hand_over(self) -> None:
        if self._gathered:
            self._inbox.put(self._gathered)
            self._gathered = []

    def _withdraw_late(self) -> None:
        now = self._loop.time()
        with self._lock:
            late = []
            while self._waiting and (self._waiting[0].future.done() or self._waiting[0].deadline <= now):
                call = self._waiting.popleft()
                if not call.has_begun and not call.future.done():
                    late.append(call)
            for call in late:
                call.future.set_exception(
                    StoreError(f"the store was busy for {LIMIT_SECONDS:g} s and did nothing; try again")
                )
        self._timer = self._loop.call_at(self._waiting[0].deadline, self._withdraw_late) if self._waiting else None

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._ended.done():
            self._ended.set_result(None)

    def _deliver(self, calls: Iterable[Call[Any]]) -> None:
        for call in calls:
            if call.future.done():
                continue
            if call.error is not None:
                call.future.set_exception(call.error)
            else:
                call.future.set_result(call.result)
        while self._waiting and self._waiting[0].future.done():
            self._waiting.popleft()

    # On the thread

    def begin(self, calls: Iterable[Call[Any]]) -> list[Call[Any]]:
        """Those that still wait for an answer; from here on they are not withdrawn."""
        with self._lock:
            begun = [call for call in calls if not call.future.done()]
            for call in begun:
                call.has_begun = True
        return begun

    def wanted(self, calls: Iterable[Call[Any]]) -> bool:
        return any(not call.future.done() for call in calls)

    def answer(self, calls: list[Call[Any]]) -> None:
        self.on_loop(self._deliver, calls)

    def on_loop(self, function: Callable[..., None], *values: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits for an answer
            self._loop.call_soon_threadsafe(function, *values)

    def _work(self) -> None:
        while True:
            calls, is_last = self._next()
            try:
                if calls:
                    self._carry_out(calls)
                if not is_last:
                    self._between()
            except BaseException as error:  # noqa: BLE001 - the thread must outlive it, and those who wait must be told
                for call in calls:
                    call.error = error
                self.answer(calls)
            if is_last:
                return self.on_loop(self._end)

    def _next(self) -> tuple[list[Call[Any]], bool]:
        """All that has come, and whether it is the last."""
        calls: list[Call[Any]] = []
        try:
            batch = self._inbox.get(timeout=self._wake_seconds)
            while batch is not None:
                calls += batch
                batch = self._inbox.get_nowait()
        except Empty:
            return calls, False
        return calls, True
