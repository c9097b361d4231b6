"""The fields of a cron expression, checked entry by entry, with macros, names and ``H`` replaced by their numbers."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from kernel.model.cron_hints import hint_for_count, hint_for_entry, hint_for_macro, hint_for_range, refusal
from kernel.model.errors import ConfigError, nearest, shown

_LONGEST = 256
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_VALUE = r"([0-9]+|[A-Z]{3})"
_STAR = re.compile(r"\*(?:/([0-9]+))?")
_RANGE = re.compile(rf"{_VALUE}(?:-{_VALUE})?(?:/([0-9]+))?")
_SPREAD = re.compile(rf"H(?:\({_VALUE}-{_VALUE}\))?(?:/([0-9]+))?")
_LAST_OR_NTH = re.compile(rf"([0-7])L|{_VALUE}#([1-5])")


@dataclass(frozen=True, slots=True)
class Field:
    """What one field may hold. A bare ``H`` stays within ``spread_high``, so that each month and week has the day."""

    title: str
    low: int
    high: int
    spread_high: int
    names: tuple[str, ...] = ()

    def value_of(self, word: str) -> int:
        """The number that a number or a name means here; ConfigError when it means none."""
        if word in self.names:
            return self.names.index(word) + self.low
        if word.isdecimal() and self.low <= int(word) <= self.high:
            return int(word)
        names = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
        raise ConfigError(f"expected {self.low} to {self.high}{names}.{nearest(word[:3], self.names)}".rstrip("."))


FIELDS = (
    Field("second", 0, 59, 59),
    Field("minute", 0, 59, 59),
    Field("hour", 0, 23, 23),
    Field("day of month", 1, 31, 28),
    Field("month", 1, 12, 12, _MONTHS),
    Field("day of week", 0, 7, 6, _DAYS),
)


def fields_of(text: str, name: str) -> tuple[str, ...]:
    """Six fields, seconds first, that mean what ``text`` means; ``H`` spreads by ``name``, a schedule's."""
    _check_characters(text)
    words = _MACROS.get(text.strip().lower(), text).upper().split()
    if words and words[0].startswith("@"):
        raise refusal(text, hint_for_macro(words, _MACROS))
    if len(words) not in {5, 6}:
        raise refusal(text, hint_for_count(len(words)))
    if len(words) == 5:
        words.insert(0, "0")
    return tuple(_checked_field(text, field, word, name) for field, word in zip(FIELDS, words, strict=True))


def _check_characters(text: str) -> None:
    if len(text) > _LONGEST:
        raise refusal(text, f"it has {len(text)} characters, expected at most {_LONGEST}. Split it into schedules")
    for character in text:
        if not (" " <= character <= "~" or character == "\t"):
            raise refusal(text, f"{character!a} is no character of cron. Write one line of plain ASCII")


def _checked_field(text: str, field: Field, word: str, name: str) -> str:
    entries = []
    for entry in word.split(","):
        try:
            entries.append(_checked_entry(field, entry, name))
        except ConfigError as error:
            raise refusal(text, f"{field.title} {shown(entry)}: {error}") from None
    return ",".join(entries)


def _checked_entry(field: Field, entry: str, name: str) -> str:
    if field.title == "day of month" and entry in {"L", "LW"}:
        return entry
    if match := _STAR.fullmatch(entry):
        return f"*/{_step(match[1])}" if match[1] else "*"
    if match := _SPREAD.fullmatch(entry):
        return _spread(field, match, name)
    if field.title == "day of week" and (match := _LAST_OR_NTH.fullmatch(entry)):
        return entry if match[1] else f"{field.value_of(match[2])}#{match[3]}"
    if match := _RANGE.fullmatch(entry):
        return _range(field, match)
    raise ConfigError(hint_for_entry(field.title, entry, field.names))


def _range(field: Field, match: re.Match[str]) -> str:
    first = field.value_of(match[1])
    if match[2] is None:
        return f"{first}/{_step(match[3])}" if match[3] and first < field.high else f"{first}"
    last = field.value_of(match[2])
    if last < first:
        raise ConfigError(hint_for_range(field.title, first, last, low=field.low, high=field.high))
    return _stepped(first, last, _step(match[3]))


def _spread(field: Field, match: re.Match[str], name: str) -> str:
    """Like Jenkins: one value of the range, or with a step the first of each stride, by a hash of the name."""
    if not name:
        raise ConfigError("H is spread by the name of a schedule, and there is none here. Write the number itself")
    low, high = (field.value_of(match[1]), field.value_of(match[2])) if match[1] else (field.low, field.spread_high)
    if high < low:
        raise ConfigError(hint_for_range(field.title, low, high, low=field.low, high=field.high))
    digest = hashlib.sha256(f"{name}\n{field.title}".encode("utf-8", "surrogatepass")).digest()
    number, step = int.from_bytes(digest[:8], "big"), _step(match[3])
    if match[3] is None:
        return str(low + number % (high - low + 1))
    if step > high - low + 1:
        raise ConfigError(f"a step of {step} leaves the range {low} to {high}: expected at most {high - low + 1}")
    return _stepped(low + number % step, high, step)


def _stepped(first: int, last: int, step: int) -> str:
    if first == last:
        return f"{first}"
    return f"{first}-{last}" if step == 1 else f"{first}-{last}/{step}"


def _step(digits: str | None) -> int:
    step = int(digits or 1)
    if step == 0:
        raise ConfigError("a step of 0 never moves on: expected 1 or more")
    return step
