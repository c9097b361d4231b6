"""What differs between two configurations: which plugins go on, off or get new settings, and what needs a restart."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.config import Config, PluginConfig

RESTART = ("store", "run_dir", "max_payload", "max_result")


@dataclass(frozen=True, slots=True)
class Changes:
    """Names of plugins, queues, breakers and keys of ``[kernel]``, each in order.

    ``reconfigure``: the settings changed, so the plugin is made anew. ``override``: only the operator's tables of its
    jobs and schedules changed. ``restart``: keys of ``[kernel]`` that take effect when the kernel is started again.
    """

    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    reconfigure: tuple[str, ...] = ()
    override: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    breakers: tuple[str, ...] = ()
    kernel: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def lines(self) -> tuple[str, ...]:
        """The changes in words, without any value: it may be a secret."""
        return (
            *(f"plugin {name} enabled" for name in self.enable),
            *(f"plugin {name} disabled" for name in self.disable),
            *(f"plugin {name} has new settings" for name in self.reconfigure),
            *(f"plugin {name} has other jobs or schedules set by plugins.toml" for name in self.override),
            *(f"queue {name} changed" for name in self.queues),
            *(f"breaker {name} changed" for name in self.breakers),
            *(f"kernel.{name} changed" for name in self.kernel),
            *(f"kernel.{name} changed: restart the kernel for it to take effect" for name in self.restart),
        )


def diff(old: Config, new: Config) -> Changes:
    """What has to be done to get from ``old`` to ``new``."""
    before, after = _enabled(old), _enabled(new)
    both = [name for name in after if name in before]
    keys = [
        field.name for field in fields(new.kernel) if getattr(old.kernel, field.name) != getattr(new.kernel, field.name)
    ]

    def changed(part: Callable[[PluginConfig], object]) -> set[str]:
        return {name for name in both if part(before[name]) != part(after[name])}

    settings = changed(lambda table: table.settings)
    overrides = changed(lambda table: (table.jobs, table.schedules)) - settings
    queues = sorted(old.queues.keys() | new.queues.keys())
    breakers = sorted(old.breakers.keys() | new.breakers.keys())
    return Changes(
        enable=tuple(name for name in after if name not in before),
        disable=tuple(name for name in before if name not in after),
        reconfigure=tuple(name for name in both if name in settings),
        override=tuple(name for name in both if name in overrides),
        queues=tuple(name for name in queues if old.queue(name) != new.queue(name)),
        breakers=tuple(name for name in breakers if old.breakers.get(name) != new.breakers.get(name)),
        kernel=tuple(_key(name) for name in keys if name not in RESTART),
        restart=tuple(_key(name) for name in keys if name in RESTART),
    )


def _enabled(config: Config) -> dict[str, PluginConfig]:
    return {name: table for name, table in config.plugins.items() if table.enabled}


def _key(field: str) -> str:
    return field.removesuffix("_seconds")
