"""Ids as they are written here: whatever else is asked for is of no run."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def known_ids(ids: Iterable[str]) -> list[str]:
    """Those that can be ids, each once."""
    return [one for one in dict.fromkeys(ids) if known_id(one) is not None]


def known_id(text: str | None) -> str | None:
    """The text when it can be an id, else None."""
    try:
        return text if text is not None and str(uuid.UUID(text)) == text else None
    except (ValueError, AttributeError):
        return None
