"""Gathers what running attempts tell, a page for each, and writes it in batches for all of them together.

Told by ``ctx`` and the log capture, by way of the pages. Writes by the recorder, which takes an attempt's last words
along with its outcome.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from kernel.contracts.clock import sleep
from kernel.flow.page import Page
from kernel.model.counted import counted
from kernel.model.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from kernel.contracts.clock import Clock, Timer
    from kernel.flow.page import Noted
    from kernel.flow.recorder import Recorder
    from kernel.model.run import Claimed

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
_BATCH_CHARACTERS = 256 * 1024
_LONGEST_WAIT = 5.0
WRITING, READING = "what attempts tell", "recorded steps"
"""The parts of the flow that are told to be in trouble with the store."""


class Notebook:
    """Steps leave at once, progress every 0.25 s a run, lines after 0.5 s; whatever leaves takes along what there is."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        # Reentrant: in the middle of it the garbage collector may call a finalizer, and that may log.
        self.lock = threading.RLock()
        self._pages: dict[Page, None] = {}
        self._due = math.inf
        self._timer: Timer | None = None
        self._writer: asyncio.Task[None] | None = None
        self._is_closed = False
        self._asking_again = 0
        # What is written belongs to many runs: not with the context variables of the first of them.
        self._context = contextvars.copy_context()

    def open(self, run: Claimed) -> Page:
        """A page for one attempt. Any thread."""
        return Page(run, self._clock, self.lock, self._want)

    async def surely(self, call: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """The answer of a call to the store, which is made again until it succeeds, or who waits for it is cancelled."""
        # In a task of its own, so that what is said of the trouble is not taken for a line of the job that asks.
        return await asyncio.create_task(self._until_it_succeeds(call), context=self._context.copy())

    async def _until_it_succeeds(self, call: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        wait = 0.1
        is_asking_again = False
        try:
            while True:
                try:
                    return await call()
                except StoreError as error:
                    self._asking_again += not is_asking_again
                    is_asking_again = True
                    wait = await self._rest(READING, error, wait)
        finally:
            self._asking_again -= is_asking_again
            # Also when nobody wants to know any more: there is nothing left that could find out that it works again.
            if not self._asking_again:
                self._recorder.trouble.ends(READING)

    @property
    def is_written(self) -> bool:
        """Whether nothing waits to be written."""
        return not self._pages and self._writer is None

    async def drain(self) -> None:
        """Waits until what has been told is written; progress that comes too soon waits on."""
        self._write()
        while self._writer is not None:
            await asyncio.wait({self._writer})

    async def close(self) -> None:
        """Writes nothing any more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait({self._writer})

    def _want(self, page: Page, seconds: float) -> None:
        due = self._clock.elapsed() + seconds
        with self.lock:
            self._pages[page] = None
            if due >= self._due:
                return
            self._due = due
        if threading.get_ident() == self._thread:
            self._arm()
            return
        try:
            self._loop.call_soon_threadsafe(self._arm)
        except RuntimeError:  # the loop is closed, and this thread has outlived it
            return

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writer is not None or self._due == math.inf:  # the writer comes here at its end
            return
        wait = self._due - self._clock.elapsed()
        if wait <= 0:
            self._write()
        else:
            # Not with the context variables of the job that tells just now, which would live as long as the timer.
            self._timer = self._context.copy().run(self._clock.call_in, wait, self._write)

    def _write(self) -> None:
        if self._writer is None and not self._is_closed:
            self._writer = asyncio.create_task(
                self._write_pages(), name="mainspring:notebook", context=self._context.copy()
            )

    async def _write_pages(self) -> None:
        wait = 0.1
        try:
            pages = self._wanted()
            while pages:
                error = await self._write_batch(pages)
                if error is None:
                    wait = 0.1
                else:
                    wait = await self._rest(WRITING, error, wait)
                    pages.extend(self._wanted())
        finally:
            self._writer = None
            self._arm()

    def _wanted(self) -> deque[Page]:
        with self.lock:
            pages, self._pages, self._due = deque(self._pages), {}, math.inf
        return pages

    async def _write_batch(self, pages: deque[Page]) -> StoreError | None:
        """Takes from the front of ``pages`` what makes a batch; the error when it has come back, with its pages behind."""
        taken: list[tuple[Page, list[Noted]]] = []
        size = 0
        while pages and size < _BATCH_CHARACTERS:
            page = pages.popleft()
            if noted := page.take():
                taken.append((page, noted))
                size += sum(
                    len(one.entry.log or "") + len(one.entry.step[1] if one.entry.step else "") for one in noted
                )
        if not taken:
            return None
        arrived: asyncio.Future[None] = self._loop.create_future()
        for page, _ in taken:
            page.writing = arrived
        try:
            await self._write_taken(taken)
        except StoreError as error:
            for page, noted in taken:
                page.put_back(noted)
                pages.append(page)
            return error
        else:
            return None
        finally:
            for page, _ in taken:
                page.writing = None
            arrived.set_result(None)

    async def _write_taken(self, taken: Sequence[tuple[Page, list[Noted]]]) -> None:
        every = [(page, one) for page, noted in taken for one in noted]
        try:
            answers = await self._recorder.record([one for _, one in every])
        except StoreError:
            raise
        except Exception as error:
            log.exception("what %s told cannot be written", counted(len(taken), "attempt"))
            for _, one in every:
                if one.written is not None and not one.written.done():
                    one.written.set_exception(error)
            return
        self._recorder.trouble.ends(WRITING)
        for (page, _), was_current in zip(every, answers, strict=True):
            page.is_stale = page.is_stale or not was_current

    async def _rest(self, part: str, error: StoreError, wait: float) -> float:
        """After a failure; the next wait."""
        self._recorder.trouble.begins(part, error)
        await sleep(self._clock, wait)
        return min(wait * 2, _LONGEST_WAIT)
