"""A plugin as another process loads it: written down here, loaded there by the same loader, with the same settings."""

from __future__ import annotations

import json
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel.config import PluginConfig, parse_config
from kernel.plugin import Plugin
from kernel.plugin_error import PluginError
from kernel.plugin_finder import Found
from kernel.plugin_guard import Guard
from kernel.plugin_marks import Marks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kernel.config_source import Source
    from kernel.model.job import Job

_INSTANTS = {kind.__name__: kind for kind in (datetime, date, time)}


def written(found: Found, settings: Mapping[str, Any], source: Source) -> str:
    """All that is needed to load it; secrets among the settings stand in it as they are."""
    return json.dumps(
        {
            "found": [found.name, found.module, None if found.file is None else str(found.file), found.is_entry_point],
            "settings": _as_json(dict(settings)),
            "config": str(source.path),
            "secrets": sorted(secret for secret in source.secrets if _holds(settings, secret)),
        }
    )


async def load_copy(text: str) -> dict[str, Job]:
    """The jobs of the plugin, by full name; PluginError when it does not load here. Its start hooks are not called."""
    given = json.loads(text)
    name, module, file, is_entry_point = given["found"]
    found = Found(name, module, None if file is None else Path(file), is_entry_point)
    config = parse_config("", Path(given["config"]), environment={})
    config.source.secrets.update(given["secrets"])
    guard = Guard(name, (found.root,) if found.root else (), scrub=config.source.scrub)
    plugin = Plugin(found, guard, Marks(None))
    await plugin.load()
    problems = (
        [] if plugin.is_broken else await plugin.make(PluginConfig(settings=_from_json(given["settings"])), config)
    )
    plugin.let_go()
    if plugin.is_broken:
        reason = "; ".join([plugin.reason, *(problem.text for problem in problems)])
        raise PluginError(f"the plugin {name} does not load in another process: {reason}", plugin.place)
    return {job.name: job for job in plugin.declared.jobs.values()}


def _as_json(value: Any) -> Any:
    """TOML as JSON: an object has one key, which says what it is."""
    if isinstance(value, dict):
        return {"table": {key: _as_json(item) for key, item in value.items()}}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if type(value).__name__ in _INSTANTS:
        return {type(value).__name__: value.isoformat()}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "table":
        return {key: _from_json(item) for key, item in inside.items()}
    return _INSTANTS[kind].fromisoformat(inside)


def _holds(value: Any, secret: str) -> bool:
    if isinstance(value, str):
        return secret in value
    items: Iterable[Any] = value.values() if hasattr(value, "values") else value if isinstance(value, list) else ()
    return any(_holds(item, secret) for item in items)
