"""Commands that plugins add by the hook ``register_commands``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import typer
from typer.main import get_group

from kernel.cli.plugin_code import loaded_plugins
from kernel.config import load_config_for_command

if TYPE_CHECKING:
    from pathlib import Path


def commands_of_plugins(path: Path) -> dict[str, Any]:
    """By name; ConfigError when plugins.toml is wrong. A plugin that fails at it adds none."""
    app = typer.Typer(rich_markup_mode=None)
    asyncio.run(_register(path, app))
    return dict(get_group(app).commands) if app.registered_commands or app.registered_groups else {}


async def _register(path: Path, app: typer.Typer) -> None:
    async with loaded_plugins(load_config_for_command(path)) as host:
        await host.register_commands(app)
