"""The parameters of a job's function: its payload is checked against them, and given back to them."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NotRequired, Required

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from typing_extensions import TypedDict

from kernel.model.errors import ConfigError, PayloadError, shown

_CONTEXT_NAMES = {"ctx", "context"}


@dataclass(frozen=True, slots=True)
class Parameters:
    """How a function takes its payload. ``validate`` takes JSON text and gives keyword arguments, or raises."""

    takes_context: bool
    names: tuple[str, ...]
    validate: Callable[[str], dict[str, Any]] | None
    schema: dict[str, Any]

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Parameters:
        """The parameters of ``function``; ConfigError when they cannot be filled from a JSON object."""
        parameters = list(inspect.signature(function).parameters.values())
        takes_context = bool(parameters) and _is_context(parameters[0])
        hints = _hints_of(function, parameters[takes_context:])
        fields, is_open = _fields_of(function, parameters[takes_context:], hints)
        adapter = _adapter_of(function, fields, is_open=is_open)
        return cls(
            takes_context=takes_context,
            names=tuple(fields),
            validate=_validator_of(adapter) if fields or is_open else None,
            schema=adapter.json_schema(),
        )

    def check(self, job: str, text: str) -> None:
        """PayloadError naming the first field of the JSON ``text`` that does not fit."""
        if self.validate is None:
            if text != "{}":
                found = f"has the fields {', '.join(sorted(json.loads(text)))}"
                raise PayloadError(job, "", found, "an empty one: the job takes no payload")
            return
        try:
            self.validate(text)
        except ValidationError as error:
            raise _payload_error(job, error, self.names) from None

    def arguments(self, job: str, text: str) -> dict[str, Any]:
        """The keyword arguments in a stored payload; PayloadError when the code has changed since it was enqueued."""
        if self.validate is None:
            self.check(job, text)
            return {}
        try:
            return self.validate(text)
        except ValidationError as error:
            raise _payload_error(job, error, self.names) from None


def _is_context(parameter: inspect.Parameter) -> bool:
    if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
        return False
    hint = parameter.annotation
    named = hint if isinstance(hint, str) else getattr(hint, "__name__", "")
    return parameter.name in _CONTEXT_NAMES or named.strip("'\" ").rpartition(".")[2] == "Context"


def _hints_of(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> dict[str, Any]:
    """The annotations of the payload's parameters, as types. Those of ``ctx`` and of the result may be for type checkers only."""
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
) -> tuple[dict[str, Any], bool]:
    fields: dict[str, Any] = {}
    is_open = False
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise ConfigError(
                f"{_named(function)}: the parameter {parameter.name!r} can only be given by position; "
                "expected parameters with names, for a payload is a JSON object"
            )
        else:
            hint = hints.get(parameter.name, Any)
            needed = parameter.default is parameter.empty
            fields[parameter.name] = Required[hint] if needed else NotRequired[hint]
    return fields, is_open


def _adapter_of(function: Callable[..., Any], fields: dict[str, Any], *, is_open: bool) -> TypeAdapter[Any]:
    payload = TypedDict("Payload", fields)  # type: ignore[misc] # the fields are known at run time only
    payload.__pydantic_config__ = ConfigDict(extra="allow" if is_open else "forbid", strict=True)  # type: ignore[attr-defined] # how pydantic configures a TypedDict
    try:
        return TypeAdapter(payload)
    except PydanticUserError as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"{_named(function)}: a parameter's annotation cannot be read from JSON: {first}") from None


def _validator_of(adapter: TypeAdapter[Any]) -> Callable[[str], dict[str, Any]]:
    return adapter.validator.validate_json


def _payload_error(job: str, error: ValidationError, names: tuple[str, ...]) -> PayloadError:
    details = error.errors(include_url=False, include_context=False)
    first = details[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return PayloadError(job, path, "is no parameter of the job", f"one of {', '.join(names)}")
    if first["type"] == "missing":
        return PayloadError(job, path, "is missing", "a value: the parameter has no default")
    expected = first["msg"].removeprefix("Input should be ")
    return PayloadError(job, path, shown(first["input"]), expected[0].lower() + expected[1:])


def _named(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
