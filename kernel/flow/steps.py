"""The steps of one attempt: each is done once a run, whatever number of attempts that takes. Asked by ``ctx.step``.

Steps may contain others: when the outer one has to be done again, the inner ones that are recorded are not.
"""

from __future__ import annotations

import asyncio
import json
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.flow.calls import called, called_in_thread
from kernel.model.errors import GiveUp, RequestError, StaleAttemptError
from kernel.model.payload import NotJsonError, encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from kernel.flow.page import Page

MOST_STEPS = 10_000

_inside: ContextVar[tuple[str, ...]] = ContextVar("mainspring_steps", default=())
"""The steps that are being done by the code that asks."""


class _Done(NamedTuple):
    """How a step ended for those who wait for it. Neither: it was cut short, and is to be done by one of them."""

    text: str | None = None
    error: BaseException | None = None


class Steps:
    """``do`` (on the loop), ``do_apart`` and ``do_in_thread`` give a step's result: the recorded one, or what the function returns.

    ``read`` reads what earlier attempts have recorded. A result is at most ``limit`` bytes of JSON.
    """

    def __init__(self, page: Page, read: Callable[[], Awaitable[dict[str, str]]], limit: int) -> None:
        self._page = page
        self._read = read
        self._limit = limit
        self._recorded: dict[str, str] | None = {} if page.run.token == 1 else None
        self._reading = asyncio.Lock()
        self._doing: dict[str, asyncio.Future[_Done]] = {}

    async def do(self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._refuse_inside_itself(name)
        recorded = await self._take(name)
        if recorded is not None:
            return json.loads(recorded)
        inside = _inside.set((*_inside.get(), name))
        try:
            result = await called(function, args, kwargs)
            await self._record(name, result)
        except BaseException as error:
            self._failed(name, error)
            raise
        finally:
            _inside.reset(inside)
        return result

    async def do_apart(  # noqa: PLR0917 - all of it in one order everywhere
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any],
        bridge: Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]], loop: asyncio.AbstractEventLoop,
    ) -> Any:  # fmt: skip
        """The same on another loop: there the function is called; what the kernel's ``loop`` does is awaited by ``bridge``."""
        self._refuse_inside_itself(name)
        recorded = await bridge(self._take(name))
        if recorded is not None:
            return json.loads(recorded)
        inside = _inside.set((*_inside.get(), name))
        try:
            result = await called(function, args, kwargs)
            await bridge(self._record(name, result))
        except BaseException as error:
            loop.call_soon_threadsafe(self._failed, name, error)
            raise
        finally:
            _inside.reset(inside)
        return result

    def do_in_thread(  # noqa: PLR0917 - all of it in one order everywhere
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any],
        reach: Callable[[Coroutine[Any, Any, Any]], Any], loop: asyncio.AbstractEventLoop,
    ) -> Any:  # fmt: skip
        """The same for a job in a thread: there the function is called; ``reach`` waits for what the loop does."""
        self._refuse_inside_itself(name)
        recorded = reach(self._take(name))
        if recorded is not None:
            return json.loads(recorded)
        inside = _inside.set((*_inside.get(), name))
        try:
            result = called_in_thread(function, args, kwargs, reach)
            reach(self._record(name, result))
        except BaseException as error:
            loop.call_soon_threadsafe(self._failed, name, error)
            raise
        finally:
            _inside.reset(inside)
        return result

    def _refuse_inside_itself(self, name: str) -> None:
        if name in _inside.get():
            raise RequestError(f'ctx.step "{name}" was called inside the step "{name}": expected another name')

    async def _take(self, name: str) -> str | None:
        """The recorded result; None: the step is the caller's to do."""
        recorded = await self._known()
        while name not in recorded:
            doing = self._doing.get(name)
            if doing is None:
                if len(recorded) + len(self._doing) >= MOST_STEPS:
                    raise RequestError(
                        f'ctx.step "{name}": expected at most {MOST_STEPS:,} steps of one run: do several in one step'
                    )
                self._doing[name] = asyncio.get_running_loop().create_future()
                return None
            done = await asyncio.shield(doing)
            if done.error is not None:
                raise done.error
        return recorded[name]

    async def _known(self) -> dict[str, str]:
        if self._recorded is None:
            async with self._reading:
                if self._recorded is None:
                    self._recorded = await self._read()
        return self._recorded

    async def _record(self, name: str, result: Any) -> None:
        """Returns when the store has it."""
        try:
            text = encode(result, limit=self._limit)
        except NotJsonError as error:
            # Another attempt would do the step's work again, and end here again.
            raise GiveUp(f'ctx.step "{name}": its result cannot be recorded, so neither is the step: {error}') from None
        if self._page.is_stale or not await self._page.record(name, text):
            raise StaleAttemptError(self._page.run.id, self._page.run.attempt)
        (await self._known())[name] = text
        self._doing.pop(name).set_result(_Done(text))

    def _failed(self, name: str, error: BaseException) -> None:
        """Those who wait for it get the error; when it was only cut short, one of them does it."""
        doing = self._doing.pop(name, None)
        if doing is not None:
            doing.set_result(_Done(error=error if isinstance(error, Exception) else None))
