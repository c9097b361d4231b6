"""Runs that the limit of their key holds back: they leave their lane, and wait there again when there may be room.

Of each key and lane (queue, job), something waits in the lane as long as anything is held back there, or else runs of
the key are running (then the next comes back when one of them ends) or an instant stands in ``rate_wait`` (then it
comes back at that). So a claim meets what may go, and never the many that may not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from .database import json_of
from .rates import longest, room_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kernel.model.rate import RateLimit

    from .database import Database
    from .rates import Rate

Key = tuple[str, str]
"""(job, key)."""
Lane = tuple[str, str, str]
"""(queue, job, key)."""

KEY, RATE = "key", "rate"
_AHEAD = 16
"""So many of one key wait in their lane; newcomers behind them are held back at once, so that claims need not do it."""


def hold_newcomers(database: Database, last: int) -> None:
    """Of those that have entered since ``last``."""
    for kind in (RATE, KEY):
        database.change(f"limit_{kind}_new", last, _AHEAD, _AHEAD)


def wake(database: Database, kind: str, keys: Iterable[Key]) -> int:
    """Runs of these keys, each as often as it stands here, have left what held others back: how many come."""
    by_count: defaultdict[int, list[Key]] = defaultdict(list)
    for key, count in Counter(keys).items():
        by_count[count].append(key)
    return sum(database.change_each(f"limit_{kind}_wake", some, count) for count, some in by_count.items())


def wake_all(database: Database) -> None:
    """The limits are others than before: of each key the most urgent shows how many may go."""
    for kind in (KEY, RATE):
        wake(database, kind, [(job, key) for job, key in database.rows(f"limit_{kind}_all")])


def wake_due(database: Database, limits: Mapping[str, RateLimit], now: float) -> bool:
    """Whether there were rates to be looked at again; also those whose instant is too far, since the clock was set back."""
    due = [(job, key) for job, key in database.rows("rate_wait_due", now)]
    last = database.value("rate_wait_last")
    if last is not None and last > now + longest(limits.values()):
        due += [
            (job, key)
            for job, key, until in database.rows("rate_wait_after", now)
            if job in limits and until > now + longest([limits[job]])
        ]
    if due:
        wake(database, RATE, due)
        database.change_each("rate_wait_over", due)
    return bool(due)


def set_aside(database: Database, kind: str, seqs: Sequence[int]) -> None:
    database.change(f"limit_{kind}_aside", json_of(seqs))


def refill(database: Database, kind: str, lanes: Sequence[Lane], size: int) -> None:
    """So many of each (queue, job, key) wait in their lane again."""
    database.change_each(f"limit_{kind}_refill", lanes, size)


def wait_for_rates(database: Database, rates: Mapping[Rate, RateLimit], now: float) -> float | None:
    """Of these keys runs are held back until there is room. When the next ones of all keys are looked at again."""
    waits = [(rate.name, rate.key, room_at(database, rate, limit, now)) for rate, limit in rates.items()]
    if waits:
        database.change_each("rate_wait_put", waits)
    following: float | None = database.value("rate_wait_next")
    return following
