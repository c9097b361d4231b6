"""A cron expression in words, and what may surprise in it."""

from __future__ import annotations

import re
from datetime import datetime

from cronsim import CronSim

from kernel.model.cron_fields import FIELDS

_A_MONDAY = datetime(2001, 1, 1)  # noqa: DTZ001 - wall time: the parser asks for a start, and words need none
_ORDINALS = {"1": "st", "2": "nd", "3": "rd"}


def words_of(fields: tuple[str, ...]) -> str:
    """Such as ``At 00:00 on the first day of month or on Monday``."""
    day, month, weekday = fields[3:]
    if day.startswith("*") or weekday.startswith("*"):
        return _explain(fields)
    if _is_each_day(fields):
        return _explain((*fields[:3], "*", month, "*"))
    # Either day field is enough here, and cronsim joins them by "and": the last one is found, and joined anew.
    time = _explain((*fields[:3], "*", "*", "*")).removesuffix(" every day")
    last = _explain((*fields[:3], "*", month, weekday)).removeprefix(time)
    return re.sub(f" and{re.escape(last)}$", f" or{last}", _explain(fields))


def notes_on(fields: tuple[str, ...]) -> tuple[str, ...]:
    return (*_notes_on_days(*fields[3::2]), *_notes_on_steps(fields))


def _notes_on_days(day: str, weekday: str) -> list[str]:
    if "*" in {day, weekday}:
        return []
    return [
        f"{title} {found} starts with a star, so a day must fit {other} too, as in Debian cron. "
        f"Write {full}{found[1:]} if either is to be enough"
        for title, found, other, full in (
            ("day of month", day, f"day of week {weekday}", "1-31"),
            ("day of week", weekday, f"day of month {day}", "0-6"),
        )
        if found.startswith("*")
    ]


def _notes_on_steps(fields: tuple[str, ...]) -> list[str]:
    return [
        f"{kind.title} {word} fits {kind.low} alone. For an interval use @every"
        for kind, word in zip(FIELDS, fields, strict=True)
        if re.fullmatch(r"\*/[0-9]+", word) and int(word[2:]) > kind.high - kind.low
    ]


def _is_each_day(fields: tuple[str, ...]) -> bool:
    parsed = CronSim(" ".join(fields), _A_MONDAY)
    weekdays = {item % 7 for item in parsed.weekdays if isinstance(item, int)}
    return len(weekdays) == 7 or parsed.days.issuperset(range(1, 32))


def _explain(fields: tuple[str, ...]) -> str:
    text = CronSim(" ".join(fields), _A_MONDAY).explain()
    return re.sub(r"(?<!1)([123])th\b", lambda match: match[1] + _ORDINALS[match[1]], text)
