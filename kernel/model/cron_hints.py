"""What to write instead of cron that other programs know, or that is written by mistake."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kernel.model.counted import counted
from kernel.model.errors import ConfigError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

# Field, entry, advice; the first that fits is told.
_MISTAKES = (
    (r".*", r"", "nothing stands between the commas. Take out the comma too many"),
    (r".*", r".*\?.*", "the question mark is not known. Write *"),
    (r".*", r"\*.*", "expected * or a step such as */5; a range with a step is written 10-30/5"),
    (r".*", r"-.*", "no number is below zero. Write a range such as 1-5"),
    (r".*", r"H.*", "expected H, H/15, H(0-29) or H(0-29)/10"),
    (r"day of month", r"L?[0-9]*W[0-9]*", "no nearest weekday is known. Write the date, or LW for the last weekday"),
    (r"day of month", r"WL", "write LW for the last weekday of the month"),
    (r"day of month", r"L-.*", "no days before the last are known. Write L, or a date such as 28"),
    (
        r"day of month",
        r".*L.*|.*#.*",
        "write L for the last day, LW for the last weekday; 5L and FRI#2 are days of week",
    ),
    (r"day of week", r"L", "write 5L for the last Friday of the month, or SAT for each Saturday"),
    (r"day of week", r".*#.*", "expected the first to the fifth of a weekday, such as FRI#2"),
    (r".*", r"L|LW|[0-9A-Z]+[#LW][0-9]*", "L, LW, 5L and FRI#2 are days"),
    (r"month|day of week", r"[A-Z]{4}.*", "write names with three letters, such as JAN or MON"),
)


def refusal(text: str, why: str) -> ConfigError:
    return ConfigError(f"{shown(text)} is no cron expression: {why}")


def hint_for_macro(words: list[str], known: Iterable[str]) -> str:
    if words[0] == "@REBOOT":
        return 'write @after("0s") on the job, which runs it once after each start of the kernel'
    if words[0] == "@EVERY":
        length = words[1].lower() if re.fullmatch(r"[0-9]+(MS|[SMHDW])", " ".join(words[1:])) else "5m"
        return f'write @every("{length}") on the job, which runs it at an interval'
    return f"expected one of {', '.join(known)}.{nearest(words[0], known)}"


def hint_for_count(count: int) -> str:
    if count == 7:
        return "it has 7 fields, and years are not known. Write 5 or 6, and give the schedule start= and end="
    return f"it has {counted(count, 'field')}, expected 5 (minute, hour, day, month, weekday) or 6 with seconds first"


def hint_for_entry(field: str, entry: str, names: tuple[str, ...]) -> str:
    if field == "day of week" and entry[-1:] == "L" and entry[:-1] in names:
        return f"write {names.index(entry[:-1])}L for the last one of the month"
    for fields, mistake, advice in _MISTAKES:
        if re.fullmatch(fields, field) and re.fullmatch(mistake, entry):
            return advice
    return "expected *, a value, a range such as 1-5, a step such as */2, or a list of these"


def hint_for_range(field: str, first: int, last: int, *, low: int, high: int) -> str:
    """A range that runs backwards: write the two that were meant. Sunday is 0 as a first and 7 as a last day."""
    if field == "day of week" and 0 in {first % 7, last}:
        meant = f"0-{last}" if last else f"{first}-7"
    else:
        ends = ((first, 6 if field == "day of week" else high), (low, last))
        meant = ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ends)
    return f"a range runs upwards. Write {meant}"
