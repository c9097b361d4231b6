"""What pydantic says against a payload, told to people: one fault with its path, what was found and what is expected."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from kernel.model.errors import PayloadError, shown
from kernel.model.schema_words import asked_at, path_of, plain_at, tag_problem, unknown_field, words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_SHOULD = re.compile(
    r"^(Input should be |(Input|String|List|Tuple|Set|Dictionary|Data|Value) should have |Value error, )"
)


def payload_error(job: str, error: ValidationError, text: str, schema: dict[str, Any]) -> PayloadError:  # noqa: PLR0911 - one answer for each kind
    """What ``error`` says of the JSON ``text``; ``schema`` is the payload's, for the words of what is expected."""
    errors = error.errors(include_url=False)
    if errors[0]["type"] == "json_invalid" and not errors[0]["loc"]:  # a row that was written by hand
        return PayloadError(job, "", shown(text), "JSON")
    payload = json.loads(text)
    first, is_of_union = _meant(payload, errors)
    kind, location = first["type"], first["loc"]
    steps, _ = _steps_in(payload, location)
    path, is_inside = path_of(steps), len(location) > 1
    if kind == "extra_forbidden":
        known = [name for one in plain_at(schema, steps[:-1]) for name in one.get("properties", ())]
        return PayloadError(job, path, *unknown_field(str(location[-1]), known, is_inside=is_inside))
    if kind == "missing":
        what = "field" if is_inside else "parameter"
        return PayloadError(job, path + path_of(location[-1:]), "is missing", f"a value: the {what} has no default")
    if location[-1:] == ("[key]",):
        names = [one["propertyNames"] for one in plain_at(schema, steps[:-1]) if "propertyNames" in one]
        expected = f"a key that is {words_of(names, schema) or _said(first)}"
        return PayloadError(job, path, f"the key {shown(first['input'])}", expected)
    if kind in ("value_error", "assertion_error"):  # what a validator of the plugin says
        return PayloadError(job, path, f"{shown(first['input'])} is refused: {_said(first)}", "another value")
    if kind.startswith("union_tag"):
        for one in plain_at(schema, steps, branches=False):
            if found := tag_problem(one, first["input"]):
                return PayloadError(job, path + found.path, found.found, found.expected)
    return PayloadError(job, path, shown(first["input"]), _asked(first, steps, schema, is_of_union=is_of_union))


def _asked(error: ErrorDetails, steps: Sequence[int | str], schema: dict[str, Any], *, is_of_union: bool) -> str:
    """What was expected: of the wrong kind of value what is asked for there, else what pydantic says of its bounds."""
    kind = error["type"]
    if kind == "json_invalid":
        return "text that holds JSON"
    if is_of_union or kind.endswith(("_type", "_parsing")) or kind in ("enum", "literal_error"):
        asked = asked_at(schema, steps)
        if not any("contentSchema" in one for one in asked):  # there the fault is inside of a text
            return words_of(asked, schema) or _said(error)
    return _said(error)


def _meant(payload: Any, errors: Sequence[ErrorDetails]) -> tuple[ErrorDetails, bool]:
    """The error to tell, and whether it is that the value is none of several kinds."""
    places = [_steps_in(payload, one["loc"]) for one in errors]
    steps, union = places[0]
    if errors[0]["type"] == "missing":  # the wrong name that stands there in its place says more
        beside = [
            one for one in errors if one["type"] == "extra_forbidden" and one["loc"][:-1] == errors[0]["loc"][:-1]
        ]
        return (beside or errors)[0], False
    if union is None or steps != union:
        return errors[0], False
    # Of the kinds that it may be, one whose fault lies deeper is the one that it was meant to be.
    deeper = (
        one
        for one, (here, its) in zip(errors, places, strict=True)
        if its == union and (here != union or one["type"] == "missing")
    )
    found = next(deeper, None)
    return (errors[0], True) if found is None else (found, False)


def _said(error: ErrorDetails) -> str:
    """What pydantic, or a validator of the plugin, says of it."""
    text = _SHOULD.sub("", error["msg"])
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _steps_in(payload: Any, location: Iterable[Any]) -> tuple[list[int | str], list[int | str] | None]:
    """Where ``location`` leads in the payload, and where a part of it leads nowhere: that names the branch of a union."""
    here: Any = payload
    steps: list[int | str] = []
    union = None
    for part in location:
        if (isinstance(here, dict) and part in here) or (
            isinstance(here, list) and isinstance(part, int) and part < len(here)
        ):
            here = here[part]
            steps.append(part)
        elif union is None and part != "[key]":
            union = list(steps)
    return steps, union
