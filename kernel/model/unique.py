"""When one run stands for another: the key under which a run is the only one of its job."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

from kernel.model.duration import Duration, seconds
from kernel.model.errors import ConfigError, shown

OnConflict = Literal["keep", "replace", "debounce"]
LONGEST_KEY = 500


@dataclass(frozen=True, init=False, slots=True)
class Unique:
    """While an unfinished run of the job has the key (or ``within`` this long of its enqueue), enqueue answers with it.

    The key is ``key``, or made of the payload fields ``by``, or of the whole payload when neither is given. A run that
    waits is left as it is (``keep``), takes payload, priority, queue, tags, expiry and due time of the newcomer
    (``replace``), or takes these and begins ``within`` after the newest enqueue (``debounce``). One that runs is always
    left as it is.
    """

    key: str | None
    by: tuple[str, ...]
    within_seconds: float | None
    on_conflict: OnConflict

    def __init__(
        self,
        key: str | None = None,
        *,
        by: Any = (),
        within: Duration | None = None,
        on_conflict: OnConflict = "keep",
    ) -> None:
        fields = by if isinstance(by, list | tuple) else (by,)
        if not all(isinstance(field, str) and field for field in fields):
            raise ConfigError(f'Unique(by={shown(by)}): expected names of payload fields, as by=["car_id"]')
        if key is not None and fields:
            raise ConfigError("Unique: expected one of key and by, not both")
        if on_conflict not in get_args(OnConflict):
            names = ", ".join(get_args(OnConflict))
            raise ConfigError(f"Unique(on_conflict={shown(on_conflict)}): expected one of {names}")
        if on_conflict == "debounce" and within is None:
            raise ConfigError('Unique(on_conflict="debounce"): expected within too: the quiet time, as within="10s"')
        object.__setattr__(self, "key", None if key is None else check_key(key))
        object.__setattr__(self, "by", tuple(fields))
        object.__setattr__(self, "within_seconds", None if within is None else seconds(within))
        object.__setattr__(self, "on_conflict", on_conflict)

    def key_of(self, payload: str) -> str:
        """The key of a run with this payload (JSON text)."""
        if self.key is not None:
            return self.key
        values = json.loads(payload)
        if self.by:
            values = {field: values.get(field) for field in self.by}
        return key_text(values)

    def arguments(self) -> dict[str, Any]:
        """The arguments that make it again, as JSON."""
        return {
            "key": self.key, "by": list(self.by), "within": self.within_seconds, "on_conflict": self.on_conflict,
        }  # fmt: skip


def key_text(value: Any) -> str:
    """A JSON value as a key: equal values, and only these, have the same one."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return text if len(text) <= LONGEST_KEY else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def check_key(value: object) -> str:
    if isinstance(value, str) and 0 < len(value) <= LONGEST_KEY and value.isprintable():
        return value
    raise ConfigError(f"{shown(value)}: expected printable text of 1 to {LONGEST_KEY} characters")


def unique(value: Any, base: Unique | None = None) -> Unique | None:
    """``value`` as of ``@job(unique=…)`` or a table in plugins.toml; a text is the key. ConfigError otherwise."""
    if value is None or isinstance(value, Unique):
        return value
    known = base.arguments() if base is not None else {}
    if isinstance(value, str):
        return Unique(**{**known, "key": value, "by": ()})
    if isinstance(value, dict) and value.keys() <= {"key", "by", "within", "on_conflict"}:
        if "key" in value:
            known.pop("by", None)
        if "by" in value:
            known.pop("key", None)
        return Unique(**known | value)
    raise ConfigError(f'{shown(value)}: expected Unique(by=["car_id"], within="10m") or a table of its fields')
