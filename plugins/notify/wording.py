"""A notice as people read it: a title of one line, and a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernel import Notice

_TITLE = 150
_VALUE = 2_000


def title_of(notice: Notice) -> str:
    """One line: how grave, what of, what."""
    what = notice.state.upper() if notice.state else notice.severity.upper()
    first = (notice.text.splitlines() or [""])[0]
    who = f"{notice.job}: " if notice.job else ""
    title = "".join(char if char.isprintable() else " " for char in f"{what}: {who}{first}")
    return title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"


def text_of(notice: Notice) -> str:
    """All of it, by paragraphs."""
    return "\n\n".join(part for part in (notice.text, _facts(notice), _log(notice), notice.traceback.rstrip()) if part)


def _facts(notice: Notice) -> str:
    facts: dict[str, Any] = {"job": notice.job, "run": notice.run, "attempt": notice.attempt or "", "kind": notice.kind}
    facts |= {"times": notice.times} if notice.times > 1 else {}
    facts |= {"held back": f"{notice.held_back} like it since the last notice"} if notice.held_back else {}
    # Of what was gathered into one the text has a line for each.
    facts |= {name: value for name, value in notice.context.items() if name != "each"}
    lines = [f"{name.replace('_', ' ')}: {_shown(value)}" for name, value in facts.items() if value not in ("", None)]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        text = ", ".join(value)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _VALUE else text[: _VALUE - 1] + "…"


def _log(notice: Notice) -> str:
    return "\n".join(["last lines of its log:", *notice.log]) if notice.log else ""
