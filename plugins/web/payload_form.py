"""A form for a job's payload, arranged by its JSON Schema, and the payload that was typed into it: pure.

Each parameter has one field. What a field cannot say, as an empty text, is given as JSON in one piece.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from .schema_sentence import resolved, sentence_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Schema = dict[str, Any]

MISSING: Any = object()
_NUMBER = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,400}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EXAMPLES = {
    "date-time": "2026-01-31T09:00:00Z",
    "time": "09:00:00",
    "duration": "PT1H30M, or 01:30:00",
    "uuid": "0191e3b4-0000-7000-8000-000000000000",
    "email": "ada@example.com",
    "uri": "https://example.com/",
}
_LONG = 200
_MOST_DIGITS = 400


class Choice(NamedTuple):
    """``value``: as JSON, which an option of a select sends."""

    value: str
    label: str


class Field(NamedTuple):
    """``kind``: text, lines, secret, integer, number, date, choice or json. ``default`` as a person reads it."""

    name: str
    kind: str
    is_required: bool
    is_nullable: bool = False
    about: str = ""
    expects: str = ""
    default: str = ""
    example: str = ""
    choices: tuple[Choice, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()


def fields_of(schema: Schema, defaults: Mapping[str, Any] | None = None) -> list[Field]:
    """One for each parameter, those that must be given first."""
    required = set(schema.get("required", ()))
    fields = [
        _field(
            name, one if isinstance(one, dict) else {}, schema, name in required, (defaults or {}).get(name, MISSING)
        )
        for name, one in schema.get("properties", {}).items()
    ]
    return sorted(fields, key=lambda field: not field.is_required)


def takes_more(schema: Schema) -> bool:
    """Whether names that no field has are taken too."""
    return schema.get("additionalProperties") not in (False, None) or not schema


def taken(field: Field) -> str:
    """What the parameter takes, for who writes JSON: ``text``, ``true or false, left out: false``."""
    values = [one.value for one in field.choices]
    kind = "true or false" if {*values} == {"true", "false"} else " or ".join(values) or field.expects or "text"
    return f"{kind}, left out: {field.default}" if field.default else kind


def strangers(schema: Schema, payload: Mapping[str, Any]) -> list[str]:
    """The names in the payload that the job does not take."""
    return [] if takes_more(schema) else [name for name in payload if name not in schema.get("properties", {})]


def _field(name: str, given: Schema, root: Schema, is_required: bool, default: Any) -> Field:
    schema = resolved(given, root)
    plain, is_nullable = _without_null(schema, root)
    kind, choices = _kind_of(plain, is_nullable=is_nullable)
    default = schema.get("default", plain.get("default", default)) if default is MISSING else default
    if kind == "choice" and default is not MISSING:
        choices = tuple(sorted(choices, key=lambda one: one.value != _json(default)))
    form = plain.get("format", "")
    about = next((text for text in (schema.get("description"), plain.get("description")) if isinstance(text, str)), "")
    return Field(
        name,
        kind,
        is_required,
        is_nullable,
        about,
        "" if kind in {"choice", "secret"} else sentence_of(plain, root),
        "" if is_required or default is MISSING else _json(default),
        _EXAMPLES.get(form, "") if isinstance(form, str) else "",
        choices,
        _attributes(kind, plain),
    )


def _without_null(schema: Schema, root: Schema) -> tuple[Schema, bool]:
    """Of something or null the something."""
    branches = schema.get("anyOf") or schema.get("oneOf")
    if not isinstance(branches, list):
        return schema, False
    others = [one for one in (resolved(branch, root) for branch in branches) if one.get("type") != "null"]
    if len(others) == 1:
        return others[0], len(branches) > 1
    return schema, len(others) < len(branches)


def _kind_of(schema: Schema, *, is_nullable: bool) -> tuple[str, tuple[Choice, ...]]:
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if schema.get("type") == "boolean" and values is None:
        values = [True, False]
    if isinstance(values, list) and values:
        if is_nullable and None not in values:
            values = [*values, None]
        return "choice", tuple(Choice(_json(one), one if isinstance(one, str) else _json(one)) for one in values)
    match schema.get("type"):
        case "string":
            return _kind_of_text(schema), ()
        case "integer" | "number" as kind:
            return kind, ()
        case _:
            return "json", ()


def _kind_of_text(schema: Schema) -> str:
    if schema.get("format") == "password" or schema.get("writeOnly") is True:
        return "secret"
    if "contentMediaType" in schema or "contentSchema" in schema or _least(schema, "maxLength", 0) > _LONG:
        return "lines"
    return "date" if schema.get("format") == "date" else "text"


def _least(schema: Schema, key: str, default: int) -> int:
    value = schema.get(key)
    return value if isinstance(value, int) else default


def _attributes(kind: str, schema: Schema) -> tuple[tuple[str, str], ...]:
    if kind in {"text", "lines"}:
        return tuple((name.lower(), str(schema[name])) for name in ("maxLength",) if isinstance(schema.get(name), int))
    return (("inputmode", "numeric" if kind == "integer" else "decimal"),) if kind in {"integer", "number"} else ()


# Between a payload and the texts of the fields


def texts_of(fields: Sequence[Field], payload: Mapping[str, Any]) -> dict[str, str] | None:
    """What stands in the fields for this payload; None when they cannot say it."""
    known = {field.name: field for field in fields}
    if payload.keys() - known.keys():
        return None
    found = {}
    for name, value in payload.items():
        text = _text(known[name], value)
        if text is None:
            return None
        found[name] = text
    # What is required and was not given would be asked for.
    return found


def _text(field: Field, value: Any) -> str | None:  # noqa: PLR0911 - one answer for each kind
    if field.kind == "choice":
        text = _json(value)
        return text if text in {one.value for one in field.choices} else None
    if value is None and field.is_nullable and field.kind != "json":
        return "" if field.is_required or field.default == "null" else None
    match field.kind, value:
        case "json", _:
            return json.dumps(value, indent=2, ensure_ascii=False)
        case (("integer" | "number"), bool()):
            return None
        case "integer", int():
            return str(value)
        case "number", (int() | float()):
            return _json(value)
        case "date", str():
            return value if _DATE.fullmatch(value) else None
        case (("text" | "lines" | "secret"), str()):
            return value if value.strip() == value != "" and "\r" not in value else None
        case _:
            return None


def kind_shown(field: Field, text: str) -> str:
    """A line cannot hold several, nor very many characters."""
    return "lines" if field.kind == "text" and ("\n" in text or len(text) > _LONG) else field.kind


def payload_of(fields: Sequence[Field], texts: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What was typed, as a payload, and what is wrong with it by field: found and expected."""
    payload: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for field in fields:
        text = texts.get(field.name, "").replace("\r\n", "\n").strip()
        if text == "":
            if field.is_required and field.is_nullable:
                payload[field.name] = None
            elif field.is_required:
                wrong[field.name] = "is required"
            continue
        try:
            payload[field.name] = _value(field, text)
        except ValueError as error:
            wrong[field.name] = str(error)
    return payload, wrong


