"""The parameters of a job's function: its payload is checked against them, and given back to them."""

from __future__ import annotations

import inspect
import json
import typing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Required

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import to_json, to_jsonable_python
from typing_extensions import TypedDict

from kernel.model.errors import ConfigError, PayloadError, nearest, shown
from kernel.model.payload import MAX_BYTES, Difference, NotJsonError, encode, encode_values, first_difference
from kernel.model.payload_refusal import payload_error
from kernel.model.payload_schema import PayloadSchema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

COMES_BACK = "JSON, or a value of the parameter's own type, that comes back equal"
_NONE = object()


@dataclass(frozen=True, slots=True)
class Parameters:
    """How a function takes its payload. ``validate`` takes JSON text and gives keyword arguments, or raises."""

    takes_context: bool
    names: tuple[str, ...]
    validate: Callable[[str], dict[str, Any]] | None
    schema: dict[str, Any]
    is_open: bool = False
    """Whether the function takes any other names too (``**others``)."""
    defaults: dict[str, Any] = field(default_factory=dict)
    """What a parameter is when the payload leaves it out, as JSON; those that JSON can carry."""

    @property
    def knows_types(self) -> bool:
        """Whether values of the annotated types may be given as they are: where the code is."""
        return self.validate is not None

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Parameters:
        """The parameters of ``function``; ConfigError when they cannot be filled from a JSON object."""
        parameters = list(inspect.signature(function).parameters.values())
        takes_context = bool(parameters) and _is_context(parameters[0])
        hints = _hints_of(function, parameters[takes_context:])
        fields, others = _fields_of(function, parameters[takes_context:], hints)
        is_open = others is not _NONE
        payload = TypedDict("Payload", fields)  # type: ignore[misc] # the fields are known at run time only
        payload.__pydantic_config__ = ConfigDict(extra="allow" if is_open else "forbid", strict=True)  # type: ignore[attr-defined] # how pydantic configures a TypedDict
        validate, schema = _check_by(function, payload)
        if others is not _NONE and others is not Any:
            validate = _with_others(validate, _check_by(function, dict[str, others])[0], fields.keys())  # type: ignore[valid-type] # as above
            schema = _open_schema(payload, others)
        defaults = _defaults_of(parameters[takes_context:])
        return cls(takes_context, tuple(fields), validate if fields or is_open else None, schema, is_open, defaults)

    def check(self, job: str, text: str) -> None:
        """PayloadError naming the first field of the JSON ``text`` that does not fit."""
        if self.validate is None:
            if text != "{}":
                found = _fields_in(text)
                raise PayloadError(job, "", found, "an empty one: the job takes no payload")
            return
        self.arguments(job, text)

    def check_names(self, names: Iterable[str]) -> None:
        """ConfigError for one that is no parameter: in payloads it would be missing, and so be the same in all."""
        for name in () if self.is_open else names:
            if name not in self.names:
                known = ", ".join(self.names) or "none at all"
                near = nearest(name, self.names)
                raise ConfigError(f"{shown(name)} is no parameter of the job; expected one of {known}.{near}")

    def text_of(self, job: str, payload: dict[str, Any], limit: int = MAX_BYTES) -> str:
        """The JSON text of a payload with values that JSON does not have: those of the annotated types, as Python code
        has them. PayloadError for one that would not arrive equal to what was given.
        """
        try:
            text = encode_values(payload, limit=limit)
        except NotJsonError as error:
            raise PayloadError(job, error.path, error.found, error.expected) from None
        self.check(job, text)
        found = first_difference(payload, self.arguments(job, text))
        if found is not None:
            raise _would_differ(job, found)
        return text

    def arguments(self, job: str, text: str) -> dict[str, Any]:
        """The keyword arguments in a stored payload; PayloadError when the code has changed since it was enqueued."""
        if self.validate is None:
            self.check(job, text)
            return {}
        try:
            return self.validate(text)
        except ValidationError as error:
            raise payload_error(job, error, text, self.schema) from None


def _is_context(parameter: inspect.Parameter) -> bool:
    if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
        return False
    hint = parameter.annotation
    named = hint if isinstance(hint, str) else getattr(hint, "__name__", "")
    return parameter.name == "ctx" or named.strip("'\" ").rpartition(".")[2] == "Context"


