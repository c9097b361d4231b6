"""Which values that are no JSON a schema of ``payload_schema`` takes: its types would give others back for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.model.payload_schema import CODE, READS, TUPLE

if TYPE_CHECKING:
    from collections.abc import Iterable

_TEXT_IN_JSON = (int, float, bool, type(None))
"""Keys of these types become text in JSON, and stay text unless the schema says what keys are read as."""


class Stranger(NamedTuple):
    path: str
    found: Any


def first_stranger(value: Any, schema: Any, root: dict[str, Any], path: str = "") -> Stranger | None:
    """The first value inside ``value`` that would arrive as another one; None where the schema does not say."""
    branches = _branches(schema, root)
    if any(CODE in one for one in branches):
        return None
    found = [_stranger(value, one, root, path) for one in branches]
    return None if None in found else found[0]


def _branches(schema: Any, root: dict[str, Any]) -> list[dict[str, Any]]:
    """What a value may fit, references and unions looked through."""
    if not isinstance(schema, dict):
        return [{}]
    if "$ref" in schema:
        return _branches(root.get("$defs", {}).get(str(schema["$ref"]).rpartition("/")[2], {CODE: True}), root)
    choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    return [one for choice in choices for one in _branches(choice, root)] if choices else [schema]


def _stranger(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str) -> Stranger | None:
    kind = type(value)
    if kind is dict:
        if "propertyNames" not in schema and any(type(key) in _TEXT_IN_JSON for key in value):
            return Stranger(path, value)
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        return _first_of(((item, known.get(key, others), f"{path}.{key!s:.200}") for key, item in value.items()), root)
    if not _takes(kind, schema):
        return Stranger(path, value)
    if kind in (list, tuple):
        first, rest = schema.get("prefixItems", []), schema.get("items")
        inner = ((item, first[at] if at < len(first) else rest, f"{path}[{at}]") for at, item in enumerate(value))
        return _first_of(inner, root)
    return None


def _takes(kind: type, schema: dict[str, Any]) -> bool:
    if kind in (bytes, bytearray):
        return "format" in schema or schema.get(READS, {}).get("type") == "bytes"
    if kind in (set, frozenset):
        return "uniqueItems" in schema
    return kind is not tuple or TUPLE in schema or "prefixItems" in schema


def _first_of(inner: Iterable[tuple[Any, Any, str]], root: dict[str, Any]) -> Stranger | None:
    return next((found for item, schema, path in inner if (found := first_stranger(item, schema, root, path))), None)
