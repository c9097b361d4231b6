"""The rooms of one claim, as far as rate limits of jobs and queues leave them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kernel.contracts.store import Claim
    from kernel.model.rate import RateLimit

    from .rates import Rates


class RateRooms:
    def __init__(self, claim: Claim, rates: Rates) -> None:
        self._claim = claim
        self._rates = rates
        self.jobs = dict(claim.jobs)
        """Job -> room, of which the claim takes away what it uses up; ``queues`` alike."""
        self.queues = dict(claim.queues)
        self._narrow("job", claim.job_rates, self.jobs, 0)
        self._narrow("queue", claim.queue_rates, self.queues, claim.limit)
        self._before = {"job": dict(self.jobs), "queue": dict(self.queues)}

    def _narrow(self, kind: str, limits: Mapping[str, RateLimit], rooms: dict[str, int], default: int) -> None:
        for name, limit in limits.items():
            room = self._rates.room((kind, name, ""), limit, self._claim.now)
            rooms[name] = min(rooms.get(name, default), room)

    def take(self) -> None:
        """Counts what the claim has taken."""
        self._take("job", self._claim.job_rates, self.jobs)
        self._take("queue", self._claim.queue_rates, self.queues)

    def _take(self, kind: str, limits: Mapping[str, RateLimit], rooms: Mapping[str, int]) -> None:
        for name, limit in limits.items():
            count = self._before[kind][name] - rooms[name]
            if count:
                self._rates.take((kind, name, ""), limit, self._claim.now, count)

    def room_at(self, left: Iterable[tuple[str, str]]) -> float | None:
        """When the first limit that holds back what is left (job and queue of each lane) has room again."""
        claim = self._claim
        found = set()
        for job, queue in left:
            if claim.jobs.get(job, 0) > 0 and claim.queues.get(queue, 1) > 0:
                at = max(self._room_at("job", job, claim.job_rates), self._room_at("queue", queue, claim.queue_rates))
                if at > claim.now:
                    found.add(at)
        return min(found, default=None)

    def _room_at(self, kind: str, name: str, limits: Mapping[str, RateLimit]) -> float:
        limit = limits.get(name)
        return self._claim.now if limit is None else self._rates.room_at((kind, name, ""), limit, self._claim.now)
