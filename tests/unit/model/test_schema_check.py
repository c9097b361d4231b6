"""A client's verdict on a payload, by the announced schema alone, beside the kernel's, which has the annotations."""

from __future__ import annotations

import json
import re
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NotRequired, Optional
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    UUID4,
    AfterValidator,
    AliasChoices,
    AliasPath,
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    HttpUrl,
    IPvAnyAddress,
    Json,
    NaiveDatetime,
    SecretStr,
    StringConstraints,
    Tag,
    model_validator,
)
from typing_extensions import TypedDict

from kernel.model.announcement import announced_job, describe_job
from kernel.model.errors import PayloadError
from kernel.model.payload import encode
from kernel.model.queue import Queue
from kernel.model.request import payload_text
from tests.case_names import name_of
from tests.flow_kit import job_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.model.parameters import Parameters


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Half(float, Enum):
    HALF = 0.5
    ONE = 1.0


class Mixed(Enum):
    A = 1
    B = "b"
    C = None


class Alpha(Enum):
    A = "a"

    @classmethod
    def _missing_(cls, value: object) -> Alpha | None:
        return cls.A if value == "alpha" else None


class Right(IntFlag):
    READ = 1
    WRITE = 2


class Car(BaseModel):
    title: str
    price: float
    wheels: int = 4


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int


class Lax(BaseModel):
    model_config = ConfigDict(strict=False)
    number: int = Field(strict=False)


class Trimmed(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True, str_max_length=3)
    name: str


