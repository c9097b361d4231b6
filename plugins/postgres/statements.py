"""The statements of ``sql/``, by name, for the schema that the store is in.

A line ``-- part NAME`` stands for the file of this name in ``sql/parts/``: what several statements have in common.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from .address import DEFAULT_SCHEMA

_PART = re.compile(r"^-- part (\w+)\n", re.MULTILINE)
_FOLDER = Path(__file__).with_name("sql")
_BEGIN_WITH = {"claim": "claim_lanes", "claim_many": "claim_lanes"}
"""Statements with a beginning in common, which stands in a file of its own."""


class Statements:
    """Values are always parameters; the one thing put into a text is the schema's name, which ``address`` has checked."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self._texts: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        text = self._texts.get(name)
        if text is None:
            text = self._texts[name] = self.in_schema(_read(name))
        return text

    def in_schema(self, text: str) -> str:
        """A text that is written for the usual schema, for this one."""
        if self.schema == DEFAULT_SCHEMA:
            return text
        return text.replace(f"{DEFAULT_SCHEMA}.", f"{self.schema}.")


@cache
def _read(name: str) -> str:
    beginning = _read(_BEGIN_WITH[name]) if name in _BEGIN_WITH else ""
    return beginning + _PART.sub(lambda found: _text(f"parts/{found[1]}"), _text(name))


def _text(name: str) -> str:
    return (_FOLDER / f"{name}.sql").read_text("utf-8")
