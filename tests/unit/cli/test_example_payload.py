"""The payload to start from that `jobs show` prints: it fits the job that it is made for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from kernel.cli.example_payload import example_payload
from kernel.model.parameters import Parameters


class Size(Enum):
    SMALL = "small"


class Car(BaseModel):
    title: str
    size: Size
    trailer: Car | None = None


@dataclass
class Trip:
    car: Car
    stops: list[date]


@pytest.mark.parametrize(
    "annotation",
    [
        str, int, float, bool, None, date, datetime, time, timedelta, UUID, Decimal, Size, Car, Trip, list[Car],
        Optional[int], int | str, Literal["b", "a"], tuple[int, str], dict[str, int], Any,  # noqa: UP045 - the older form
        Annotated[int, Field(ge=5)], Annotated[float, Field(gt=0.5, lt=3)], Annotated[str, Field(min_length=7)],
        Annotated[list[int], Field(min_length=2)], Annotated[int, Field(le=-4)],
    ],
    ids=str,
)  # fmt: skip
def test_an_example_fits_the_job(annotation: Any) -> None:
    def job(value: Any, other: int = 5) -> None: ...

    job.__annotations__["value"] = annotation
    parameters = Parameters.of(job)

    example = example_payload(parameters.schema)

    assert example.keys() == {"value"}
    parameters.check("demo.job", json.dumps(example))


def test_a_job_without_parameters_needs_no_payload() -> None:
    def job() -> None: ...

    assert example_payload(Parameters.of(job).schema) == {}


class Endless(BaseModel):
    inner: Endless


def test_a_model_that_holds_itself_for_ever_comes_to_an_end() -> None:
    def job(value: Endless) -> None: ...

    assert example_payload(Parameters.of(job).schema).keys() == {"value"}


def test_a_schema_that_asks_for_very_much_gets_a_little() -> None:
    schema = {"type": "object", "required": ["a", "b"], "properties": {
        "a": {"type": "string", "minLength": 10**12},
        "b": {"type": "array", "minItems": 10**12, "items": {"type": "integer"}},
    }}  # fmt: skip

    assert len(json.dumps(example_payload(schema))) < 200
