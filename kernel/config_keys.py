"""The keys that the kernel itself knows in plugins.toml: how each is checked, and how the JSON Schema describes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.config_values import Secret
from kernel.model.breaker import MOST_IN_A_ROW, check_threshold
from kernel.model.duration import seconds
from kernel.model.errors import ConfigError, shown
from kernel.model.job import NAME, check_concurrency, check_name, check_scope
from kernel.model.payload import MAX_BYTES
from kernel.model.rate import rate_limit
from kernel.model.zones import zone_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_STORE = "sqlite:///var/mainspring.db"
_FEWEST_BYTES, _MOST_BYTES = 1024, 16 * 1024 * 1024


class KeyRule(NamedTuple):
    """How a key's value is checked, and how the JSON Schema describes it."""

    check: Callable[[Any, Path], Any]
    default: Any
    schema: Mapping[str, Any]


def check_plugin_name(name: object) -> str:
    if isinstance(name, str) and NAME.fullmatch(name) and name.isidentifier():
        return name
    raise ConfigError(
        f"{shown(name)} is no name of a plugin: expected a-z, A-Z, 0-9 and _, not a digit first, at most 100"
    )


def check_queue_name(name: object) -> str:
    return check_name("queue", name)


def _check_store(value: object, folder: Path) -> str:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", value) if isinstance(value, str) else None
    if not isinstance(value, str) or match is None or not value.isprintable():
        # A URL may hold a password, and what is nearly one too.
        found = "this text" if isinstance(value, str) else shown(value)
        raise ConfigError(f'{found} is no URL of a store: expected one such as "{DEFAULT_STORE}" or "memory://"')
    if match[1].lower() == "sqlite":
        return _absolute_sqlite(value, folder)
    return Secret(value) if "@" in value else value


def _absolute_sqlite(url: str, folder: Path) -> str:
    """As in SQLAlchemy: three slashes before a relative path, four before an absolute one."""
    rest = url.partition("://")[2]
    if not rest.startswith("/") or len(rest) < 2:
        raise ConfigError(
            f'this URL names no file: expected one such as "{DEFAULT_STORE}", or four slashes for a path from the root'
        )
    path = rest[1:]
    return url if path.startswith(("/", ":memory:")) else f"sqlite:///{folder / path}"


def default_run_dir(store: str, folder: Path) -> Path:
    path = store.removeprefix("sqlite:///").partition("?")[0]
    return Path(path).parent if path.startswith("/") else folder / "var"


def _check_path(value: object, folder: Path) -> Path:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ConfigError(f"{shown(value)}: expected the path of a folder, as text")
    return folder / value


def _check_paths(value: object, folder: Path) -> tuple[Path, ...]:
    if not isinstance(value, list | tuple) or len(value) > 100:
        raise ConfigError(f'{shown(value)}: expected a list of at most 100 folders, as ["plugins"]')
    return tuple(dict.fromkeys(_check_path(item, folder) for item in value))


def _check_max_waiting(value: object, _: Path) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000_000:
        return value
    raise ConfigError(f"{shown(value)}: expected a whole number from 1 to 1,000,000,000")


def _check_bytes(value: object, _: Path) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and _FEWEST_BYTES <= value <= _MOST_BYTES:
        return value
    raise ConfigError(f"{shown(value)}: expected a number of bytes from {_FEWEST_BYTES:,} to {_MOST_BYTES:,}")


def _check_kernel_concurrency(value: object, _: Path) -> int:
    if value is not None and (checked := check_concurrency(value)) is not None:
        return checked
    raise ConfigError(f"{shown(value)}: expected a whole number from 1 to 100,000")


def _check_timezone(value: object, _: Path) -> str:
    if not isinstance(value, str):
        raise ConfigError(f'{shown(value)}: expected a time zone such as "Europe/Berlin"')
    zone_of(value)
    return str(value)


def _check_log_format(value: object, _: Path) -> str:
    if value in ("auto", "text", "json"):
        return str(value)
    raise ConfigError(f"{shown(value)}: expected one of auto, text, json")


