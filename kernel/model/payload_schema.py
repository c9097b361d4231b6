"""The JSON Schema of a payload, with what the standard has no word for, so that a schema alone can be as strict as code."""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_jsonable_python

if TYPE_CHECKING:
    from collections.abc import Callable

READS = "x-reads"
"""What a text or number is read as: a schema of pydantic-core, as JSON. It stands for the bounds beside it."""
CODE = "x-code"
"""Set where only the job's code knows what it takes: the rest of the schema there is for people."""
TUPLE = "x-tuple"
"""Set where a list is read as a tuple, and the standard has no word for it."""

_BOUNDS = ("le", "ge", "lt", "gt")
_LEAVES = {
    "str": ("pattern", "min_length", "max_length", "strip_whitespace", "to_lower", "to_upper"),
    "bytes": ("min_length", "max_length"),
    "bool": (),
    "int": ("multiple_of", *_BOUNDS),
    "float": ("multiple_of", *_BOUNDS),
    "decimal": ("multiple_of", *_BOUNDS, "max_digits", "decimal_places", "allow_inf_nan"),
    "date": _BOUNDS,
    "time": ("tz_constraint", *_BOUNDS),
    "datetime": ("tz_constraint", *_BOUNDS),
    "timedelta": _BOUNDS,
    "uuid": ("version",),
    "url": ("max_length", "allowed_schemes", "host_required", "default_host"),
    "multi-host-url": ("max_length", "allowed_schemes", "host_required", "default_host"),
}
"""What pydantic-core reads one text or number as -> what may be asked of it."""
_NUMBERS = {"int": "integer", "float": "number", "bool": "boolean", "decimal": "decimal"}
_TEXT_CONFIG = {
    "strip_whitespace": "str_strip_whitespace", "to_lower": "str_to_lower", "to_upper": "str_to_upper",
    "min_length": "str_min_length", "max_length": "str_max_length",
}  # fmt: skip
_DICTS = ("dict", "frozendict", "ordered-dict", "counter")
_WITH_FIELDS = ("model-fields", "typed-dict", "dataclass-args")


