"""Changes one key of plugins.toml, as that a plugin is on, and leaves every other character as it is."""

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
from kernel.config_keys import check_plugin_name, check_queue_name
from kernel.model.errors import ConfigError
from kernel.model.job import check_concurrency

if TYPE_CHECKING:
    from collections.abc import Iterator


def set_enabled(path: Path | str, plugin: str, *, enabled: bool) -> bool:
    """Makes ``[plugins.NAME]`` say so, adding the table if there is none; False when it said so before.

    The file is exchanged in one step; ConfigError, and the file as it was, when it cannot be.
    """
    path = Path(path)
    check_plugin_name(plugin)
    text = _sound_text(path)
    wanted = tomllib.loads(text)
    table = _table(wanted, "plugins", plugin)
    if table is not None and table.get("enabled", True) is enabled:
        return False
    if table is None and not enabled:
        return False
    wanted.setdefault("plugins", {}).setdefault(plugin, {})["enabled"] = enabled
    _edit(path, text, ("plugins", plugin, "enabled"), enabled, wanted)
    return True


def set_concurrency(path: Path | str, queue: str, concurrency: int | None) -> bool:
    """The same of ``concurrency`` in ``[queues.NAME]``; None takes the key out."""
    path = Path(path)
    check_queue_name(queue)
    check_concurrency(concurrency)
    text = _sound_text(path)
    wanted = tomllib.loads(text)
    table = _table(wanted, "queues", queue)
    if (table or {}).get("concurrency") == concurrency:
        return False
    if concurrency is None:
        del wanted["queues"][queue]["concurrency"]
    else:
        wanted.setdefault("queues", {}).setdefault(queue, {})["concurrency"] = concurrency
    _edit(path, text, ("queues", queue, "concurrency"), concurrency, wanted)
    return True


def put_back(path: Path, text: str, edited: str) -> None:
    """Writes ``text`` again where ``edited`` still stands: somebody may have written anew meanwhile."""
    if read_text(path) == edited:
        _replace(path, text)


def _sound_text(path: Path) -> str:
    text = read_text(path)
    parse(text, path)
    return text


def _table(data: dict[str, Any], kind: str, name: str) -> dict[str, Any] | None:
    tables = data.get(kind, {})
    table = tables.get(name) if isinstance(tables, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"[{kind}.{name}] is no table; mend plugins.toml first")
    return table


def _edit(path: Path, text: str, key: tuple[str, str, str], value: bool | int | None, wanted: dict[str, Any]) -> None:
    kind, name, last = key
    edited = next((found for found in _edits(text, key, value) if _is_meant(_data_of(found), wanted, kind)), None)
    if edited is None:
        raise ConfigError(f"{path}: cannot be edited as it is written; set {last} in [{kind}.{name}] by hand")
    _replace(path, edited)


def _edits(text: str, key: tuple[str, str, str], value: bool | int | None) -> Iterator[str]:
    """Ways to write it, the plainest first; which of them says what is wanted depends on how the text is laid out."""
    kind, name, last = key
    if value is not None:
        end = "" if not text or text.endswith("\n") else "\n"
        blank = "\n" if text else ""
        yield f"{text}{end}{blank}[{kind}.{name}]\n{last} = {str(value).lower()}\n"
    for new_table in (tomlkit.table, tomlkit.inline_table):
        # tomlkit has no one root for the errors of its edits.
        with contextlib.suppress(TOMLKitError, KeyError, TypeError, ValueError, AttributeError):
            document: Any = tomlkit.parse(text)
            tables = document[kind]
            if name not in tables:
                tables[name] = new_table()
            if value is None:
                del tables[name][last]
            else:
                tables[name][last] = value
            yield tomlkit.dumps(document)


def _is_meant(found: Any, wanted: dict[str, Any], kind: str) -> bool:
    """A table that has lost its last key may be gone, for dotted keys leave none."""
    return found is not None and (found == wanted or _without_empty(found, kind) == _without_empty(wanted, kind))


def _without_empty(data: dict[str, Any], kind: str) -> dict[str, Any]:
    tables = data.get(kind)
    if kind != "queues" or not isinstance(tables, dict):
        return data
    filled = {name: table for name, table in tables.items() if table != {}}
    rest = {name: table for name, table in data.items() if name != kind}
    return rest | ({kind: filled} if filled else {})


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
