"""The order in which plugins are made and started: each after those that it requires."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from kernel.model.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from kernel.plugin import Plugin


def in_order(plugins: dict[str, Plugin], refused: set[str], broken_by: Callable[[Plugin, str], Plugin]) -> list[str]:
    """The names of the enabled ones in order. What cannot be in it is exchanged in ``plugins`` by ``broken_by``."""
    while True:
        while lacking := {name: why for name in _enabled(plugins) if (why := unmet(plugins[name], plugins, refused))}:
            for name, reason in lacking.items():
                plugins[name] = broken_by(plugins[name], reason)
        try:
            return list(TopologicalSorter({name: plugins[name].requires for name in _enabled(plugins)}).static_order())
        except CycleError as error:
            circle = " -> ".join(reversed(error.args[1]))
            for name in set(error.args[1]):
                plugins[name] = broken_by(plugins[name], f"requires: a circle, {circle}; expected none")


def _enabled(plugins: Mapping[str, Plugin]) -> list[str]:
    return [name for name, plugin in plugins.items() if plugin.state == "enabled"]


def unmet(plugin: Plugin, plugins: Mapping[str, Plugin], refused: Container[str] = ()) -> str:
    """Why what ``plugin`` requires is not to be had, or nothing."""
    for name in plugin.requires:
        other = plugins.get(name)
        if other is None and name not in refused:
            return f'requires "{name}": no plugin of this name.{nearest(name, plugins)}'
        if other is None or other.is_broken:
            return f'requires "{name}", which is broken'
        if other.state == "off":
            return f'requires "{name}", which is off: enable it by a table [plugins.{name}] in plugins.toml'
    return ""
