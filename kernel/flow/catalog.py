"""The jobs and queues that this kernel knows: asked by every step, changed when plugins go on and off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.model.errors import RequestError, UnknownNameError, shown
from kernel.model.payload import MAX_BYTES
from kernel.model.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kernel.model.breaker import BreakerTable
    from kernel.model.job import Job


class Catalog:
    """Jobs by full name, and queues by name. ``version`` grows with each change."""

    def __init__(self, queues: Iterable[Queue] = ()) -> None:
        self._jobs: dict[str, Job] = {}
        self._off: dict[str, str] = {}
        self._queues = {queue.name: queue for queue in queues}
        self._breakers: Mapping[str, BreakerTable] = {}
        self._by_breaker: tuple[int, dict[str, list[Job]]] = (-1, {})
        self.max_payload = MAX_BYTES
        """What a payload may have at the most, in bytes of JSON."""
        self.version = 0

    @property
    def jobs(self) -> dict[str, Job]:
        return self._jobs

    def add(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._jobs[job.name] = job
            self._off.pop(job.name, None)
        self.version += 1

    def remove(self, plugin: str, reason: str) -> None:
        """Takes the plugin's jobs out; asked for one of them, ``job`` says ``reason``."""
        for name in [name for name, job in self._jobs.items() if job.plugin == plugin]:
            del self._jobs[name]
            self._off[name] = reason
        self.version += 1

    def job(self, name: str) -> Job:
        """The job of this full name, or RequestError: unknown (with the nearest), or its plugin is off."""
        if not isinstance(name, str):
            raise RequestError(f'{shown(name)} is no name of a job: expected its full name, as "fleet.process-car"')
        found = self._jobs.get(name)
        if found is not None:
            return found
        if name in self._off:
            raise RequestError(f"{name} takes no runs: {self._off[name]}")
        raise UnknownNameError("job", name, self._jobs)

    def why_off(self, name: str) -> str | None:
        """Why a job that was here takes no runs now; None when it is here, or never was."""
        return self._off.get(name)

    def queue(self, name: str) -> Queue:
        return self._queues.get(name) or Queue(name)

    @property
    def queues(self) -> dict[str, Queue]:
        return self._queues

    def set_queues(self, queues: Iterable[Queue]) -> None:
        self._queues = {queue.name: queue for queue in queues}
        self.version += 1

    def set_breakers(self, tables: Mapping[str, BreakerTable]) -> None:
        """The operator's tables: what stands in them holds, whatever the code says."""
        self._breakers = tables
        self.version += 1

    def breaker_table(self, name: str) -> BreakerTable:
        return self._breakers.get(name, {})

    @property
    def jobs_by_breaker(self) -> dict[str, list[Job]]:
        """The jobs that have a breaker as their policy; all of one breaker agree on its thresholds."""
        if self._by_breaker[0] != self.version:
            found: dict[str, list[Job]] = {}
            for job in self._jobs.values():
                if job.policies.breaker is not None:
                    found.setdefault(job.policies.breaker.name, []).append(job)
            self._by_breaker = (self.version, found)
        return self._by_breaker[1]
