"""Claims where limits are counted by the store: of keys, of rates, and of suspects.

The candidates of all lanes are gone through in the order of their urgency. One that its key's limit holds back is set
aside, and the lanes are read again; one that a job's or queue's rate holds back only makes its lane closed.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from operator import itemgetter
from typing import TYPE_CHECKING

from .candidates import by_lane, key_rate, rates_of, read_lanes, static_room
from .limits import KEY, RATE, Key, Lane, refill, set_aside, wait_for_rates, wake
from .marking import mark_picked
from .picking import FAR, Rooms, choose
from .rates import Rate, add, room_at, rooms
from .rows import nested

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kernel.contracts.store import Claim
    from kernel.model.rate import RateLimit
    from kernel.model.run import Claimed

    from .candidates import Candidate, Place
    from .database import Database

_MOST_CANDIDATES = 4096
_MOST_ASIDE = 4096
"""So many are set aside by one claim; then it gives what it has, and the next one goes on."""


def concerns(wanted: Claim, lanes: Iterable[Sequence[str]]) -> bool:
    """Whether one of the lanes has a limit that is counted here."""
    if not (wanted.key_limits or wanted.job_rates or wanted.queue_rates or wanted.key_rates):
        return False
    return any(
        job in wanted.key_limits or job in wanted.job_rates or job in wanted.key_rates or queue in wanted.queue_rates
        for queue, job in lanes
    )


def take(
    database: Database, wanted: Claim, lanes: Sequence[tuple[str, str]], some_suspects: list[Candidate]
) -> tuple[list[Claimed], float | None]:
    """What is claimed, and when a rate that held runs back has room again."""
    search = _Search(database, wanted, some_suspects)
    picked = search.run(lanes)
    runs = mark_picked(database, wanted, [(one.seq, one.queue, one.job) for one in picked])
    database.keyed.update(one.id for one in picked if one.concurrency_key is not None)
    return runs, search.settle(picked)


class _Search:
    """Reads candidates, deeper and deeper, until enough are picked."""

    def __init__(self, database: Database, wanted: Claim, some_suspects: list[Candidate]) -> None:
        self._database = database
        self._wanted = wanted
        self._suspects = some_suspects
        self._lanes: list[tuple[str, str]] = []
        self._limits: dict[Rate, RateLimit] = {
            **{Rate("job", job, ""): limit for job, limit in wanted.job_rates.items()},
            **{Rate("queue", queue, ""): limit for queue, limit in wanted.queue_rates.items()},
        }
        self._left = rooms(database, self._limits, wanted.now)
        self._keys: dict[str, dict[Key, float]] = {KEY: {}, RATE: {}}
        """Of each kind the room of the keys that were met."""
        self._more: dict[str, set[Lane]] = {KEY: set(), RATE: set()}
        """Of each kind where runs are held back."""
        self._refilled: set[tuple[str, Lane]] = set()
        self._is_cut_short = False
        """Whether there was more to take than this claim takes."""

    def run(self, lanes: Sequence[tuple[str, str]]) -> list[Candidate]:
        """What is picked, in order."""
        if self._wanted.limit <= 0:
            return []
        self._open(lanes)
        most = max(_MOST_CANDIDATES // max(len(lanes), 1), 8)
        depth = min(max(self._most(), 64), most)
        aside = 0
        while True:
            heads = read_lanes(self._database, self._wanted, self._lanes, depth)
            candidates = sorted([*self._suspects, *(one for head in heads for one in head)], key=itemgetter(0, 1))
            if self._refill(candidates, heads, depth):
                continue
            rooms_left = Rooms(self._wanted, self._left, self._keys)
            choice = choose(self._wanted, rooms_left, candidates, heads, depth)
            others_came = sum(self._set_aside(kind, ones) for kind, ones in choice.aside.items()) > 0
            aside += sum(map(len, choice.aside.values()))
            if aside >= _MOST_ASIDE and (others_came or not choice.is_enough):
                self._is_cut_short = True
            if self._is_cut_short or (choice.is_enough and not others_came):
                self._is_cut_short = self._is_cut_short or rooms_left.have_left_some
                return choice.picked
            if others_came:
                self._open(self._lanes_with_runs())
            depth = min(depth * 4, max(most, self._wanted.limit))

    def _most(self) -> int:
        """How many can be taken at the most."""
        wanted = self._wanted
        if wanted.at_once is not None and all(wanted.is_rated(*lane) for lane in self._lanes):
            return min(wanted.limit, wanted.at_once)
        return wanted.limit

    def settle(self, picked: Sequence[Candidate]) -> float | None:
        """Counts what begins, and sees to it that what is held back comes back in time: when the first of it does."""
        wanted = self._wanted
        begun = Counter(
            rate for one in picked for rate in (*rates_of(wanted, one.queue, one.job), *key_rate(wanted, one))
        )
        add(self._database, begun, self._limits, wanted.now)
        self._offer_next(picked)
        at = [room_at(self._database, rate, self._limits[rate], wanted.now) for rate in self._holding(picked, begun)]
        full = {
            rate: self._limits[rate]
            for rate in (Rate("key", job, key) for _, job, key in self._more[RATE] if self._keys[RATE][job, key] <= 0)
        }
        following = wait_for_rates(self._database, full, wanted.now)
        if following is not None:
            at.append(following)
        if self._is_cut_short:
            at.append(wanted.now)
        return min(at, default=None)

    def _holding(self, picked: Sequence[Candidate], begun: Mapping[Rate, int]) -> set[Rate]:
        """The rates of jobs and queues that hold runs back, and those of the keys of suspects; whatever else does, too."""
        waiting = [one for one in self._suspects if one not in picked]
        holding = {
            rate
            for one in waiting
            for rate in key_rate(self._wanted, one)
            if self._keys[RATE].get((rate.name, rate.key), 1) <= 0
        }
        full = {rate for rate, left in self._left.items() if left <= begun.get(rate, 0)}
        if full:
            lanes = [*self._lanes_with_runs(), *([one.queue, one.job] for one in waiting)]
            of_lanes = (rates_of(self._wanted, queue, job) for queue, job in lanes if job in self._wanted.jobs)
            holding.update(rate for rates in of_lanes for rate in rates if rate in full)
        return holding

    def _offer_next(self, picked: Sequence[Candidate]) -> None:
        """Where a key still has room, the next that is held back for it waits in its lane, so that the next claim meets it."""
        for one in picked:
            if one.concurrency_key is not None:
                self._keys[KEY][one.job, one.concurrency_key] -= 1
            if one.rate_key is not None:
                self._keys[RATE][one.job, one.rate_key] -= 1
        for kind, lanes in self._more.items():
            some = [lane for lane in lanes if self._keys[kind][lane[1:]] > 0]
            if some:
                refill(self._database, kind, some, 1)

    def _open(self, lanes: Iterable[Sequence[str]]) -> None:
        """Only those of these lanes are looked at that have room."""
        found = [(queue, job) for queue, job in lanes if static_room(self._wanted, queue, job) > 0]
        self._lanes = [lane for lane in found if all(self._left[rate] > 0 for rate in rates_of(self._wanted, *lane))]

    def _lanes_with_runs(self) -> list[list[str]]:
        lanes: list[list[str]] = json.loads(self._database.row("claim_facts")[3])
        return lanes

    def _refill(self, candidates: Sequence[Candidate], heads: Sequence[Sequence[Candidate]], depth: int) -> bool:
        """Brings back what was held back for a key that has room, as far as it is more urgent than what is here or missing."""
        is_changed = False
        unread = {(head[-1].queue, head[-1].job): head[-1][:2] for head in heads if len(head) == depth}
        for kind in (KEY, RATE):
            lanes = by_lane(candidates, kind)
            asked = [lane for lane in lanes if (kind, lane) not in self._refilled]
            by_size: defaultdict[int, list[Lane]] = defaultdict(list)
            for lane, head in zip(asked, self._heads(kind, asked), strict=True):
                here, last = lanes[lane], unread.get(lane[:2], FAR)
                size = int(min(self._keys[kind][lane[1:]], self._wanted.limit))
                is_wanted = head is not None and size > 0 and (len(here) < size or head < here[size - 1])
                is_near = is_wanted and head is not None and head < last
                if is_near:
                    by_size[size if head is None or head < here[-1] else size - len(here)].append(lane)
                if last == FAR or is_near or not is_wanted:
                    self._refilled.add((kind, lane))
            for size, some in by_size.items():
                refill(self._database, kind, some, size)
                is_changed = True
        return is_changed

    def _heads(self, kind: str, lanes: Sequence[Lane]) -> list[Place | None]:
        """Where the most urgent stands that is held back of each; finds out what room the keys have."""
        if not lanes:
            return []
        found = self._database.list_each(f"limit_{kind}_facts", lanes)
        if kind == KEY:
            for (_, job, key), (running, _) in zip(lanes, found, strict=True):
                self._keys[KEY][job, key] = self._wanted.key_limits.get(job, math.inf) - running
            found = [head for _, head in found]
        else:
            limits = {
                Rate("key", job, key): self._wanted.key_rates[job]
                for _, job, key in lanes
                if job in self._wanted.key_rates
            }
            self._limits |= limits
            left = rooms(self._database, limits, self._wanted.now)
            for _, job, key in lanes:
                self._keys[RATE][job, key] = left.get(Rate("key", job, key), math.inf)
        self._more[kind].update(lane for lane, head in zip(lanes, found, strict=True) if head is not None)
        return [_place(head) for head in found]

    def _set_aside(self, kind: str, ones: Sequence[Candidate]) -> int:
        """Who is held back by one key makes way for others of its other key: how many."""
        set_aside(self._database, kind, [one.seq for one in ones])
        self._more[kind].update(by_lane(ones, kind))
        other = RATE if kind == KEY else KEY
        return wake(self._database, other, [lane[1:] for one in ones for lane in by_lane([one], other)])


def _place(head: object) -> Place | None:
    if head is None:
        return None
    urgency, run_id = nested(head)
    return float(urgency), run_id
