"""plugins.toml as checked values. Every mistake in it is told at once, with its line, what was found and expected.

Relative paths (``plugin_dirs``, ``run_dir``, ``sqlite:///…`` and ``${file:…}``) start at the folder of plugins.toml.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from kernel.config_source import Key, Problem, Source, parse, read_text
from kernel.config_values import Secret, fill_in
from kernel.model.duration import seconds
from kernel.model.errors import ConfigError, nearest, shown
from kernel.model.job import NAME, check_concurrency, check_name
from kernel.model.queue import Queue
from kernel.model.zones import zone_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")

DEFAULT_NAME = "plugins.toml"
DEFAULT_STORE = "sqlite:///var/mainspring.db"
MAX_PROBLEMS = 200


@dataclass(frozen=True, slots=True)
class KernelConfig:
    """The table ``[kernel]``; paths and a SQLite URL are absolute."""

    store: str
    concurrency: int
    timezone: str
    shutdown_grace_seconds: float
    plugin_dirs: tuple[Path, ...]
    run_dir: Path
    max_block_seconds: float
    log_format: str


@dataclass(frozen=True, slots=True)
class PluginConfig:
    """A table ``[plugins.NAME]``. ``jobs`` and ``schedules`` are checked when the plugin's own are known."""

    enabled: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    jobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    schedules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """All of plugins.toml. ``problems`` is not empty only when it comes from ``read_config``."""

    kernel: KernelConfig
    queues: Mapping[str, Queue]
    plugins: Mapping[str, PluginConfig]
    source: Source = field(compare=False, repr=False)
    problems: tuple[Problem, ...] = field(default=(), compare=False)

    def queue(self, name: str) -> Queue:
        return self.queues.get(name) or Queue(name)


def load_config(path: Path | str = DEFAULT_NAME, environment: Mapping[str, str] | None = None) -> Config:
    """The configuration in the file; ConfigError with all that is wrong in it."""
    config = read_config(path, environment)
    if config.problems:
        raise error_of(config.problems)
    return config


def read_config(path: Path | str = DEFAULT_NAME, environment: Mapping[str, str] | None = None) -> Config:
    """The same with its mistakes in ``problems``, for the plugins' to be added; ConfigError only when it is no TOML."""
    path = Path(path)
    return parse_config(read_text(path), path, environment)


def parse_config(text: str, path: Path | str = DEFAULT_NAME, environment: Mapping[str, str] | None = None) -> Config:
    """The configuration in the ``text``, as if it stood in ``path``."""
    data, source = parse(text, Path(path))
    problems = fill_in(data, source, os.environ if environment is None else environment)
    reader = _Reader(source, problems)
    return reader.config(data)


def error_of(problems: Iterable[Problem]) -> ConfigError:
    """One error that tells the problems in the order of their lines."""
    lines = [problem.text for problem in sorted(set(problems))]
    more = [f"… and {len(lines) - MAX_PROBLEMS:,} more"] if len(lines) > MAX_PROBLEMS else []
    return ConfigError(lines[:MAX_PROBLEMS] + more)


class KeyRule(NamedTuple):
    """How a key's value is checked, and how the JSON Schema describes it."""

    check: Callable[[Any, Path], Any]
    default: Any
    schema: Mapping[str, Any]


