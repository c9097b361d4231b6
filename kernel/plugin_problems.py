"""What can be wrong between plugins.toml and the plugins that were found, before any of them is made."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from kernel.config import MAX_PROBLEMS
from kernel.model.errors import ConfigError, nearest
from kernel.plugin_store import store_plugin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernel.config import Config
    from kernel.config_source import Problem
    from kernel.plugin import Plugin
    from kernel.plugin_finder import Finding

_NOT_THERE = (os.strerror(errno.ENOENT), os.strerror(errno.ENOTDIR))


def unknown_plugins(config: Config, finding: Finding) -> list[Problem]:
    known = finding.plugins.keys() | {one.name for one in finding.refused}
    unknown = [name for name in config.plugins if name not in known]
    near = {name: nearest(name, known) for name in unknown[:MAX_PROBLEMS]}
    return [
        config.source.in_table(("plugins", name), f"no plugin of this name.{near.get(name, '')}") for name in unknown
    ]


def missing_folders(config: Config, finding: Finding) -> list[Problem]:
    """The default folder need not be there; one that plugins.toml names must. Any that is there must be readable."""
    is_named = ("kernel", "plugin_dirs") in config.source
    return [
        config.source.at(("kernel",), "plugin_dirs", f"{folder}: {reason}; expected a folder that can be read")
        for folder, reason in finding.unreadable.items()
        if is_named or reason not in _NOT_THERE
    ]


def unknown_store(config: Config, finding: Finding, plugins: Iterable[Plugin]) -> list[Problem]:
    """A URL that no plugin is installed for; what the enabled ones may open, only they know."""
    if any("open_store" in plugin.hooks for plugin in plugins):
        return []
    points = {name: found for name, found in finding.plugins.items() if found.is_entry_point}
    try:
        store_plugin(config.kernel.store, points)
    except ConfigError as error:
        return [config.source.at(("kernel",), "store", str(error).removeprefix("store: "))]
    return []
