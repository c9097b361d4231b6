"""All queued runs in their lanes, and the most urgent of all lanes that have room."""

from __future__ import annotations

from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING

from .key_limits import KeyLimits
from .keyed_lane import KeyedLane, KeyedPlace
from .lane import Key, Lane
from .rate_rooms import RateRooms
from .rows import JOB, PRIORITY, QUEUE, is_apart, is_suspect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kernel.contracts.store import Claim

    from .rates import Rates
    from .rows import Waits


class Lanes:
    """All lanes that have runs."""

    def __init__(self, runs: dict[str, Waits], rates: Rates) -> None:
        self._runs = runs
        self._rates = rates
        self.keys = KeyLimits(rates)
        self._lanes: dict[tuple[str, str, int], Lane] = {}
        self._keyed: dict[KeyedPlace, KeyedLane] = {}
        self._room_at: float | None = None

    def add(self, run: Waits) -> None:
        if is_apart(run):
            place = _keyed_place(run)
            lane = self._keyed.get(place)
            if lane is None:
                lane = self._keyed[place] = KeyedLane(place, self._runs, self.keys)
            lane.add(run)
        else:
            self.lane_of(run).add(run)

    def lane_of(self, run: Waits) -> Lane:
        """The lane of ``run``, which does not stand apart; one that did not exist is made, to be filled at once."""
        key = (run[QUEUE], run[JOB], run[PRIORITY])
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, self._runs)
        return lane

    def leave(self, run: Waits) -> None:
        lane: Lane | KeyedLane
        if is_apart(run):
            lane = self._keyed[_keyed_place(run)]
            lane.leave_one(run)
        else:
            lane = self._lanes[run[QUEUE], run[JOB], run[PRIORITY]]
            lane.leave()
        if not lane:
            self._drop(lane)

    def oldest(self) -> Iterator[Waits]:
        """The first run of each lane; since a lane has one priority, it was due first of all in it."""
        for lane in self._lanes.values():
            head = lane.head()
            if head is not None:
                yield self._runs[head[1]]
        for keyed in self._keyed.values():
            head = keyed.oldest()
            if head is not None:
                yield self._runs[head[1]]

    def room_at(self) -> float | None:
        """When a rate limit that held runs back at the last claim has room again."""
        if not self._keyed:
            return self._room_at
        return earliest(self._room_at, self.keys.room_at())

    def take(self, claim: Claim, left: Callable[[str, int], None]) -> list[Waits]:
        """Takes out what ``claim`` asks for, in order; ``left`` is told how many have left which queue."""
        last = None if claim.before is None else (claim.before, "")
        self._room_at = None
        if self._keyed:
            self.keys.look(claim)
        if claim.job_rates or claim.queue_rates:
            rooms = RateRooms(claim, self._rates)
            taken = self._take(claim, rooms.jobs, rooms.queues, last, left)
            rooms.take()
            room_at = rooms.room_at((lane.job, lane.queue) for lane in self._lanes_of(claim.suspects))
            self._room_at = earliest(self._room_at, room_at)
            return taken
        if len(self._lanes) == 1 and not self._keyed:
            return self._take_of_one(claim, last, left)
        return self._take(claim, dict(claim.jobs), dict(claim.queues), last, left)

    def _take(
        self,
        claim: Claim,
        jobs: dict[str, int],
        queues: dict[str, int],
        last: Key | None,
        left: Callable[[str, int], None],
    ) -> list[Waits]:
        """``jobs`` and ``queues``: the room that there is, of which is taken away what is used up."""
        suspects = claim.suspects
        heads = self._heads(jobs, queues, suspects)
        taken: list[Waits] = []
        while heads and (before := len(taken)) < claim.limit:
            key, lane = heads[0]
            if last is not None and key >= last:
                break
            most = min(
                _limit_of(claim, lane, before, suspects) - before, jobs[lane.job], queues.get(lane.queue, claim.limit)
            )
            if most <= 0:
                heappop(heads)
                if _is_left(claim, lane, before) and jobs[lane.job] > 0 and queues.get(lane.queue, 1) > 0:
                    self._room_at = claim.now
                continue
            head = lane.take(taken, most, _bound(last, heads))
            count = len(taken) - before
            jobs[lane.job] -= count
            if lane.queue in queues:
                queues[lane.queue] -= count
            suspects -= count * lane.is_suspect
            if count:
                left(lane.queue, count)
            if head is None:
                heappop(heads)
                if not lane:
                    self._drop(lane)
            else:
                heapreplace(heads, (head, lane))
        return taken

    def _take_of_one(self, claim: Claim, last: Key | None, left: Callable[[str, int], None]) -> list[Waits]:
        """The same where there is but one lane, as there is most of the time."""
        [lane] = self._lanes.values()
        taken: list[Waits] = []
        most = min(claim.limit, claim.jobs.get(lane.job, 0), claim.queues.get(lane.queue, claim.limit))
        if lane.take(taken, most, last) is None:
            self._drop(lane)
        left(lane.queue, len(taken))
        return taken

    def _heads(self, jobs: dict[str, int], queues: dict[str, int], suspects: int) -> list[tuple[Key, Lane | KeyedLane]]:
        heads = [
            (lane.head(), lane)
            for lane in self._lanes_of(suspects)
            if jobs.get(lane.job, 0) > 0 and queues.get(lane.queue, 1) > 0
        ]
        found = [(key, lane) for key, lane in heads if key is not None]
        heapify(found)
        return found

    def _lanes_of(self, suspects: int) -> Iterator[Lane | KeyedLane]:
        """All, but those of suspects only when there may be some."""
        yield from self._lanes.values()
        for lane in self._keyed.values():
            if suspects > 0 or not lane.is_suspect:
                yield lane

    def _drop(self, lane: Lane | KeyedLane) -> None:
        if isinstance(lane, KeyedLane):
            del self._keyed[lane.place]
        else:
            del self._lanes[lane.queue, lane.job, lane.priority]


def _limit_of(claim: Claim, lane: Lane | KeyedLane, before: int, suspects: int) -> int:
    """Of how many of the claim, ``before`` of them taken already, one of this lane may be the last."""
    limit = claim.limit
    if claim.at_once is not None and claim.is_rated(lane.queue, lane.job):
        limit = min(limit, claim.at_once)
    return min(limit, before + suspects) if lane.is_suspect else limit


def _is_left(claim: Claim, lane: Lane | KeyedLane, before: int) -> bool:
    """Whether a rate counts the runs of this lane, and they stand too far behind to begin at once."""
    return claim.at_once is not None and before >= claim.at_once and claim.is_rated(lane.queue, lane.job)


def _keyed_place(run: Waits) -> KeyedPlace:
    return run[QUEUE], run[JOB], run[PRIORITY], is_suspect(run)


def earliest(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _bound(last: Key | None, heads: list[tuple[Key, Lane | KeyedLane]]) -> Key | None:
    """Up to where the first lane may be taken from before another one, or ``last``, comes first."""
    for key, _ in heads[1:3]:
        if last is None or key < last:
            last = key
    return last
