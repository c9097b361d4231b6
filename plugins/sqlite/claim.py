"""Runs are claimed: what is due becomes queued, what waited too long expires, the most urgent of the open lanes are taken."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import repeat
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import Claims

from .database import json_of
from .rows import claimed_of, nested, number, run_of
from .unblock import unblock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernel.contracts.store import Claim
    from kernel.model.run import Claimed, Run

    from .database import Database

_FAR = (math.inf, "")
_MOST_CANDIDATES = 4096
"""What is read of many lanes at one go; only when their urgencies interleave so that it does not do, more is read."""


def claim(database: Database, wanted: Claim) -> Claims:
    """One look at what is due and at the lanes, one to four statements for what is taken."""
    next_due, next_expiry, lanes = _facts(database)
    expired: list[Run] = []
    if next_expiry is not None and next_expiry <= wanted.now:
        expired = _expire(database, wanted.now)
    if next_due is not None and next_due <= wanted.now:
        database.change("claim_due", wanted.now)
    if expired or (next_due is not None and next_due <= wanted.now):
        next_due, _, lanes = _facts(database)
    return Claims(_take(database, wanted, json.loads(lanes)), next_due, expired)


def _facts(database: Database) -> tuple[float | None, float | None, str]:
    scheduled, retrying, expiry, lanes = database.row("claim_facts")
    return min((due for due in (scheduled, retrying) if due is not None), default=None), expiry, lanes


def _expire(database: Database, now: float) -> list[Run]:
    seqs = database.value("claim_expired", now)
    database.change("expire", now, seqs)
    runs = [run_of(row) for row in database.rows("runs", seqs)]
    for run in runs:
        database.room.left(run.queue, 1)
    unblock(database, [run.schedule for run in runs], now)
    return runs


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
        return _mark(database, wanted, rows, repeat((queue, job)))
    picked = _pick(database, wanted, before, open_lanes)
    rows = json.loads(database.value("claim_picked", json_of(seq for seq, _, _ in picked))) if picked else []
    return _mark(database, wanted, rows, [(queue, job) for _, queue, job in picked])


def _mark(database: Database, wanted: Claim, rows: list[list[Any]], lanes: Iterable[tuple[str, str]]) -> list[Claimed]:
    """What is taken runs from now on."""
    if not rows:
        return []
    seqs = [row[0] for row in rows]
    database.change("claim", wanted.kernel, wanted.now, json_of(seqs))
    runs = [claimed_of(row, queue, job) for row, (queue, job) in zip(rows, lanes, strict=False)]
    database.claimed.update(zip([run.id for run in runs], zip(seqs, runs, strict=True), strict=True))
    for queue, count in Counter([run.queue for run in runs]).items():
        database.room.left(queue, count)
    return runs


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
