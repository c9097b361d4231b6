"""What is counted over all kernels: runs of one key that run at once, and how many begin within a period.

All of it under one lock, which is held for one short transaction. A run that a key's limit holds back is parked: out of
the lanes, until a run of its key ends or its rate has room.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from .rates import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kernel.contracts.store import Claim
    from kernel.model.rate import RateLimit

    from .database import Database

RateName = tuple[str, str, str]
"""(kind, name, key)."""
Key = tuple[str, str]
"""(job, key)."""

_KEY = "key"
_MOST_FREED = 1_000
"""So many of a key are set free at a time when it has no limit any more."""
_LOOK_AGAIN_SECONDS = 0.1


class Candidate(NamedTuple):
    """A queued run that is locked, as ``heads.sql`` gives it."""

    id: str
    urgency: float
    queue: str
    job: str
    concurrency_key: str | None
    rate_key: str | None
    is_suspect: bool
    depth: int
    """Of its lane so many were looked for."""


class Counts:
    """What is known of the limits in this transaction, and what has been taken of them."""

    def __init__(self, claim: Claim, now: float) -> None:
        self._claim = claim
        self._now = now
        self._rooms: dict[Key, int] = {}
        self._windows: dict[RateName, Window] = {}
        self._taken: dict[RateName, int] = {}
        self._parked_by_rate: set[RateName] = set()
        self._clipped: set[RateName] = set()
        self.opens: float | None = None
        """The earliest instant at which a limit that held runs back has room again."""

    @classmethod
    async def begin(cls, database: Database, claim: Claim, now: float) -> Counts:
        """Under the lock, if there is any limit."""
        counts = cls(claim, now)
        if is_limited(claim):
            await lock(database)
            names: list[RateName] = [("job", job, "") for job in claim.job_rates if claim.jobs.get(job, 0) > 0]
            names += [("queue", queue, "") for queue in claim.queue_rates]
            await counts._read_rates(database, names)
        return counts

    def room_of_job(self, job: str) -> int:
        room = self._claim.jobs.get(job, 0)
        limit = self._claim.job_rates.get(job)
        return room if limit is None else min(room, self._room(("job", job, ""), limit))

    def room_of_queue(self, queue: str) -> int | None:
        room = self._claim.queues.get(queue)
        limit = self._claim.queue_rates.get(queue)
        if limit is None:
            return room
        left = self._room(("queue", queue, ""), limit)
        return left if room is None else min(room, left)

    async def read_keys(self, database: Database, candidates: Iterable[Candidate]) -> None:
        """What the keys of these have used, as far as it is not known yet."""
        keys: dict[Key, None] = {}
        names: dict[RateName, None] = {}
        for one in candidates:
            if one.concurrency_key is not None and one.job in self._claim.key_limits:
                keys[one.job, one.concurrency_key] = None
            if one.rate_key is not None and one.job in self._claim.key_rates:
                names[_KEY, one.job, one.rate_key] = None
        asked = [key for key in keys if key not in self._rooms]
        if asked:
            jobs, texts = zip(*asked, strict=True)
            for number, running in await database.rows("running_by_key", jobs, texts):
                key = asked[number - 1]
                self._rooms[key] = self._claim.key_limits[key[0]] - running
        await self._read_rates(database, [name for name in names if name not in self._windows])

    def admits(self, one: Candidate) -> bool:
        """Whether its keys have room; if not, it is to be parked."""
        key = (one.job, one.concurrency_key or "")
        if one.concurrency_key is not None and self._rooms.get(key, 1) <= 0:
            return False
        limit = self._claim.key_rates.get(one.job)
        if one.rate_key is None or limit is None:
            return True
        name = (_KEY, one.job, one.rate_key)
        if self._room(name, limit) > 0:
            return True
        self._parked_by_rate.add(name)
        return False

    def take(self, one: Candidate) -> None:
        if one.concurrency_key is not None and (one.job, one.concurrency_key) in self._rooms:
            self._rooms[one.job, one.concurrency_key] -= 1
        names: list[tuple[RateName, bool]] = [
            (("job", one.job, ""), one.job in self._claim.job_rates),
            (("queue", one.queue, ""), one.queue in self._claim.queue_rates),
            ((_KEY, one.job, one.rate_key or ""), one.rate_key is not None and one.job in self._claim.key_rates),
        ]
        for name, is_limited_so in names:
            if is_limited_so:
                self._taken[name] = self._taken.get(name, 0) + 1

    def expect_lanes(self, lanes: Iterable[tuple[str, str]]) -> None:
        """``lanes``: (queue, job) of those that still have queued runs; which of them a rate has closed."""
        for queue, job in lanes:
            if self._claim.jobs.get(job, 0) <= 0 or self._claim.queues.get(queue, 1) <= 0:
                continue
            for name, rates in (
                (("job", job, ""), self._claim.job_rates),
                (("queue", queue, ""), self._claim.queue_rates),
            ):
                limit = rates.get(name[1])
                if limit is not None and self._room(name, limit) <= 0:
                    self.expect(self._window_after(name, limit).opens_at(limit, self._now))

    async def write(self, database: Database) -> None:
        """What was taken counts from now on, for all kernels."""
        rows = []
        for name in sorted(self._taken.keys() | self._parked_by_rate | self._clipped):
            limit = self._limit_of(name)
            window = self._window_after(name, limit)
            opens = window.opens_at(limit, self._now) if name in self._parked_by_rate else None
            if opens is not None:
                self.expect(opens)
            rows.append((*name, _array(window.ends), _array(window.counts), opens))
        if rows:
            await database.change("rate_put", *zip(*rows, strict=True))

    def expect(self, opens: float) -> None:
        self.opens = opens if self.opens is None else min(self.opens, opens)

    def _limit_of(self, name: RateName) -> RateLimit:
        kind, of, _ = name
        rates = {"job": self._claim.job_rates, "queue": self._claim.queue_rates, _KEY: self._claim.key_rates}
        return rates[kind][of]

    def _window_after(self, name: RateName, limit: RateLimit) -> Window:
        known = self._windows.get(name)
        window = Window() if known is None else Window(known.ends, known.counts)
        if self._taken.get(name):
            window.add(limit, self._now, self._taken[name])
        return window

    def _room(self, name: RateName, limit: RateLimit) -> int:
        window = self._windows.get(name)
        room = limit.count if window is None else window.room(limit, self._now)
        return room - self._taken.get(name, 0)

    async def _read_rates(self, database: Database, names: list[RateName]) -> None:
        if names:
            found = await windows(database, names)
            for name in names:
                window = self._windows[name] = found.get(name, Window())
                if window.clip(self._limit_of(name), self._now):
                    self._clipped.add(name)


def is_limited(claim: Claim) -> bool:
    return bool(claim.key_limits or claim.key_rates or claim.job_rates or claim.queue_rates)


async def lock(database: Database) -> None:
    await database.rows("limits_lock", database.statements.in_schema("mainspring.limits"))


async def windows(database: Database, names: list[RateName]) -> dict[RateName, Window]:
    rows = await database.rows("rates_lock", *zip(*names, strict=True))
    return {(kind, name, key): Window(ends, counts) for kind, name, key, ends, counts in rows}


async def unpark(database: Database, ended: Mapping[Key, int]) -> None:
    """So many runs of each (job, key) run no longer: as many that wait for it are queued."""
    await lock(database)
    keys = sorted(ended)
    jobs, texts = zip(*keys, strict=True)
    await database.change("unpark", jobs, texts, [ended[key] for key in keys])


def longest_wait(claim: Claim) -> float:
    """No key of a rate opens later than this: if one seems to, a clock was put back."""
    return max((limit.seconds * 1.02 for limit in claim.key_rates.values()), default=math.inf)


async def open_rates(database: Database, claim: Claim, now: float) -> None:
    """Parked runs whose rate has room again are queued, as many as there is room for."""
    await lock(database)
    wanted: list[tuple[str, str, int]] = []
    again: list[tuple[str, str, float]] = []
    clipped: list[tuple[str, str, str, str, str, float]] = []
    too_late = now + longest_wait(claim)
    for job, key, ends, counts in await database.rows("rates_open", now, list(claim.jobs), too_late):
        limit = claim.key_rates.get(job)
        window = Window(ends, counts)
        if limit is not None and window.clip(limit, now):
            clipped.append((_KEY, job, key, _array(window.ends), _array(window.counts), now))
        room = _MOST_FREED if limit is None else window.room(limit, now)
        if room > 0:
            wanted.append((job, key, room))
            # What is set free takes the room only when it is claimed: for those left, it is looked at again soon.
            again.append((job, key, now + _LOOK_AGAIN_SECONDS))
        elif limit is not None:
            again.append((job, key, window.opens_at(limit, now)))
    if clipped:
        await database.change("rate_put", *zip(*clipped, strict=True))
    if wanted:
        await database.change("unpark_by_rate", *zip(*wanted, strict=True))
    if again:
        await database.change("rate_opens", *zip(*again, strict=True))


async def reconcile(database: Database, claim: Claim) -> None:
    """Sets free what is parked for limits that have changed, or are gone: the next claim counts anew."""
    await lock(database)
    wanted = [
        (job, key, claim.key_limits.get(job, _MOST_FREED))
        for job, key in await database.rows("parked_keys")
        if job in claim.jobs
    ]
    if wanted:
        await database.change("unpark", *zip(*wanted, strict=True))
    wanted = [
        (job, key, claim.key_rates[job].count if job in claim.key_rates else _MOST_FREED)
        for job, key in await database.rows("parked_rate_keys")
        if job in claim.jobs
    ]
    if wanted:
        await database.change("unpark_by_rate", *zip(*wanted, strict=True))


def _array(values: Iterable[float]) -> str:
    """As PostgreSQL writes an array."""
    return "{" + ",".join(map(repr, values)) + "}"
