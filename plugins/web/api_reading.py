"""Reads query parameters and bodies. Whatever is wrong is told at once, each mistake with its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from kernel import UnknownNameError

from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp import web
    from multidict import MultiMapping

    from .api_questions import Question

_MOST_MISTAKES = 50


def read_query(given: MultiMapping[str], model: type[Question] | None) -> Any:
    """None for an operation that takes no parameters."""
    known = () if model is None else tuple(model.model_fields)
    names = list(dict.fromkeys(given))
    errors = [_mistake("query", name, _unknown("parameter", name, known)) for name in names if name not in known]
    errors += [_mistake("query", name, "given twice; expected once") for name in names if len(given.getall(name)) > 1]
    if errors:
        raise _wrong(errors)
    return None if model is None else _fit("query", model, {name: given[name] for name in names}, strict=False)


async def read_body(request: web.Request, model: type[Question] | None, *, is_needed: bool) -> Any:
    """None for an operation that takes no body; what is left out of one that need not be there is as its model says."""
    if not request.body_exists:
        if is_needed:
            raise Problem(422, "Wrong request", "the body is missing; expected a JSON object")
        return None if model is None else model()
    if model is None:
        if request.method in {"GET", "HEAD"} or not await request.read():
            return None
        raise Problem(422, "Wrong request", "expected no body")
    if request.content_type != "application/json" and (is_needed or await request.read()):
        text = f"{_shown(request.content_type)}; expected Content-Type: application/json"
        raise Problem(415, "Wrong content type", text)
    body = await request.read()
    if not body and not is_needed:
        return model()
    value = read_json(body)
    if not isinstance(value, dict):
        raise Problem(422, "Wrong request", f"the body: {_shown(value)}; expected a JSON object")
    return _fit("body", model, value, strict=True)


def read_json(body: bytes) -> Any:
    """Problem for what is no JSON that could be written down again."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_each_once)
        # A half of a pair, as "\\ud800", is no text that could be written anywhere.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise _no_json(f"expected UTF-8; byte {error.start} is none") from None
    except UnicodeEncodeError:
        raise _no_json("a text has half of a surrogate pair, as \\ud800; expected whole characters") from None
    except json.JSONDecodeError as error:
        raise _no_json(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError as error:
        raise _no_json(str(error)) from None
    except RecursionError:
        raise _no_json("it is nested too deep") from None
    return value


def _no_json(why: str) -> Problem:
    return Problem(400, "No JSON", f"the body: {why}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name}: JSON has no such number")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {_shown(twice)} stands in one object twice")
    return found


def _fit(place: str, model: type[BaseModel], value: Mapping[str, Any], *, strict: bool) -> Any:
    try:
        return model.model_validate(value, strict=strict)
    except ValidationError as error:
        told: dict[str, str] = {}
        for one in error.errors(include_url=False)[:_MOST_MISTAKES]:
            at, fields = _place(one["loc"], model)
            text = _unknown("field", at.rpartition(".")[2], fields) if one["type"] == "extra_forbidden" else _text(one)
            # Of a union each kind says that it is not meant: what they expect is told together.
            told[at] = text if at not in told else f"{told[at]}, or {text.rpartition('expected ')[2]}"
        raise _wrong([_mistake(place, at, text) for at, text in told.items()]) from None


def _place(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[str, Iterable[str]]:
    """Where it stands, as a path of fields, and which fields there are. Behind a field may stand what kind was tried."""
    parts: list[str] = []
    here: type[BaseModel] | None = model
    for part in loc:
        if here is None and not isinstance(part, int):
            break
        parts.append(str(part))
        field = here.model_fields.get(str(part)) if here is not None else None
        here = None if field is None else next(filter(_is_model, getattr(field.annotation, "__args__", ())), None)
        model = here or model
    return ".".join(parts), model.model_fields


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _text(error: Any) -> str:
    said = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        return "missing; expected a value"
    said = said.replace("Input should be", "expected", 1)
    said = said if "expected " in said else f"expected otherwise: {said}"
    return said if not error["loc"] else f"{_shown(error['input'])}: {said}"


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    expected = f" Expected {', '.join(names)}." if names else " None is expected."
    return f"{UnknownNameError(kind, name, names)}{expected}"


def _mistake(place: str, name: str, text: str) -> dict[str, str]:
    return {"at": f"{place}.{name[:100]}" if name else place, "text": text}


def _wrong(errors: list[dict[str, str]]) -> Problem:
    first = f"{errors[0]['at']}: {errors[0]['text']}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem(422, "Wrong request", first + more, errors=errors)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
