"""A plugin's table in plugins.toml against its own ``Settings``: every mistake with its line, and no secret shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from kernel.config_keys import PLUGIN_TABLES
from kernel.model.errors import ConfigError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from pydantic.fields import FieldInfo

    from kernel.config_source import Key, Problem, Source

_URL_WITH_USER = re.compile(r"//[^/\s]*@")
_SECRET_NAME = re.compile(r"pass|secret|token|key|credential|dsn", re.IGNORECASE)


class Checked(NamedTuple):
    """The settings, None when the plugin takes none; or what is wrong with them."""

    settings: Any
    problems: list[Problem]


def settings_model(module: ModuleType) -> type[BaseModel] | None:
    """The package's ``Settings``; ConfigError when it is not a pydantic model that can stand for the table."""
    found = vars(module).get("Settings")
    if found is None:
        return None
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise ConfigError(f"Settings: found {shown(found)}; expected a pydantic model")
    for name, info in found.model_fields.items():
        if taken := {name, *_names_of(name, info)} & set(PLUGIN_TABLES):
            raise ConfigError(f"Settings.{min(taken)}: this key of the table is the kernel's; expected another name")
    return found


def check_settings(name: str, model: type[BaseModel] | None, table: Mapping[str, Any], source: Source) -> Checked:
    """The settings of plugin ``name`` from its ``table``. Runs the model's validators, which are the plugin's code."""
    path: Key = ("plugins", name)
    if model is None:
        near = {key: nearest(key, PLUGIN_TABLES) for key in table}
        text = f"no key of this name: the plugin has no settings; expected one of {', '.join(PLUGIN_TABLES)}."
        return Checked(None, [source.at(path, key, text + near[key]) for key in table])
    problems = _unknown_keys(model, table, source, path)
    try:
        return Checked(model.model_validate(dict(table)), problems)
    except ValidationError as error:
        details = error.errors()
    reports = [_Report(model, detail, source, path, table) for detail in details]
    return Checked(None, problems + [report.problem() for report in reports if report.is_news])


def _unknown_keys(model: type[BaseModel], table: Mapping[str, Any], source: Source, path: Key) -> list[Problem]:
    """Pydantic ignores unknown keys unless it is told to forbid them, and then says so itself."""
    if model.model_config.get("extra") in ("allow", "forbid"):
        return []
    known = _known(model)
    return [source.at(path, key, _unknown(key, known)) for key in table if key not in known]


def _unknown(key: str, known: Sequence[str]) -> str:
    expected = f"expected one of {', '.join(known)}." if known else "expected none."
    return f"no setting of this name; {expected}{nearest(key, known)}"


def _known(model: type[BaseModel]) -> list[str]:
    return [name for field, info in model.model_fields.items() for name in _names_of(field, info)]


def _names_of(field: str, info: FieldInfo) -> list[str]:
    alias = info.validation_alias or info.alias
    if alias is None:
        return [field]
    return [alias] if isinstance(alias, str) else [field]


class _Report:
    """One detail of pydantic's error, as one line."""

    def __init__(
        self, model: type[BaseModel], detail: Any, source: Source, path: Key, table: Mapping[str, Any]
    ) -> None:
        self._type: str = detail["type"]
        self._text: str = detail["msg"]
        self._input = detail["input"]
        # What a plugin refuses by a text of its own (PydanticCustomError) says all there is to say.
        self._is_own = "url" not in detail
        self._context: dict[str, Any] = detail.get("ctx", {})
        self._location: tuple[str | int, ...] = detail["loc"]
        self._source = source
        self._path = path
        self._holder, is_secret = _follow(model, self._location, table)
        # The model asks for this lest an error repeats a password: a number, true or false is none.
        is_hidden_text = bool(model.model_config.get("hide_input_in_errors")) and isinstance(self._input, str)
        self._is_hidden = is_secret or is_hidden_text

    @property
    def is_news(self) -> bool:
        """Not the echo of a value that could not be taken from the environment."""
        return (*self._path, *self._location) not in self._source.unusable

    def problem(self) -> Problem:
        location = [*self._location]
        while location and isinstance(location[-1], int):  # an item of a list stands where the list does
            location.pop()
        if not location:
            return self._source.in_table(self._path, self._expected())
        key = str(location[-1])
        return self._source.at((*self._path, *location[:-1]), key, self._words(key))

    def _words(self, key: str) -> str:
        if self._type == "extra_forbidden":
            return _unknown(key, _known(self._holder) if self._holder else [])
        if self._type == "missing":
            return "is missing; expected a value: the setting has no default"
        if self._is_own:
            return self._text
        if self._is_hidden or _SECRET_NAME.search(key) or _has_password(self._input):
            return f"'***': {self._expected()}"
        is_plain = isinstance(self._input, str | int | float | bool) or self._input is None
        return f"{shown(self._input) if is_plain else f'a {type(self._input).__name__}'}: {self._expected()}"

    def _expected(self) -> str:
        text = self._text.removeprefix("Value error, ").removeprefix("Assertion failed, ")
        if isinstance(self._input, str) and self._input and self._is_hidden:
            text = text.replace(self._input, "***")
        if text.startswith("Input should be "):
            return "expected " + text.removeprefix("Input should be ")
        return " ".join(text.split()) if "expected" in text else f"expected another value: {' '.join(text.split())}"


def _has_password(value: object) -> bool:
    """A URL may have one, whatever its setting is named."""
    return isinstance(value, str) and _URL_WITH_USER.search(value) is not None


def _follow(model: type[BaseModel], location: Sequence[str | int], table: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model that holds the last part of ``location``, and whether its value must not be shown."""
    holder: type[BaseModel] | None = model
    items: list[type[BaseModel]] = []
    is_hidden = False
    for index, part in enumerate(location):
        table = _item(table, part)
        info = _field(holder, part) if holder else None
        if info is not None:
            types = _types_in(info.annotation)
            is_hidden = is_hidden or bool(types & {SecretStr, SecretBytes})
            models = [one for one in types if isinstance(one, type) and issubclass(one, BaseModel)]
            items = models if _has_items(info.annotation) else []
            if index < len(location) - 1:
                holder = models[0] if len(models) == 1 and not items else None
        elif items and index < len(location) - 1:
            # The name or number of one of many: which model that is, its own keys say.
            fitting = [one for one in items if _may_be(one, table)]
            holder, items = fitting[0] if len(fitting) == 1 else None, []
        else:
            return holder if index == len(location) - 1 else None, is_hidden
    return holder, is_hidden


def _item(table: Any, part: str | int) -> Any:
    try:
        return table[part]
    except (LookupError, TypeError):
        return None


def _has_items(annotation: Any) -> bool:
    """Whether it is a dict or a list, or may be one."""
    return get_origin(annotation) in {dict, list, tuple} or any(map(_has_items, getattr(annotation, "__args__", ())))


def _may_be(model: type[BaseModel], table: Any) -> bool:
    """Whether the keys that can have one value only, as ``type``, have it."""
    for name, info in model.model_fields.items():
        meant = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
        found = _item(table, name)
        if len(meant) == 1 and found is not None and found not in meant:
            return False
    return True


def _field(model: type[BaseModel], name: str | int) -> FieldInfo | None:
    for field, info in model.model_fields.items():
        if name == field or name in _names_of(field, info):
            return info
    return None


def _types_in(annotation: Any) -> set[Any]:
    """The annotation and everything in its brackets."""
    found = {annotation} if isinstance(annotation, type) else set()
    for part in getattr(annotation, "__args__", ()):
        found |= _types_in(part)
    return found
