"""Opens a store by its URL: the scheme names the plugin, which need not stand in plugins.toml."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from kernel.config import PluginConfig, parse_config
from kernel.model.errors import ConfigError, MainspringError, nearest
from kernel.plugin import Plugin
from kernel.plugin_error import PluginError
from kernel.plugin_finder import entry_points
from kernel.plugin_guard import Guard
from kernel.plugin_marks import Marks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernel.contracts.store import Store
    from kernel.hooks import Hook
    from kernel.plugin_finder import Found
    from kernel.plugin_host import PluginHost

_PLUGIN_OF = {"sqlite": "sqlite", "memory": "memory", "postgresql": "postgres", "postgres": "postgres"}
_EXAMPLES = {"sqlite": "sqlite:///path", "memory": "memory://", "postgresql": "postgresql://…"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


async def open_store(url: str, host: PluginHost | None = None) -> Store:
    """The store of this URL, not opened yet: from an enabled plugin of ``host`` that knows it, else by entry point.

    ConfigError when no plugin has this scheme, or the one that has it is broken; of the URL it shows the scheme only.
    """
    for plugin, hook in host.hooks("open_store") if host is not None else ():
        store = await _ask(plugin, hook, url)
        if store is not None:
            return store
    plugin = await _loaded(store_plugin(url, await asyncio.to_thread(entry_points)))
    try:
        for hook in plugin.hooks.get("open_store", []):
            store = await _ask(plugin, hook, url)
            if store is not None:
                return store
    finally:
        plugin.let_go()
    raise ConfigError(f"store: the plugin {plugin.name}, named by the URL's scheme, opens no such store")


def store_plugin_name(url: str) -> str:
    """The name of the plugin for the URL's scheme; of what is no URL, nothing."""
    match = _SCHEME.match(url)
    return _PLUGIN_OF.get(match[1].lower(), match[1].lower()) if match else ""


def store_file(url: str) -> Path | None:
    """The file of a store that is one, as ``sqlite:///path``; None of any other."""
    return Path(unquote(urlsplit(url).path)[1:]) if url.startswith("sqlite:") else None


def store_plugin(url: str, points: Mapping[str, Found]) -> Found:
    """The plugin among these entry points for the URL's scheme; ConfigError with the known ones when there is none."""
    known = [scheme for scheme, plugin in _PLUGIN_OF.items() if plugin in points and scheme in _EXAMPLES]
    expected = f"expected {', '.join(_EXAMPLES[scheme] for scheme in known)}" if known else "expected a store's plugin"
    match = _SCHEME.match(url)
    if match is None:
        raise ConfigError(f"store: this text is no URL; {expected}")
    scheme = match[1].lower()
    found = points.get(store_plugin_name(url))
    if found is None:
        raise ConfigError(f"store: no plugin is installed for {scheme}://; {expected}.{nearest(scheme, known)}")
    return found


async def _loaded(found: Found) -> Plugin:
    guard = Guard(found.name, (found.root,) if found.root else ())
    plugin = Plugin(found, guard, Marks(None))
    await plugin.load()
    if not plugin.is_broken:
        await plugin.make(PluginConfig(), parse_config("", environment={}))
    if plugin.is_broken:
        raise PluginError(f"store: the plugin {plugin.name} is broken: {plugin.reason}", plugin.place)
    return plugin


async def _ask(plugin: Plugin, hook: Hook, url: str) -> Store | None:
    def asked() -> tuple[Any, MainspringError | None]:
        try:
            return hook.call({"url": url}), None
        except MainspringError as error:
            return None, error  # said on purpose, so it is told as it is

    store, error = await plugin.guard.in_thread("open_store", asked)
    if error is not None:
        raise error
    found: Store | None = store
    return found
