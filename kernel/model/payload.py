"""Payloads and results as JSON text: what goes in comes out the same, or is refused with the path to the place."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from kernel.model.errors import MainspringError, printable, shown

MAX_BYTES = 64 * 1024
MAX_DEPTH = 64
_MAX_BITS = 10_000
_PATH_CHARACTERS = 200
_JSON = "JSON: objects with text keys, lists, text, finite numbers, true, false, null"


class NotJsonError(MainspringError):
    """A value that JSON cannot carry unchanged. ``path`` leads to it, as ``.cars[3].price``."""

    def __init__(self, path: str, found: str, expected: str = _JSON) -> None:
        self.path, self.found, self.expected = printable(path, _PATH_CHARACTERS), found, expected
        super().__init__(f"{self.path or 'value'}: {found}; expected {expected}")


def encode(value: Any, *, limit: int = MAX_BYTES) -> str:
    """The compact JSON text of ``value``; NotJsonError when it would not come back equal or passes ``limit`` bytes."""
    _check(value, "", 0)
    try:
        raw = to_json(value)
    except (PydanticSerializationError, UnicodeEncodeError):
        raise NotJsonError(
            _find_surrogate(value, ""), "text with a lone surrogate", "text that UTF-8 can encode"
        ) from None
    if len(raw) > limit:
        raise NotJsonError("", f"{len(raw):,} bytes of JSON", f"at most {limit:,} bytes")
    return raw.decode()


def encode_values(value: Any, *, limit: int = MAX_BYTES) -> str:
    """As ``encode``, also for what pydantic knows how to write: models, dataclasses, instants, ids, enums, tuples.

    Whether these come back equal depends on who reads them: ``first_difference`` says.
    """
    return encode(_as_json(value, "", 0), limit=limit)


def _as_json(value: Any, path: str, depth: int) -> Any:
    kind = type(value)
    if depth > MAX_DEPTH or kind in (str, bool, int, float) or value is None:
        return value  # too deep a value is refused when it is encoded
    if kind is list:
        return [_as_json(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if kind is dict:
        return {_key(key, path): _as_json(item, f"{path}.{key!s:.200}", depth + 1) for key, item in value.items()}
    return _by_pydantic(value, path)


def _key(key: Any, path: str) -> str:
    return key if type(key) is str else next(iter(_by_pydantic({key: None}, path)))


def _by_pydantic(value: Any, path: str) -> Any:
    try:
        return to_jsonable_python(value, round_trip=True)
    except (PydanticSerializationError, ValueError, RecursionError):
        found = f"{shown(value)} ({type(value).__name__})"
        raise NotJsonError(path, found, f"{_JSON}; or what pydantic can write as JSON") from None


class Difference(NamedTuple):
    """Where what was given is not what would arrive."""

    path: str
    given: Any
    arrived: Any


def first_difference(given: Any, arrived: Any, path: str = "") -> Difference | None:
    """The first place, from outside to inside, where ``arrived`` is not equal to ``given``; None when all of it is."""
    if type(given) is dict and type(arrived) is dict and given.keys() == arrived.keys():
        inner = ((item, arrived[key], f"{path}.{key!s:.200}") for key, item in given.items())
    elif type(given) is list and type(arrived) is list and len(given) == len(arrived):
        inner = ((*pair, f"{path}[{index}]") for index, pair in enumerate(zip(given, arrived, strict=True)))
    else:
        return None if given == arrived else Difference(path, given, arrived)
    return next((found for one in inner if (found := first_difference(*one))), None)


def _check(value: Any, path: str, depth: int) -> None:
    kind = type(value)
    if kind is dict:
        _check_object(value, path, depth)
    elif kind is list:
        if depth >= MAX_DEPTH:
            raise NotJsonError(path, f"more than {MAX_DEPTH} levels", f"at most {MAX_DEPTH} levels")
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", depth + 1)
    else:
        _check_scalar(value, path)


def _check_object(value: dict[Any, Any], path: str, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise NotJsonError(path, f"more than {MAX_DEPTH} levels", f"at most {MAX_DEPTH} levels")
    for key, item in value.items():
        if type(key) is not str:
            raise NotJsonError(path, f"the key {shown(key)} ({type(key).__name__})", "text keys")
        kind = type(item)
        if kind is str or item is None or kind is bool:
            continue
        if kind is dict or kind is list:
            _check(item, f"{path}.{key[:_PATH_CHARACTERS]}", depth + 1)
        else:
            _check_scalar(item, f"{path}.{key[:_PATH_CHARACTERS]}")


def _check_scalar(value: Any, path: str) -> None:
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return
    if kind is int:
        if value.bit_length() > _MAX_BITS:
            raise NotJsonError(path, f"an integer of {value.bit_length():,} bits", f"at most {_MAX_BITS:,} bits")
    elif kind is float:
        if not math.isfinite(value):
            raise NotJsonError(path, shown(value), "a finite number")
    else:
        raise NotJsonError(path, f"{shown(value)} ({kind.__name__})")


def _find_surrogate(value: Any, path: str) -> str:
    if isinstance(value, str):
        return path if any("\ud800" <= char <= "\udfff" for char in value) else ""
    if isinstance(value, dict):
        for key, item in value.items():
            if _find_surrogate(key, "key"):
                return f"{path}.{key}"
            if found := _find_surrogate(item, f"{path}.{key}"):
                return found
    if isinstance(value, list):
        for index, item in enumerate(value):
            if found := _find_surrogate(item, f"{path}[{index}]"):
                return found
    return ""