class TwoNames(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int = Field(validation_alias=AliasChoices("no", "nr"))


class ByName(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    number: int = Field(alias="no")


class FromInside(BaseModel):
    number: int = Field(validation_alias=AliasPath("outer", "no"))


class Prepared(BaseModel):
    number: int

    @model_validator(mode="before")
    @classmethod
    def prepare(cls, value: Any) -> Any:
        return {"number": value} if isinstance(value, int) else value


class Tree(BaseModel):
    value: int
    kids: list[Tree] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    bark: str


class Endless(BaseModel):
    model_config = ConfigDict(allow_inf_nan=True)
    f: float
    d: Decimal


@dataclass
class Place:
    row: int
    label: str = ""


@dataclass
class Trip:
    start: Place
    at: datetime
    tags: list[str] = field(default_factory=list)


class Point(NamedTuple):
    x: int
    y: int = 0


class Booking(TypedDict):
    day: date
    car: NotRequired[Car]


def _tag_of(value: Any) -> str:
    return "car" if isinstance(value, dict) and "title" in value else "any"


def _number_of(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdigit() else value


ALIKE: list[Any] = [
    int, float, str, bool, None, Any, Optional[int], int | str, int | float, float | str, bool | int, list[int], list,  # noqa: UP045 - the older form
    dict, tuple, dict[str, Any], dict[str, float], dict[int, str], dict[UUID, int], dict[date, int], dict[datetime, int],
    dict[timedelta, int], dict[float, int], dict[bool, int], dict[Decimal, int], dict[Colour, int],
    dict[Literal["a", "b"], int], dict[Annotated[int, Field(gt=1)], int], dict[Annotated[str, Field(pattern="^a")], int],
    dict[Annotated[str, Field(max_length=2)], int], dict[UUID, list[Decimal]], tuple[int, str], tuple[int, ...], tuple[()],
    set[int], frozenset[str], set[Decimal], set[datetime], Annotated[set[int], Field(min_length=2)], deque[int],
    OrderedDict[str, int], Sequence[int], Mapping[int, int],
    Literal["a", "b"], Literal[1], Literal[1, "a"], Literal[True], Literal["x"] | None,
    datetime, date, time, timedelta, UUID, Decimal, Fraction, Colour, Level, Half, Mixed, Car, Strict, Trimmed, Tree,
    Cat | Dog, Annotated[Cat | Dog, Field(discriminator="kind")], Endless, Place, Trip, Point, Booking, list[Car], Car | Place,
    Car | None, Place | int, list[int | dict[str, int]], datetime | int, Decimal | None, Decimal | str, list[Decimal],
    timedelta | None, AwareDatetime, NaiveDatetime, UUID4, AnyUrl, HttpUrl, Json, Json[list[int]], Base64Bytes, SecretStr, bytes,
    IPv4Address, IPv6Address, IPv4Network, Path, re.Pattern, ZoneInfo,
    Annotated[int, Field(gt=0)], Annotated[int, Field(multiple_of=3)], Annotated[float, Field(multiple_of=0.1)],
    Annotated[float, Field(ge=0, le=1)], Annotated[str, Field(min_length=2, max_length=3)],
    Annotated[str, Field(pattern=r"^\d+$")], Annotated[str, Field(pattern=r"^\p{Lu}")], Annotated[str, Field(pattern="b")],
    Annotated[str, StringConstraints(strip_whitespace=True, min_length=2)],
    Annotated[str, StringConstraints(to_upper=True, pattern="^[A-Z]+$")],
    Annotated[list[int], Field(min_length=2, max_length=3)], Annotated[dict[str, int], Field(min_length=1, max_length=1)],
    Annotated[Decimal, Field(gt=0)], Annotated[Decimal, Field(max_digits=3, decimal_places=1)],
    Annotated[Decimal, Field(multiple_of=0.25)], Annotated[Decimal, Field(allow_inf_nan=True)],
    Annotated[date, Field(gt=date(2026, 1, 1))], Annotated[datetime, Field(ge=datetime(2026, 1, 1, tzinfo=UTC))],
    Annotated[timedelta, Field(le=timedelta(hours=1))], Annotated[time, Field(lt=time(12))],
    Annotated[bytes, Field(min_length=2, max_length=2)], Annotated[int, AfterValidator(lambda value: value)],
]  # fmt: skip
"""Annotations of which the schema says all."""

CODE_KNOWS_MORE: list[Any] = [
    set, Annotated[set[int], Field(min_length=2, max_length=2)], Annotated[set[Decimal], Field(max_length=1)], Iterable[int],
    Alpha, Right, dict[Level, int], dict[Right, int], dict[Literal["a", 1], int], dict[Optional[int], int], Lax, TwoNames,  # noqa: UP045 - the older form
    ByName, FromInside, Prepared, IPvAnyAddress, complex, Annotated[int, Field(strict=False)],
    Annotated[int, BeforeValidator(_number_of)], list[Annotated[int, BeforeValidator(_number_of)]],
    Annotated[str, Field(pattern=re.compile("^A", re.IGNORECASE))],
    Annotated[Annotated[Car, Tag("car")] | Annotated[dict[str, Any], Tag("any")], Discriminator(_tag_of)],
]  # fmt: skip
"""Annotations of which it cannot: there a client may let pass what the first attempt refuses."""

VALUES: list[Any] = [
    0, 1, 2, 3, -1, 5, 90, 10**20, 10**400, 0.0, 1.0, 0.3, 0.5, 1.5, 1e300, 1.25, 0.25, 99.95, 100.5, True, False, None,
    "", "a", "b", "ab", "abc", "  a  ", "AB", "red", "alpha", "x", "42", "1", "1.5", "-1", " 1", "1_0", "+1", "01", "1.0",
    "1e5", "NaN", "Infinity", "1/2", "1.50", "99.95", "999.9", "0.25", "٣", "1,2", "12\n", "ä", "ää", "\x00", "Ä", "null",
    "2026-01-31", "2025-01-31", "2026-01-31T09:00:00Z", "2026-01-31T09:00:00", "2026-01-31T09:00:00+02:00",
    "2026-01-31 09:00", "20260131", "2026-13-01", "1700000000", "09:30", "09:30:00", "13:00", "25:00", "09:30:00Z",
    "PT90S", "10m", "P1D", "P1DT2H", "-PT5S", "1 day", "01:30:00", "3 days, 1:00:00", "PT2H",
    "12345678-1234-5678-1234-567812345678", "12345678123456781234567812345678", "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "urn:uuid:12345678-1234-5678-1234-567812345678", "http://a.b/c", "https://x", "foo", "ftp://x y", "a@b.c", "[1,2]",
    '["a"]', "{", "YWI=", "YWI", "1.2.3.4", "::1", "1.2.3.0/24", "1.2.3.300", "/srv", "[a-", "Europe/Berlin", "Nowhere/X",
    "1+2j", "true",
    [], [1], [1, 2], [1, 1], [1, 2, 3], [1, 2, 3, 4], [1, "a"], ["a"], ["a", "a"], [1, "2"], [1.0], [True], [None],
    [[1]], [1, {"a": 1}], [1, {"a": "b"}], ["1.5", "1.50"], [1, 1.0], ["2026-01-31T09:00:00Z"], ["5"],
    {}, {"a": 1}, {"a": 1.5}, {"a": "1"}, {"a": None}, {"1": 1}, {"1": "a"}, {"x": "a"}, {"b": 2, "a": 1}, {"ab": 1},
    {"abc": 1}, {"2": 1}, {"1.5": 1}, {"true": 1}, {"null": 1}, {"": 1}, {" 1": 1}, {"1_0": 1}, {"0x1": 1}, {"1.0": 1},
    {"red": 1}, {"2026-01-31": 1}, {"2026-01-31T09:00:00Z": 1}, {"PT1S": 1}, {"10m": 1}, {"nan": 1},
    {"12345678-1234-5678-1234-567812345678": 1}, {"12345678-1234-5678-1234-567812345678": ["1.5"]},
    {"title": "Ford", "price": 1}, {"title": "Ford", "price": 1.5, "wheels": 3}, {"title": "Ford"},
    {"title": "Ford", "price": "1"}, {"title": "Ford", "price": 1, "x": 1}, {"number": 1}, {"number": "1"},
    {"number": 1, "x": 2}, {"no": 1}, {"nr": 1}, {"outer": {"no": 1}}, {"name": "ab"}, {"name": "abcd"},
    {"name": " abc "}, {"value": 1, "kids": [{"value": 2}]}, {"value": 1, "kids": [{"value": "2"}]},
    {"kind": "cat", "lives": 9}, {"kind": "dog", "bark": "x"}, {"kind": "cow"}, {"kind": "cat"}, {"kind": "cat", "bark": "x"},
    {"lives": 3}, {"f": 1.5, "d": "NaN"}, {"f": 1, "d": "1"}, {"f": "NaN", "d": 1}, {"row": 1}, {"row": "1"},
    {"row": 1, "label": "x"}, {"row": 1, "x": 1}, {"start": {"row": 1}, "at": "2026-01-31T09:00:00Z"},
    {"start": {"row": 1}, "at": "no"}, {"day": "2026-03-01"}, {"day": "x"}, {"day": "2026-03-01", "car": {"title": "F"}},
    {"day": "2026-03-01", "x": 1},
]  # fmt: skip


def both(function: Callable[..., Any]) -> tuple[Parameters, Parameters]:
    """The parameters as the kernel has them, and as a client has them."""
    job = job_of(function)
    return job.parameters, announced_job(json.loads(json.dumps(describe_job(job, Queue("default"))))).parameters


def taking(annotation: Any) -> Callable[..., Any]:
    def job(value: Any) -> None: ...

    job.__annotations__["value"] = annotation
    return job


def refusal(parameters: Parameters, payload: Any) -> str | None:
    try:
        parameters.check("demo.job", encode(payload))
    except PayloadError as error:
        return str(error)
    return None


def verdicts(annotation: Any, values: list[Any] = VALUES) -> list[tuple[Any, str | None, str | None]]:
    kernel, client = both(taking(annotation))
    return [(value, refusal(kernel, {"value": value}), refusal(client, {"value": value})) for value in values]


@pytest.mark.parametrize("annotation", ALIKE, ids=name_of)
def test_a_client_takes_what_the_kernel_takes_and_nothing_else(annotation: Any) -> None:
    apart = [
        (value, ours, theirs) for value, ours, theirs in verdicts(annotation) if (ours is None) != (theirs is None)
    ]

    assert apart == []


@pytest.mark.parametrize("annotation", CODE_KNOWS_MORE, ids=name_of)
def test_where_only_the_code_knows_a_client_refuses_nothing_that_the_kernel_takes(annotation: Any) -> None:
    refused = [(value, theirs) for value, ours, theirs in verdicts(annotation) if ours is None and theirs is not None]

    assert refused == []


@given(
    annotation=st.sampled_from([Decimal, timedelta, datetime, date, time, UUID, dict[int, int], dict[float, int]]),
    text=st.from_regex(r"[-+PTDHMSZ0-9.:eE_ ]{0,12}|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]?[0-9:.Z+-]{0,8}", fullmatch=True),
)
def test_a_client_reads_a_text_as_the_kernel_does(annotation: Any, text: str) -> None:
    value = {text: 1} if hasattr(annotation, "__args__") else text

    [(_, ours, theirs)] = verdicts(annotation, [value])

    assert (ours is None) == (theirs is None)


@pytest.mark.parametrize("others", [int, date, Decimal | None, Car, dict[int, str], Any], ids=str)
def test_a_client_checks_keyword_arguments_by_their_annotation(others: Any) -> None:
    def job(car_id: str, **others: Any) -> None: ...

    job.__annotations__["others"] = others
    kernel, client = both(job)

    for value in VALUES:
        found = [refusal(one, {"car_id": "1", "other": value}) is None for one in (kernel, client)]
        assert found[0] == found[1], value


def test_what_an_older_kernel_announced_is_checked_too() -> None:
    _, client = both(taking(timedelta))
    info = {"additionalProperties": False, "properties": {"wait": {"format": "duration", "type": "string"}}}
    object.__setattr__(client, "schema", info)

    assert refusal(client, {"wait": "PT5S"}) is None
    assert refusal(client, {"wait": "10m"}) == (
        "demo.job: payload.wait: '10m'; expected a duration in ISO 8601, as \"PT1H30M\""
    )


# Values as Python code has them


def test_a_client_writes_values_as_the_kernel_does() -> None:
    def typed(
        *, car: Car, place: Place, point: Point, colour: Colour, at: datetime, day: date, key: UUID, price: Decimal,
        wait: timedelta, cars: list[Car], by_day: dict[date, int], numbers: set[int],
    ) -> None: ...  # fmt: skip

    payload = {
        "car": Car(title="Ford", price=1.5), "place": Place(1), "point": Point(1, 2), "colour": Colour.RED,
        "at": datetime(2026, 1, 31, 9, tzinfo=UTC), "day": date(2026, 1, 31), "key": UUID(int=7), "price": Decimal("1.50"),
        "wait": timedelta(minutes=90), "cars": [Car(title="Ford", price=1)], "by_day": {date(2026, 1, 31): 1}, "numbers": {1, 2},
    }  # fmt: skip
    kernel, client = both(typed)

    texts = [payload_text("demo.job", payload, parameters) for parameters in (kernel, client)]

    assert texts[0] == texts[1]
    client.check("demo.job", texts[1])


def test_a_client_refuses_a_value_that_is_not_of_the_announced_type() -> None:
    _, client = both(taking(date))
    text = payload_text("demo.job", {"value": UUID(int=7)}, client)

    with pytest.raises(PayloadError, match=r"payload\.value: '00000000-.*'; expected a date"):
        client.check("demo.job", text)


@pytest.mark.parametrize("value", [object(), float("nan"), b"\xff", "a\ud800"], ids=name_of)
def test_a_client_refuses_what_nobody_can_write_as_json_with_its_path(value: Any) -> None:
    _, client = both(taking(Any))

    with pytest.raises(PayloadError) as caught:
        payload_text("demo.job", {"value": [value]}, client)

    assert caught.value.path == ".value[0]"


# Messages


@pytest.mark.parametrize(
    ("annotation", "value", "told"),
    [
        (int, "42", ".value: '42'; expected an integer"),
        (int | str, [1], ".value: [1]; expected an integer or text"),
        (Optional[int], "x", ".value: 'x'; expected an integer or null"),  # noqa: UP045 - the older form
        (dict[str, int | None], {"a": "b"}, ".value.a: 'b'; expected an integer or null"),
        (datetime | int, "x", ".value: 'x'; expected an instant, as \"2026-01-31T09:00:00Z\" or an integer"),
        (Decimal | None, "abc", ".value: 'abc'; expected a decimal number, as 49.9 or \"49.90\" or null"),
        (Car | Place, 5, ".value: 5; expected an object (Car) or an object (Place)"),
        (Car | None, {"title": "F"}, ".value.price: is missing; expected a value: the field has no default"),
        (list[int | dict[str, int]], [1, {"a": "b"}], ".value[1].a: 'b'; expected an integer"),
        (Cat | Dog, {"kind": "cat", "lives": "9"}, ".value.lives: '9'; expected an integer"),
        (
            Annotated[Cat | Dog, Field(discriminator="kind")],
            {"kind": "cow"},
            ".value.kind: 'cow'; expected one of cat, dog",
        ),
        (Annotated[Cat | Dog, Field(discriminator="kind")], {}, ".value.kind: is missing; expected one of cat, dog"),
        (timedelta, "10m", ".value: '10m'; expected a duration in ISO 8601, as \"PT1H30M\""),
        (UUID4, "x", ".value: 'x'; expected a UUID of version 4"),
        (Colour, "green", ".value: 'green'; expected 'red' or 'blue'"),
        (dict[int, int], {"1": 1, "x": 1}, ".value.x: the key 'x'; expected a key that is an integer"),
        (Json[list[int]], "x", ".value: 'x'; expected text that holds JSON"),
        (Tree, {"value": 1, "kids": [{"value": "x"}]}, ".value.kids[0].value: 'x'; expected an integer"),
        (
            Strict,
            {"number": 1, "nubmer": 2},
            '.value.nubmer: is no field of what is expected there; expected one of number. Did you mean "number"?',
        ),
    ],
    ids=str,
)
def test_kernel_and_client_say_the_same_in_plain_words(annotation: Any, value: Any, told: str) -> None:
    found = [refusal(one, {"value": value}) for one in both(taking(annotation))]

    assert found == [f"demo.job: payload{told}"] * 2


def test_a_bound_is_told_with_what_it_is_a_bound_of() -> None:
    _, client = both(taking(Annotated[int, Field(gt=0, le=10)] | None))

    assert refusal(client, {"value": 11}) == (
        "demo.job: payload.value: 11; expected an integer (10 or less, more than 0) or null"
    )


@pytest.mark.parametrize("payload", [{"car_id": "1", "forse": True}, {"forse": True}], ids=str)
def test_a_field_that_is_no_parameter_is_told_with_the_nearest_one(payload: Any) -> None:
    def job(car_id: str, force: bool = False) -> None: ...

    found = [refusal(one, payload) for one in both(job)]

    told = 'payload.forse: is no parameter of the job; expected one of car_id, force. Did you mean "force"?'
    assert found == [f"demo.job: {told}"] * 2


def test_a_field_given_to_a_job_without_parameters_is_told() -> None:
    def job() -> None: ...

    assert refusal(both(job)[1], {"a": 1}) == (
        "demo.job: payload.a: is no parameter of the job; expected an empty payload: the job takes none"
    )


def test_a_validator_of_the_plugin_is_quoted() -> None:
    def even(value: int) -> int:
        if value % 2:
            raise ValueError("Odd numbers are taken")
        return value

    kernel, _ = both(taking(Annotated[int, AfterValidator(even)]))

    assert refusal(kernel, {"value": 3}) == (
        "demo.job: payload.value: 3 is refused: odd numbers are taken; expected another value"
    )
