"""A notice as people read it: a title of one line, and a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .sources import FAILED, key_of

if TYPE_CHECKING:
    from kernel import Notice

_TITLE = 150
_VALUE = 2_000


def title_of(notice: Notice) -> str:
    """One line: how grave, what of, what; no word of it twice."""
    what = notice.state.upper() if notice.state else notice.severity.upper()
    first = (notice.text.splitlines() or [""])[0]
    goes_on = bool(notice.state) and first.startswith(f"{notice.state} ")
    if goes_on:
        first = first.removeprefix(f"{notice.state} ")
    if notice.state == "recovered":
        # The last failure stands in the text: it may name what it is about once more.
        first = first.partition(", last with: ")[0]
    who = _subject(notice)
    title = f"{what}: {who}{' ' if goes_on else ': '}{first}" if who else f"{what}{' ' if goes_on else ': '}{first}"
    return _cut("".join(char if char.isprintable() else " " for char in title))


def _subject(notice: Notice) -> str:
    """What the title has to name: nothing where the text begins with it."""
    is_over = notice.state == "recovered"
    kind = str(notice.context.get("kind", "")) if is_over else notice.kind
    if notice.job and notice.key in {"", key_of(notice.job, kind)}:
        # Beside its failures a job may have an incident of another kind, as that it is late.
        return f"{notice.job} ({kind})" if is_over and kind not in {"", FAILED} else notice.job
    if not is_over:
        return f"{notice.key}: {notice.job}" if notice.job else ""
    name = notice.key.removeprefix(f"{kind} ")
    match kind:
        case "channel_failed":
            return f"notices by {name}"
        case "plugin_broken" | "plugin_quarantined":
            return f"plugin {name}"
        case _:
            return {"config_rejected": "plugins.toml", "store_troubled": "the store"}.get(notice.key, notice.key)


def _cut(title: str) -> str:
    """At a word, unless that would leave out much."""
    if len(title) <= _TITLE:
        return title
    head = title[: _TITLE - 1]
    words = head.rpartition(" ")[0].rstrip()
    return f"{words} …"[:_TITLE] if len(words) >= _TITLE // 2 else f"{head}…"


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
