"""Switches a plugin on or off in plugins.toml and leaves every other character as it is."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from kernel.config_file import parse, read_text
from kernel.config_keys import check_plugin_name
from kernel.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


def set_enabled(path: Path | str, plugin: str, *, enabled: bool) -> bool:
    """Makes ``[plugins.NAME]`` say so, adding the table if there is none; False when it said so before.

    The file is exchanged in one step; ConfigError, and the file as it was, when it cannot be.
    """
    path = Path(path)
    check_plugin_name(plugin)
    text = read_text(path)
    parse(text, path)
    wanted = tomllib.loads(text)
    if _is_enabled(wanted, plugin) is enabled:
        return False
    wanted.setdefault("plugins", {}).setdefault(plugin, {})["enabled"] = enabled
    edited = next((found for found in _edits(text, plugin, enabled=enabled) if _data_of(found) == wanted), None)
    if edited is None:
        raise ConfigError(f"{path}: cannot be edited as it is written; set enabled in [plugins.{plugin}] by hand")
    _replace(path, edited)
    return True


def _is_enabled(data: dict[str, Any], plugin: str) -> bool:
    plugins = data.get("plugins", {})
    table = plugins.get(plugin) if isinstance(plugins, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"[plugins.{plugin}] is no table; mend plugins.toml first")
    return table is not None and table.get("enabled", True) is True


def _edits(text: str, plugin: str, *, enabled: bool) -> Iterator[str]:
    """Ways to write it, the plainest first; which of them says what is wanted depends on how the text is laid out."""
    end = "" if not text or text.endswith("\n") else "\n"
    blank = "\n" if text else ""
    yield f"{text}{end}{blank}[plugins.{plugin}]\nenabled = {str(enabled).lower()}\n"
    for new_table in (tomlkit.table, tomlkit.inline_table):
        # tomlkit has no one root for the errors of its edits.
        with contextlib.suppress(TOMLKitError, KeyError, TypeError, ValueError, AttributeError):
            document: Any = tomlkit.parse(text)
            plugins = document["plugins"]
            if plugin not in plugins:
                plugins[plugin] = new_table()
            plugins[plugin]["enabled"] = enabled
            yield tomlkit.dumps(document)


def _data_of(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _replace(path: Path, text: str) -> None:
    target = Path(os.path.realpath(path))  # a link stays a link
    try:
        mode = stat.S_IMODE(target.stat().st_mode)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="", dir=target.parent, delete=False) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            Path(file.name).chmod(mode)
            Path(file.name).replace(target)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or type(error).__name__}") from None
