"""Breakers that the jobs of several plugins share by name: all of them must mean the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kernel.model.breaker import clash

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kernel.model.breaker import Breaker, BreakerTable
    from kernel.model.job import Job


class Clash(NamedTuple):
    """``job`` has a breaker with other thresholds than ``first``, which stands before it."""

    job: Job
    first: Job
    reason: str


def clashing_breakers(jobs: Iterable[Job], tables: Mapping[str, BreakerTable]) -> list[Clash]:
    """What does not agree, where the operator's ``tables`` do not say it for all."""
    firsts: dict[str, tuple[Job, Breaker]] = {}
    found = []
    for job in jobs:
        policy = job.policies.breaker
        if policy is None:
            continue
        first, known = firsts.setdefault(policy.name, (job, policy))
        mine, other = (policy.thresholds, _where(job)), (known.thresholds, _where(first))
        if reason := clash(policy.name, mine, other, tables.get(policy.name, {})):
            found.append(Clash(job, first, reason))
    return found


def _where(job: Job) -> str:
    return f"{job.name} ({job.place})"
