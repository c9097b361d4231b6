"""Checks JSON by a schema of ``payload_schema`` alone: as strict as the code where a schema can be, and never stricter."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from re import Pattern
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic
from pydantic import AnyUrl, Base64Bytes, Base64UrlBytes, Json, TypeAdapter
from pydantic_core import SchemaError, SchemaValidator, from_json, to_json

from kernel.model.payload_schema import CODE, READS

_FORMATS: dict[str, Any] = {
    "date": date, "time": time, "date-time": datetime, "duration": timedelta, "uuid": UUID, "decimal": Decimal,
    "fraction": Fraction, "uri": AnyUrl, "ipv4": IPv4Address, "ipv6": IPv6Address, "ipv4network": IPv4Network,
    "ipv6network": IPv6Network, "ipv4interface": IPv4Interface, "ipv6interface": IPv6Interface, "regex": Pattern[str],
    "zoneinfo": ZoneInfo, "base64": Base64Bytes, "base64url": Base64UrlBytes,
}  # fmt: skip
"""Format -> what a text in it is read as."""
_FORMATS_OF_PYDANTIC = {"email": "EmailStr", "name-email": "NameEmail", **{f"uuid{n}": f"UUID{n}" for n in range(1, 9)}}
"""These it has in some versions only, or where another library is installed."""
_KEY_FORMATS = {"integer": "int", "number": "float", "boolean": "bool"}
"""Formats of keys, which are text, and so are read less strictly than values."""
_BEYOND_FORMAT = {"ipvanyaddress", "ipvanyinterface", "ipvanynetwork"}
"""Their types take numbers too, though their schema says text."""
_BOUNDS = {
    "exclusiveMaximum", "exclusiveMinimum", "format", "maxLength", "maximum", "minLength", "minimum", "multipleOf", "pattern",
}  # fmt: skip
_AS_PYTHON = {"date": date, "time": time, "datetime": datetime, "timedelta": timedelta, "decimal": Decimal}
"""Kinds whose bounds are such values too."""

Keyword = Callable[[Any, Any, Any, dict[str, Any]], "Iterable[Any] | None"]
"""The check of one keyword, as jsonschema calls it: with validator, the keyword's value, the instance, the schema around."""


def errors_in(schema: dict[str, Any], value: Any) -> Iterator[Any]:
    """What is wrong with ``value``, as errors of jsonschema."""
    errors: Iterator[Any] = _validator_class()(schema).iter_errors(value)
    return errors


@cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - takes 100 ms, and most commands check no payload
    from jsonschema.validators import extend  # noqa: PLC0415 - as above

    known = Draft202012Validator.VALIDATORS
    own: dict[str, Keyword] = {
        "type": _unless("enum", "const", check=known["type"]),
        "enum": _enum, "const": _const, "format": _format, READS: _reads, "uniqueItems": _nothing,
        "minItems": _min_items, "maxItems": _unless("uniqueItems", check=known["maxItems"]),
        "oneOf": known["anyOf"], "propertyNames": _property_names, "contentSchema": _content,
    }  # fmt: skip
    checks = {
        name: _unless(CODE, *((READS,) if name in _BOUNDS else ()), check=check)
        for name, check in {**known, **own}.items()
    }
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _checker, value: type(value) is int)
    return extend(Draft202012Validator, validators=checks, type_checker=types)


def _unless(*others: str, check: Keyword) -> Keyword:
    """The check, but where one of these keywords stands beside it."""

    def check_unless(validator: Any, wanted: Any, value: Any, schema: dict[str, Any]) -> Iterator[Any]:
        if schema.get("format") not in _BEYOND_FORMAT and not any(other in schema for other in others):
            yield from check(validator, wanted, value, schema) or ()

    return check_unless


def _nothing(_validator: Any, _wanted: Any, _value: Any, _schema: dict[str, Any]) -> None:
    """A set is given as a list, which may have a value twice."""


def _enum(_validator: Any, wanted: Any, value: Any, _schema: dict[str, Any]) -> Iterator[Any]:
    if value not in wanted:  # by Python's equality, as pydantic looks them up: True and 1.0 are 1
        yield _error("is none of them")


