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

_URL_WITH_SECRET = re.compile(r"[/:][^/\s]*@|://[^/\s?#]*[/?#]\S")
_SECRET_NAME = re.compile(r"pass|secret|token|key|credential|dsn|url", re.IGNORECASE)


_NAMES: dict[type, str] = {dict: "table"}
_URL = "expected a URL, as https://example.com"
_EXPECTED = {
    "list_type": "expected a list, as [{item}]",
    "dict_type": "expected a table",
    "model_type": "expected a table",
    "model_attributes_type": "expected a table",
    "too_short": "expected at least {min_length} in it",
    "too_long": "expected at most {max_length} in it",
    "string_too_short": "expected at least {min_length} characters",
    "string_too_long": "expected at most {max_length} characters",
    "string_pattern_mismatch": "expected a text of the form {pattern}",
    "url_type": _URL,
    "url_parsing": _URL,
    "url_syntax_violation": _URL,
    "url_scheme": "expected a URL that begins with {expected_schemes}",
}
"""Where pydantic's own words speak of its parts, or do not say what to write."""


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
    misspelt = [report.location for report in reports if report.is_unknown]
    misspelt += [(key,) for key in table if problems and key not in _known(model)]
    return Checked(
        None, problems + [report.problem() for report in reports if report.is_news and not report.is_meant_by(misspelt)]
    )


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
        self.location: tuple[str | int, ...] = detail["loc"]
        self._source = source
        self._path = path
        self._holder, is_secret = _follow(model, self.location, table)
        # The model asks for this lest an error repeats a password: a number, true or false is none.
        is_hidden_text = bool(model.model_config.get("hide_input_in_errors")) and isinstance(self._input, str)
        self._is_hidden = is_secret or is_hidden_text

    @property
    def is_unknown(self) -> bool:
        return self._type == "extra_forbidden"

    def is_meant_by(self, misspelt: Sequence[tuple[str | int, ...]]) -> bool:
        """Whether it is missing because its key stands beside it, misspelt: that is one mistake."""
        *table, key = self.location or ("",)
        return self._type == "missing" and any(
            [*others] == table and nearest(str(other), [str(key)]) for *others, other in misspelt
        )

    @property
    def is_news(self) -> bool:
        """Not the echo of a value that could not be taken from the environment."""
        return (*self._path, *self.location) not in self._source.unusable

    def problem(self) -> Problem:
        location = [*self.location]
        while location and isinstance(location[-1], int):  # an item of a list stands where the list does
            location.pop()
        if not location:
            return self._source.in_table(self._path, self._expected())
        key = str(location[-1])
        return self._source.at((*self._path, *location[:-1]), key, self._words(key))

    def _words(self, key: str) -> str:
        if self.is_unknown:
            return _unknown(key, _known(self._holder) if self._holder else [])
        if self._type == "missing":
            return "is missing; expected a value: the setting has no default"
        if self._is_own:
            return self._text
        self._is_hidden = self._is_hidden or bool(_SECRET_NAME.search(key)) or _may_have_secret(self._input)
        if self._is_hidden:
            return f"'***': {self._expected()}"
        is_plain = isinstance(self._input, str | int | float | bool) or self._input is None
        found = shown(self._input) if is_plain else f"a {_NAMES.get(type(self._input), type(self._input).__name__)}"
        # A validator that names the value itself need not have it named before.
        return expected if (expected := self._expected()).startswith(found) else f"{found}: {expected}"

    def _expected(self) -> str:
        text = self._text.removeprefix("Value error, ").removeprefix("Assertion failed, ")
        if isinstance(self._input, str) and self._input and self._is_hidden:
            text = text.replace(self._input, "***")
        if (form := _EXPECTED.get(self._type)) is not None:
            item = shown(self._input) if isinstance(self._input, str) and not self._is_hidden else '"…"'
            return form.format(item=item.replace("'", '"'), **self._context)
        if text.startswith("Input should be "):
            return "expected " + text.removeprefix("Input should be ")
        return " ".join(text.split()) if "expected" in text else f"expected another value: {' '.join(text.split())}"


def _may_have_secret(value: object) -> bool:
    """A URL may have a user, and that of a webhook is one from its path on, whatever its setting is named."""
    return isinstance(value, str) and _URL_WITH_SECRET.search(value) is not None


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
