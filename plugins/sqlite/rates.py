"""How many runs may begin: rates, counted over all claims in a sliding window.

Time is cut into slots, a hundred to the limit's length. A slot counts until all of it has left the window, so that no
window, wherever it begins, has more than the limit. Instants here are whole microseconds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kernel.model.rate import RateLimit

    from .database import Database

_SECOND = 1_000_000
_SLOTS = 100


class Rate(NamedTuple):
    """``kind``: job, queue or key; ``name``: the job's or the queue's; ``key`` is empty but for the kind key."""

    kind: str
    name: str
    key: str


class Window(NamedTuple):
    """The window of a limit that ends now. Slots count that end after ``begins``; ``slot`` is the end of the present one."""

    length: int
    begins: int
    slot: int

    @classmethod
    def of(cls, limit: RateLimit, now: float) -> Window:
        at = instant_of(now)
        length = math.ceil(limit.seconds * _SECOND)
        width = max(1, math.ceil(length / _SLOTS))
        # Rounding may have brought two instants closer by a microsecond.
        return cls(length + 1, at - length - 1, (at // width + 1) * width)


def rooms(database: Database, limits: Mapping[Rate, RateLimit], now: float) -> dict[Rate, int]:
    """How many runs may begin now under each of the limits."""
    if not limits:
        return {}
    windows = {rate: Window.of(limit, now) for rate, limit in limits.items()}
    asked = [(*rate, window.begins) for rate, window in windows.items()]
    found = dict(zip(windows, database.list_each("rate_used", asked), strict=True))
    late = {rate: used for rate, (used, latest) in found.items() if latest is not None and latest > windows[rate].slot}
    if late:
        # The clock was set back: what began "later" counts as begun just now.
        database.change_each("rate_forget", [(*rate, windows[rate].begins, windows[rate].slot) for rate in late])
        there = {
            rate: sum(count for _, count in database.rows("rate_slots", *rate, windows[rate].begins)) for rate in late
        }
        add(database, {rate: used - there[rate] for rate, used in late.items()}, limits, now)
    return {rate: max(limits[rate].count - used, 0) for rate, (used, _) in found.items()}


def add(database: Database, begun: Mapping[Rate, int], limits: Mapping[Rate, RateLimit], now: float) -> None:
    """So many runs begin now."""
    rows, past = [], []
    for rate, count in begun.items():
        window = Window.of(limits[rate], now)
        rows.append((*rate, window.slot, count, window.slot + window.length))
        past.append((*rate, window.begins, math.inf))
    if rows:
        database.change_each("rate_forget", past)
        database.change_each("rate_add", rows)


def room_at(database: Database, rate: Rate, limit: RateLimit, now: float) -> float:
    """When the next run may begin; not before ``now``."""
    window = Window.of(limit, now)
    return opens_at([tuple(row) for row in database.rows("rate_slots", *rate, window.begins)], limit, now)


def opens_at(slots: Sequence[tuple[int, int]], limit: RateLimit, now: float) -> float:
    """The same from the (end, count) of the slots that count, in order."""
    window = Window.of(limit, now)
    left = sum(count for _, count in slots)
    at = now
    for ends, count in slots:
        if left < limit.count:
            break
        left -= count
        at = _instant(min(ends, window.slot) + window.length)
    return max(at, now)


def longest(limits: Iterable[RateLimit]) -> float:
    """No run is held back for more seconds by one of these."""
    return max((limit.seconds for limit in limits), default=0.0) * (1 + 2 / _SLOTS) + 0.001


def instant_of(now: float) -> int:
    """As the slots have it."""
    return round(now * _SECOND)


def _instant(at: int) -> float:
    """As epoch seconds; rounded back it is not before ``at``."""
    instant = at / _SECOND
    while round(instant * _SECOND) < at:
        instant = math.nextafter(instant, math.inf)
    return instant
