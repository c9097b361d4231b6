"""Of values that are no JSON, a client that has the schema alone says what the kernel that has the code says."""

from __future__ import annotations

from datetime import date
from enum import IntEnum
from typing import Annotated, Any, NamedTuple

import pytest
from pydantic import BaseModel, Field, PlainValidator
from typing_extensions import TypedDict

from kernel.model.announcement import announced_job, describe_job
from kernel.model.errors import PayloadError
from kernel.model.queue import Queue
from kernel.model.request import payload_text
from tests.flow_kit import job_of


class Level(IntEnum):
    LOW = 1


class Place(NamedTuple):
    x: int
    y: int


class Person(BaseModel):
    name: str
    tags: tuple[str, ...] = ()
    friends: list[Person] = Field(default_factory=list)


class Note(TypedDict):
    marks: list[int]


CASES: list[tuple[Any, Any]] = [
    (Any, b"raw"),
    (Any, {"a": ("q",)}),
    (Any, {1: "one"}),
    (Any, {1, 2}),
    (bytes, b"raw"),
    (Annotated[bytes, Field(min_length=2)], b"raw"),
    (str, b"raw"),
    (Annotated[str, Field(min_length=2)], b"raw"),
    (bytes | None, b"raw"),
    (int | bytes, b"raw"),
    (list[str], ("a", "b")),
    (list[str], {"a"}),
    (list[bytes], [b"raw"]),
    (tuple[str, ...], ("a", "b")),
    (tuple[int, str], (1, "b")),
    (tuple[Any, ...], (1, (2, 3))),
    (tuple[list[int], ...], ([1], (2,))),
    (Place, Place(1, 2)),
    (Place, (1, 2)),
    (set[int], {1, 2}),
    (frozenset[int], frozenset({1})),
    (list[set[int]], [{1}]),
    (list[list[int]], [{1}]),
    (dict[str, int], {1: 1}),
    (dict[str, tuple[int, ...]], {"a": (1,)}),
    (dict[str, list[int]], {"a": (1,)}),
    (dict[int, str], {1: "one"}),
    (dict[date, int], {date(2026, 1, 1): 1}),
    (dict[float, str], {1.5: "one"}),
    (dict[str, dict[int, str]], {"a": {1: "one"}}),
    (dict[str, Any], {"a": {True: 1}}),
    (Note, {"marks": (1, 2)}),
    (Person, Person(name="a", tags=("b",))),
    (Level, Level.LOW),
    (Annotated[Any, PlainValidator(tuple)], (1, 2)),
]


@pytest.mark.parametrize(("hint", "value"), CASES)
def test_the_verdict_of_a_client_is_that_of_the_kernel(hint: Any, value: Any) -> None:
    async def work(given: Any) -> None: ...

    work.__annotations__["given"] = hint
    here = job_of(work)
    there = announced_job(describe_job(here, Queue("default")))

    by_kernel, by_client = refusal(here.parameters, value), refusal(there.parameters, value)
    assert (by_kernel is None) == (by_client is None)
    assert (by_client or "").startswith(by_kernel or "")


def refusal(parameters: Any, value: Any) -> str | None:
    """The path to what is refused."""
    try:
        text = payload_text("demo.work", {"given": value}, parameters)
        parameters.check("demo.work", text)
    except PayloadError as error:
        return str(error.path)
    return None


@pytest.mark.parametrize(
    ("person", "path", "found"),
    [
        ({"name": "a", "tags": ("q",)}, ".given.tags", "('q',) (tuple)"),
        ({"name": "a", "friends": [{"name": "b", "tags": {"q"}}]}, ".given.friends[0].tags", "{'q'} (set)"),
    ],
)
def test_in_a_plain_dict_for_a_model_what_is_no_json_is_named(person: Any, path: str, found: str) -> None:
    async def work(given: Person) -> None: ...

    with pytest.raises(PayloadError) as caught:
        payload_text("demo.work", {"given": person}, job_of(work).parameters)

    assert f"payload{path}: {found}; expected JSON, as what is around it; or all of it as Person" in str(caught.value)
