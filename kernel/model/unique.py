"""When one run stands for another: the key under which a run is the only one of its job."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from kernel.model.duration import Duration, seconds
from kernel.model.errors import ConfigError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

OnConflict = Literal["keep", "replace", "debounce"]
LONGEST_KEY = 500
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


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
        by: Any = None,
        within: Duration | None = None,
        on_conflict: OnConflict = "keep",
    ) -> None:
        fields = () if by is None else by if isinstance(by, list | tuple) else (by,)
        if not all(isinstance(field, str) and field for field in fields):
            raise ConfigError(f'Unique(by={shown(by)}): expected names of payload fields, as by=["car_id"]')
        if by is not None and not fields:
            raise ConfigError(
                f'Unique(by={shown(by)}): expected at least one payload field, as by=["car_id"]; '
                "without by the whole payload is the key"
            )
        if key is not None and fields:
            raise ConfigError("Unique: expected one of key and by, not both")
        if on_conflict not in get_args(OnConflict):
            names = ", ".join(get_args(OnConflict))
            raise ConfigError(f"Unique(on_conflict={shown(on_conflict)}): expected one of {names}")
        if on_conflict == "debounce" and within is None:
            raise ConfigError('Unique(on_conflict="debounce"): expected within too: the quiet time, as within="10s"')
        object.__setattr__(self, "key", None if key is None else _own_key(key))
        object.__setattr__(self, "by", tuple(fields))
        period = None if within is None else seconds(within, option="Unique(within)")
        object.__setattr__(self, "within_seconds", period)
        object.__setattr__(self, "on_conflict", on_conflict)

    def key_of(self, payload: Mapping[str, Any]) -> str:
        """The key of a run with this payload, of JSON values."""
        if self.key is not None:
            return self.key
        return key_text({field: payload.get(field) for field in self.by} if self.by else payload)

    def arguments(self) -> dict[str, Any]:
        """The arguments that make it again, as JSON."""
        return {
            "key": self.key, "by": list(self.by), "within": self.within_seconds, "on_conflict": self.on_conflict,
        }  # fmt: skip


def key_text(value: Any) -> str:
    """A JSON value as a key: equal values, and only these, have the same one."""
    text = _encode(value)
    return text if len(text) <= LONGEST_KEY else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _own_key(key: object) -> str:
    try:
        return check_key(key)
    except ConfigError as error:
        raise ConfigError(f"Unique(key): {error}") from None


def check_key(value: object) -> str:
    if isinstance(value, str) and 0 < len(value) <= LONGEST_KEY and value.isprintable():
        return value
    raise ConfigError(f"{shown(value)}: expected printable text of 1 to {LONGEST_KEY} characters")


def unique(value: Any, base: Unique | None = None) -> Unique | None:
    """``value`` as of ``@job(unique=…)`` or a table in plugins.toml; a text is the key. ConfigError otherwise."""
    if value is None or isinstance(value, Unique):
        return value
    table = {"key": value} if isinstance(value, str) else value
    if isinstance(table, dict) and table.keys() <= {"key", "by", "within", "on_conflict"}:
        known = base.arguments() if base is not None else {}
        if "key" in table or "by" in table:
            known = {name: known[name] for name in known if name not in ("key", "by")}
        table = known | table
        if "key" in table and table.get("by") in ([], ()):  # as ``arguments`` has both
            del table["by"]
        return Unique(**table)
    raise ConfigError(f'{shown(value)}: expected Unique(by=["car_id"], within="10m") or a table of its fields')
