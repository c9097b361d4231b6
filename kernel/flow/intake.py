"""The one door in: is the job known, does the payload fit, are the options in bounds? Then the recorder writes it.

Called by ``Kernel.enqueue``, ``ctx.enqueue`` and control; schedules, whose payloads are checked before, come by the scheduler.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import RunQuery
from kernel.model.errors import RequestError, shown
from kernel.model.request import make_run, payload_text
from kernel.model.run import IdSource, NewRun, Run, RunExtra, as_run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Store
    from kernel.flow.catalog import Catalog
    from kernel.flow.recorder import Recorder
    from kernel.model.schedule import Schedule

_PREPARED_AT_ONCE = 500


class Intake:
    """Accepts runs. When a call returns, the store has them."""

    def __init__(self, catalog: Catalog, recorder: Recorder, store: Store, clock: Clock) -> None:
        self._catalog = catalog
        self._recorder = recorder
        self._store = store
        self._clock = clock
        self.ids = IdSource()

    async def enqueue(self, job: str, payload: Any = None, **options: Any) -> Run:
        """Accepts one run; with ``unique`` the answer may be the unfinished run that is there already."""
        run = self.prepare(job, payload, options, self.ids.one(), self._clock.now())
        made = await self._recorder.enqueue((run,), self._rooms((run,)))
        return as_run(run) if made[0] == run.id else await self._existing(made[0], run)

    async def enqueue_many(self, requests: Iterable[tuple[Any, ...]]) -> list[Run]:
        """Accepts all of (job, payload) or (job, payload, options), or none of them, in one round trip."""
        wishes = [_three(request) for request in requests]
        ids = self.ids.next(len(wishes))
        now = self._clock.now()
        runs = []
        for at, (job, payload, options) in enumerate(wishes):
            runs.append(self.prepare(job, payload, options, ids[at], now))
            if at % _PREPARED_AT_ONCE == _PREPARED_AT_ONCE - 1:
                await asyncio.sleep(0)
        made = await self._recorder.enqueue(runs, self._rooms(runs))
        return [
            as_run(run) if run_id == run.id else await self._existing(run_id, run)
            for run, run_id in zip(runs, made, strict=True)
        ]

    async def trigger(self, schedule: Schedule) -> Run:
        """Runs the schedule's job now, with its payload, beside its ticks."""
        run = self.prepare(schedule.job, json.loads(schedule.payload), {}, self.ids.one(), self._clock.now())
        run = run._replace(extra=(run.extra or RunExtra())._replace(schedule=schedule.name))
        await self._recorder.enqueue((run,), self._rooms((run,)))
        return as_run(run)

    def prepare(self, name: str, payload: Any, options: dict[str, Any], run_id: str, now: float) -> NewRun:
        """The checked run, not yet written; RequestError when anything is wrong with it."""
        job = self._catalog.job(name)
        text = payload_text(name, payload)
        job.parameters.check(name, text)
        return make_run(run_id, name, job.policies, text, options, now)

    def _rooms(self, runs: Iterable[NewRun]) -> dict[str, int]:
        return {queue: self._catalog.queue(queue).max_waiting for queue in {run.queue for run in runs}}

    async def _existing(self, run_id: str, run: NewRun) -> Run:
        found = await self._store.runs(RunQuery(ids=[run_id], limit=1))
        return found[0] if found else as_run(run._replace(id=run_id))


def _three(request: Any) -> tuple[Any, Any, dict[str, Any]]:
    match request:
        case (str() as job, payload):
            return job, payload, {}
        case (str() as job, payload, dict() as options):
            return job, payload, options
        case _:
            raise RequestError(f"enqueue_many: {shown(request)}: expected (job, payload) or (job, payload, options)")