def _hints_of(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> dict[str, Any]:
    """The annotations of the payload's parameters, as types; those of ctx and the result may be for type checkers."""
    bare = inspect.unwrap(function)

    def stub() -> None: ...

    stub.__annotations__ = {one.name: one.annotation for one in parameters if one.annotation is not one.empty}
    try:
        return typing.get_type_hints(stub, globalns=getattr(bare, "__globals__", {}), include_extras=True)
    except NameError as error:
        raise ConfigError(
            f"{_named(function)}: an annotation names {error.name!r}, which its module does not have when it runs"
        ) from None
    except Exception as error:  # noqa: BLE001 - an annotation is a plugin's code
        raise ConfigError(f"{_named(function)}: an annotation raises {type(error).__name__}: {error}") from None


def _fields_of(
    function: Callable[..., Any], parameters: list[inspect.Parameter], hints: dict[str, Any]
) -> tuple[dict[str, Any], Any]:
    """The named parameters, and the annotation of ``**others``, _NONE without these."""
    fields: dict[str, Any] = {}
    others: Any = _NONE
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            others = hints.get(parameter.name, Any)
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise ConfigError(
                f"{_named(function)}: the parameter {parameter.name!r} can only be given by position; "
                "expected parameters with names, for a payload is a JSON object"
            )
        else:
            hint = hints.get(parameter.name, Any)
            needed = parameter.default is parameter.empty
            fields[parameter.name] = Required[hint] if needed else NotRequired[hint]
    return fields, others


def _defaults_of(parameters: list[inspect.Parameter]) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.default is not parameter.empty:
            try:
                value = {parameter.name: to_jsonable_python(parameter.default)}
                encode(value)
            except Exception:  # noqa: BLE001, S112 - a default is a plugin's code, and may be anything
                continue
            defaults |= value
    return defaults


def _check_by(function: Callable[..., Any], kind: Any) -> tuple[Callable[[str], dict[str, Any]], dict[str, Any]]:
    """What reads JSON text as ``kind``, strictly all the way down, and the JSON Schema of it."""
    try:
        adapter = TypeAdapter(kind)
        validate, schema = adapter.validator.validate_json, adapter.json_schema(schema_generator=PayloadSchema)
    except Exception as error:  # noqa: BLE001 - an annotation is a plugin's code
        first = (str(error).splitlines() or [""])[0]
        if not isinstance(error, PydanticUserError):
            first = f"it raises {type(error).__name__}: {first}"
        raise ConfigError(f"{_named(function)}: a parameter's annotation cannot be read from JSON: {first}") from None
    if "$defs" in schema or not hasattr(kind, "__pydantic_config__"):
        # A model among the annotations is as strict as its own config says, unless the call says otherwise.
        validate = partial(validate, strict=True)
    return validate, schema


def _with_others(
    validate: Callable[[str], dict[str, Any]], check: Callable[[str], dict[str, Any]], names: Iterable[str]
) -> Callable[[str], dict[str, Any]]:
    """Checks what goes into ``**others`` by their annotation, which pydantic does not."""

    def validate_all(text: str) -> dict[str, Any]:
        found = validate(text)
        others = {name: value for name, value in found.items() if name not in names}
        return found | check(to_json(others).decode())

    return validate_all


def _open_schema(payload: Any, others: Any) -> dict[str, Any]:
    """The JSON Schema of a payload with ``**others``: made of both at once, so that two models of one name keep apart."""
    adapters: list[tuple[str, Literal["validation"], TypeAdapter[Any]]] = [
        ("payload", "validation", TypeAdapter(payload)),
        ("others", "validation", TypeAdapter(dict[str, others])),
    ]
    found, shared = TypeAdapter.json_schemas(adapters, schema_generator=PayloadSchema)
    models = shared.get("$defs", {})
    schema, of_others = found["payload", "validation"], found["others", "validation"]
    if "$ref" in schema:
        schema = models.pop(schema["$ref"].rpartition("/")[2])
    schema = schema | {"additionalProperties": of_others.get("additionalProperties", True)}
    return schema | ({"$defs": models} if models else {})


def _fields_in(text: str) -> str:
    try:
        return f"has the fields {', '.join(sorted(json.loads(text)))}"
    except (ValueError, TypeError):
        return shown(text)


def typed(value: Any) -> str:
    return f"{shown(value)} ({type(value).__name__})"


def _would_differ(job: str, found: Difference) -> PayloadError:
    """What in a plain dict or list is no JSON is to blame, and not that it is read as a model."""
    if type(found.given) in (dict, list):
        try:
            encode(found.given)
        except NotJsonError as inner:
            expected = f"JSON, as what is around it; or all of it as {type(found.arrived).__name__}"
            return PayloadError(job, found.path + inner.path, inner.found, expected)
    return PayloadError(job, found.path, f"{typed(found.given)} would arrive as {typed(found.arrived)}", COMES_BACK)


def _named(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
