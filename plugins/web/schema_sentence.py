"""What a part of a JSON Schema expects, in a few words for the person who fills a field."""

from __future__ import annotations

from typing import Any

from kernel import words

Schema = dict[str, Any]

_FORMATS = {
    "date-time": "an instant with its zone", "date": "a date", "time": "a time of day", "duration": "a duration",
    "uuid": "a UUID", "email": "an address of e-mail", "uri": "an address (URL)", "binary": "text", "password": "a secret",
}  # fmt: skip
_BOUNDS = {
    "minimum": "from {}", "maximum": "up to {}", "exclusiveMinimum": "more than {}", "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}", "minLength": "at least {} characters", "maxLength": "at most {} characters",
    "minItems": "at least {} of them", "maxItems": "at most {} of them", "pattern": "of the pattern {}",
}  # fmt: skip
_DEEPEST = 3
_MOST = 8
_LONGEST = 400


def resolved(schema: Any, root: Schema) -> Schema:
    """What its ``$ref`` leads to, with what stands beside it; a circle or a broken one is taken as anything."""
    found, seen = schema if isinstance(schema, dict) else {}, 0
    while "$ref" in found or (len(found.get("allOf", ())) == 1 and "type" not in found):
        seen += 1
        if seen > 20:
            return {}
        target = found["allOf"][0] if "$ref" not in found else _target(str(found["$ref"]), root)
        target = target if isinstance(target, dict) else {}
        found = target | {key: value for key, value in found.items() if key not in {"$ref", "allOf"}}
    return found


def _target(reference: str, root: Schema) -> Any:
    here: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        here = here.get(name, {}) if isinstance(here, dict) and name else here
    return here


def sentence_of(schema: Schema, root: Schema) -> str:
    text = _said(schema, root, 0)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _said(given: Any, root: Schema, depth: int) -> str:
    schema = resolved(given, root)
    if depth > _DEEPEST:
        return "…"
    branches = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(branches, list):
        kinds = [_said(one, root, depth + 1) for one in branches[:_MOST]]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in schema:
        return repr(schema["const"])
    if isinstance(schema.get("enum"), list):
        return "one of " + ", ".join(map(str, schema["enum"][: 2 * _MOST]))
    bounds = [text.format(schema[key]) for key, text in _BOUNDS.items() if key in schema]
    return ", ".join([_kind(schema, root, depth), *bounds])


def _kind(schema: Schema, root: Schema, depth: int) -> str:  # noqa: PLR0911 - one answer for each type
    match schema.get("type"):
        case "string":
            form = schema.get("format", "")
            return _FORMATS.get(form, "text") if isinstance(form, str) else "text"
        case "integer":
            return "a whole number"
        case "number":
            return "a number"
        case "boolean":
            return "true or false"
        case "null":
            return "null"
        case "array":
            items = schema.get("prefixItems")
            if isinstance(items, list):
                return "a list of " + ", then ".join(_said(one, root, depth + 1) for one in items[:_MOST])
            return "a list" if not schema.get("items") else f"a list, each {_said(schema['items'], root, depth + 1)}"
        case "object":
            return _object(schema, root, depth)
        case _:
            return "any JSON"


def _object(schema: Schema, root: Schema, depth: int) -> str:
    fields = schema.get("properties")
    if isinstance(fields, dict) and fields:
        needed = schema.get("required", ())
        said = [
            f"{name} ({_said(one, root, depth + 1)}{'' if name in needed else ', may be left out'})"
            for name, one in list(fields.items())[:_MOST]
        ]
        return "an object: " + ", ".join([*said, *(["…"] if len(fields) > _MOST else [])])
    values = schema.get("additionalProperties")
    return (
        f"an object, each value {_said(values, root, depth + 1)}"
        if isinstance(values, dict) and values
        else "an object"
    )


def often(limit: str) -> str:
    """``100/60s`` as ``100 begin in any 1 m``."""
    count, _, period = limit.partition("/")
    return f"{int(count):,} begin in any {words(float(period.removesuffix('s')))}"
