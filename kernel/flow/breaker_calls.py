"""The calls of one attempt through circuit breakers: those of ``ctx.breaker``, and its own when its job has one as a policy.

A call inside another one through the same breaker is part of that, and not counted by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from kernel.flow.calls import called, called_in_thread, check_call
from kernel.model.breaker import Breaker
from kernel.model.errors import (
    BreakerOpen,
    Cancel,
    ConfigError,
    PayloadError,
    RequestError,
    Snooze,
    StaleAttemptError,
    describe,
)
from kernel.model.outcome import Cancelled, Completed, Failed, NotBegun, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from kernel.flow.breakers import Breakers, Call

TIMEOUT = "timeout"
_SAYS_NOTHING = (Snooze, Cancel, StaleAttemptError)
"""Ends of a call that say nothing of what was called."""
_inside: ContextVar[tuple[Call, ...]] = ContextVar("mainspring_breaker_calls", default=())
"""The calls that the code which asks is part of."""


class BreakerCalls:
    """``ending``: of what kind is the word to the attempt to end, once there is one; TIMEOUT, or another."""

    def __init__(self, breakers: Breakers, ending: str | None) -> None:
        self.ending = ending
        self._breakers = breakers
        self._own: Call | None = None
        self._open: set[Call] = set()

    # The attempt's own

    async def begin(self, policy: Breaker) -> Outcome | None:
        """None when the attempt may begin; else what becomes of it."""
        try:
            self._own = await self._breakers.enter(policy.name)
        except BreakerOpen as error:
            if policy.when_open == "wait":
                return NotBegun(f"breaker open: {policy.name}")
            return Cancelled(f"breaker open: {policy.name}: {error.why}")
        except asyncio.CancelledError:  # told to end meanwhile
            return NotBegun("told to end before it had begun")
        return None

    def end(self, outcome: Outcome) -> None:
        """The attempt has ended; what it has left open is over too, and says nothing."""
        if self._own is not None:
            self._count(self._own, outcome)
        while self._open:
            self._breakers.left(self._open.pop())

    def _count(self, own: Call, outcome: Outcome) -> None:
        match outcome:
            case Completed():
                self._breakers.succeeded(own)
            case Failed(failure) if failure.type != PayloadError.__name__:
                first = failure.message.splitlines()[0] if failure.message else ""
                self._breakers.failed(own, f"{failure.type}: {first}" if first else failure.type)
            case _:
                self._breakers.left(own)

    def give_up(self, reason: str) -> None:
        """It does not end though it was told to: its places are free. Past its timeout it has failed."""
        for call in [*self._open, *([] if self._own is None else [self._own])]:
            if self.ending == TIMEOUT:
                self._breakers.failed(call, f"TimeoutError: {reason}")
            else:
                self._breakers.left(call)

    # Those of ctx.breaker

    async def enter(self, name: str, given: Mapping[str, Any], place: str, inside: tuple[Call, ...]) -> Call | None:
        """A call that was let through; None for one that is part of another. Raises BreakerOpen."""
        around = inside if self._own is None else (*inside, self._own)
        if any(call.name == name and call.counts for call in around):
            return None
        call = await self._breakers.enter(name, given, place)
        self._open.add(call)
        return call

    def leave(self, call: Call, error: BaseException | None) -> None:
        """The call has ended, by this error or by none."""
        self._open.discard(call)
        if error is None:
            self._breakers.succeeded(call)
        elif self._says_nothing(error):
            self._breakers.left(call)
        else:
            self._breakers.failed(call, describe(error))

    def _says_nothing(self, error: BaseException) -> bool:
        # Of an attempt that is told to end any error may be a consequence; only its timeout is the fault of what it called.
        is_cut_short = self.ending is not None or isinstance(error, asyncio.CancelledError | GeneratorExit)
        return isinstance(error, _SAYS_NOTHING) or (is_cut_short and self.ending != TIMEOUT)


def given_thresholds(name: str, failures: Any, recovery: Any, successes: Any) -> dict[str, Any]:
    """Of the options of ``ctx.breaker`` those that were given, as in ``Thresholds``; RequestError when one is wrong."""
    options = {"failure_threshold": failures, "recovery_timeout": recovery, "success_threshold": successes}
    given = {option: value for option, value in options.items() if value is not None}
    try:
        checked = Breaker(name, **given).thresholds
    except ConfigError as error:
        raise RequestError(f"ctx.breaker: {error}") from None
    return {
        field: value
        for (field, value), option in zip(checked._asdict().items(), options, strict=True)
        if option in given
    }


class BreakerOfJob:
    """What ``ctx.breaker(name)`` gives."""

    def __init__(
        self,
        name: str,
        given: Mapping[str, Any],
        *,
        place: str,
        calls: BreakerCalls,
        loop: asyncio.AbstractEventLoop,
        reach: Callable[[Coroutine[Any, Any, Any]], Any] | None,
        bridge: Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]] | None = None,
    ) -> None:
        """``reach``: has the loop do something and waits for it, in a job's thread; None on the loop. ``bridge``: has it awaited
        there, by a job on a loop of its own.
        """
        self._name = name
        self._given = given
        self._place = place
        self._calls = calls
        self._loop = loop
        self._reach = reach
        self._bridge = bridge

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """What ``function(*args, **kwargs)`` returns, or raises; BreakerOpen when it was not called.

        An Exception is a failure, a time-out of the attempt too. ``Snooze``, ``Cancel`` and cancellation count for
        nothing; so does an ``asyncio.timeout`` around the call, for it cancels: put it into the function.
        Called where a step is; to be awaited in ``async def`` jobs, blocks in ``def`` jobs.
        """
        check_call("breaker", self._name, function)
        if self._reach is None:
            return self._call(function, args, kwargs)
        return self._call_in_thread(function, args, kwargs, self._reach)

    async def _call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        inside = _inside.get()
        entering = self._calls.enter(self._name, self._given, self._place, inside)
        call = await (entering if self._bridge is None else self._bridge(entering))
        if call is None:
            return await called(function, args, kwargs)
        here = _inside.set((*inside, call))
        try:
            result = await called(function, args, kwargs)
        except BaseException as error:
            self._leave(call, error)
            raise
        finally:
            _inside.reset(here)
        self._leave(call, None)
        return result

    def _leave(self, call: Call, error: BaseException | None) -> None:
        if self._bridge is None:
            self._calls.leave(call, error)
        else:
            self._loop.call_soon_threadsafe(self._calls.leave, call, error)

    def _call_in_thread(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        reach: Callable[[Coroutine[Any, Any, Any]], Any],
    ) -> Any:
        inside = _inside.get()
        call = reach(self._calls.enter(self._name, self._given, self._place, inside))
        if call is None:
            return called_in_thread(function, args, kwargs, reach)
        here = _inside.set((*inside, call))
        error: BaseException | None = None
        try:
            return called_in_thread(function, args, kwargs, reach)
        except BaseException as raised:
            error = raised
            raise
        finally:
            _inside.reset(here)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody counts any more
                self._loop.call_soon_threadsafe(self._calls.leave, call, error)
