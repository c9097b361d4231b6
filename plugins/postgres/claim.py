"""Runs are claimed: what is due becomes queued, what waited too long expires, the most urgent of the open lanes are taken."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import Claims

from .dependencies import Parent
from .ends import after_ends, lock_schedules
from .limits import Candidate, Counts, is_limited, lock, longest_wait, open_rates
from .places import Places
from .rows import CODE_OF, claimed_of, run_of
from .turns import NotQuick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.contracts.store import Claim, Ended
    from kernel.model.run import Claimed, Run

    from .database import Database

_LATE_SECONDS = 9.0
"""The one statement of a quick claim does nothing when it comes later: less than what is waited for its answer."""
_ROUNDS = 4
"""So often a claim looks further behind what limits hold back; then it is to be made anew."""
_CANDIDATES = 1_000
_LAST = 20
"""Where the columns of a claimed run end in a row of ``claim.sql``."""
_FAR = (math.inf, "")


async def claim_quickly(database: Database, wanted: Claim) -> Claims:
    """In one statement: nothing has become due or expired, and no limit but the rooms has a say."""
    found = await _claim_if_ready(database, database.known.full.shut(wanted))
    if found is None:
        raise NotQuick
    runs, next_due = found
    _remember(database, runs)
    database.known.room.left(Counter(run.queue for run in runs))
    return Claims(runs, next_due, [])


async def _claim_if_ready(database: Database, wanted: Claim) -> tuple[list[Claimed], float | None] | None:
    """What can be claimed without further care, and when the next run is due; None when there is more to be done first."""
    left = wanted
    runs: list[Claimed] = []
    while True:
        asked = _asked(left)
        rows = await database.rows("claim_many", *asked) if database.known.is_busy else []
        rows = rows or await database.rows("claim", *asked)
        next_due, is_ready, has_more = rows[0][_LAST:]
        if not is_ready:
            if not runs:
                return None
            break
        got = [claimed_of(row) for row in rows if row[0] is not None]
        database.known.is_busy = len(got) == left.limit > 0
        runs += got
        left = _less(left, got)
        # What others hold locked at this moment may be all there is: then the rest is for the next claim.
        if not has_more or not got or left.limit <= 0:
            break
    return _in_order(runs), next_due


async def claim(database: Database, wanted: Claim) -> Claims:
    """The same in a transaction, with all that there may be to do before."""
    now, next_expiry, next_due, opens, last_opens = await database.row("claim_moment", wanted.now, list(wanted.jobs))
    expired: list[Run] = []
    cancelled: Sequence[Ended] = ()
    if next_expiry is not None and next_expiry <= now:
        expired, cancelled = await _expire(database, now)
    if next_due is not None and next_due <= now:
        await database.change("claim_due", now)
    if opens is not None and (opens <= now or last_opens > now + longest_wait(wanted)):
        await open_rates(database, wanted, now)
    if wanted.job_limits or wanted.queue_limits:
        runs, next_due = await _claim_places(database, wanted, now)
    else:
        runs, next_due = await _claim_carefully(database, wanted, now)
    if expired:
        database.has_news = True
    queues = Counter(run.queue for run in runs) + Counter(run.queue for run in expired)
    database.after_commit.append(lambda: database.known.room.left(queues))
    database.after_commit.append(lambda: _remember(database, runs))
    return Claims(runs, next_due, expired, cancelled)


async def _claim_places(database: Database, wanted: Claim, now: float) -> tuple[list[Claimed], float | None]:
    """Where there are limits over all kernels: what these leave room for. Only runs under one of them cost more."""
    found = await _claim_if_ready(database, database.known.full.shut(wanted))
    if found is not None:
        return found
    if is_limited(wanted):
        await lock(database)  # before the others, as whoever takes both
    places = await Places.begin(database, wanted, now)
    narrowed = places.narrowed()
    found = await _claim_if_ready(database, narrowed)
    runs, next_due = found if found is not None else await _claim_carefully(database, narrowed, now)
    await places.write(database, runs)
    return runs, min((at for at in (next_due, places.opens) if at is not None), default=None)


async def _claim_carefully(database: Database, wanted: Claim, now: float) -> tuple[list[Claimed], float | None]:
    opens = None
    if is_limited(wanted) or wanted.suspects > 0:
        runs, opens = await _claim_with_care(database, wanted, now)
    else:
        runs = await _claim_all(database, wanted)
    _, _, next_due, next_open, _ = await database.row("claim_moment", wanted.now, list(wanted.jobs))
    return runs, min((at for at in (next_due, next_open, opens) if at is not None), default=None)


def _in_order(runs: list[Claimed]) -> list[Claimed]:
    """Of several looks the later one may have found more urgent runs, which another kernel held locked before."""
    runs.sort(key=lambda run: (run.urgency, run.id))
    return runs


def _remember(database: Database, runs: Sequence[Claimed]) -> None:
    database.known.claimed.update(zip([run.id for run in runs], runs, strict=True))


def _asked(wanted: Claim, *, anyhow: bool = False) -> list[Any]:
    """As ``claim.sql`` takes it."""
    limited_jobs = [*wanted.key_limits, *wanted.key_rates, *wanted.job_rates, *wanted.job_limits]
    limited_queues = [*wanted.queue_rates, *wanted.queue_limits]
    before = math.inf if wanted.before is None else wanted.before
    return [
        wanted.kernel, wanted.now, wanted.limit, list(wanted.jobs), list(wanted.jobs.values()), list(wanted.queues),
        list(wanted.queues.values()), before, limited_jobs, limited_queues, wanted.suspects, anyhow, longest_wait(wanted),
        _LATE_SECONDS,
    ]  # fmt: skip


def _less(wanted: Claim, got: Sequence[Claimed]) -> Claim:
    """What is still wanted when these have been claimed."""
    jobs, queues = Counter(run.job for run in got), Counter(run.queue for run in got)
    return wanted._replace(
        limit=wanted.limit - len(got),
        jobs={job: room - jobs[job] for job, room in wanted.jobs.items()},
        queues={queue: room - queues[queue] for queue, room in wanted.queues.items()},
    )


async def _claim_all(database: Database, wanted: Claim) -> list[Claimed]:
    runs: list[Claimed] = []
    while True:
        rows = await database.rows("claim", *_asked(wanted, anyhow=True))
        got = [claimed_of(row) for row in rows if row[0] is not None]
        runs += got
        wanted = _less(wanted, got)
        if not rows[0][-1] or not got or wanted.limit <= 0:
            return _in_order(runs)


async def _expire(database: Database, now: float) -> tuple[list[Run], list[Ended]]:
    found = await database.rows("expired_ids", now)
    schedules = await lock_schedules(database, (schedule for _, schedule in found))
    rows = await database.rows("expire", sorted(run for run, _ in found), now)
    await database.change("edges_leave", [row[0] for row in rows])
    parents = [Parent(row[0], CODE_OF["expired"]) for row in rows if row[-1]]
    freed = await after_ends(database, parents, schedules, now)
    return [run_of(row[:-1]) for row in rows], [one.ended for one in freed.cancelled]


async def _claim_with_care(database: Database, wanted: Claim, now: float) -> tuple[list[Claimed], float | None]:
    """What limits over all kernels, and the caution with suspects, admit; and when a rate has room again."""
    counts = await Counts.begin(database, wanted, now)
    jobs = {job: counts.room_of_job(job) for job in wanted.jobs}
    queues = {
        queue: room
        for queue in {*wanted.queues, *wanted.queue_rates}
        if (room := counts.room_of_queue(queue)) is not None
    }
    picker = _Picker(wanted, jobs, queues, counts)
    for _ in range(_ROUNDS):
        if await picker.look(database):
            break
    else:
        counts.expect(now)
    rows = await database.rows("claim_ids", wanted.kernel, now, picker.picked) if picker.picked else []
    await counts.write(database)
    if wanted.job_rates or wanted.queue_rates:
        counts.expect_lanes(await database.rows("lanes"))
    return [claimed_of(row) for row in rows], counts.opens


class _Picker:
    """Picks from the heads of the lanes, in the order of urgency; what its key holds back is parked."""

    def __init__(self, wanted: Claim, jobs: dict[str, int], queues: dict[str, int], counts: Counts) -> None:
        self._wanted = wanted
        self._jobs = jobs
        self._queues = queues
        self._counts = counts
        self._suspects = wanted.suspects
        self._at_once = math.inf if wanted.at_once is None else wanted.at_once
        self._seen: set[str] = set()
        self.picked: list[str] = []

    async def look(self, database: Database) -> bool:
        """One look at the heads; True when a further one would find nothing more."""
        left = self._wanted.limit - len(self.picked)
        if left <= 0:
            return True
        before = math.inf if self._wanted.before is None else self._wanted.before
        jobs = [job for job, room in self._jobs.items() if room > 0]
        shut = [queue for queue, room in self._queues.items() if room <= 0]
        most = max(_CANDIDATES, 2 * left) + len(self._seen)
        rows = await database.rows("heads", jobs, shut, before, most, self._suspects)
        found = sorted((Candidate(*row) for row in rows), key=lambda one: (one.urgency, one.id))
        fresh = [one for one in found if one.id not in self._seen]
        await self._counts.read_keys(database, fresh)
        horizon = _horizon(found)
        parked = self._pick(fresh, horizon)
        if parked:
            await database.change("park", sorted(parked))
        return horizon == _FAR or len(self.picked) >= self._wanted.limit

    def _pick(self, candidates: list[Candidate], horizon: tuple[float, str]) -> list[str]:
        parked = []
        for one in candidates:
            if (one.urgency, one.id) > horizon or len(self.picked) >= self._wanted.limit:
                break
            self._seen.add(one.id)
            if self._jobs[one.job] <= 0 or self._queues.get(one.queue, 1) <= 0:
                continue
            if one.is_suspect and self._suspects <= 0:
                continue
            if len(self.picked) >= self._at_once and self._wanted.is_rated(one.queue, one.job):
                self._counts.expect(self._wanted.now)
                continue
            if self._counts.admits(one):
                self._take(one)
            else:
                parked.append(one.id)
        return parked

    def _take(self, one: Candidate) -> None:
        self.picked.append(one.id)
        self._counts.take(one)
        self._jobs[one.job] -= 1
        if one.queue in self._queues:
            self._queues[one.queue] -= 1
        if one.is_suspect:
            self._suspects -= 1


def _horizon(found: list[Candidate]) -> tuple[float, str]:
    """The end of the lane that ends first, of those of which not all was read."""
    lanes: dict[tuple[str, str], list[Candidate]] = {}
    for one in found:
        if not one.is_suspect:
            lanes.setdefault((one.queue, one.job), []).append(one)
    ends = [lane[-1] for lane in lanes.values() if len(lane) >= lane[0].depth]
    return min(((one.urgency, one.id) for one in ends), default=_FAR)
