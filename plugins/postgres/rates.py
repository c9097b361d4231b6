"""How many began when: a sliding window in slots of a hundredth of the period, each counted until all of it has passed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.model.rate import RateLimit

_SLOTS = 100


class Window:
    """``ends``: the ends of slots, in order, each with its count. Kept as instants, they hold when the period changes."""

    def __init__(self, ends: Sequence[float] = (), counts: Sequence[int] = ()) -> None:
        self.ends = list(ends)
        self.counts = list(counts)

    def clip(self, limit: RateLimit, now: float) -> bool:
        """Takes what stands in a time to come for begun now: a clock was put back. Whether there was any."""
        last = _end_of_slot(limit, now)
        if not self.ends or self.ends[-1] <= last:
            return False
        counts: dict[float, int] = {}
        for end, count in zip(self.ends, self.counts, strict=True):
            counts[min(end, last)] = counts.get(min(end, last), 0) + count
        self.ends, self.counts = list(counts), list(counts.values())
        return True

    def room(self, limit: RateLimit, now: float) -> int:
        used = sum(count for end, count in zip(self.ends, self.counts, strict=True) if end + limit.seconds > now)
        return max(limit.count - used, 0)

    def opens_at(self, limit: RateLimit, now: float) -> float:
        """When the next one may begin, not before ``now``."""
        used = [(end + limit.seconds, count) for end, count in zip(self.ends, self.counts, strict=True)]
        used = [(until, count) for until, count in used if until > now]
        total = sum(count for _, count in used)
        opens = now
        for until, count in sorted(used):
            if total < limit.count:
                break
            opens = until
            total -= count
        return opens

    def add(self, limit: RateLimit, now: float, number: int) -> None:
        """So many have begun; what counts no longer is forgotten."""
        end = _end_of_slot(limit, now)
        counts = {
            known: count for known, count in zip(self.ends, self.counts, strict=True) if known + limit.seconds > now
        }
        counts[end] = counts.get(end, 0) + number
        self.ends = sorted(counts)
        self.counts = [counts[known] for known in self.ends]


def _end_of_slot(limit: RateLimit, now: float) -> float:
    width = limit.seconds / _SLOTS
    return (math.floor(now / width) + 1) * width
