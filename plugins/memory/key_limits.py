"""What holds groups of runs back: how many of each concurrency key are running, and how many of each rate key begin."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernel.contracts.store import Claim

    from .keyed_lane import Group, KeyedLane
    from .rates import RateKey, Rates
    from .rows import Keys

TIDY_FROM = 64
"""Fewer entries than this that count no more are not worth tidying up."""


class KeyLimits:
    """A group that is held back is let go when that may have changed; the next claim finds out."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._claim: Claim | None = None
        self._running: dict[tuple[str, str], int] = {}
        self._full: dict[tuple[str, str], dict[Group, KeyedLane]] = {}
        """Job and concurrency key -> what is held back by it."""
        self._until: dict[Group, tuple[float, KeyedLane]] = {}
        """What is held back by a rate, and until when; ``_heap`` has the same in the order of time."""
        self._heap: list[tuple[float, int, Group]] = []
        self._pushed = 0

    def look(self, claim: Claim) -> None:
        """Lets go what may begin under this claim, though it could not under the last one."""
        last, self._claim = self._claim, claim
        if last is not None and (last.key_limits != claim.key_limits or last.key_rates != claim.key_rates):
            self._let_all_go()
        if last is not None and claim.now < last.now:
            # The clock was put back: what was held until then may begin sooner.
            self._let_rates_go()
        while (at := self.room_at()) is not None and at <= claim.now:
            group = heappop(self._heap)[2]
            self._until.pop(group)[1].let_go(group)

    def may_begin(self, lane: KeyedLane, group: Group) -> bool:
        """Whether one more run of ``group`` may begin now; when not, it is held back."""
        claim = self._claim
        if claim is None:
            return True
        key, rate_key = group.keys
        most = claim.key_limits.get(lane.job)
        if most is not None and key is not None and self._running.get((lane.job, key), 0) >= most:
            lane.hold(group)
            self._full.setdefault((lane.job, key), {})[group] = lane
            return False
        rate = claim.key_rates.get(lane.job)
        if rate is not None and rate_key is not None:
            at = self._rates.room_at(_rate_of(lane.job, rate_key), rate, claim.now)
            if at > claim.now:
                lane.hold(group)
                self._hold_until(at, lane, group)
                return False
        return True

    def begin(self, job: str, keys: Keys) -> None:
        """A run with these keys has been claimed."""
        key, rate_key = keys
        if key is not None:
            self._running[job, key] = self._running.get((job, key), 0) + 1
        rate = None if self._claim is None else self._claim.key_rates.get(job)
        if self._claim is not None and rate is not None and rate_key is not None:
            self._rates.take(_rate_of(job, rate_key), rate, self._claim.now)

    def end(self, job: str, key: str) -> None:
        """A run with this concurrency key runs no more."""
        left = self._running[job, key] - 1
        if left:
            self._running[job, key] = left
        else:
            del self._running[job, key]
        for group, lane in self._full.pop((job, key), {}).items():
            lane.let_go(group)

    def forget(self, job: str, group: Group) -> None:
        """A group that was held back is empty."""
        self._until.pop(group, None)
        key = group.keys[0]
        if key is not None and (held := self._full.get((job, key))) is not None:
            held.pop(group, None)
            if not held:
                del self._full[job, key]

    def room_at(self) -> float | None:
        """When the first of those that a rate holds back may begin."""
        heap = self._heap
        while heap and not self._stands(heap[0]):
            heappop(heap)
        return heap[0][0] if heap else None

    def _hold_until(self, at: float, lane: KeyedLane, group: Group) -> None:
        self._until[group] = (at, lane)
        self._pushed += 1
        heappush(self._heap, (at, self._pushed, group))
        if len(self._heap) > TIDY_FROM + 2 * len(self._until):
            self._heap = [entry for entry in self._heap if self._stands(entry)]
            heapify(self._heap)

    def _stands(self, entry: tuple[float, int, Group]) -> bool:
        held = self._until.get(entry[2])
        return held is not None and held[0] == entry[0]

    def _let_all_go(self) -> None:
        full, self._full = self._full, {}
        for held in full.values():
            for group, lane in held.items():
                lane.let_go(group)
        self._let_rates_go()

    def _let_rates_go(self) -> None:
        until = self._until
        self._until, self._heap = {}, []
        for group, (_, lane) in until.items():
            lane.let_go(group)


def _rate_of(job: str, key: str) -> RateKey:
    return "key", job, key
