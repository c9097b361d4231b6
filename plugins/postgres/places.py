"""Limits of jobs and queues over all kernels: how many more runs of each may be claimed now.

Whoever claims under such a limit locks it until he has committed and counts what runs under it on all kernels. An end of
a run takes no lock: what it changes is that there is more room. A kernel that finds a limit used up writes down that it
wants places; for as long as that holds, no other one takes more than its share of them.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kernel.contracts.store import Claim
    from kernel.model.run import Claimed

    from .database import Database

LimitName = tuple[str, str]
"""(job or queue, its name)."""

WANT_SECONDS = 3.0
"""So long a wish holds; whoever still has it looks once a second, and says so again."""
_RENEW_SECONDS = 2.0
_FULL_SECONDS = 1.0


class Full:
    """Limits that were found used up a moment ago: the next claim need not look at them, and goes the quick way."""

    def __init__(self) -> None:
        self._until: dict[LimitName, tuple[int, float]] = {}
        self.generation = 0
        """Grows with whatever may make room: what was found before that is not noted any more."""

    def shut(self, claim: Claim) -> Claim:
        """The claim without room for these."""
        now = time.monotonic()
        jobs = [name for name, limit in claim.job_limits.items() if self._is_full(("job", name), limit, now)]
        queues = [name for name, limit in claim.queue_limits.items() if self._is_full(("queue", name), limit, now)]
        if not jobs and not queues:
            return claim
        return claim._replace(
            jobs={**claim.jobs, **dict.fromkeys(jobs, 0)}, queues={**claim.queues, **dict.fromkeys(queues, 0)}
        )

    def note(self, limits: Iterable[tuple[LimitName, int, float]], generation: int) -> None:
        """(limit, its number, for how many seconds at the most)."""
        if generation == self.generation:
            now = time.monotonic()
            for name, number, seconds in limits:
                self._until[name] = (number, now + min(seconds, _FULL_SECONDS))

    def forget(self, lanes: Iterable[tuple[str, str]]) -> None:
        """Runs of these (job, queue) have ended."""
        if self._until:
            for job, queue in lanes:
                for name in (("job", job), ("queue", queue)):
                    if self._until.pop(name, None) is not None:
                        self.generation += 1

    def clear(self) -> None:
        self.generation += 1
        self._until.clear()

    def _is_full(self, name: LimitName, limit: int, now: float) -> bool:
        number, until = self._until.get(name, (0, 0.0))
        return number == limit and now < until


class _Limit(NamedTuple):
    """A limit that is locked: ``mine`` of what runs under it is this kernel's, and ``allowed`` more may be."""

    mine: int
    share: int
    allowed: int
    asked_again_in: float
    """Seconds until what others want is their last word; infinite when nobody wants anything."""


class Places:
    """What one claim may take of the limits of which runs wait; they are locked."""

    def __init__(self, claim: Claim, now: float, generation: int) -> None:
        self._claim = claim
        self._now = now
        self._generation = generation
        self._limits: dict[LimitName, _Limit] = {}

    @classmethod
    async def begin(cls, database: Database, claim: Claim, now: float) -> Places:
        places = cls(claim, now, database.known.full.generation)
        jobs, queues = list(claim.job_limits), list(claim.queue_limits)
        lock = database.statements.in_schema("mainspring.places")
        names = [(kind, name) for kind, name in await database.rows("places_lock", jobs, queues, lock)]
        if names:
            held = _by_limit(await database.rows("places_held", jobs, queues))
            wanted: defaultdict[LimitName, dict[str, float]] = defaultdict(dict)
            for kind, name, kernel, seconds in await database.rows("places_wanted"):
                wanted[kind, name][kernel] = seconds
            for limit in names:
                places._limits[limit] = places._count(limit, held[limit], wanted[limit])
        return places

    def narrowed(self) -> Claim:
        """The claim with no more room than there is; of limits that are not locked, for none of their runs was waiting, none."""
        claim = self._claim
        jobs = {name: min(claim.jobs.get(name, 0), self._allowed("job", name)) for name in claim.job_limits}
        queues = {
            name: min(claim.queues.get(name, claim.limit), self._allowed("queue", name)) for name in claim.queue_limits
        }
        return claim._replace(
            jobs={**claim.jobs, **{name: room for name, room in jobs.items() if name in claim.jobs}},
            queues={**claim.queues, **queues},
            job_limits={},
            queue_limits={},
        )

    async def write(self, database: Database, runs: Sequence[Claimed]) -> None:
        """Says what this kernel wants beyond these, and keeps in mind what is used up."""
        taken = Counter(limit for run in runs for limit in (("job", run.job), ("queue", run.queue)))
        wanting = sorted(name for name, limit in self._limits.items() if self._wants(name, limit, taken[name]))
        if wanting:
            kinds, names = zip(*wanting, strict=True)
            await database.change("place_want", kinds, names, self._claim.kernel, WANT_SECONDS, _RENEW_SECONDS)
        full = [
            (name, self._number(name), limit.asked_again_in)
            for name, limit in self._limits.items()
            if taken[name] >= limit.allowed
        ]
        generation = self._generation
        database.after_commit.append(lambda: database.known.full.note(full, generation))

    @property
    def opens(self) -> float | None:
        """When to look again at what was left to others, should they not take it."""
        waits = [limit.asked_again_in for limit in self._limits.values()]
        soonest = min(waits, default=math.inf)
        return None if soonest == math.inf else self._now + soonest

    def _count(self, name: LimitName, held: Counter[str], wanted: dict[str, float]) -> _Limit:
        me, number = self._claim.kernel, self._number(name)
        share = math.ceil(number / len({me, *held, *wanted}))
        mine, free = held[me], max(number - held.total(), 0)
        others = [seconds for kernel, seconds in wanted.items() if kernel != me and held[kernel] < share]
        if not others or free <= 0:
            return _Limit(mine, share, free, math.inf)
        allowed = min(free, max(share - mine, 0))
        return _Limit(mine, share, allowed, max(others) if allowed < free else math.inf)

    def _wants(self, name: LimitName, limit: _Limit, taken: int) -> bool:
        """Whether others have what this kernel could use now, and would be due to it."""
        rooms = self._claim.jobs if name[0] == "job" else self._claim.queues
        room = min(rooms.get(name[1], self._claim.limit), self._claim.limit)
        return limit.allowed < room and taken >= limit.allowed and limit.mine + taken < limit.share

    def _allowed(self, kind: str, name: str) -> int:
        limit = self._limits.get((kind, name))
        return 0 if limit is None else limit.allowed

    def _number(self, name: LimitName) -> int:
        return (self._claim.job_limits if name[0] == "job" else self._claim.queue_limits)[name[1]]


def _by_limit(rows: Iterable[tuple[str, str, str, int]]) -> defaultdict[LimitName, Counter[str]]:
    """What runs under each limit: kernel -> how many."""
    held: defaultdict[LimitName, Counter[str]] = defaultdict(Counter)
    for kernel, queue, job, number in rows:
        held["job", job][kernel] += number
        held["queue", queue][kernel] += number
    return held
