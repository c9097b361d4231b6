"""Calls functions that a job hands to ``ctx``: on the loop in ``async def`` jobs, in the job's own thread in ``def`` jobs.

What such a function gives to be awaited is awaited on the loop in both.
"""

from __future__ import annotations

import inspect
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from kernel.model.errors import RequestError, shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

LONGEST_NAME = 200


def check_call(method: str, name: object, function: object) -> None:
    """RequestError for a name that cannot be kept, TypeError for what is no function; a coroutine object is closed."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        if isinstance(function, CoroutineType):
            function.close()
        raise RequestError(f"ctx.{method}: {shown(name)}: expected a printable name of 1 to {LONGEST_NAME} characters")
    if isinstance(function, CoroutineType):
        function.close()
        raise TypeError(
            f"ctx.{method} {shown(name)}: found a coroutine; expected a function and then its arguments: "
            "hand over `function, argument`, not `function(argument)`"
        )
    if not callable(function):
        raise TypeError(f"ctx.{method} {shown(name)}: {shown(function)}: expected a function and then its arguments")


async def called(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What the function returns; on the loop."""
    result = function(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def called_in_thread(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    reach: Callable[[Coroutine[Any, Any, Any]], Any],
) -> Any:
    """The same in a thread; ``reach`` has the loop do something and waits for it."""
    result = function(*args, **kwargs)
    return reach(_awaited(result)) if inspect.isawaitable(result) else result


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result
