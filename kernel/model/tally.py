"""How large the values of something were: counted by size, so that a million of them take no more room than one."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1.0, 10.0, 100.0, 1_000.0)


class Tally:
    """How many values there were up to each of the ``bounds`` (in ascending order) and beyond, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    def up_to(self) -> list[tuple[str, int]]:
        """Each bound as text, and how many values were not above it; the last one is ``+Inf``."""
        names = [*(str(bound) for bound in self.bounds), "+Inf"]
        return list(zip(names, accumulate(list(self.counts)), strict=True))

    def as_json(self) -> dict[str, Any]:
        return {"count": self.count, "sum": self.sum, "up_to": dict(self.up_to())}
