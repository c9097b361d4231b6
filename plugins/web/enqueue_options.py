"""The options of a run as they are typed beside its payload: pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

OPTIONS = ("priority", "delay", "queue", "unique", "tags")


def options_of(texts: Mapping[str, str]) -> dict[str, Any]:
    """Those that were filled in; control says of each whether it will do."""
    given = {name: texts.get(name, "").strip() for name in OPTIONS}
    found: dict[str, Any] = {name: text for name, text in given.items() if text}
    if given["priority"].isdecimal() and len(given["priority"]) < 4:
        found["priority"] = int(given["priority"])
    if given["delay"].isdecimal() and len(given["delay"]) < 16:
        found["delay"] = int(given["delay"])  # seconds, as on the command line
    if given["tags"]:
        found["tags"] = list(dict.fromkeys(tag for one in given["tags"].split(",") if (tag := one.strip())))
    return found


def option_named(message: str, job: str) -> str | None:
    """The option of which control's refusal speaks, as ``delay: …`` or ``11 is no priority: …``."""
    head = message.removeprefix(f"enqueue {job}: ").partition(":")[0]
    return next((word for word in reversed(re.findall(r"[a-z]+", head)) if word in OPTIONS), None)
