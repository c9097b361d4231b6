"""The statements of ``sql/``. A line that ends in ``-- each`` stands once for each row that is given.

A line ``-- part NAME`` stands for the file of this name in ``sql/parts/``: what several statements have in common.

A statement for many rows is one step of SQLite: a step gives the interpreter's lock away, and with a busy main thread
it takes milliseconds to get it back. Sizes are powers of two, filled up with NULLs, so that few texts are prepared.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_ROWS = 1024
_EACH = "-- each\n"
_PART = re.compile(r"^ *-- part (\w+)\n", re.MULTILINE)
_FOLDER = Path(__file__).with_name("sql")


@cache
def statement(name: str) -> str:
    return _PART.sub(lambda found: _text(f"parts/{found[1]}"), _text(name))


def _text(name: str) -> str:
    return (_FOLDER / f"{name}.sql").read_text("utf-8")


@cache
def statement_for(name: str, rows: int) -> str:
    """The statement with its line for each row written ``rows`` times: placeholders only, never a value."""
    lines = statement(name).splitlines(keepends=True)
    at = next(index for index, line in enumerate(lines) if line.endswith(_EACH))
    lines[at] = ",".join([lines[at].removesuffix(_EACH)] * rows) + "\n"
    return "".join(lines)


def batches(name: str, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
    """(statement, parameters) for all ``rows``; NULLs fill up to the size, and the statement passes over them."""
    for start in range(0, len(rows), MOST_ROWS):
        part = rows[start : start + MOST_ROWS]
        size = 1 << (len(part) - 1).bit_length()
        values = list(chain.from_iterable(part))
        values.extend(repeat(None, (size - len(part)) * len(part[0])))
        yield statement_for(name, size), values