def _const(validator: Any, wanted: Any, value: Any, schema: dict[str, Any]) -> Iterator[Any]:
    return _enum(validator, [wanted], value, schema)


def _property_names(validator: Any, wanted: Any, value: Any, _schema: dict[str, Any]) -> Iterator[Any]:
    for key in value if isinstance(value, dict) else ():
        if not validator.evolve(schema=wanted).is_valid(key):
            yield _error("is no key", path=[key], instance=key, schema=wanted)


def _min_items(_validator: Any, wanted: Any, value: Any, schema: dict[str, Any]) -> Iterator[Any]:
    if isinstance(value, list):
        count = len({to_json(item) for item in value}) if "uniqueItems" in schema else len(value)
        if count < wanted:
            yield _error("has too few")


def _content(validator: Any, wanted: Any, value: Any, _schema: dict[str, Any]) -> Iterator[Any]:
    """Text that holds JSON."""
    if not isinstance(value, str):
        return
    error = _refusal(_reader_of(Json), value)
    if error is not None:
        yield _error(error)
    else:
        yield from validator.descend(from_json(value), wanted)


def _format(_validator: Any, wanted: Any, value: Any, _schema: dict[str, Any]) -> Iterator[Any]:
    if isinstance(value, str) and isinstance(wanted, str):
        kind = _KEY_FORMATS.get(wanted)
        error = _refusal_of_key({"type": kind}, value) if kind else _refusal(_reader_of_format(wanted), value)
        if error is not None:
            yield _error(error)


def _reads(_validator: Any, wanted: Any, value: Any, _schema: dict[str, Any]) -> Iterator[Any]:
    if type(value) not in (str, int, float):
        return
    is_key = isinstance(value, str) and wanted.get("type") in _KEY_FORMATS.values()
    error = _refusal_of_key(wanted, value) if is_key else _refusal(_reader(json.dumps(wanted)), value)
    if error is not None:
        yield _error(error)


def _error(message: str, **known: Any) -> Any:
    from jsonschema import ValidationError  # noqa: PLC0415 - as above

    return ValidationError(message, **known)


def _refusal_of_key(leaf: dict[str, Any], key: str) -> str | None:
    return _refusal(_reader(json.dumps({"type": "dict", "keys_schema": leaf})), {key: None})


def _refusal(reader: SchemaValidator | None, value: Any) -> str | None:
    """What pydantic says against ``value``."""
    try:
        if reader is not None:
            reader.validate_json(to_json(value), strict=True)
    except pydantic.ValidationError as error:
        return str(error.errors(include_url=False, include_context=False, include_input=False)[0]["msg"])
    except (ValueError, ArithmeticError, OSError) as error:  # as of a zone whose name leads to a folder
        return str(error)
    return None


@lru_cache(maxsize=500)
def _reader(leaf: str) -> SchemaValidator | None:
    """What reads as a leaf of a schema says; None when this version of pydantic cannot."""
    schema = json.loads(leaf)
    inner = schema.get("keys_schema", schema)
    kind = inner.get("type")
    try:
        if kind in _AS_PYTHON:
            parse: Callable[[Any], Any] = TypeAdapter(_AS_PYTHON[kind]).validate_python
            inner |= {name: parse(inner[name]) for name in ("multiple_of", "le", "ge", "lt", "gt") if name in inner}
        return SchemaValidator(schema)
    except (SchemaError, pydantic.ValidationError):
        return None


@cache
def _reader_of(kind: Any) -> SchemaValidator:
    return TypeAdapter(kind).validator  # type: ignore[return-value] # for what is built here it is one


@lru_cache(maxsize=500)
def _reader_of_format(name: str) -> SchemaValidator | None:
    """None for a format that nothing is known of, and so nothing is checked of."""
    try:
        kind = _FORMATS.get(name) or getattr(pydantic, _FORMATS_OF_PYDANTIC.get(name, ""), None)
        return None if kind is None else _reader_of(kind)
    except ImportError:
        return None
