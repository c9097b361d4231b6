"""Which candidates may begin, in the order of their urgency: decided by all rooms together, with nothing written."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from .candidates import rates_of
from .limits import KEY, RATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.contracts.store import Claim

    from .candidates import Candidate
    from .limits import Key
    from .rates import Rate

FAR = (math.inf, "")


class Choice(NamedTuple):
    """``is_enough``: whether reading more could change nothing."""

    picked: list[Candidate]
    aside: dict[str, list[Candidate]]
    is_enough: bool


def choose(
    wanted: Claim, rooms: Rooms, candidates: Sequence[Candidate], heads: Sequence[Sequence[Candidate]], depth: int
) -> Choice:
    """``heads``: the candidates by lanes; a lane of which ``depth`` were read has more."""
    unread = [head[-1] for head in heads if len(head) == depth]
    horizon = min((one[:2] for one in unread), default=FAR)
    picked: list[Candidate] = []
    aside: dict[str, list[Candidate]] = {}
    for one in candidates:
        if one[:2] > horizon:
            unread = [last for last in unread if rooms.has_lane(last)]
            horizon = min((last[:2] for last in unread), default=FAR)
            if one[:2] > horizon:
                return Choice(picked, aside, is_enough=False)
        if not rooms.has_lane(one):
            continue
        held_by = rooms.held_by(one)
        if held_by is not None:
            if not one.is_suspect:
                aside.setdefault(held_by, []).append(one)
            continue
        rooms.take(one)
        picked.append(one)
        if len(picked) == wanted.limit:
            return Choice(picked, aside, is_enough=True)
    return Choice(picked, aside, not any(rooms.has_lane(last) for last in unread))


class _RatedLane(NamedTuple):
    """``rates``: of its job and its queue. ``is_rated``: whether there are such, or one of a key."""

    rates: list[Rate]
    is_rated: bool


class Rooms:
    """What is left of all rooms while candidates are picked."""

    def __init__(
        self,
        wanted: Claim,
        rates: Mapping[Rate, int],
        keys: Mapping[str, Mapping[Key, float]],
    ) -> None:
        self._wanted = wanted
        self._jobs = dict(wanted.jobs)
        self._queues = dict(wanted.queues)
        self._rates = dict(rates)
        self._keys = dict(keys[KEY])
        self._key_rates = dict(keys[RATE])
        self._suspects = wanted.suspects
        self._lanes: dict[tuple[str, str], _RatedLane] = {}
        self._at_once = math.inf if wanted.at_once is None else wanted.at_once
        self._count = 0
        self.have_left_some = False
        """Whether there were such that a rate counts, too far behind to begin at once."""

    def has_lane(self, one: Candidate) -> bool:
        if self._jobs.get(one.job, 0) <= 0 or self._queues.get(one.queue, 1) <= 0:
            return False
        if one.is_suspect and self._suspects <= 0:
            return False
        lane = self._lane_of(one)
        if any(self._rates[rate] <= 0 for rate in lane.rates):
            return False
        if lane.is_rated and self._count >= self._at_once:
            self.have_left_some = True
            return False
        return True

    def _lane_of(self, one: Candidate) -> _RatedLane:
        key = (one.queue, one.job)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _RatedLane(rates_of(self._wanted, *key), self._wanted.is_rated(*key))
        return lane

    def held_by(self, one: Candidate) -> str | None:
        """Which of its keys holds it back."""
        if one.concurrency_key is not None and self._keys[one.job, one.concurrency_key] <= 0:
            return KEY
        if one.rate_key is not None and self._key_rates[one.job, one.rate_key] <= 0:
            return RATE
        return None

    def take(self, one: Candidate) -> None:
        self._count += 1
        self._jobs[one.job] -= 1
        if one.queue in self._queues:
            self._queues[one.queue] -= 1
        self._suspects -= one.is_suspect
        for rate in self._lane_of(one).rates:
            self._rates[rate] -= 1
        if one.concurrency_key is not None:
            self._keys[one.job, one.concurrency_key] -= 1
        if one.rate_key is not None:
            self._key_rates[one.job, one.rate_key] -= 1
