"""Takes secrets out of what is told: those of plugins.toml by their values, others by their form."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from kernel import Notice

SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?|secret|token|api_?key|credential|dsn|authorization|cookie", re.IGNORECASE
)
_HIDDEN = "***"
_FORMS = (
    (re.compile(r"(//)[^/\s@]*@"), r"\1***@"),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), r"\1 ***"),
    (
        re.compile(
            r"\b(\w*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|credential)\w*)(['\"]?\s*[=:]\s*['\"]?)"
            r"[^\s'\"&,;)}\]]+",
            re.IGNORECASE,
        ),
        r"\1\2***",
    ),
    (re.compile(r"https://hooks\.slack\.com/\S+"), "https://hooks.slack.com/***"),
)
_SHORTEST = 4
_LEVELS = 8
_TEXT = 16_000
_LINE = 2_000
_ITEMS = 200
_MARGIN = 500
"""Where a text was cut a secret may have been: so much of it goes too."""


class Redactor:
    """``scrub`` takes out what the kernel knows to be secret; ``secrets`` are further texts that must not be shown."""

    def __init__(self, scrub: Callable[[str], str], secrets: Iterable[str] = ()) -> None:
        self._scrub = scrub
        # The longest first: one may be a part of another.
        found = sorted({text for text in secrets if len(text) >= _SHORTEST}, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, found))) if found else None

    def notice(self, notice: Notice) -> Notice:
        """The notice without secrets, and no longer than people read and channels take."""
        return replace(
            notice,
            text=self.text(notice.text),
            error=self.text(notice.error, _LINE),
            traceback=self.end_of(notice.traceback),
            context=self.value(dict(notice.context)),
            log=tuple(self.text(line, _LINE) for line in notice.log),
        )

    def end_of(self, text: str) -> str:
        """Of a traceback the end says most."""
        cut = self._without_secrets(text[-2 * _TEXT :])
        return cut if len(text) <= _TEXT else "…" + cut[_MARGIN:][-_TEXT:]

    def text(self, text: str, limit: int = _TEXT) -> str:
        cut = self._without_secrets(text[: 2 * limit])
        if len(text) > 2 * limit:
            cut = cut[:-_MARGIN]
        return cut if len(cut) <= limit else cut[: limit - 1] + "…"

    def _without_secrets(self, text: str) -> str:
        if self._secrets is not None:
            text = self._secrets.sub(_HIDDEN, text)
        text = self._scrub(text)
        for form, put in _FORMS:
            text = form.sub(put, text)
        return text

    def value(self, value: Any, level: int = 0) -> Any:
        """JSON, whatever was given: what is none becomes its text."""
        if isinstance(value, dict) and level < _LEVELS:
            items = list(value.items())[:_ITEMS]
            return {
                self.text(str(key), _LINE): _HIDDEN if SECRET_NAME.search(str(key)) else self.value(item, level + 1)
                for key, item in items
            }
        if isinstance(value, list | tuple | set | frozenset) and level < _LEVELS:
            return [self.value(item, level + 1) for item in list(value)[:_ITEMS]]
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if value - value == 0 else str(value)  # JSON has no infinity
        try:
            return self.text(str(value), _LINE)
        except Exception as error:  # noqa: BLE001 - a job's own value, whose __str__ may do anything
            return f"({type(value).__name__} cannot be shown: {type(error).__name__})"


def secrets_in(table: Mapping[str, Any]) -> Iterator[str]:
    """The texts in a table of plugins.toml whose key says that they are secret."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from secrets_in(value)
        elif isinstance(value, list):
            for item in value:
                yield from secrets_in(item if isinstance(item, dict) else {key: item})
        elif isinstance(value, str) and SECRET_NAME.search(key):
            yield str(value)


def as_json_text(notice: Notice) -> str:
    return json.dumps(notice.as_json(), ensure_ascii=False)
