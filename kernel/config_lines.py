"""Finds the line of each table and key of a TOML text, which tomllib does not tell."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from kernel.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kernel.config_source import Key

_MAX_TOKENS = 200_000
MAX_LEVELS = 64
_MAX_PARTS = 16
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*|\n|[\[\]{}=,.]|[^\s\[\]{}=,.\"'\#]+|[\"']",
    re.DOTALL,
)


def lines_of(text: str, name: str) -> dict[Key, int]:
    """The line of each table and key. Of what is not TOML it makes what it can; tomllib will say what is wrong."""
    scanner = _Scanner(name)
    for match in _TOKEN.finditer(text):
        scanner.take(match[0])
    return scanner.lines


class _Scanner:
    """Goes through the tokens once, and refuses what would cost tomllib its stack or minutes."""

    def __init__(self, name: str) -> None:
        self.lines: dict[Key, int] = {}
        self._name = name
        self._line = 1
        self._count = 0
        self._table: Key = ()
        self._arrays: dict[Key, int] = {}
        self._part: list[str] = []
        self._level = 0
        self._brackets = 0
        self._state = "start"

    def take(self, word: str) -> None:
        self._count += 1
        if self._count > _MAX_TOKENS:
            raise ConfigError(
                f"{self._name}:{self._line}: more than {_MAX_TOKENS:,} words; expected a configuration of some pages"
            )
        if word == "\n":
            self._end_line()
        elif not word.startswith("#"):
            getattr(self, f"_in_{self._state}")(word)
        self._line += word.count("\n")

    def _end_line(self) -> None:
        if self._state != "value" or self._level <= 0:
            self._state, self._part, self._brackets = "start", [], 0

    def _in_start(self, word: str) -> None:
        if word == "[":
            self._state, self._brackets = "header", 1
        else:
            self._state = "key"
            self._in_key(word)

    def _in_header(self, word: str) -> None:
        if word == "[":
            self._brackets += 1
        elif word == "]":
            self._state = "rest"
            self._begin_table(tuple(_parts_of(self._part)))
        else:
            self._take_part(word)

    def _in_key(self, word: str) -> None:
        if word == "=":
            self._state, self._level = "value", 0
            self._note((*self._table, *_parts_of(self._part)))
        else:
            self._take_part(word)

    def _in_value(self, word: str) -> None:
        if word in "[{":
            self._level += 1
            if self._level > MAX_LEVELS:
                raise ConfigError(f"{self._name}:{self._line}: more than {MAX_LEVELS} levels; expected fewer")
        elif word in "]}":
            self._level -= 1

    def _in_rest(self, word: str) -> None:
        """What follows a header on its line is for tomllib to refuse."""

    def _take_part(self, word: str) -> None:
        self._part.append(word)
        if len(self._part) > 2 * _MAX_PARTS:
            raise ConfigError(f"{self._name}:{self._line}: a key of more than {_MAX_PARTS} parts; expected fewer")

    def _begin_table(self, name: Key) -> None:
        table: Key = ()
        for part in name[:-1]:
            table = (*table, part)
            if table in self._arrays:
                table = (*table, self._arrays[table])
        table = (*table, *name[-1:])
        if self._brackets > 1:
            self._arrays[table] = self._arrays.get(table, -1) + 1
            self._note(table)
            table = (*table, self._arrays[table])
        self._table = table
        self._note(table)

    def _note(self, key: Key) -> None:
        for length in range(1, len(key)):
            self.lines.setdefault(key[:length], self._line)
        # A table may be mentioned by its children before it is opened; its own header is the better place.
        if key == self._table or key not in self.lines:
            self.lines[key] = self._line


def _parts_of(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        if word.startswith(("'", '"')):
            yield _unquoted(word)
        elif word != ".":
            yield word


def _unquoted(word: str) -> str:
    try:
        return str(tomllib.loads(f"key = {word}")["key"])
    except (tomllib.TOMLDecodeError, RecursionError):
        return word