class PayloadSchema(GenerateJsonSchema):
    """As pydantic's own, for a reader that is strict; ``schema_check`` is one. Never stricter than the code."""

    def build_schema_type_to_method(self) -> dict[Any, Callable[[Any], dict[str, Any]]]:
        methods = super().build_schema_type_to_method()
        return {kind: partial(self._with_notes, method) for kind, method in methods.items()}

    def _with_notes(self, method: Callable[[Any], dict[str, Any]], schema: Any) -> dict[str, Any]:
        found = method(schema)
        kind = schema["type"]
        if self._is_beyond(schema):
            return found | {CODE: True}
        if kind == "decimal":
            return self._decimal(schema, found)
        if kind in _LEAVES:
            return found | self._reads(schema)
        if kind in _DICTS:
            return self._with_names(schema, found)
        if kind == "tuple" and "prefixItems" not in found:
            return found | {TUPLE: True}
        return self._with_aliases(schema, found) if kind in _WITH_FIELDS else found

    def _is_beyond(self, schema: Any) -> bool:  # noqa: PLR0911 - one answer for each kind
        """Whether the code may take what its JSON Schema does not say."""
        match schema["type"]:
            case "function-before" | "function-wrap":
                function = schema["function"]["function"]
                return not schema.get("json_schema_input_schema") and not _is_of_pydantic(function)
            case "default":
                return schema.get("on_error") in ("default", "omit")
            case "enum":
                own = getattr(schema["cls"]._missing_, "__func__", None)
                return own is not Enum._missing_.__func__  # type: ignore[attr-defined] # it is a classmethod
            case "model":
                return bool(schema.get("custom_init"))
            case "generator" | "function-plain":
                return True
            case kind if kind in _LEAVES:
                has_flags = not isinstance(schema.get("pattern", ""), str)  # a compiled one may have some
                return schema.get("strict") is False or has_flags or bool(self._set("coerce_numbers_to_str"))
            case _:
                return False

    def _set(self, option: str) -> Any:
        """What the config of the model around says."""
        return self._config.config_dict.get(option)

    def _leaf(self, schema: Any) -> dict[str, Any]:
        kind = schema["type"]
        given = {name: schema[name] for name in _LEAVES[kind] if schema.get(name) is not None}
        if kind == "str":
            given |= {name: self._set(option) for name, option in _TEXT_CONFIG.items()
                      if name not in given and self._set(option)}  # fmt: skip
        if kind == "decimal" and "allow_inf_nan" not in given and self._set("allow_inf_nan"):
            given["allow_inf_nan"] = True
        return {"type": kind, **to_jsonable_python(given)}

    def _reads(self, schema: Any) -> dict[str, Any]:
        """Nothing where type, format and the standard's own bounds say it all, and mean the same."""
        leaf = self._leaf(schema)
        asked = leaf.keys() - {"type"}
        match leaf["type"]:
            case "int":
                asked.clear()
            case "float":
                asked &= {"multiple_of"}  # 0.3 is a multiple of 0.1 to pydantic
            case "str":
                asked -= {"min_length", "max_length"}
            case "bytes" if self._set("val_json_bytes") not in (None, "utf8"):
                return {CODE: True}
            case _:
                pass
        return {READS: leaf} if asked else {}

    def _decimal(self, schema: Any, found: dict[str, Any]) -> dict[str, Any]:
        leaf = self._leaf(schema)
        reads = {READS: leaf} if len(leaf) > 1 else {}
        number, _ = found["anyOf"]
        return {"anyOf": [number | reads, {"type": "string", "format": "decimal"} | reads]}

    def _with_names(self, schema: Any, found: dict[str, Any]) -> dict[str, Any]:
        """Keys of JSON are text: what they are to be read as."""
        keys = schema.get("keys_schema")
        for values in found.pop("patternProperties", {}).values():
            found["additionalProperties"] = values  # what a pattern asks of keys is said below
        names = None if keys is None else self._names(keys)
        given = found.pop("propertyNames", {})
        if names is None and ("format" in given or self._are_text(given)):
            names = given
        return found | ({"propertyNames": names} if names else {})

    def _are_text(self, names: dict[str, Any]) -> bool:
        """Whether they are an enum or literals of text: others are not written as keys as they are as values."""
        if "$ref" in names:
            names = self.get_schema_from_definitions(names["$ref"]) or {}
        return all(isinstance(one, str) for one in names.get("enum", [names.get("const")]))

    def _names(self, keys: Any) -> dict[str, Any] | None:
        """The schema of keys of a type that one text is read as; None for all others."""
        kind = keys["type"]
        if kind not in _LEAVES or kind == "bytes" or self._is_beyond(keys):
            return None
        leaf = self._leaf(keys)
        if kind in _NUMBERS:
            return {"format": _NUMBERS[kind]} | ({READS: leaf} if len(leaf) > 1 else {})
        inner = self.generate_inner(keys)
        return {name: inner[name] for name in ("format", "minLength", "maxLength", READS) if name in inner}

    def _with_aliases(self, schema: Any, found: dict[str, Any]) -> dict[str, Any]:
        """A field may have several names, or be taken from inside another one; pydantic's own schema knows one of them."""
        by_name = self._set("populate_by_name") or self._set("validate_by_name")
        fields = schema["fields"]
        named = fields.items() if isinstance(fields, dict) else ((field["name"], field) for field in fields)
        properties, needed = dict(found["properties"]), list(found.get("required", ()))
        for name, field in named:
            paths = _paths_of(field.get("validation_alias", name), name if by_name else None)
            if len(paths) == 1 and len(paths[0]) == 1:
                continue
            known = next((path[0] for path in paths if len(path) == 1 and path[0] in properties), name)
            for path in paths:
                properties.setdefault(path[0], properties.get(known, {}) if len(path) == 1 else {})
            needed = [one for one in needed if one != known]
        return found | {"properties": properties} | ({"required": needed} if "required" in found else {})


def _is_of_pydantic(function: Any) -> bool:
    """Those with which it makes its own types take no more than their schema says."""
    module = getattr(function.func if isinstance(function, partial) else function, "__module__", None) or ""
    return module.partition(".")[0] == "pydantic"


def _paths_of(alias: Any, name: str | None) -> list[list[Any]]:
    """The ways to a field's value, each a list of keys."""
    if isinstance(alias, str):
        paths = [[alias]]
    else:
        paths = [list(path) for path in alias] if alias and isinstance(alias[0], list) else [list(alias)]
    return [*paths, [name]] if name is not None and [name] not in paths else paths