def _check_enabled(value: object, _: Path) -> bool:
    if isinstance(value, bool):
        return value
    raise ConfigError(f"{shown(value)}: expected true or false")


DURATION_SCHEMA = {
    "description": 'A duration: "1.5s", "10m", "25h", "7d", or a number of seconds.',
    "anyOf": [
        {"type": "string", "pattern": r"^ *([0-9]+(\.[0-9]+)?|\.[0-9]+) ?(ms|s|m|h|d|w) *$"},
        {"type": "number", "minimum": 0},
    ],
}
RATE_SCHEMA = {
    "description": 'How many may begin within a stretch of time: "100/1m".',
    "type": "string",
    "pattern": r"^ *[0-9]{1,9} */ *[^ ].*$",
}
BYTES_SCHEMA = {
    "description": "How many bytes of JSON at the most.",
    "type": "integer",
    "minimum": _FEWEST_BYTES,
    "maximum": _MOST_BYTES,
}
CONCURRENCY_SCHEMA = {"type": "integer", "minimum": 1, "maximum": 100_000}
SCOPE_SCHEMA = {"description": "Over all kernels together, or in each of them.", "enum": ["all", "kernel"]}

PLUGIN_TABLES = ("enabled", "jobs", "schedules")
"""The keys of ``[plugins.NAME]`` that are the kernel's own; all others are the plugin's settings."""


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _in_a_row(description: str) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": MOST_IN_A_ROW, "description": f"{description} In a row."}


TABLES = ("kernel", "queues", "breakers", "plugins")
KERNEL_KEYS = {
    "store": KeyRule(
        _check_store, DEFAULT_STORE, _text("Where runs are kept: sqlite:///path, memory:// or postgresql://…")
    ),
    "concurrency": KeyRule(_check_kernel_concurrency, 100, CONCURRENCY_SCHEMA),
    "timezone": KeyRule(_check_timezone, "UTC", _text("The zone of cron schedules that name none.")),
    "shutdown_grace": KeyRule(lambda value, _: seconds(value, zero=True), "30s", DURATION_SCHEMA),
    "plugin_dirs": KeyRule(_check_paths, ["plugins"], {"type": "array", "items": _text("A folder of plugins.")}),
    "run_dir": KeyRule(_check_path, None, _text("For the control socket; else the SQLite file's folder, or var.")),
    "max_block": KeyRule(lambda value, _: seconds(value), "5m", DURATION_SCHEMA),
    "max_payload": KeyRule(_check_bytes, MAX_BYTES, BYTES_SCHEMA),
    "max_result": KeyRule(_check_bytes, MAX_BYTES, BYTES_SCHEMA),
    "log_format": KeyRule(_check_log_format, "auto", {"enum": ["auto", "text", "json"]}),
}
QUEUE_KEYS = {
    "concurrency": KeyRule(lambda value, _: check_concurrency(value), None, CONCURRENCY_SCHEMA),
    "concurrency_scope": KeyRule(lambda value, _: check_scope(value), "all", SCOPE_SCHEMA),
    "max_waiting": KeyRule(_check_max_waiting, 1_000_000, {"type": "integer", "minimum": 1, "maximum": 1_000_000_000}),
    "rate_limit": KeyRule(lambda value, _: rate_limit(value), None, RATE_SCHEMA),
}
BREAKER_KEYS = {
    "failure_threshold": KeyRule(
        lambda value, _: check_threshold(value), None, _in_a_row("Opens it: so many failures.")
    ),
    "recovery_timeout": KeyRule(lambda value, _: seconds(value), None, DURATION_SCHEMA),
    "success_threshold": KeyRule(
        lambda value, _: check_threshold(value), None, _in_a_row("Close it: so many successes.")
    ),
}
"""What is not set is as the code says."""
PLUGIN_KEYS = {
    "enabled": KeyRule(_check_enabled, True, {"type": "boolean", "default": True}),
}
FIELDS = {
    "shutdown_grace": "shutdown_grace_seconds",
    "max_block": "max_block_seconds",
    "recovery_timeout": "recovery_seconds",
}
