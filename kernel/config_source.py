"""The text of plugins.toml and the lines on which its tables and keys stand, so that messages can name the place."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.model.errors import ConfigError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MAX_BYTES = 1024 * 1024
_MAX_TOKENS = 200_000
_MAX_LEVELS = 64
_MAX_PARTS = 16
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*|\n|[\[\]{}=,.]|[^\s\[\]{}=,.\"'\#]+|[\"']",
    re.DOTALL,
)
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_SYNTAX = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)

Key = tuple[str | int, ...]
"""The way to a table or value: ``("plugins", "fleet", "jobs", "sync", "timeout")``; a number is an array's index."""


class Problem(NamedTuple):
    """One thing wrong in plugins.toml, as one line of text."""

    line: int
    text: str


class Source:
    """Where the keys of a plugins.toml stand, and which of its values must not be shown."""

    def __init__(self, path: Path, lines: dict[Key, int] | None = None) -> None:
        self.path = path
        self.folder = path.parent.absolute()
        self.secrets: set[str] = set()
        self.unusable: set[Key] = set()
        self._lines = lines or {}

    def __contains__(self, key: Key) -> bool:
        return key in self._lines

    def line_of(self, key: Key) -> int:
        """The line of the key, or of the table nearest to it; 0 when there is none."""
        while key and key not in self._lines:
            key = key[:-1]
        return self._lines.get(key, 0)

    def place_of(self, key: Key) -> str:
        line = self.line_of(key)
        return f"{_one_line(str(self.path))}:{line}" if line else _one_line(str(self.path))

    def in_table(self, table: Key, text: str) -> Problem:
        """A problem of a whole table: ``plugins.toml:14: [plugins.helth]: text``."""
        return Problem(self.line_of(table), self.scrub(f"{self.place_of(table)}: [{table_text(table)}]: {text}"))

    def at(self, table: Key, key: str, text: str) -> Problem:
        """A problem of one key: ``plugins.toml:3: [kernel] concurrency: text``."""
        full = (*table, key)
        where = f"[{table_text(table)}] " if table else ""
        prefix = f"{self.place_of(full)}: {where}{part_text(key)}"
        return Problem(self.line_of(full), f"{prefix}: {self.scrub(text)}")

    def scrub(self, text: str) -> str:
        """``text`` with every secret in it replaced."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            # A short one would be found inside of words all over the message.
            pattern = re.escape(secret) if len(secret) > 3 else rf"(?<!\w){re.escape(secret)}(?!\w)"
            text = re.sub(pattern, "***", text)
        return text


def table_text(table: Key) -> str:
    return ".".join(part_text(part) for part in table)


def part_text(part: str | int) -> str:
    return str(part) if isinstance(part, int) or _BARE.fullmatch(part) else shown(part)


def read_text(path: Path) -> str:
    """The text of the file; ConfigError with one line for whatever is in its way."""
    name = _one_line(str(path))
    try:
        raw = _read(path, MAX_BYTES)
    except FileNotFoundError:
        raise ConfigError(
            f"{name}: no such file; make one (its first line may be [kernel]), or name another by --config"
        ) from None
    except _NotAFileError as error:
        raise ConfigError(f"{name}: is {error}; expected a file of TOML text") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name}: cannot be read: {_reason(error)}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{name}: is larger than 1 MiB; expected a configuration of some pages")
    return _decode(name, raw)


def read_secret(path: Path) -> str:
    """The text of a small file named in ``${file:…}``, without the line end at its end; ConfigError says why not."""
    try:
        raw = _read(path, 65536)
        text = raw.decode()
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text") from None
    except _NotAFileError as error:
        raise ConfigError(f"is {error}; expected a file") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {_reason(error)}") from None
    if len(raw) > 65536:
        raise ConfigError("is larger than 64 KiB")
    return text.removesuffix("\n").removesuffix("\r")


class _NotAFileError(Exception):
    pass


def _read(path: Path, limit: int) -> bytes:
    """At most ``limit`` bytes and one more. A pipe or device is never opened: that alone may hang, or do something."""
    _check_regular(path.stat().st_mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - what was checked is the descriptor, not the path
        _check_regular(os.fstat(descriptor).st_mode)
        return file.read(limit + 1)


def _check_regular(mode: int) -> None:
    kinds = {
        stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }  # fmt: skip
    if not stat.S_ISREG(mode):
        raise _NotAFileError(kinds.get(stat.S_IFMT(mode), "no regular file"))


def _reason(error: Exception) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


def _decode(name: str, raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(f"{name}:1: is UTF-16 text; expected UTF-8: save it anew in that encoding")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{name}:{line}: the byte 0x{raw[error.start]:02x} is not UTF-8 text; expected UTF-8"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ConfigError(f"{name}:{line}: a NUL character; expected TOML text")
    return text


def parse(text: str, path: Path) -> tuple[dict[str, Any], Source]:
    """The data of the text and where it stands; ConfigError with line and column when it is not TOML."""
    name = _one_line(str(path))
    lines = _lines_of(text, name)
    try:
        return tomllib.loads(text), Source(path, lines)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_problem(name, text, error)) from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deep; expected at most {_MAX_LEVELS} levels") from None
    except ValueError:
        # Python refuses integers of more than 4300 digits, whatever they stand for.
        found = re.search(r"[0-9_]{4300}", text)
        line = text[: found.start()].count("\n") + 1 if found else 1
        raise ConfigError(f"{name}:{line}: a number of more than 4300 digits; expected a smaller one") from None


def _syntax_problem(name: str, text: str, error: tomllib.TOMLDecodeError) -> str:
    match = _SYNTAX.fullmatch(str(error))
    message = _one_line(match[1] if match else str(error))
    if match and match[2]:
        return f"{name}:{match[2]}:{match[3]}: {message}; expected TOML"
    return f"{name}:{text.count(chr(10)) + 1}: {message}, at the end of the file; expected TOML"


def _one_line(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]


def _lines_of(text: str, name: str) -> dict[Key, int]:
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
            if self._level > _MAX_LEVELS:
                raise ConfigError(f"{self._name}:{self._line}: more than {_MAX_LEVELS} levels; expected fewer")
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
