"""The JSON Schema of plugins.toml, for editors: the kernel's tables, and each loaded plugin's own settings."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.config_keys import (
    BREAKER_KEYS,
    CONCURRENCY_SCHEMA,
    DURATION_SCHEMA,
    KERNEL_KEYS,
    PLUGIN_KEYS,
    QUEUE_KEYS,
    RATE_SCHEMA,
    SCOPE_SCHEMA,
    KeyRule,
)
from kernel.model.job import NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

log = logging.getLogger(__name__)

_TEXT = {"type": "string"}
_FIELD = {"description": "The name of a payload field.", "type": "string"}
_UNIQUE = {
    "description": "The key, or a table.",
    "type": ["string", "object"],
    "additionalProperties": False,
    "properties": {
        "key": _TEXT,
        "by": {"type": ["array", "string"], "items": _TEXT},
        "within": DURATION_SCHEMA,
        "on_conflict": {"enum": ["keep", "replace", "debounce"]},
    },
}
_BREAKER = {
    "description": "The breaker's name, or a table.",
    "type": ["string", "object"],
    "additionalProperties": False,
    "properties": {
        "name": _TEXT,
        "failure_threshold": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
        "recovery_timeout": DURATION_SCHEMA,
        "success_threshold": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
        "when_open": {"enum": ["wait", "skip"]},
    },
}
_POLICIES = {
    "queue": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    "priority": {"type": "integer", "minimum": 0, "maximum": 9},
    "concurrency": CONCURRENCY_SCHEMA,
    "concurrency_by": _FIELD,
    "concurrency_scope": SCOPE_SCHEMA,
    "retry": {"type": ["integer", "object"]},
    "timeout": DURATION_SCHEMA,
    "unique": _UNIQUE,
    "rate_limit": RATE_SCHEMA,
    "rate_limit_by": _FIELD,
    "breaker": _BREAKER,
    "executor": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    "when_blocking": {"enum": ["tell", "thread"]},
    "max_silence": DURATION_SCHEMA,
    "expires": DURATION_SCHEMA,
    "keep": {"type": "object"},
    "tags": {"type": "array", "items": _TEXT, "maxItems": 20},
}
_INSTANT = {"description": "An instant, as 2026-01-31T09:00:00+01:00."}
_SCHEDULE = {
    "cron": _TEXT,
    "every": DURATION_SCHEMA,
    "after": DURATION_SCHEMA,
    "timezone": _TEXT,
    "jitter": DURATION_SCHEMA,
    "start": _INSTANT,
    "end": _INSTANT,
    "catch_up": {"enum": ["skip", "latest", "all"]},
    "catch_up_window": DURATION_SCHEMA,
    "catch_up_max": {"type": "integer", "minimum": 1, "maximum": 10_000},
    "overlap": {"enum": ["skip", "queue", "allow", "replace"]},
    "anchor": {"enum": ["grid", "finish"]},
    "payload": {"type": "object"},
    "paused": {"type": "boolean"},
}


class PluginParts(NamedTuple):
    """What of a plugin its table may speak of. One that is not loaded is not known well enough to forbid anything."""

    is_loaded: bool = False
    model: type[BaseModel] | None = None
    jobs: Iterable[str] = ()
    schedules: Iterable[str] = ()


def config_schema(plugins: Mapping[str, PluginParts]) -> dict[str, Any]:
    """One document for the whole file; the plugins by name."""
    definitions: dict[str, Any] = {}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "plugins.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "kernel": _closed(_schemas(KERNEL_KEYS)),
            "queues": {"type": "object", "additionalProperties": _closed(_schemas(QUEUE_KEYS))},
            "breakers": {"type": "object", "additionalProperties": _closed(_schemas(BREAKER_KEYS))},
            "plugins": _closed({name: _plugin(name, parts, definitions) for name, parts in plugins.items()}),
        },
        "$defs": definitions,
    }


def _schemas(rules: Mapping[str, KeyRule]) -> dict[str, Any]:
    return {
        key: {**rule.schema, **({} if rule.default is None else {"default": rule.default})}
        for key, rule in rules.items()
    }


def _closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": dict(properties)}


def _plugin(name: str, parts: PluginParts, definitions: dict[str, Any]) -> dict[str, Any]:
    if not parts.is_loaded:
        return {"type": "object", "properties": _schemas(PLUGIN_KEYS)}
    settings = _settings(name, parts.model, definitions)
    return {
        **settings,
        "properties": {
            **settings["properties"],
            **_schemas(PLUGIN_KEYS),
            "jobs": _closed(dict.fromkeys(parts.jobs, _closed(_POLICIES))),
            "schedules": _closed(dict.fromkeys(parts.schedules, _closed(_SCHEDULE))),
        },
    }


def _settings(name: str, model: type[BaseModel] | None, definitions: dict[str, Any]) -> dict[str, Any]:
    if model is None:
        return _closed({})
    try:
        schema = model.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    except Exception:
        log.warning("plugin %s: its Settings have no JSON Schema", name, exc_info=True)
        return {"type": "object", "properties": {}}
    definitions.update({f"{name}.{key}": value for key, value in schema.pop("$defs", {}).items()})
    is_open = model.model_config.get("extra") == "allow"
    return {**schema, "properties": schema.get("properties", {}), "additionalProperties": is_open}