class _Reader:
    def __init__(self, source: Source, problems: list[Problem]) -> None:
        self._source = source
        self._problems = problems

    def config(self, data: dict[str, Any]) -> Config:
        self._refuse_unknown((), data, TABLES)
        kernel = self._values(("kernel",), self._table((), "kernel", data), KERNEL_KEYS)
        queues = self._table((), "queues", data)
        plugins = self._table((), "plugins", data)
        if kernel["run_dir"] is None:
            kernel["run_dir"] = _default_run_dir(kernel["store"], self._source.folder)
        return Config(
            kernel=KernelConfig(**{_FIELDS.get(key, key): value for key, value in kernel.items()}),
            queues={name: self._queue(name, queues) for name in self._names("queues", queues, check_queue_name)},
            plugins={name: self._plugin(name, plugins) for name in self._plugin_names(plugins)},
            source=self._source,
            problems=tuple(self._problems),
        )

    def _queue(self, name: str, queues: Mapping[str, Any]) -> Queue:
        return Queue(name, **self._values(("queues", name), self._table(("queues",), name, queues), QUEUE_KEYS))

    def _plugin(self, name: str, plugins: Mapping[str, Any]) -> PluginConfig:
        path: Key = ("plugins", name)
        table = self._table(("plugins",), name, plugins)
        reserved = {key: table[key] for key in PLUGIN_TABLES if key in table}
        return PluginConfig(
            enabled=self._value(path, "enabled", reserved, PLUGIN_KEYS["enabled"]),
            settings={key: value for key, value in table.items() if key not in reserved},
            jobs=self._tables((*path, "jobs"), self._table(path, "jobs", reserved)),
            schedules=self._tables((*path, "schedules"), self._table(path, "schedules", reserved)),
        )

    def _tables(self, path: Key, table: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        return {name: self._table(path, name, table) for name in table if isinstance(name, str)}

    def _table(self, path: Key, key: str, holder: Mapping[str, Any]) -> dict[str, Any]:
        value = holder.get(key, {})
        if isinstance(value, dict):
            return value
        self._problems.append(self._source.in_table((*path, key), f"{shown(value)}: expected a table"))
        return {}

    def _values(self, path: Key, table: Mapping[str, Any], rules: Mapping[str, KeyRule]) -> dict[str, Any]:
        self._refuse_unknown(path, table, rules)
        return {key: self._value(path, key, table, rule) for key, rule in rules.items()}

    def _value(self, path: Key, key: str, table: Mapping[str, Any], rule: KeyRule) -> Any:
        folder = self._source.folder
        default = None if rule.default is None else rule.check(rule.default, folder)
        if key not in table:
            return default
        try:
            return trying_as_text(lambda value: rule.check(value, folder), table[key])
        except ConfigError as error:
            self._problems.append(self._source.at(path, key, str(error)))
            return default

    def _refuse_unknown(self, path: Key, table: Mapping[str, Any], known: Iterable[str]) -> None:
        kind = "key" if path else "table"
        for key in table:
            if key not in known:
                text = f"no {kind} of this name; expected one of {', '.join(known)}.{nearest(key, known)}"
                self._problems.append(self._source.at(path, key, text) if path else self._source.in_table((key,), text))

    def _names(self, kind: str, table: Mapping[str, Any], check: Callable[[str], object]) -> list[str]:
        """The names in ``table`` that can be used; a problem for each other."""
        good = []
        for name in table:
            try:
                check(name)
                good.append(name)
            except ConfigError as error:
                self._problems.append(self._source.in_table((kind, name), str(error)))
        return good

    def _plugin_names(self, table: Mapping[str, Any]) -> list[str]:
        first: dict[str, str] = {}
        good = []
        for name in self._names("plugins", table, check_plugin_name):
            other = first.setdefault(name.casefold(), name)
            if other == name:
                good.append(name)
                continue
            place = self._source.place_of(("plugins", other))
            text = f"differs only in case from [plugins.{other}] ({place}); expected one of them"
            self._problems.append(self._source.in_table(("plugins", name), text))
        return good


def trying_as_text(check: Callable[[Any], T], value: Any) -> T:
    """``check(value)``; text from the environment that it refuses is tried as the number, true or false it spells."""
    if not isinstance(value, Secret):
        return check(value)
    spelt = _spelt(value)
    try:
        check(value)
    except ConfigError:
        # The error of the secret is the one to be told, for it does not show the value.
        if spelt is None or not _passes(check, spelt):
            raise
        return check(spelt)
    return check(str(value))


def _passes(check: Callable[[Any], object], value: object) -> bool:
    try:
        check(value)
    except ConfigError:
        return False
    return True


def _spelt(text: str) -> bool | int | float | None:
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
        return int(text)
    return float(text) if re.fullmatch(r"-?[0-9]{1,15}\.[0-9]{1,15}", text, re.ASCII) else None


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


def _default_run_dir(store: str, folder: Path) -> Path:
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
CONCURRENCY_SCHEMA = {"type": "integer", "minimum": 1, "maximum": 100_000}

PLUGIN_TABLES = ("enabled", "jobs", "schedules")
"""The keys of ``[plugins.NAME]`` that are the kernel's own; all others are the plugin's settings."""


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


TABLES = ("kernel", "queues", "plugins")
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
    "log_format": KeyRule(_check_log_format, "auto", {"enum": ["auto", "text", "json"]}),
}
QUEUE_KEYS = {
    "concurrency": KeyRule(lambda value, _: check_concurrency(value), None, CONCURRENCY_SCHEMA),
    "max_waiting": KeyRule(_check_max_waiting, 1_000_000, {"type": "integer", "minimum": 1, "maximum": 1_000_000_000}),
}
PLUGIN_KEYS = {
    "enabled": KeyRule(_check_enabled, True, {"type": "boolean", "default": True}),
}
_FIELDS = {"shutdown_grace": "shutdown_grace_seconds", "max_block": "max_block_seconds"}
