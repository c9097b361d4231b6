"""plugins.toml as checked values. Every mistake in it is told at once, with its line, what was found and expected.

Relative paths (``plugin_dirs``, ``run_dir``, ``sqlite:///…`` and ``${file:…}``) start at the folder of plugins.toml.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel.config_file import parse, read_text
from kernel.config_keys import (
    BREAKER_KEYS,
    FIELDS,
    KERNEL_KEYS,
    PLUGIN_KEYS,
    PLUGIN_TABLES,
    QUEUE_KEYS,
    TABLES,
    KeyRule,
    check_plugin_name,
    check_queue_name,
    default_run_dir,
)
from kernel.config_values import fill_in, trying_as_text
from kernel.model.breaker import BreakerTable, check_breaker_name
from kernel.model.errors import ConfigError, nearest, shown
from kernel.model.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kernel.config_source import Key, Problem, Source

DEFAULT_NAME = "plugins.toml"
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
    max_payload: int
    max_result: int
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
    breakers: Mapping[str, BreakerTable]
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


def load_config_for_command(path: Path | str = DEFAULT_NAME) -> Config:
    """For who asks a kernel or the store: secrets of plugins, which may be there for the kernel alone, need not be here."""
    config = read_config(path)
    missing = [key for key in config.source.unusable if key[0] == "plugins"]
    if len(config.problems) > len(missing):  # each of those is one problem
        raise error_of(config.problems)
    return replace(config, problems=())


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


class _Reader:
    def __init__(self, source: Source, problems: list[Problem]) -> None:
        self._source = source
        self._problems = problems

    def config(self, data: dict[str, Any]) -> Config:
        self._refuse_unknown((), data, TABLES)
        kernel = self._values(("kernel",), self._table((), "kernel", data), KERNEL_KEYS)
        queues = self._table((), "queues", data)
        breakers = self._table((), "breakers", data)
        plugins = self._table((), "plugins", data)
        if kernel["run_dir"] is None:
            kernel["run_dir"] = default_run_dir(kernel["store"], self._source.folder)
        return Config(
            kernel=KernelConfig(**{FIELDS.get(key, key): value for key, value in kernel.items()}),
            queues={name: self._queue(name, queues) for name in self._names("queues", queues, check_queue_name)},
            breakers={
                name: self._breaker(name, breakers) for name in self._names("breakers", breakers, check_breaker_name)
            },
            plugins={name: self._plugin(name, plugins) for name in self._plugin_names(plugins)},
            source=self._source,
            problems=tuple(self._problems),
        )

    def _queue(self, name: str, queues: Mapping[str, Any]) -> Queue:
        return Queue(name, **self._values(("queues", name), self._table(("queues",), name, queues), QUEUE_KEYS))

    def _breaker(self, name: str, breakers: Mapping[str, Any]) -> BreakerTable:
        values = self._values(("breakers", name), self._table(("breakers",), name, breakers), BREAKER_KEYS)
        return {FIELDS.get(key, key): value for key, value in values.items() if value is not None}

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
                near = nearest(key, known) if len(self._problems) < MAX_PROBLEMS else ""
                text = f"no {kind} of this name; expected one of {', '.join(known)}.{near}"
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


__all__ = [
    "DEFAULT_NAME", "MAX_PROBLEMS", "Config", "KernelConfig", "PluginConfig",
    "check_plugin_name", "check_queue_name", "error_of", "load_config", "parse_config", "read_config",
]  # fmt: skip
