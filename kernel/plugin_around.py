"""The hooks that stand around something: async context managers, entered and left in the task of what they stand around.

So what they set by context variables holds there. One that fails or takes too long is a fault of its plugin, and what it
stands around goes on without it; it can neither hide an error nor put another in its place.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kernel.model.errors import shown
from kernel.plugin_error import PluginError
from kernel.plugin_guard import text_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from kernel.hooks import Hook
    from kernel.plugin import Plugin

LIMIT_SECONDS = 5.0
"""For entering, and for leaving again: meanwhile a run waits."""

Inner = tuple["Plugin", "Hook", Any]


class Entered:
    """``given``: what the context managers gave, of those that were entered, in the order of loading."""

    def __init__(self, hook: str) -> None:
        self._hook = hook
        self._inner: list[Inner] = []
        self.given: list[Any] = []

    def add(self, inner: Inner, given: Any) -> None:
        self._inner.append(inner)
        self.given.append(given)

    async def leave(self, error: BaseException | None) -> None:
        """Leaves them, the innermost first. ``error``: by what it ended that they stood around, if by one."""
        while self._inner:
            plugin, hook, manager = self._inner.pop()
            kind = None if error is None else type(error)
            traceback = None if error is None else error.__traceback__
            await _guarded(plugin, hook, lambda: manager.__aexit__(kind, error, traceback), error)  # noqa: B023 - awaited here


class Around:
    """All implementations of one hook. ``check`` looks at what each gives; its error is a fault too."""

    def __init__(
        self,
        parameter: str,
        implementations: Sequence[tuple[Plugin, Hook]],
        check: Callable[[Any], Any] = lambda given: given,
    ) -> None:
        self._parameter = parameter
        self._implementations = implementations
        self._check = check

    async def enter(self, value: Any) -> Entered:
        """Enters each, the one loaded first outermost. CancelledError when the task is cancelled; then none is entered."""
        entered = Entered(self._parameter)
        try:
            for plugin, hook in self._implementations:
                if not plugin.quarantine.is_on and hook in plugin.hooks.get(hook.name, ()):
                    await self._enter_one(plugin, hook, value, entered)
        except asyncio.CancelledError as error:
            await entered.leave(error)
            raise
        return entered

    async def _enter_one(self, plugin: Plugin, hook: Hook, value: Any, entered: Entered) -> None:
        async def enter() -> None:
            manager = hook.call({self._parameter: value})
            if not hasattr(manager, "__aenter__") or not hasattr(manager, "__aexit__"):
                raise PluginError(
                    f"{hook.name}: found {shown(manager)}; expected an async context manager: put @asynccontextmanager "
                    "between @hookimpl and the function",
                    hook.place,
                )
            given = await manager.__aenter__()
            # Once it is entered it is left again, whatever is wrong with what it gave.
            entered.add((plugin, hook, manager), ())
            entered.given[-1] = self._check(given)

        await _guarded(plugin, hook, enter, None)


async def _guarded(plugin: Plugin, hook: Hook, call: Callable[[], Awaitable[Any]], known: BaseException | None) -> None:
    """Whatever the plugin's code does is a fault, but for ``known`` going through it, and this task being cancelled."""
    task = asyncio.current_task()
    cancels = 0 if task is None else task.cancelling()
    limit = asyncio.timeout(LIMIT_SECONDS)
    try:
        async with limit:
            await call()
    except BaseException as error:
        if error is known:
            return
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > cancels:
            raise
        text = f"has not returned within {LIMIT_SECONDS:g} s" if limit.expired() else text_of(error)
        found = plugin.guard.fault(hook.name, error, text)
        if limit.expired():
            found = PluginError(f"{hook.name}: {text}", found.place)
        plugin.quarantine.fault(hook.name, PluginError(found.reason, found.place or hook.place))
