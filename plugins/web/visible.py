"""Text that others wrote, so that all of it can be seen and none of it disturbs the page: of errors, logs and payloads."""

from __future__ import annotations

import json
import re
from typing import Any

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufe00-\ufe0f"
    "\ufeff\ufff0-\uffff\U000e0000-\U000e0fff]"
)
"""Control characters but tab and line feed, marks of direction, what has no width, halves of pairs, what is no character."""
MOST_CHARACTERS = 20_000
MOST_LINES = 1_000


def visible(text: Any) -> str:
    r"""What cannot be seen is written out, ``\x1b`` or ``\u202e``: it neither hides nor turns around what stands near it."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], str(text))


def line(text: Any, most: int = 200) -> str:
    """The first line that says something, cut to ``most`` characters."""
    first = next((one.strip() for one in str(text)[: most * 10].splitlines() if one.strip()), "")
    shown = visible(first[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def block(text: Any, most: int = MOST_CHARACTERS, lines: int = MOST_LINES) -> str:
    """Several lines, cut in the middle where they are very many: how it began and how it ended tell the most."""
    whole = str(text)
    kept = whole if len(whole) <= most else _without_middle(whole, most)
    rows = kept.split("\n")
    if len(rows) > lines:
        half = lines // 2
        rows = [*rows[:half], f"… {len(rows) - 2 * half:,} lines are left out here …", *rows[-half:]]
    return visible("\n".join(rows))


def data(value: Any, most: int = MOST_CHARACTERS) -> str:
    """JSON in lines. Characters of other scripts stay as they are."""
    return block(json.dumps(value, indent=2, ensure_ascii=False, default=str), most)


def _without_middle(text: str, most: int) -> str:
    half = most // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters are left out here …\n{text[-half:]}"
