"""``${NAME}``, ``${NAME:-default}`` and ``${file:PATH}`` in values of plugins.toml, and the secrets they bring in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kernel.config_file import read_secret
from kernel.model.errors import ConfigError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kernel.config_source import Key, Problem, Source

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_UNUSABLE = object()
T = TypeVar("T")


class Secret(str):
    """Text that came from the environment or a file: it is used like any other, but its repr does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def plain(value: Any) -> Any:
    """The value with secrets in it as common text, for where only that is known as text."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Secret) else value


def fill_in(data: dict[str, Any], source: Source, environment: Mapping[str, str]) -> list[Problem]:
    """Puts the values in, in place. One that is not to be had is a problem, and its key is left out."""
    filler = _Filler(source, environment)
    filler.fill(data, ())
    return filler.problems


class _Filler:
    def __init__(self, source: Source, environment: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._environment = environment

    def fill(self, value: Any, key: Key) -> Any:
        """The value filled in; the levels are few, the scanner has seen to it."""
        if isinstance(value, dict):
            self._fill_items(value, list(value.items()), key, value.pop)
        elif isinstance(value, list):
            self._fill_items(value, list(enumerate(value))[::-1], key, value.pop)
        elif isinstance(value, str) and "${" in value:
            return self._filled(value, key)
        return value

    def _fill_items(self, holder: Any, items: list[tuple[Any, Any]], key: Key, drop: Callable[[Any], object]) -> None:
        for part, item in items:
            holder[part] = self.fill(item, (*key, part))
            if holder[part] is _UNUSABLE:
                drop(part)

    def _filled(self, text: str, key: Key) -> Any:
        found: list[str] = []
        try:
            filled = _REFERENCE.sub(lambda match: self._value_of(match, found), text)
        except ConfigError as error:
            self.problems.append(self._problem(key, str(error)))
            self._source.unusable.add(key)
            return _UNUSABLE
        self._source.secrets.update(secret for secret in found if secret)
        return Secret(filled) if found else filled

    def _problem(self, key: Key, text: str) -> Problem:
        named = key
        while named and isinstance(named[-1], int):
            named = named[:-1]
        return self._source.at(named[:-1], str(named[-1]), text)

    def _value_of(self, match: re.Match[str], found: list[str]) -> str:
        if match[0] == "$${":
            return "${"
        if not match[2]:
            raise ConfigError(
                '"${" without its "}"; expected ${NAME}, ${NAME:-default} or ${file:PATH}, or $${ for the text'
            )
        value = self._from_file(match[1][5:]) if match[1].startswith("file:") else self._from_environment(match[1])
        if value is None:
            return match[1].partition(":-")[2]
        found.append(value)
        return value

    def _from_environment(self, reference: str) -> str | None:
        name, dash, _ = reference.partition(":-")
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"${{{shown(name)[1:-1]}}} is no reference; expected ${{NAME}}, ${{NAME:-default}} or ${{file:PATH}}"
            )
        value = self._environment.get(name)
        if dash:
            return value or None
        if value is None:
            short = shown(name)[1:-1]
            near = nearest(short, self._environment)
            raise ConfigError(
                f"${{{short}}} is not set in the environment; expected a value, or ${{{short}:-default}}.{near}"
            )
        return value

    def _from_file(self, name: str) -> str:
        try:
            return read_secret(self._source.folder / Path(name))
        except ConfigError as error:
            raise ConfigError(f"${{file:{shown(name)[1:-1]}}} {error}") from None


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
