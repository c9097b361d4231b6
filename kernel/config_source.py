"""Where the tables and keys of plugins.toml stand, and which of its values are secret: what every message needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kernel.model.errors import shown

if TYPE_CHECKING:
    from pathlib import Path

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)

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
        return f"{one_line(str(self.path))}:{line}" if line else one_line(str(self.path))

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
    return str(part) if isinstance(part, int) or (len(part) <= 100 and _BARE.fullmatch(part)) else shown(part)


def one_line(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]
