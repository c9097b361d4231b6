"""The statements of ``sql/``, by name, for the schema that the store is in."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from .address import DEFAULT_SCHEMA

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
    return beginning + (_FOLDER / f"{name}.sql").read_text("utf-8")
