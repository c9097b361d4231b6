"""The executors of plugins: which the jobs ask for, who opens them, and their start and stop behind the plugin's guard."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from kernel.model.errors import nearest, shown
from kernel.plugin_error import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernel.contracts.executor import Executor
    from kernel.hooks import Hook
    from kernel.plugin import Plugin

OWN = ("thread", "process")
"""The kernel's; other names are asked for among the plugins."""


class HookError(PluginError):
    """The hook of this plugin has failed."""

    def __init__(self, plugin: str, error: PluginError) -> None:
        self.plugin = plugin
        super().__init__(error.reason, error.place)


async def is_opened(name: str, plugins: Iterable[Plugin]) -> bool:
    """Whether one of the plugins has the executor, or opens it now: the first that answers to the name.

    HookError when the hook of one fails.
    """
    plugins = [plugin for plugin in plugins if plugin.state == "enabled"]
    if any(name in plugin.executors for plugin in plugins):
        return True
    for plugin in plugins:
        for hook in plugin.hooks.get("open_executor", []):
            try:
                executor = checked(name, await plugin.call(hook, {"name": name}), hook)
            except PluginError as error:
                raise HookError(plugin.name, error) from None
            if executor is not None:
                plugin.executors[name] = executor
                return True
    return False


def checked(name: str, found: Any, hook: Hook) -> Executor | None:
    """What the hook gave, if it can be an executor."""
    if found is None:
        return None
    awaited = [inspect.iscoroutinefunction(getattr(found, method, None)) for method in ("start", "stop", "attempt")]
    if not all(awaited) or not callable(getattr(found, "kill", None)):
        text = "expected an object with async def start(), stop() and attempt(work), and def kill(run)"
        raise PluginError(f"open_executor({shown(name)}): found {shown(found)}; {text}", hook.place)
    executor: Executor = found
    return executor


def unknown(name: str, plugins: Iterable[Plugin]) -> str:
    """What is wrong with the name of an executor that nobody opens."""
    known = [*OWN, *sorted({name for plugin in plugins for name in plugin.executors})]
    return (
        f"{shown(name)}: no executor of this name; expected one of {', '.join(known)}, or a name that a plugin's hook "
        f"open_executor answers.{nearest(name, known)}"
    )


async def start_executors(plugin: Plugin) -> None:
    """Those that do not run yet; PluginError when one does not start."""
    for name, executor in plugin.executors.items():
        if name not in plugin.running_executors:
            await plugin.guard.on_loop(f"executor {shown(name)}: start", executor.start)
            plugin.running_executors.add(name)


async def stop_executors(plugin: Plugin, within: float | None = None) -> None:
    """All that run; PluginError, the first, when one fails to stop."""
    errors = []
    for name in sorted(plugin.running_executors):
        try:
            await plugin.guard.on_loop(f"executor {shown(name)}: stop", plugin.executors[name].stop, within=within)
        except PluginError as error:
            errors.append(error)
    plugin.running_executors.clear()
    if errors:
        raise errors[0]
