"""Values as the JSON text that is sent."""

from __future__ import annotations

import json
import math
from typing import Any


def as_json(value: Any) -> str:
    """Numbers that JSON does not have are told as texts."""
    try:
        return json.dumps(value, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(_finite(value), default=str)


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {key: _finite(one) for key, one in value.items()}
        case list() | tuple():
            return [_finite(one) for one in value]
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return value
