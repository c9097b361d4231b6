"""The form of a payload: which field a parameter has, and what was typed as JSON."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads it
import enum
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from plugins.web.enqueue_options import option_named, options_of
from plugins.web.payload_form import field_at, fields_of, kind_shown, parsed_object, payload_of, takes_more, texts_of
from plugins.web.schema_sentence import resolved, sentence_of


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str
    city: str = "Oslo"


class Payload(BaseModel):
    model_config = {"extra": "forbid"}

    loud: bool = False
    name: str = Field(description="Who it is.", max_length=80)
    times: int = 1
    ratio: float | None = None
    tone: Literal["kind", "short"] = "kind"
    colour: Colour | None = None
    day: dt.date
    at: dt.datetime | None = None
    address: Address
    tags: list[str] = []
    either: int | str = 3
    letter: str = Field("", max_length=5000)


SCHEMA = TypeAdapter(Payload).json_schema()
FIELDS = fields_of(SCHEMA)
BY_NAME = {field.name: field for field in FIELDS}


def test_each_parameter_has_the_field_that_fits_its_type() -> None:
    assert {field.name: field.kind for field in FIELDS} == {
        "name": "text", "day": "date", "address": "json", "loud": "choice", "times": "integer", "ratio": "number",
        "tone": "choice", "colour": "choice", "at": "text", "tags": "json", "either": "json", "letter": "lines",
    }  # fmt: skip


def test_what_must_be_given_comes_first() -> None:
    assert [field.name for field in FIELDS if field.is_required] == ["name", "day", "address"]
    assert [field.name for field in FIELDS[:3]] == ["name", "day", "address"]


def test_a_field_says_what_it_is_for_and_what_it_expects() -> None:
    assert (BY_NAME["name"].about, BY_NAME["name"].expects) == ("Who it is.", "text, at most 80 characters")
    assert BY_NAME["address"].expects == "an object: street (text), city (text, may be left out)"
    assert (BY_NAME["times"].default, BY_NAME["at"].example) == ("1", "2026-01-31T09:00:00Z")
    assert [one.value for one in BY_NAME["colour"].choices] == ["null", '"red"', '"blue"']


def test_what_was_typed_becomes_json_of_the_right_types() -> None:
    payload, wrong = payload_of(
        FIELDS,
        {
            "name": " Ada ", "day": "2026-01-31", "address": '{"street": "A 1"}', "times": "-3", "ratio": "1.50",
            "loud": "true", "tone": '"short"', "colour": '"blue"', "tags": '["a"]', "letter": "one\r\ntwo", "either": "",
        },
    )  # fmt: skip

    assert wrong == {}
    assert payload == {
        "name": "Ada", "day": "2026-01-31", "address": {"street": "A 1"}, "times": -3, "ratio": 1.5, "loud": True,
        "tone": "short", "colour": "blue", "tags": ["a"], "letter": "one\ntwo",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("name", " ", "is required"),
        ("times", "1.5", "expected a whole number, as 42"),
        ("times", "1_000", "expected a whole number, as 42"),
        ("ratio", "1,5", "expected a number, as 1.5"),
        ("ratio", "1e999", "expected a number, as 1.5"),
        ("ratio", "NaN", "expected a number, as 1.5"),
        ("tone", "kind", "expected one of kind, short"),
        ("address", "{", "it is not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        ("either", "many", 'it is not JSON: Expecting value at line 1, column 1; a text stands in quotes, as "text"'),
        ("tags", "[NaN]", "NaN is not JSON"),
        ("tags", '[{"a": 1, "a": 2}]', 'the key "a" stands there twice; expected each key once'),
        ("tags", "[" * 100_000, "it is nested too deep"),
        ("tags", "1" * 5_000, "a number has more than 400 digits"),
    ],
)
def test_what_cannot_be_told_is_refused_with_what_was_expected(name: str, text: str, told: str) -> None:
    good = {"name": "Ada", "day": "2026-01-31", "address": "{}"}

    _, wrong = payload_of(FIELDS, good | {name: text})

    assert wrong == {name: told}


@pytest.mark.parametrize(
    "payload",
    [
        {"unknown": 1},
        {"name": ""},
        {"name": " Ada"},
        {"name": 3},
        {"times": True},
        {"times": 1.5},
        {"tone": "loud"},
        {"day": "tomorrow"},
        {"times": None},
        {"letter": "one\rtwo"},
    ],
)
def test_what_the_fields_cannot_say_is_shown_as_json(payload: dict[str, Any]) -> None:
    assert texts_of(FIELDS, payload) is None


def test_a_text_of_several_lines_gets_a_field_that_holds_them() -> None:
    assert kind_shown(BY_NAME["name"], "one\ntwo") == "lines"
    assert kind_shown(BY_NAME["name"], "one") == "text"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KINDS = st.sampled_from(
    [
        {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}, {"type": "array"},
        {"enum": ["a", 1, None, True, 1.5]}, {"const": "x"}, {"type": "string", "format": "date"}, {}, {"type": "object"},
        {"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"$ref": "#/$defs/a"}, {"$ref": "#/$defs/round"},
    ]
)  # fmt: skip
NAMES = st.sampled_from(["a", "b", "queue", "p:a", "ä", "<b>"])
DEFS = {"a": {"type": "string", "enum": ["x", "y"]}, "round": {"$ref": "#/$defs/round"}}


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(NAMES, st.tuples(KINDS, st.booleans(), VALUES), max_size=5))
def test_a_payload_that_the_fields_show_comes_back_from_them(made: dict[str, tuple[dict[str, Any], bool, Any]]) -> None:
    schema = {
        "type": "object",
        "properties": {name: kind for name, (kind, _, _) in made.items()},
        "required": [name for name, (_, is_required, _) in made.items() if is_required],
        "$defs": DEFS,
    }
    payload = {name: value for name, (_, _, value) in made.items()}
    fields = fields_of(schema)

    texts = texts_of(fields, payload)

    if texts is not None:
        sent = {name: text.replace("\n", "\r\n") for name, text in texts.items()}  # as browsers do
        again, wrong = payload_of(fields, sent)
        assert wrong == {}
        assert again == payload
        assert {name: type(value) for name, value in again.items()} == {
            name: type(value) for name, value in payload.items()
        }


@settings(max_examples=80, deadline=None)
@given(VALUES)
def test_whatever_stands_for_a_schema_there_is_a_form(schema: Any) -> None:
    root = {
        "properties": {"a": schema, "b": {"anyOf": [schema]}, "c": {"type": "array", "items": schema}},
        "$defs": {"a": schema},
    }

    fields = fields_of(root)

    assert {field.name for field in fields} == {"a", "b", "c"}


def test_references_are_followed_and_circles_are_not() -> None:
    root = {"$defs": {"a/b": {"type": "integer"}, "me": {"$ref": "#/$defs/me"}}}

    assert resolved({"$ref": "#/$defs/a~1b", "description": "x"}, root) == {"type": "integer", "description": "x"}
    assert resolved({"$ref": "#/$defs/me"}, root) == {}
    deep: dict[str, Any] = {"$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}}}}
    assert sentence_of({"$ref": "#/$defs/n"}, deep).startswith("an object: n (an object: n (")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (".name", "name"),
        (".address.city", "address"),
        (".tags[3]", "tags"),
        (".names", None),
        ("", None),
        (".nam", None),
    ],
)
def test_a_fault_is_shown_at_its_field(path: str, name: str | None) -> None:
    assert field_at(FIELDS, path) == name


def test_a_payload_given_in_one_piece_is_an_object() -> None:
    assert parsed_object(" ") == {}
    with pytest.raises(ValueError, match="expected an object"):
        parsed_object("[1]")


def test_a_job_that_takes_any_names_says_so() -> None:
    assert takes_more({"type": "object", "additionalProperties": True})
    assert not takes_more(SCHEMA)


def test_options_that_are_left_empty_are_left_out() -> None:
    given = {"priority": "3", "delay": " 90 ", "queue": "", "tags": "a, b,,a", "unique": "k", "other": "x"}

    assert options_of(given) == {"priority": 3, "delay": 90, "unique": "k", "tags": ["a", "b"]}
    assert options_of({"priority": "high", "delay": "10m"}) == {"priority": "high", "delay": "10m"}


def test_a_refusal_is_shown_at_its_option() -> None:
    assert option_named("enqueue a.b: delay: 'soon' is no duration", "a.b") == "delay"
    assert option_named("enqueue a.b: 'queue' is no priority: expected", "a.b") == "priority"
    assert option_named("enqueue a.b: something else", "a.b") is None
