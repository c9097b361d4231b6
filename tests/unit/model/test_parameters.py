"""How a function takes its payload: by the annotations of its parameters."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Optional
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

import kernel.flow.context  # noqa: TC001 - the annotations of these jobs are read
from kernel.model.errors import ConfigError, PayloadError
from kernel.model.parameters import Parameters
from kernel.model.request import payload_text
from tests.case_names import name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel import Context


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Car(BaseModel):
    title: str
    price: float
    wheels: int = 4


class Lax(BaseModel):
    model_config = ConfigDict(strict=False)
    number: int


@dataclass
class Place:
    row: int
    label: str = ""


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: int
    y: int


class Booking(TypedDict):
    day: date
    car: Car


@dataclass
class Trip:
    start: Place
    at: datetime


class Secretive(BaseModel):
    name: str
    pin: str = Field("", exclude=True)


def arguments(function: Callable[..., Any], payload: Any) -> dict[str, Any]:
    """The payload as the function gets it, by way of the check and the store."""
    parameters = Parameters.of(function)
    text = json.dumps(payload)
    parameters.check("demo.job", text)
    return parameters.arguments("demo.job", text)


def refusal(function: Callable[..., Any], payload: Any) -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        Parameters.of(function).check("demo.job", json.dumps(payload))
    return caught.value


def with_annotation(annotation: Any) -> Callable[..., Any]:
    def job(value: Any) -> None: ...

    job.__annotations__["value"] = annotation
    return job


# The context


def test_a_first_parameter_named_ctx_takes_the_context() -> None:
    def job(ctx, car_id): ...  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 - a job without annotations

    found = Parameters.of(job)

    assert (found.takes_context, found.names) == (True, ("car_id",))


def test_a_first_parameter_annotated_context_takes_the_context_whatever_its_name() -> None:
    def job(inside: kernel.flow.context.Context, car_id: str) -> None: ...

    found = Parameters.of(job)

    assert (found.takes_context, found.names) == (True, ("car_id",))


def test_an_annotation_context_that_only_type_checkers_import_takes_the_context() -> None:
    def job(inside: Context, car_id: str) -> None: ...

    found = Parameters.of(job)

    assert (found.takes_context, found.names) == (True, ("car_id",))


def test_a_parameter_named_context_belongs_to_the_payload() -> None:
    def job(context: dict[str, int]) -> None: ...

    assert not Parameters.of(job).takes_context
    assert arguments(job, {"context": {"a": 1}}) == {"context": {"a": 1}}


def test_a_context_may_be_given_by_position_only() -> None:
    def job(ctx: Context, /, car_id: str) -> None: ...

    assert Parameters.of(job).takes_context


def test_a_second_parameter_annotated_context_is_refused() -> None:
    def job(car_id: str, inside: kernel.flow.context.Context) -> None: ...

    with pytest.raises(ConfigError, match="job: a parameter's annotation cannot be read from JSON"):
        Parameters.of(job)


def test_a_method_takes_its_context_after_self() -> None:
    class Plugin:
        def job(self, ctx: Context, car_id: str) -> None: ...

    found = Parameters.of(Plugin().job)

    assert (found.takes_context, found.names) == (True, ("car_id",))


def test_a_wrapped_function_takes_what_the_one_inside_takes() -> None:
    def job(ctx: Context, car_id: int) -> None: ...

    @wraps(job)
    def wrapper(*args: Any, **kwargs: Any) -> None: ...

    found = Parameters.of(wrapper)

    assert (found.takes_context, found.names) == (True, ("car_id",))
    assert refusal(wrapper, {"car_id": "1"}).path == ".car_id"


# The shape of the payload


def test_a_job_without_parameters_takes_an_empty_payload_only() -> None:
    def job(ctx: Context) -> None: ...

    assert arguments(job, {}) == {}
    error = refusal(job, {"b": 1, "a": 2})
    assert str(error) == "demo.job: payload: has the fields a, b; expected an empty one: the job takes no payload"


def test_a_parameter_without_default_must_be_given() -> None:
    def job(car_id: str) -> None: ...

    error = refusal(job, {})

    assert str(error) == "demo.job: payload.car_id: is missing; expected a value: the parameter has no default"


def test_a_default_is_left_to_the_function() -> None:
    def job(car_id: str, *, force: bool = False) -> None: ...

    assert arguments(job, {"car_id": "1"}) == {"car_id": "1"}
    assert arguments(job, {"car_id": "1", "force": True}) == {"car_id": "1", "force": True}


def test_a_field_that_is_no_parameter_is_refused_with_the_parameters() -> None:
    def job(car_id: str, force: bool = False) -> None: ...

    error = refusal(job, {"car_id": "1", "forse": True})

    assert (error.path, error.expected) == (".forse", 'one of car_id, force. Did you mean "force"?')


def test_keyword_arguments_take_any_other_field() -> None:
    def job(car_id: str, **others: Any) -> None: ...

    assert arguments(job, {"car_id": "1", "a": [1], "b": None}) == {"car_id": "1", "a": [1], "b": None}


def test_the_annotation_of_keyword_arguments_holds_for_each_of_them() -> None:
    def job(car_id: str, **others: int) -> None: ...

    assert arguments(job, {"car_id": "1", "a": 1, "b": 2}) == {"car_id": "1", "a": 1, "b": 2}
    assert refusal(job, {"car_id": "1", "a": 1, "b": "2"}).path == ".b"


@pytest.mark.parametrize("source", ["def job(*cars): ...", "def job(ctx, *cars): ...", "def job(car, /): ..."])
def test_parameters_that_have_no_name_to_be_given_by_are_refused(source: str) -> None:
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102 - our own texts

    with pytest.raises(ConfigError, match=r"job: the parameter 'cars?' can only be given by position"):
        Parameters.of(names["job"])


def test_parameters_without_annotations_take_any_json() -> None:
    def job(ctx, value, other=3): ...  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 - a job without annotations

    assert arguments(job, {"value": [1, {"a": None}]}) == {"value": [1, {"a": None}]}


# Values


@pytest.mark.parametrize(
    ("annotation", "value", "got"),
    [
        (int, 5, 5),
        (int, 10**3000, 10**3000),
        (float, 5, 5.0),
        (str, "5", "5"),
        (bool, True, True),
        (None, None, None),
        (Any, {"a": [1]}, {"a": [1]}),
        (Optional[int], None, None),  # noqa: UP045 - the older form of it
        (int | None, 5, 5),
        (list[int], [1, 2], [1, 2]),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 2], {1, 2}),
        (Literal["a", "b"], "a", "a"),
        (datetime, "2026-01-31T09:00:00Z", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        (date, "2026-01-31", date(2026, 1, 31)),
        (timedelta, "PT90S", timedelta(seconds=90)),
        (UUID, "12345678-1234-5678-1234-567812345678", UUID("12345678-1234-5678-1234-567812345678")),
        (Decimal, "1.50", Decimal("1.50")),
        (Colour, "red", Colour.RED),
        (Car, {"title": "Ford", "price": 1.5}, Car(title="Ford", price=1.5)),
        (list[Car], [{"title": "Ford", "price": 1.5, "wheels": 3}], [Car(title="Ford", price=1.5, wheels=3)]),
        (Place, {"row": 1}, Place(1)),
        (Annotated[int, Field(gt=0)], 1, 1),
        (time, "09:30", time(9, 30)),
        (Level, 2, Level.HIGH),
        (Point, [1, 2], Point(1, 2)),
        (
            Booking,
            {"day": "2026-03-01", "car": {"title": "Ford", "price": 1}},
            {"day": date(2026, 3, 1), "car": Car(title="Ford", price=1)},
        ),
        (
            Trip,
            {"start": {"row": 1}, "at": "2026-01-31T09:00:00+02:00"},
            Trip(Place(1), datetime.fromisoformat("2026-01-31T09:00:00+02:00")),
        ),
        (Optional[Car], None, None),  # noqa: UP045 - the older form of it
        (Car | Place, {"row": 1}, Place(1)),
        (datetime | int, "2026-01-31T09:00:00Z", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        (
            dict[UUID, list[Decimal]],
            {"12345678-1234-5678-1234-567812345678": ["1.5"]},
            {UUID("12345678-1234-5678-1234-567812345678"): [Decimal("1.5")]},
        ),
    ],
    ids=name_of,
)
def test_a_value_comes_as_its_annotation_says(annotation: Any, value: Any, got: Any) -> None:
    found = arguments(with_annotation(annotation), {"value": value})["value"]

    assert found == got
    assert type(found) is type(got)


@pytest.mark.parametrize(
    ("annotation", "value", "path"),
    [
        (int, "42", ".value"),
        (int, 1.5, ".value"),
        (int, True, ".value"),
        (str, 5, ".value"),
        (bool, 1, ".value"),
        (float, "1", ".value"),
        (float, True, ".value"),
        (int, None, ".value"),
        (list[int], [1, "2"], ".value[1]"),
        (dict[str, list[int]], {"a": [1], "b": [2, None]}, ".value.b[1]"),
        (dict[int, int], {"1": 1, "b": 2}, ".value.b"),
        (int | str, [1], ".value"),
        (list[int | dict[str, int]], [1, {"a": "b"}], ".value[1].a"),
        (Literal["a", "b"], "c", ".value"),
        (datetime, "yesterday", ".value"),
        (datetime, 5, ".value"),
        (UUID, "1", ".value"),
        (Colour, "green", ".value"),
        (Car, {"title": "Ford"}, ".value.price"),
        (Car, {"title": "Ford", "price": "1.5"}, ".value.price"),
        (Place, {"row": "1"}, ".value.row"),
        (Lax, {"number": "1"}, ".value.number"),
        (list[Car], [{"title": "Ford", "price": 1, "wheels": [4]}], ".value[0].wheels"),
        (Annotated[int, Field(gt=0)], 0, ".value"),
        (time, 9, ".value"),
        (timedelta, 90, ".value"),
        (Level, "2", ".value"),
        (Point, [1, "2"], ".value[1]"),
        (Booking, {"day": "2026-03-01"}, ".value.car"),
        (Booking, {"day": "March", "car": {"title": "Ford", "price": 1}}, ".value.day"),
        (Trip, {"start": {"row": "1"}, "at": "2026-01-31T09:00:00Z"}, ".value.start.row"),
        (Place | None, {"row": "1"}, ".value.row"),
        (dict[UUID, int], {"car": 1}, ".value.car"),
    ],
    ids=name_of,
)
def test_a_value_that_does_not_fit_is_refused_with_its_path_in_the_payload(
    annotation: Any, value: Any, path: str
) -> None:
    error = refusal(with_annotation(annotation), {"value": value})

    assert error.path == path
    assert str(error).startswith(f"demo.job: payload{path}: ")


def test_a_message_says_what_was_found_and_what_was_expected() -> None:
    error = refusal(with_annotation(int), {"value": "42"})

    assert str(error) == "demo.job: payload.value: '42'; expected an integer"


@pytest.mark.parametrize("text", ["", "{", '{"value": NaN}', "null", "[]", "5", '"x"', '{"value": 1}x'])
@pytest.mark.parametrize("empty", [True, False])
def test_a_row_that_holds_no_object_is_an_error_of_the_payload_and_no_other(text: str, empty: bool) -> None:
    def nothing() -> None: ...

    parameters = Parameters.of(nothing if empty else with_annotation(int))

    with pytest.raises(PayloadError):
        parameters.arguments("demo.job", text)


def test_a_field_that_a_model_does_not_have_is_refused_where_it_stands() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")
        number: int

    error = refusal(with_annotation(Strict), {"value": {"number": 1, "nubmer": 2}})

    assert str(error).startswith("demo.job: payload.value.nubmer: is no field of what is expected there")


# Values as Python code has them


def sent(annotation: Any, value: Any) -> Any:
    """The value as it arrives, when Python code enqueues it as it is."""
    job = with_annotation(annotation)
    text = payload_text("demo.job", {"value": value}, Parameters.of(job))
    return Parameters.of(job).arguments("demo.job", text)["value"]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (datetime, datetime(2026, 1, 31, 9, tzinfo=UTC)),
        (datetime, datetime(2026, 1, 31, 9, tzinfo=ZoneInfo("Europe/Berlin"))),
        (datetime, datetime(2026, 1, 31, 9, 0, 0, 123)),  # noqa: DTZ001 - an instant without zone is a value too
        (date, date(2026, 3, 1)),
        (time, time(9, 30)),
        (timedelta, timedelta(days=-1, microseconds=5)),
        (UUID, UUID("12345678-1234-5678-1234-567812345678")),
        (Decimal, Decimal("1.50")),
        (Colour, Colour.RED),
        (Level, Level.HIGH),
        (Car, Car(title="Ford", price=1.5)),
        (list[Car], [Car(title="Ford", price=1.5, wheels=3)]),
        (Place, Place(1)),
        (Trip, Trip(Place(1), datetime(2026, 1, 31, 9, tzinfo=UTC))),
        (Point, Point(1, 2)),
        (Booking, {"day": date(2026, 3, 1), "car": Car(title="Ford", price=1)}),
        (dict[UUID, Place], {UUID("12345678-1234-5678-1234-567812345678"): Place(1)}),
        (set[int], {1, 2}),
        (tuple[int, str], (1, "a")),
        (Car | Place, Place(1)),
        (Optional[date], date(2026, 3, 1)),  # noqa: UP045 - the older form of it
        (bytes, b"abc"),
    ],
    ids=name_of,
)
def test_a_value_of_the_annotated_type_arrives_as_it_was_given(annotation: Any, value: Any) -> None:
    found = sent(annotation, value)

    assert found == value
    assert type(found) is type(value)


class Shade(StrEnum):
    RED = "red"


class Right(Flag):
    READ = 1


class Subcar(Car):
    doors: int = 5


@pytest.mark.parametrize(
    ("annotation", "value", "path"),
    [
        (Any, datetime(2026, 1, 31, 9, tzinfo=UTC), ".value"),
        (str, date(2026, 3, 1), ".value"),
        (dict[str, Any], {"a": [1, {"b": UUID(int=1)}]}, ".value.a[1].b"),
        (list[int], (1, 2), ".value"),
        (dict[str, Any], Car(title="Ford", price=1), ".value"),
        (Car, Subcar(title="Ford", price=1), ".value"),
        (Car, Place(1), ".value.title"),
        (Secretive, Secretive(name="Ada", pin="x"), ".value"),
        (int, Decimal(1), ".value"),
        (Any, Right.READ, ".value"),
        (dict[str, int], {1: 1}, ".value"),
        (datetime, date(2026, 3, 1), ".value"),
        (float, Decimal("0.1"), ".value"),
        (Any, object(), ".value"),
        (list[Any], [1, {"a": object()}], ".value[1].a"),
        (Car, Car(title="Ford", price=float("nan")), ".value.price"),
        (bytes, b"\xff", ".value"),
        (Any, {1, 2}, ".value"),
        (Place, Place(1, "a\ud800"), ".value.label"),
    ],
    ids=name_of,
)
def test_a_value_that_would_not_come_back_equal_is_refused_with_its_path(
    annotation: Any, value: Any, path: str
) -> None:
    with pytest.raises(PayloadError) as caught:
        sent(annotation, value)

    assert caught.value.path == path


def test_what_a_value_would_have_become_is_told() -> None:
    with pytest.raises(PayloadError) as caught:
        sent(str, date(2026, 3, 1))

    assert str(caught.value) == (
        "demo.job: payload.value: datetime.date(2026, 3, 1) (date) would arrive as '2026-03-01' (str); "
        "expected JSON, or a value of the parameter's own type, that comes back equal"
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
        | st.datetimes() | st.uuids() | st.decimals(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        ),
        max_leaves=6,
    )
)  # fmt: skip
def test_whatever_is_given_to_a_parameter_that_takes_all_arrives_equal_or_is_refused(value: Any) -> None:
    try:
        found = sent(Any, value)
    except PayloadError:
        return

    assert found == value


def test_what_goes_into_keyword_arguments_may_be_of_their_type_too() -> None:
    def job(**others: date) -> None: ...

    text = payload_text("demo.job", {"a": date(2026, 3, 1)}, Parameters.of(job))

    assert Parameters.of(job).arguments("demo.job", text) == {"a": date(2026, 3, 1)}


# Annotations


def test_what_a_function_returns_may_be_for_type_checkers_only() -> None:
    def job(car_id: str) -> Nowhere: ...  # type: ignore[name-defined] # noqa: F821 - what this is about

    assert arguments(job, {"car_id": "1"}) == {"car_id": "1"}


def test_an_annotation_that_names_nothing_is_told_with_the_name() -> None:
    def job(car: Nowhere) -> None: ...  # type: ignore[name-defined] # noqa: F821 - what this is about

    with pytest.raises(ConfigError, match="job: an annotation names 'Nowhere', which its module does not have"):
        Parameters.of(job)


class Unfinished(BaseModel):
    child: Missing  # type: ignore[name-defined] # noqa: F821 - what this is about


@pytest.mark.parametrize(
    "annotation", [object(), 3, type("Own", (), {}), Unfinished, inspect.Parameter, "1 +", "[][0]"]
)
def test_an_annotation_that_json_cannot_be_read_by_is_refused(annotation: Any) -> None:
    with pytest.raises(ConfigError, match=r"job: an? .*annotation"):
        Parameters.of(with_annotation(annotation))


def test_an_annotation_that_has_no_json_schema_is_refused() -> None:
    from collections.abc import Callable  # noqa: PLC0415 - elsewhere it is for type checkers

    with pytest.raises(ConfigError, match="cannot be read from JSON: Cannot generate a JsonSchema"):
        Parameters.of(with_annotation(Callable[[], None]))


def test_the_schema_says_which_fields_there_are_and_which_are_needed() -> None:
    def job(ctx: Context, car_id: str, *, force: bool = False) -> None: ...

    schema = Parameters.of(job).schema

    assert schema["properties"].keys() == {"car_id", "force"}
    assert schema["required"] == ["car_id"]
    assert schema["additionalProperties"] is False


def test_the_schema_has_the_annotation_of_keyword_arguments_too() -> None:
    def job(car_id: str, **others: int) -> None: ...

    schema = Parameters.of(job).schema

    assert schema["additionalProperties"] == {"type": "integer"}
    assert schema["properties"].keys() == {"car_id"}


def test_two_models_of_one_name_keep_apart_in_the_schema() -> None:
    ours = Car

    def job(car: ours, **others: Any) -> None: ...  # type: ignore[valid-type] # it is a type when the job is made

    job.__annotations__["car"] = ours
    job.__annotations__["others"] = type("Car", (BaseModel,), {"__annotations__": {"seats": int}})

    schema = Parameters.of(job).schema

    used = [schema["properties"]["car"]["$ref"], schema["additionalProperties"]["$ref"]]
    fields = [set(schema["$defs"][ref.rpartition("/")[2]]["properties"]) for ref in used]
    assert fields == [{"title", "price", "wheels"}, {"seats"}]


def test_defaults_are_kept_as_json_where_json_can_carry_them() -> None:
    def job(
        car_id: str,
        tenant: str = "main",
        at: datetime = datetime(2026, 1, 1, tzinfo=UTC),
        odd: Any = float("nan"),
        own: Any = object,
    ) -> None: ...

    assert Parameters.of(job).defaults == {"tenant": "main", "at": "2026-01-01T00:00:00Z"}
