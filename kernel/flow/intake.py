"""The one door in: is the job known, does the payload fit, are the options in bounds? Then the recorder writes it.

Called by ``Kernel.enqueue``, ``ctx.enqueue`` and control; schedules, whose payloads are checked before, come by the scheduler.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from kernel.contracts.store import RunQuery
from kernel.model.errors import RequestError, StoreError, shown
from kernel.model.request import make_run, payload_text
from kernel.model.run import IdSource, NewRun, Run, RunExtra, RunState, as_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kernel.contracts.clock import Clock
    from kernel.flow.around import Around
    from kernel.flow.catalog import Catalog
    from kernel.model.schedule import Schedule

_PREPARED_AT_ONCE = 500
_READ_AT_ONCE = 1_000


class Writes(Protocol):
    """What the recorder does for the door in; a client in its caller's transaction has its own."""

    async def enqueue(self, runs: Sequence[NewRun], rooms: Mapping[str, int]) -> list[str]: ...

    def tell_cancelled(self, runs: Sequence[Run]) -> None: ...


class Reads(Protocol):
    async def runs(self, query: RunQuery) -> list[Run]: ...


class Intake:
    """Accepts runs. When a call returns, the store has them."""

    def __init__(self, catalog: Catalog, recorder: Writes, store: Reads, clock: Clock) -> None:
        self._catalog = catalog
        self._recorder = recorder
        self._store = store
        self._clock = clock
        self.ids = IdSource()
        self.around: Around | None = None

    async def enqueue(self, job: str, payload: Any = None, **options: Any) -> Run:
        """Accepts one run; with ``unique`` the answer may be a run that is there already, which ``is_new`` tells."""
        run = self.prepare(job, payload, options, self.ids.one(), self._clock.now())
        if self.around is not None:
            return (await self._write_within(self.around, (run,)))[0]
        made = await self._recorder.enqueue((run,), self._rooms((run,)))
        if made[0] == run.id and run.terms is None:
            return as_run(run, is_new=True)
        return (await self._answers((run,), made))[0]

    async def enqueue_as(self, run_id: str, job: str, payload: Any, options: dict[str, Any]) -> Run:
        """The same with an id of ``ids`` that the caller has written down before. One that is there already is left alone."""
        run = self.prepare(job, payload, options, run_id, self._clock.now())
        if self.around is not None:
            return (await self._write_within(self.around, (run,)))[0]
        return (await self._write((run,)))[0]

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
        if self.around is not None:
            return await self._write_within(self.around, runs)
        return await self._write(runs)

    async def _write_within(self, around: Around, runs: Sequence[NewRun]) -> list[Run]:
        entered = await around.enter([as_run(run) for run in runs])
        try:
            tags = tuple(tag for given in entered.given for tag in given)
            answers = await self._write([_tagged(run, tags) for run in runs] if tags else runs)
        except BaseException as error:
            await entered.leave(error)
            raise
        await entered.leave(None)
        return answers

    async def _write(self, runs: Sequence[NewRun]) -> list[Run]:
        made = await self._recorder.enqueue(runs, self._rooms(runs))
        if made == [run.id for run in runs] and not any(run.terms for run in runs):
            return [as_run(run, is_new=True) for run in runs]
        return await self._answers(runs, made)

    async def trigger(self, schedule: Schedule) -> Run:
        """Runs the schedule's job now, with its payload, beside its ticks; like these it bears no unique key."""
        job = self._catalog.job(schedule.job)
        job.parameters.check(job.name, schedule.payload)
        policies = replace(job.policies, unique=None)
        run = make_run(
            self.ids.one(), job.name, policies, schedule.payload, {}, self._clock.now(), job.parameters
        )  # fmt: skip
        run = run._replace(extra=(run.extra or RunExtra())._replace(schedule=schedule.name))
        await self._recorder.enqueue((run,), self._rooms((run,)))
        return as_run(run, is_new=True)

    def prepare(self, name: str, payload: Any, options: dict[str, Any], run_id: str, now: float) -> NewRun:
        """The checked run, not yet written; RequestError when anything is wrong with it."""
        job = self._catalog.job(name)
        text = payload_text(name, payload, job.parameters, self._catalog.max_payload)
        job.parameters.check(name, text)
        return make_run(run_id, name, job.policies, text, options, now, job.parameters)

    def _rooms(self, runs: Iterable[NewRun]) -> dict[str, int]:
        return {queue: self._catalog.queue(queue).max_waiting for queue in {run.queue for run in runs}}

    async def _answers(self, runs: Sequence[NewRun], made: Sequence[str]) -> list[Run]:
        """The runs as they are: those that were there, and those that may begin because all they depend on has ended."""
        pairs = list(zip(runs, made, strict=True))
        found = await self._read(
            {run_id for run, run_id in pairs if run_id != run.id or (run.terms is not None and run.terms.depends_on)}
        )
        mine = [found[run.id] for run in runs if run.id in found] if found else []
        self._recorder.tell_cancelled([run for run in mine if run.state == RunState.CANCELLED])
        return [
            found[run_id]._replace(is_new=run_id == run.id) if run_id in found
            else as_run(run if run_id == run.id else run._replace(id=run_id), is_new=run_id == run.id)
            for run, run_id in pairs
        ]  # fmt: skip

    async def _read(self, ids: set[str]) -> dict[str, Run]:
        found: dict[str, Run] = {}
        wanted = sorted(ids)
        # The runs are written: that they cannot be read just now is no reason to tell the caller that they are not.
        with contextlib.suppress(StoreError):
            for at in range(0, len(wanted), _READ_AT_ONCE):
                query = RunQuery(ids=wanted[at : at + _READ_AT_ONCE], limit=_READ_AT_ONCE)
                found |= {run.id: run for run in await self._store.runs(query)}
        return found


def _tagged(run: NewRun, tags: tuple[str, ...]) -> NewRun:
    extra = run.extra or RunExtra()
    return run._replace(extra=extra._replace(tags=tuple(dict.fromkeys((*extra.tags, *tags)))))


def _three(request: Any) -> tuple[Any, Any, dict[str, Any]]:
    match request:
        case (str() as job, payload):
            return job, payload, {}
        case (str() as job, payload, dict() as options):
            return job, payload, options
        case _:
            raise RequestError(f"enqueue_many: {shown(request)}: expected (job, payload) or (job, payload, options)")
