"""Group commit: whoever awaits a single enqueue joins the batch that leaves next. Used by the recorder."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kernel.model.errors import RequestError, StoreFullError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Item = TypeVar("Item")
Answer = TypeVar("Answer")
_BATCH = 2_000


class Gatherer(Generic[Item, Answer]):
    """Joins the items of many callers into one write: while one batch is written the next one gathers."""

    def __init__(self, write: Callable[[list[Item]], Awaitable[list[Answer]]]) -> None:
        self._write = write
        self._waiting: deque[tuple[Sequence[Item], asyncio.Future[list[Answer]]]] = deque()
        self._task: asyncio.Task[None] | None = None
        # A batch belongs to many callers: it is not written with the context variables of the first of them.
        self._context = contextvars.copy_context()

    def put(self, items: Sequence[Item]) -> asyncio.Future[list[Answer]]:
        """The answers to ``items``, in order, once they are written."""
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="mainspring:gatherer", context=self._context.copy())
        return future

    async def drain(self) -> None:
        """Waits until all that was put is written, or has failed."""
        while self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._write_batch()
        finally:
            self._task = None

    async def _write_batch(self) -> None:
        size = 0
        batch: list[tuple[Sequence[Item], asyncio.Future[list[Answer]]]] = []
        while self._waiting and (not batch or size + len(self._waiting[0][0]) <= _BATCH):
            caller = self._waiting.popleft()
            if caller[1].cancelled():  # withdrawn before it was begun
                continue
            size += len(caller[0])
            batch.append(caller)
        if batch:
            await self._write_for(batch)

    async def _write_for(self, callers: list[tuple[Sequence[Item], asyncio.Future[list[Answer]]]]) -> None:
        items = callers[0][0] if len(callers) == 1 else [item for one in callers for item in one[0]]
        try:
            answers = await self._write(list(items))
        except (StoreFullError, RequestError) as error:
            # One caller's queue may be full, or his parent not there, while the others' are: each half by itself then.
            if len(callers) == 1:
                _fail(callers, error)
            else:
                middle = len(callers) // 2
                await self._write_for(callers[:middle])
                await self._write_for(callers[middle:])
        except Exception as error:  # noqa: BLE001 - it belongs to the callers, not to this task
            _fail(callers, error)
        else:
            at = 0
            for mine, future in callers:
                if not future.cancelled():
                    future.set_result(answers[at : at + len(mine)])
                at += len(mine)


def _fail(callers: list[tuple[Any, asyncio.Future[Any]]], error: Exception) -> None:
    for _, future in callers:
        if not future.cancelled():
            future.set_exception(error)
