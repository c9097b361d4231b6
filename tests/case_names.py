"""Names of parametrized cases that are the same in every process."""

from __future__ import annotations

import re


def name_of(value: object) -> str:
    """Its repr, without the addresses of objects."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
