"""Candidates for a claim under limits: what is read of lanes and of suspects."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NamedTuple

from .limits import KEY, Lane
from .rates import Rate
from .rows import nested, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kernel.contracts.store import Claim

    from .database import Database

Place = tuple[float, str]
"""Where a run stands in the order of claims: (urgency, id)."""


class Candidate(NamedTuple):
    urgency: float
    id: str
    seq: int
    concurrency_key: str | None
    rate_key: str | None
    queue: str
    job: str
    is_suspect: bool = False


def read_lanes(
    database: Database, wanted: Claim, lanes: Sequence[tuple[str, str]], depth: int
) -> list[list[Candidate]]:
    """The first of each lane."""
    if not lanes:
        return []
    before = math.inf if wanted.before is None else wanted.before
    rows = database.list_each("claim_limited", lanes, before, depth)
    return [
        [
            Candidate(number(urgency), run_id, seq, concurrency_key, rate_key, queue, job)
            for urgency, run_id, seq, concurrency_key, rate_key in nested(head)
        ]
        for (queue, job), head in zip(lanes, rows, strict=True)
    ]


def read_suspects(database: Database, wanted: Claim) -> list[Candidate]:
    """Those that may be claimed, the most urgent first."""
    before = math.inf if wanted.before is None else wanted.before
    found = [
        Candidate(number(urgency), run_id, seq, concurrency_key, rate_key, queue, job, is_suspect=True)
        for urgency, run_id, seq, concurrency_key, rate_key, queue, job in json.loads(
            database.value("claim_suspects", before)
        )
    ]
    return sorted(one for one in found if static_room(wanted, one.queue, one.job) > 0)


def by_lane(candidates: Iterable[Candidate], kind: str) -> dict[Lane, list[Place]]:
    """Where the candidates stand, in order."""
    found: dict[Lane, list[Place]] = {}
    for one in candidates:
        key = one.concurrency_key if kind == KEY else one.rate_key
        if key is not None:
            found.setdefault((one.queue, one.job, key), []).append(one[:2])
    return found


def static_room(wanted: Claim, queue: str, job: str) -> int:
    return min(wanted.limit, wanted.jobs.get(job, 0), wanted.queues.get(queue, wanted.limit))


def rates_of(wanted: Claim, queue: str, job: str) -> list[Rate]:
    rates = [Rate("job", job, "")] if job in wanted.job_rates else []
    return [*rates, Rate("queue", queue, "")] if queue in wanted.queue_rates else rates


def key_rate(wanted: Claim, one: Candidate) -> list[Rate]:
    return [Rate("key", one.job, one.rate_key)] if one.rate_key is not None and one.job in wanted.key_rates else []
