"""Runs are claimed: what is due becomes queued, what waited too long expires, the most urgent of the open lanes are taken."""

from __future__ import annotations

import json
import math
from itertools import repeat
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import SUSPECT_LOSSES, Claims

from . import limited
from .candidates import read_suspects
from .control import leave
from .database import json_of
from .dependents import NOTHING, follow
from .found import find
from .limits import wake_all, wake_due
from .marking import keyed, mark, mark_picked
from .rows import EXPIRED, SUSPECT, nested, number, run_of
from .unblock import unblock

if TYPE_CHECKING:
    from kernel.contracts.store import Claim
    from kernel.model.run import Claimed, Run

    from .database import Database
    from .dependents import Followed

_FAR = (math.inf, "")
_MOST_CANDIDATES = 4096
"""What is read of many lanes at one go; only when their urgencies interleave so that it does not do, more is read."""


def claim(database: Database, wanted: Claim) -> Claims:
    """One look at what is due and at the lanes, one to four statements for what is taken."""
    now = wanted.now
    next_due, next_expiry, lanes, held_back = _facts(database)
    expired: list[Run] = []
    followed = NOTHING
    is_changed = False
    if next_expiry is not None and next_expiry <= now:
        expired, followed = _expire(database, now)
        is_changed = True
    if next_due is not None and next_due <= now:
        database.change("claim_due", SUSPECT_LOSSES, now)
        is_changed = True
    if _wake(database, wanted, held_back) or is_changed:
        next_due, _, lanes, held_back = _facts(database)
    found = json.loads(lanes)
    if held_back is None and not limited.concerns(wanted, found):
        return Claims(_take(database, wanted, found), next_due, expired, followed.cancelled)
    runs, next_room = _take_limited(database, wanted, found, held_back)
    if next_room is not None and (next_due is None or next_room < next_due):
        next_due = next_room
    return Claims(runs, next_due, expired, followed.cancelled)


def _facts(database: Database) -> tuple[float | None, float | None, str, int | None]:
    """When the next run is due, when the next one expires, the lanes as JSON, and the least code of what is held back."""
    scheduled, retrying, expiry, lanes, held_back = database.row("claim_facts")
    if scheduled is None or (retrying is not None and retrying < scheduled):
        scheduled = retrying
    return scheduled, expiry, lanes, held_back


def _wake(database: Database, wanted: Claim, held_back: int | None) -> bool:
    """Whether runs that were held back may go now: their instant has come, or the limits are others than they were."""
    limits = (wanted.key_limits, wanted.key_rates)
    is_other = limits != database.limits
    if is_other:
        database.limits = (dict(wanted.key_limits), dict(wanted.key_rates))
        database.keyed = keyed(database.claimed)
        if held_back is not None:
            wake_all(database)
    return held_back is not None and (wake_due(database, wanted.key_rates, wanted.now) or is_other)


def _take_limited(
    database: Database, wanted: Claim, lanes: list[list[str]], held_back: int | None
) -> tuple[list[Claimed], float | None]:
    """A suspect that may not be claimed just now makes no claim a limited one."""
    suspects = read_suspects(database, wanted) if held_back == SUSPECT and wanted.suspects > 0 else []
    is_limited = bool(suspects) or held_back != SUSPECT or limited.concerns(wanted, lanes)
    if not is_limited and not database.value("claim_held_back"):
        return _take(database, wanted, lanes), None
    return limited.take(database, wanted, [(queue, job) for queue, job in lanes], suspects)


def _expire(database: Database, now: float) -> tuple[list[Run], Followed]:
    seqs = json.loads(database.value("claim_expired", now))
    found = find(database, seqs)
    database.change("expire", now, json_of(seqs))
    runs = [run_of(row) for row in database.rows("runs", json_of(seqs))]
    leave(database, found)
    followed = follow(database, [(run.id, EXPIRED) for run in runs], now)
    unblock(database, [run.schedule for run in runs], now)
    return runs, followed


def _take(database: Database, wanted: Claim, lanes: list[list[str]]) -> list[Claimed]:
    """``lanes``: those that have queued runs. Marks what is taken as running."""
    before = math.inf if wanted.before is None else wanted.before
    open_lanes = []
    for queue, job in lanes:
        most = min(wanted.limit, wanted.jobs.get(job, 0), wanted.queues.get(queue, wanted.limit))
        if most > 0:
            open_lanes.append((queue, job, most))
    if not open_lanes:
        return []
    if len(open_lanes) == 1:
        queue, job, most = open_lanes[0]
        rows = json.loads(database.value("claim_lane", queue, job, before, most))
        return mark(database, wanted, rows, repeat((queue, job)))
    return mark_picked(database, wanted, _pick(database, wanted, before, open_lanes))


def _pick(
    database: Database, wanted: Claim, before: float, lanes: list[tuple[str, str, int]]
) -> list[tuple[int, str, str]]:
    """(seq, queue, job) of the most urgent runs over several lanes that the rooms of jobs and queues admit."""
    names = [lane[:2] for lane in lanes]
    depth = min(wanted.limit, max(8, _MOST_CANDIDATES // len(lanes)))
    while True:
        heads = database.list_each("claim_lanes", names, before, depth)
        picked, is_enough = _merge(wanted, lanes, heads, depth)
        if is_enough or depth >= wanted.limit:
            return picked
        depth = min(wanted.limit, depth * 4)


def _merge(
    wanted: Claim, lanes: list[tuple[str, str, int]], heads: list[list[list[Any]]], depth: int
) -> tuple[list[tuple[int, str, str]], bool]:
    """(what is picked, whether reading deeper could change nothing)."""
    candidates: list[tuple[float, str, int, str, str]] = []
    horizon = _FAR
    for (queue, job, most), head in zip(lanes, heads, strict=True):
        entries = [(number(urgency), run_id, seq, queue, job) for urgency, run_id, seq in nested(head)]
        candidates += entries[:most]
        if len(entries) == depth < most:
            horizon = min(horizon, entries[-1][:2])
    candidates.sort()
    jobs = dict(wanted.jobs)
    queues = dict(wanted.queues)
    picked: list[tuple[int, str, str]] = []
    for urgency, run_id, seq, queue, job in candidates:
        if (urgency, run_id) > horizon:
            return picked, False
        if jobs[job] > 0 and queues.get(queue, 1) > 0:
            picked.append((seq, queue, job))
            if len(picked) == wanted.limit:
                return picked, True
            jobs[job] -= 1
            if queue in queues:
                queues[queue] -= 1
    return picked, horizon == _FAR
