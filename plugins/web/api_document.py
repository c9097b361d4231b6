"""The API's own description, OpenAPI 3.1, made of the operations and the models that serve it."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from .api_answers import ProblemDetails

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from .api_operation import Operation

Json = dict[str, Any]
_REF = "#/components/schemas/{model}"
_ABOUT = """What `mainspring` does on the command line, over HTTP. Changes need a login that may change things, and come as
`Authorization: Bearer TOKEN`, with `Content-Type: application/json`, or from a page of this site. Errors are problem details
(RFC 9457); instants are ISO 8601 in UTC."""
_TAGS = {
    "runs": "What is enqueued, and what becomes of it.",
    "schedules": "What is enqueued by itself.",
    "jobs": "What can be run.",
    "queues": "In which runs wait.",
    "breakers": "What holds runs back while a service fails.",
    "plugins": "What brings the jobs.",
    "kernel": "Who does the work.",
    "probes": "For machines that watch.",
}
_OF_ALL = (400, 408, 421, 422, 500, 503)
"""Problems that any request may meet: it is no HTTP, it is too slow, its Host or a parameter is unknown, and so on."""
_OF_LOGIN = (401, 429)
_OF_CHANGES = (403, 413, 415)


def document(operations: Sequence[Operation]) -> Json:
    models: list[tuple[type[BaseModel], Any]] = [(ProblemDetails, "serialization")]
    for one in operations:
        models += [(one.answer, "serialization")] if one.answer is not None else []
        models += [(one.body, "validation")] if one.body is not None else []
    refs, definitions = models_json_schema(list(dict.fromkeys(models)), ref_template=_REF)
    paths: dict[str, Json] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mainspring", "version": "1", "summary": "Jobs, runs and schedules.", "description": _ABOUT},
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "security": [{"bearer": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "schemas": _untitled(definitions.get("$defs", {})),
            "responses": {
                f"Problem{status}": {"description": _phrase(status), "content": _problem(refs)} for status in _problems(operations)
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token of plugins.toml."},
                "cookie": {
                    "type": "apiKey", "in": "cookie", "name": "mainspring",
                    "description": "From the login page; behind https its name is __Host-mainspring.",
                },
            },
        },
    }  # fmt: skip


def _operation(one: Operation, refs: Any) -> Json:
    found: Json = {
        "operationId": one.name,
        "summary": one.summary,
        "tags": [one.tag],
        "parameters": _parameters(one),
        "responses": _responses(one, refs),
    }
    if one.is_open:
        found["security"] = []
    if one.body is not None:
        schema = refs[one.body, "validation"]
        found["requestBody"] = {"required": one.needs_body, "content": {"application/json": {"schema": schema}}}
    return found


def _parameters(one: Operation) -> list[Json]:
    found: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 200}}
        for name in one.names
    ]
    if one.query is not None:
        schema = one.query.model_json_schema(ref_template=_REF)
        required = schema.get("required", [])
        found += [_parameter(name, field, is_required=name in required) for name, field in schema["properties"].items()]
    found += [
        {"name": header.name, "in": "header", "required": False, "description": header.about, "schema": header.schema}
        for header in one.headers
    ]
    return found


def _parameter(name: str, field: Json, *, is_required: bool) -> Json:
    """A parameter that is not there is left out, and never null."""
    schema = dict(field)
    if kinds := [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]:
        schema = kinds[0] | schema
    if schema.get("default", "") is None:
        del schema["default"]
    schema.pop("title", None)
    about = schema.pop("description", "")
    found = {"name": name, "in": "query", "required": is_required, "schema": schema}
    return found | ({"description": about} if about else {})


def _responses(one: Operation, refs: Any) -> Json:
    found: Json = {}
    for status in (one.status, *one.also):
        found[str(status)] = {"description": _phrase(status)}
        if one.answer is not None:
            found[str(status)]["content"] = {one.media: {"schema": refs[one.answer, "serialization"]}}
        elif status != HTTPStatus.NO_CONTENT:
            found[str(status)]["content"] = {one.media: {"schema": {"type": "string"}}}
    for status in sorted(_problems_of(one)):
        if str(status) in found:  # beside an answer that has this status too
            found[str(status)]["content"] |= _problem(refs)
        else:
            found[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    return found


def _problems_of(one: Operation) -> set[int]:
    found = {*_OF_ALL, *one.problems}
    found |= set() if one.is_open else {*_OF_LOGIN}
    found |= {*_OF_CHANGES, one.refused} if one.method != "GET" else set()
    return found | ({404} if one.names else set())


def _problems(operations: Sequence[Operation]) -> list[int]:
    return sorted({status for one in operations for status in _problems_of(one)})


def _problem(refs: Any) -> Json:
    return {"application/problem+json": {"schema": refs[ProblemDetails, "serialization"]}}


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


def _untitled(value: Any) -> Any:
    """Without the titles that pydantic makes of names."""
    match value:
        case {"title": str(), **rest}:
            return _untitled(rest)
        case dict():
            return {key: _untitled(one) for key, one in value.items()}
        case list():
            return [_untitled(one) for one in value]
        case _:
            return value


def as_text(operations: Sequence[Operation]) -> str:
    return json.dumps(document(operations))
