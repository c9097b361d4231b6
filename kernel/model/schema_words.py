"""In plain words: what a JSON Schema asks for, and what is wrong with a value by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.model.errors import nearest, shown
from kernel.model.payload_schema import READS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Schema = dict[str, Any]
_DEEPEST = 8
_MOST_CHOICES = 12
_TYPES = {
    "integer": "an integer", "number": "a number", "string": "text", "boolean": "true or false", "null": "null",
    "array": "a list", "object": "an object",
}  # fmt: skip
_FORMATS = {
    "date": 'a date, as "2026-01-31"',
    "date-time": 'an instant, as "2026-01-31T09:00:00Z"',
    "time": 'a time of day, as "09:30:00"',
    "duration": 'a duration in ISO 8601, as "PT1H30M"',
    "decimal": 'a decimal number, as 49.9 or "49.90"',
    "fraction": 'a fraction in text, as "1/3"',
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "uuid": "a UUID",
    "uri": 'a URL, as "https://example.org/"',
    "email": "an email address",
    "ipv4": "an IPv4 address",
    "ipv6": "an IPv6 address",
    "ipv4network": "an IPv4 network",
    "ipv6network": "an IPv6 network",
    "binary": "text",
    "password": "text",
    "path": "a path",
    "base64": "text in base64",
    "base64url": "text in base64",
    "zoneinfo": 'a time zone, as "Europe/Berlin"',
    "regex": "a regular expression",
}
_BOUNDS = {
    "minimum": "{} or more", "ge": "{} or more", "maximum": "{} or less", "le": "{} or less",
    "exclusiveMinimum": "more than {}", "gt": "more than {}", "exclusiveMaximum": "less than {}", "lt": "less than {}",
    "multipleOf": "a multiple of {}", "multiple_of": "a multiple of {}",
    "minLength": "{} characters or more", "min_length": "{} characters or more",
    "maxLength": "{} characters or fewer", "max_length": "{} characters or fewer",
    "minItems": "{} items or more", "maxItems": "{} items or fewer",
    "minProperties": "{} fields or more", "maxProperties": "{} fields or fewer",
    "pattern": "matching {!r}", "max_digits": "{} digits or fewer", "decimal_places": "{} decimal places or fewer",
    "allowed_schemes": "with a scheme of {}",
}  # fmt: skip
_ZONES = {"aware": "with its time zone", "naive": "without a time zone"}
_KINDS = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "datetime": "date-time",
    "timedelta": "duration",
    "url": "uri",
}
"""What pydantic-core calls what has another name in JSON Schema."""


class Problem(NamedTuple):
    """What is wrong, and where: ``path`` as ``.cars[3].price``."""

    path: str
    found: str
    expected: str


def problem(errors: Iterable[Any], schema: Schema) -> Problem | None:
    """The outermost of jsonschema's ``errors`` with a value by ``schema``; None when there is none."""
    first = min(errors, key=lambda error: len(error.absolute_path), default=None)
    return None if first is None else _described(_innermost(first), schema)


def _innermost(error: Any) -> Any:
    """Of what is none of several kinds: what is wrong with it as the one it was meant to be, if that is clear."""
    while error.validator in ("anyOf", "oneOf") and isinstance(error.instance, dict | list):
        branches: dict[int, list[Any]] = {}
        for inner in error.context:
            branches.setdefault(inner.relative_schema_path[0], []).append(inner)
        meant = [found for found in branches.values() if not any(_is_of_another_kind(inner) for inner in found)]
        if len(meant) != 1:
            return error
        error = min(meant[0], key=lambda inner: len(inner.relative_path))
    return error


def _is_of_another_kind(inner: Any) -> bool:
    """Whether the error says that it is another kind of value, or an object that bears another one's tag."""
    depth = len(inner.relative_path)
    return (depth == 0 and inner.validator in ("type", "anyOf", "oneOf")) or (
        depth <= 1 and inner.validator in ("const", "enum")
    )


def _described(error: Any, root: Schema) -> Problem:
    path = path_of(error.absolute_path)
    is_inside = bool(error.absolute_path)
    match error.validator:
        case "required":
            name = next(name for name in error.validator_value if name not in error.instance)
            what = "field" if is_inside else "parameter"
            return Problem(f"{path}.{name}", "is missing", f"a value: the {what} has no default")
        case "additionalProperties":
            known = error.schema.get("properties", {})
            name = next(name for name in error.instance if name not in known)
            return Problem(f"{path}.{name}", *unknown_field(name, list(known), is_inside=is_inside))
        case "propertyNames":
            return Problem(path, f"the key {shown(error.instance)}", f"a key that is {words(error.schema, root)}")
        case "contentSchema":
            return Problem(path, shown(error.instance), "text that holds JSON")
        case _:
            tag = tag_problem(error.schema, error.instance)
            if tag is not None:
                return tag._replace(path=path + tag.path)
            return Problem(path, shown(error.instance), words(error.schema, root))