def _value(field: Field, text: str) -> Any:
    match field.kind:
        case "integer":
            if _INTEGER.fullmatch(text):
                return int(text)
            raise ValueError("expected a whole number, as 42")
        case "number":
            number = _number(text)
            if number is not None:
                return number
            raise ValueError("expected a number, as 1.5")
        case "choice":
            if text not in {one.value for one in field.choices}:
                raise ValueError(f"expected one of {', '.join(one.label for one in field.choices[:20])}")
            return json.loads(text)
        case "json":
            return parsed(text)
        case _:
            return text


def _number(text: str) -> int | float | None:
    if _INTEGER.fullmatch(text):
        return int(text)
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def parsed(text: str) -> Any:
    """The JSON; ValueError saying where it is none, or has a key twice."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except json.JSONDecodeError as error:
        hint = "" if text[:1] in '{["' else '; a text stands in quotes, as "text"'
        raise ValueError(f"it is not JSON: {error.msg} at line {error.lineno}, column {error.colno}{hint}") from None


def parsed_object(text: str) -> dict[str, Any]:
    """The same of a whole payload; nothing at all stands for the empty one."""
    found = parsed(text) if text.strip() else {}
    if not isinstance(found, dict):
        raise ValueError('expected an object, as {"car_id": "42"}: the parameters by name')  # noqa: TRY004 - of a text
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {_json(twice)[:100]} stands there twice; expected each key once")
    return found


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number has more than {_MOST_DIGITS} digits")
    return int(text)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def field_at(fields: Sequence[Field], path: str) -> str | None:
    """The field in which the path of a PayloadError begins, as ``.address.city`` in ``address``."""
    for field in sorted(fields, key=lambda one: -len(one.name)):
        rest = path.removeprefix(f".{field.name}")
        if rest != path and rest[:1] in {"", ".", "["}:
            return field.name
    return None
