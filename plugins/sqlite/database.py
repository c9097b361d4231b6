"""One connection as the steps see it: statements by name, and what this process remembers between them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .statements import batches, statement

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from kernel.model.run import Claimed

    from .room import Room


class Redo(Exception):  # noqa: N818 - no error: it asks for the same transaction again, with a savepoint for each call
    """The quick way of a step does not do here."""


class Database:
    """``claimed``: id -> (seq, run) of what this kernel has claimed; it saves looking up, and may be incomplete.

    ``keyed``: ids of those that have a concurrency key. ``limits``: by which limits runs were last held back.
    """

    def __init__(self, connection: sqlite3.Connection, room: Room) -> None:
        self.connection = connection
        self.room = room
        self.claimed: dict[str, tuple[int, Claimed]] = {}
        self.keyed: set[str] = set()
        self.limits: Any = None
        self.is_careful = False
        self.mark = 0

    def mark_unchanged(self) -> None:
        """From here on the transaction has changed nothing: the step that says so has undone what it did."""
        self.mark = self.connection.total_changes

    def forget(self) -> None:
        """Something was rolled back: what is only known from what was written may be wrong."""
        self.room.forget()
        self.limits = None

    def row(self, name: str, /, *values: Any, **named: Any) -> Any:
        """The one row of a statement, or None. Its parameters are either ``?`` in their order, or named."""
        return self.connection.execute(statement(name), named or values).fetchone()

    def value(self, name: str, /, *values: Any, **named: Any) -> Any:
        """The one value of the one row of a statement."""
        return self.row(name, *values, **named)[0]

    def rows(self, name: str, /, *values: Any, **named: Any) -> list[Any]:
        return self.connection.execute(statement(name), named or values).fetchall()

    def change(self, name: str, /, *values: Any, **named: Any) -> int:
        """How many rows a statement changed."""
        before = self.connection.total_changes
        self.connection.execute(statement(name), named or values)
        return self.connection.total_changes - before

    def change_each(self, name: str, rows: Sequence[Sequence[Any]], *first: Any) -> int:
        """As ``change``, for a statement with a line for each row; ``first`` are the parameters before those lines."""
        before = self.connection.total_changes
        for text, values in batches(name, rows):
            self.connection.execute(text, [*first, *values] if first else values)
        return self.connection.total_changes - before

    def list_each(self, name: str, rows: Sequence[Sequence[Any]], *first: Any) -> list[Any]:
        """The JSON lists that the statement answers with, put together."""
        found: list[Any] = []
        for text, values in batches(name, rows):
            found += json.loads(self.connection.execute(text, [*first, *values]).fetchone()[0])
        return found

    def signal(self, name: str) -> None:
        self.connection.execute(statement("signal"), (name,))


def json_of(numbers: Iterable[int]) -> str:
    """A JSON array of seqs."""
    return f"[{','.join(map(str, numbers))}]"


def json_texts(texts: Iterable[str]) -> str:
    """A JSON array of ids, each once."""
    return json.dumps(list(dict.fromkeys(texts)))
