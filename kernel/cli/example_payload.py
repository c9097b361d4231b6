"""A payload to start from, made of a job's JSON Schema: its required parameters, each with a value of its kind."""

from typing import Any

_BY_FORMAT = {
    "date-time": "2026-01-31T09:00:00Z",
    "date": "2026-01-31",
    "time": "09:00:00",
    "duration": "PT1H30M",
    "uuid": "0191e3b4-0000-7000-8000-000000000000",
}
_DEEPEST = 8
_LONGEST = 20
Schema = dict[str, Any]


def example_payload(schema: Schema) -> dict[str, Any]:
    """What it shows is of the right kind, and fits unless a pattern or a bound of several parts asks for more."""
    value = _value(schema, schema.get("$defs", {}), 0)
    return value if isinstance(value, dict) else {}


def _value(schema: Schema, models: dict[str, Schema], depth: int) -> Any:
    if depth > _DEEPEST:  # a model that holds itself
        return None
    for name in ("default", "const"):
        if name in schema:
            return schema[name]
    if "enum" in schema:
        return schema["enum"][0]
    inner = _inner(schema, models)
    return _of_type(schema, models, depth) if inner is None else _value(inner, models, depth + 1)


def _inner(schema: Schema, models: dict[str, Schema]) -> Schema | None:
    """What a reference leads to, or the first branch of several that is more than null."""
    if "$ref" in schema:
        return models.get(schema["$ref"].rpartition("/")[2], {})
    branches = next((schema[name] for name in ("anyOf", "oneOf", "allOf") if name in schema), ())
    return next((branch for branch in branches if branch.get("type") != "null"), None)


def _of_type(schema: Schema, models: dict[str, Schema], depth: int) -> Any:  # noqa: PLR0911 - one answer for each type
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {name: _value(fields.get(name, {}), models, depth + 1) for name in schema.get("required", ())}
        case "array":
            return _items(schema, models, depth)
        case "string":
            return _BY_FORMAT.get(schema.get("format", ""), "x" * min(schema.get("minLength", 0), _LONGEST) or "text")
        case "integer":
            return int(_number(schema))
        case "number":
            return float(_number(schema))
        case "boolean":
            return True
        case _:
            return None


def _items(schema: Schema, models: dict[str, Schema], depth: int) -> list[Any]:
    first = [_value(item, models, depth + 1) for item in schema.get("prefixItems", ())]
    if "items" in schema and isinstance(schema["items"], dict):
        missing = min(max(schema.get("minItems", 0), 1), _LONGEST) - len(first)
        return [*first, *(_value(schema["items"], models, depth + 1) for _ in range(missing))]
    return first


def _number(schema: Schema) -> float:
    if "minimum" in schema:
        return schema["minimum"]  # type: ignore[no-any-return] # a number, by what a JSON Schema is
    if "exclusiveMinimum" in schema:
        return schema["exclusiveMinimum"] + 1  # type: ignore[no-any-return] # as above
    return min(1, schema.get("maximum", 1), schema.get("exclusiveMaximum", 2) - 1)  # type: ignore[no-any-return] # as above
