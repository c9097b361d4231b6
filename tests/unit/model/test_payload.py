"""What payloads and results may hold: it comes back the same, or is refused with the path to the place."""

from __future__ import annotations

import json
import math
import pickle
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.model.payload import MAX_BYTES, MAX_DEPTH, NotJsonError, encode

SURROGATE = "a\ud800b"
LARGEST = 2**10_000 - 1

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-LARGEST, LARGEST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5),
    max_leaves=20,
)
any_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 1


class Place(NamedTuple):
    row: int


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Table(dict[str, Any]):
    pass


class Bomb:
    """Would run its text if anybody unpickled it."""

    def __reduce__(self) -> Any:
        return eval, ("print('boom')",)


class Hostile:
    def __repr__(self) -> str:
        raise GeneratorExit


def alike(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down: 1, 1.0 and True are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return (
        bool(one == other) and math.copysign(1, one) == math.copysign(1, other) if type(one) is float else one == other
    )


def nested(levels: int, *, objects: bool = False) -> Any:
    value: Any = {} if objects else []
    for _ in range(levels - 1):
        value = {"a": value} if objects else [value]
    return value


def refusal(value: Any) -> NotJsonError:
    with pytest.raises(NotJsonError) as caught:
        encode(value)
    return caught.value


@given(json_values)
def test_a_json_value_comes_back_equal_and_of_the_same_types(value: Any) -> None:
    found = json.loads(encode(value))

    assert alike(found, value)


@given(any_values)
@settings(max_examples=300)
def test_any_value_comes_back_the_same_or_is_refused(value: Any) -> None:
    try:
        found = json.loads(encode(value))
    except NotJsonError:
        return

    assert alike(found, value)


@pytest.mark.parametrize(
    "value",
    [
        0, -1, 2**63, LARGEST, -LARGEST, 0.1, -0.0, 1e308, 5e-324, 1e22, 123456789012345680.0, "", "\x00", "\u2028",
        "'\"\\/\b\x7f", "🚗 Straße", [], {}, {"": {"": []}}, [None, True, False], {"a.b": 1, "[0]": 2, "__proto__": 3},
    ],
    ids=repr,
)  # fmt: skip
def test_the_corners_of_json_come_back_the_same(value: Any) -> None:
    assert alike(json.loads(encode(value)), value)


def test_the_text_is_compact_and_keeps_the_order_of_keys() -> None:
    assert encode({"b": [1, 2], "a": None}) == '{"b":[1,2],"a":null}'


@pytest.mark.parametrize(
    "value",
    [
        b"bytes", bytearray(b"x"), {1, 2}, frozenset(), (1, 2), Place(1), 1j, Decimal("1.5"), object(), print, Bomb(),
        ..., datetime(2026, 1, 1, tzinfo=UTC), UUID(int=0), Colour.RED, Level.HIGH, Text("a"), Number(1), Table(a=1),
        OrderedDict(a=1), range(3), iter([]), NotImplemented,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_no_json_is_refused_with_its_type_and_path(value: Any) -> None:
    error = refusal({"cars": [{"price": 1}, {"price": value}]})

    assert error.path == ".cars[1].price"
    assert type(value).__name__ in error.found
    assert str(error).startswith(".cars[1].price: ")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    error = refusal({"a": [0.5, value]})

    assert (error.path, error.found, error.expected) == (".a[1]", repr(value), "a finite number")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (SURROGATE, ""),
        ({"a": ["b", SURROGATE]}, ".a[1]"),
        ({"a": {SURROGATE: 1}}, r".a.a\ud800b"),
        ([{"fine": "yes", "bad": "\udfff"}], "[0].bad"),
    ],
)
def test_a_lone_surrogate_is_refused_with_its_path(value: Any, path: str) -> None:
    error = refusal(value)

    assert error.path == path
    assert "lone surrogate" in error.found


def test_a_message_about_a_key_with_a_lone_surrogate_can_be_printed() -> None:
    error = refusal({SURROGATE: math.nan})

    assert str(error).encode().decode() == str(error)
    assert error.path == r".a\ud800b"


def test_a_message_stays_short_and_in_one_line_however_long_a_key_is() -> None:
    error = refusal({"k\n" * 100_000: {"x": math.nan}})

    assert len(str(error)) < 500
    assert "\n" not in str(error)


@pytest.mark.parametrize("key", [1, 1.5, None, True, b"a", (1,), Text("a"), Colour.RED], ids=repr)
def test_a_key_that_is_no_text_is_refused_with_the_path_of_its_object(key: Any) -> None:
    error = refusal({"a": [{"fine": 1, key: 2}]})

    assert error.path == ".a[0]"
    assert error.expected == "text keys"


@pytest.mark.parametrize("objects", [False, True])
def test_as_many_levels_as_are_allowed_are_taken_and_not_one_more(objects: bool) -> None:
    encode(nested(MAX_DEPTH, objects=objects))

    error = refusal(nested(MAX_DEPTH + 1, objects=objects))

    assert error.expected == f"at most {MAX_DEPTH} levels"


@pytest.mark.parametrize("objects", [False, True])
def test_ten_thousand_levels_are_refused_like_any_too_deep_value(objects: bool) -> None:
    error = refusal(nested(10_000, objects=objects))

    assert f"more than {MAX_DEPTH} levels" in str(error)
    assert len(str(error)) < 500


def test_a_value_that_holds_itself_is_refused_as_too_deep() -> None:
    cycle: dict[str, Any] = {"list": []}
    cycle["list"].append(cycle)

    error = refusal(cycle)

    assert error.path.startswith(".list[0].list[0]")
    assert "levels" in error.found


@pytest.mark.parametrize("digits", [3_011, 5_000, 1_000_000])
def test_an_integer_of_thousands_of_digits_is_refused_for_nobody_could_read_it_back(digits: int) -> None:
    error = refusal({"a": 1 << math.ceil(digits * math.log2(10))})

    assert error.path == ".a"
    assert "bits" in error.found


def test_a_megabyte_is_refused_with_what_was_found_and_what_fits() -> None:
    error = refusal({"a": "x" * 1_000_000})

    assert (error.found, error.expected) == ("1,000,008 bytes of JSON", "at most 65,536 bytes")


def test_the_limit_is_met_by_the_bytes_of_the_text_and_not_its_characters() -> None:
    encode("x" * (MAX_BYTES - 2))
    encode("ü" * (MAX_BYTES // 2 - 1))

    with pytest.raises(NotJsonError, match="65,537 bytes"):
        encode("x" * (MAX_BYTES - 1))
    with pytest.raises(NotJsonError, match="65,538 bytes"):
        encode("ü" * (MAX_BYTES // 2))


def test_the_limit_may_be_raised() -> None:
    assert len(encode("x" * 100_000, limit=200_000)) == 100_002


def test_a_value_whose_repr_raises_what_is_no_exception_is_refused_like_any_other() -> None:
    error = refusal([Hostile()])

    assert "Hostile whose repr raises GeneratorExit" in error.found


def test_the_bomb_of_these_tests_is_a_bomb() -> None:
    assert b"boom" in pickle.dumps(Bomb())