def path_of(steps: Iterable[int | str]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def tag_problem(schema: Schema, value: Any) -> Problem | None:
    """Of objects that are told apart by one field: what is wrong with this one. The path is from here on."""
    name = schema.get("discriminator", {}).get("propertyName")
    if name is None or not isinstance(value, dict):
        return None
    known = ", ".join(schema["discriminator"].get("mapping", {}))
    return Problem(f".{name}", shown(value[name]) if name in value else "is missing", f"one of {known}")


def unknown_field(name: str, known: Sequence[str], *, is_inside: bool) -> tuple[str, str]:
    """What is found and expected when nothing is called so; ``is_inside``: in an object that is a parameter's value."""
    if not known:
        return ("is no field of what is expected there", "none") if is_inside else (
            "is no parameter of the job", "an empty payload: the job takes none")  # fmt: skip
    found = "is no field of what is expected there" if is_inside else "is no parameter of the job"
    return found, f"one of {', '.join(known)}.{nearest(name, known)}".removesuffix(".")


def words(schema: Schema, root: Schema) -> str:
    """What it asks for, its alternatives joined by "or"; ``root`` has the models that it refers to."""
    return words_of([schema], root)


def words_of(schemas: Iterable[Schema], root: Schema) -> str:
    """As ``words``, of several alternatives; empty when there are none."""
    kinds = list(dict.fromkeys(kind for schema in schemas for kind in _kinds(schema, root, 0)))
    return " or ".join([", ".join(kinds[:-1]), kinds[-1]] if len(kinds) > 1 else kinds)


def asked_at(root: Schema, steps: Iterable[int | str]) -> list[Schema]:
    """What is asked for at a place in the payload: one schema, or several below a union; none where nothing is said."""
    found = [root]
    for step in steps:
        found = [inner for outer in found for plain in _plain(outer, root, 0) for inner in _inside(plain, step)]
    return found


def plain_at(root: Schema, steps: Iterable[int | str], *, branches: bool = True) -> list[Schema]:
    """As ``asked_at``, with references followed, and each of several ``branches`` for itself."""
    return [plain for one in asked_at(root, steps) for plain in _plain(one, root, 0, branches=branches)]


def _plain(schema: Schema, root: Schema, depth: int, *, branches: bool = True) -> list[Schema]:
    if depth > _DEEPEST:
        return []
    if "$ref" in schema:
        return _plain(_referred(schema, root), root, depth + 1, branches=branches)
    inner = schema.get("anyOf", schema.get("oneOf")) if branches else None
    return [schema] if inner is None else [one for branch in inner for one in _plain(branch, root, depth + 1)]


def _inside(schema: Schema, step: int | str) -> list[Schema]:
    if isinstance(step, int):
        first = schema.get("prefixItems", ())
        found = first[step] if step < len(first) else schema.get("items")
    else:
        found = schema.get("properties", {}).get(step, schema.get("additionalProperties"))
    return [found] if isinstance(found, dict) else []


def _referred(schema: Schema, root: Schema) -> Schema:
    found: Schema = root.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], {})
    return found


def _kinds(schema: Schema, root: Schema, depth: int) -> list[str]:
    if "$ref" in schema and depth < _DEEPEST:
        target = _referred(schema, root)
        named = {"object": f"an object ({target.get('title')})"}.get(target.get("type", ""))
        return [named] if named else _kinds(target, root, depth + 1)
    for name in ("anyOf", "oneOf"):
        if name in schema and depth < _DEEPEST:
            branches = schema[name]
            if any(branch.get("format") == "decimal" for branch in branches):  # its words speak of numbers too
                branches = [branch for branch in branches if branch.get("type") != "number"]
            return [kind for branch in branches for kind in _kinds(branch, root, depth + 1)]
    if "const" in schema:
        return [shown(schema["const"])]
    if "enum" in schema:
        choices = [shown(choice) for choice in schema["enum"]]
        more = [f"one of {len(choices) - _MOST_CHOICES} more"] if len(choices) > _MOST_CHOICES else []
        return choices[:_MOST_CHOICES] + more
    bounds = ", ".join(_bounds(schema))
    return [f"{_kind(schema)} ({bounds})" if bounds else _kind(schema)]


def _kind(schema: Schema) -> str:
    leaf = schema.get(READS, {}).get("type", "")
    form = schema.get("format") or _KINDS.get(leaf, leaf)
    kind = schema.get("type")
    if form in _FORMATS and kind in ("string", None):
        return _FORMATS[form]
    if form.startswith("uuid"):
        return f"a UUID of version {form.removeprefix('uuid')}"
    plain = _TYPES.get(kind, "another value") if isinstance(kind, str) else "text" if leaf == "str" else "another value"
    return f"{plain} in the form of {form}" if plain == "text" and schema.get("format") else plain


def _bounds(schema: Schema) -> list[str]:
    leaf: Schema = schema.get(READS, {})
    asked = leaf or schema
    if "minItems" in asked and asked["minItems"] == asked.get("maxItems"):
        return [f"{asked['minItems']} of them"]
    found = [text.format(_as_text(asked[name])) for name, text in _BOUNDS.items() if name in asked]
    return found + [_ZONES[zone] for zone in (leaf.get("tz_constraint"),) if zone in _ZONES]


def _as_text(value: Any) -> Any:
    if isinstance(value, list):
        return " or ".join(map(str, value))
    return int(value) if isinstance(value, float) and value.is_integer() else value
