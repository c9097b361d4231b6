"""What an operator may do: list, show, enqueue, cancel, retry, pause, resume, trigger, add, remove, explain.

The command line, the socket and the web plugin all use it: plain values in, JSON values out. Changes go through the
store and so reach any kernel; inside a kernel they are acted on at once.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Protocol

from kernel.contracts.store import RunQuery
from kernel.explain import Explainer
from kernel.health import judge_health
from kernel.model.announcement import announced_job, describe_job
from kernel.model.duration import Duration, seconds
from kernel.model.errors import ConfigError, RequestError, UnknownNameError, shown
from kernel.model.job import check_name
from kernel.model.run import RunState, iso
from kernel.model.schedule import ScheduleRow, Timing, make_schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Ended, Store
    from kernel.flow.catalog import Catalog
    from kernel.flow.engine import Engine
    from kernel.flow.intake import Intake
    from kernel.flow.recorder import Recorder

OPERATIONS = frozenset(
    {
        "jobs", "runs_list", "runs_show", "runs_cancel", "runs_retry", "enqueue", "wait", "queues_list", "queues_pause",
        "queues_resume", "schedules_list", "schedules_show", "schedules_pause", "schedules_resume", "schedules_trigger",
        "schedules_add", "schedules_remove", "explain", "plugins", "kernels", "health", "reload",
    }
)  # fmt: skip
MOST_RUNS = 1_000


class Living(Protocol):
    """What control needs of the kernel around it."""

    def plugin_states(self) -> list[dict[str, Any]]: ...

    async def reload(self) -> tuple[str, ...]: ...


class Control:
    """Operations on one store. ``engine`` and ``kernel`` are given inside a running kernel only."""

    def __init__(
        self,
        *,
        store: Store,
        catalog: Catalog,
        intake: Intake,
        recorder: Recorder,
        clock: Clock,
        engine: Engine | None = None,
        kernel: Living | None = None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._intake = intake
        self._recorder = recorder
        self._clock = clock
        self._engine = engine
        self._scheduler = engine.scheduler if engine else None
        self._watch = engine.watch if engine else None
        self._kernel = kernel
        self._explainer = Explainer(store, clock)

    async def call(self, operation: str, arguments: dict[str, Any]) -> Any:
        """One operation by name, as it comes over the socket; RequestError for one that does not exist or does not fit."""
        if operation not in OPERATIONS or not hasattr(self, operation):
            raise UnknownNameError("operation", operation, OPERATIONS)
        try:
            coroutine = getattr(self, operation)(**arguments)
        except TypeError as error:
            raise RequestError(f"{operation}: {error}") from None
        return await coroutine

    async def learn(self) -> None:
        """Takes the announced jobs into the catalog: for a process that loads no plugins."""
        self._catalog.add([announced_job(json.loads(row.info)) for row in await self._store.announced()])

    # Jobs

    async def jobs(self) -> list[dict[str, Any]]:
        """Every job that is known, by name."""
        if self._scheduler is None:
            return sorted(
                (json.loads(row.info) for row in await self._store.announced()), key=lambda info: str(info["job"])
            )
        jobs = sorted(self._catalog.jobs.values(), key=lambda job: job.name)
        return [describe_job(job, self._catalog.queue(job.policies.queue)) for job in jobs]

    # Runs

    async def runs_list(
        self,
        *,
        state: str | None = None,
        job: str | None = None,
        queue: str | None = None,
        schedule: str | None = None,
        tag: str | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> list[dict[str, Any]]:
        """Runs that fit the filter, newest first; ``before`` is the id of the last one of the page before."""
        if not 1 <= limit <= MOST_RUNS:
            raise RequestError(f"limit: {shown(limit)}: expected a whole number from 1 to {MOST_RUNS:,}")
        states = None if state is None else [_state(state)]
        query = RunQuery(None, states, job, queue, schedule, tag, limit, before)
        return [run.as_json() for run in await self._store.runs(query)]

    async def runs_show(self, *, run: str) -> dict[str, Any]:
        found = await self._store.runs(RunQuery(ids=[run], limit=1))
        if not found:
            raise UnknownNameError("run", run, hint="`mainspring runs list` shows the newest.")
        return found[0].as_json()

    async def runs_cancel(self, *, runs: Sequence[str], reason: str = "cancelled by hand") -> list[dict[str, Any]]:
        """Waiting runs end at once; running ones are told to, by the kernel that has them."""
        ended = await self._recorder.cancel(await self._known(runs), reason)
        await self._act()
        return [one._asdict() for one in ended]

    async def runs_retry(self, *, runs: Sequence[str]) -> list[dict[str, Any]]:
        """Failed, cancelled and expired runs are queued again, with all their attempts."""
        ended = await self._recorder.retry(await self._known(runs))
        for one in ended:
            if one.after == one.before:
                raise RequestError(await self._why_not_retried(one))
        await self._act()
        return [one._asdict() for one in ended]

    async def _why_not_retried(self, one: Ended) -> str:
        if one.before not in (RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED):
            return f"run {one.id} is {one.before}: expected one that has failed, was cancelled or has expired"
        return f"run {one.id} has a unique key that an unfinished run of {one.job} holds now: wait for that one, or cancel it"

    async def _known(self, runs: Sequence[str]) -> list[str]:
        found = {run.id for run in await self._store.runs(RunQuery(ids=list(runs), limit=len(runs)))}
        for run in runs:
            if run not in found:
                raise UnknownNameError("run", run, hint="`mainspring runs list` shows the newest.")
        return list(runs)

    async def enqueue(self, *, job: str, payload: Any = None, options: dict[str, Any] | None = None) -> dict[str, Any]:
        run = await self._intake.enqueue(job, payload, **(options or {}))
        return run.as_json()

    async def wait(self, *, run: str, timeout: Duration | None = None) -> dict[str, Any]:
        """The run as soon as it has ended, or as it is when the time is over."""
        limit = None if timeout is None else seconds(timeout, zero=True)
        found = await self._recorder.wait(run, limit)
        if found is None:
            raise UnknownNameError("run", run)
        return found.as_json()

    # Queues

    async def queues_list(self) -> list[dict[str, Any]]:
        rows = {row.name: row for row in await self._store.queues()}
        limits = await self.queue_limits()
        now = self._clock.now()
        listed = []
        for name in sorted(rows.keys() | limits.keys()):
            row = rows.get(name)
            concurrency, max_waiting = limits.get(name, (None, None))
            until = row.paused_until if row else None
            is_paused = until is not None and until > now
            listed.append(
                {
                    "queue": name,
                    "queued": row.queued if row else 0,
                    "scheduled": row.scheduled if row else 0,
                    "retrying": row.retrying if row else 0,
                    "blocked": row.blocked if row else 0,
                    "running": row.running if row else 0,
                    "concurrency": concurrency,
                    "max_waiting": max_waiting,
                    "oldest_due_at": iso(row.oldest_due) if row else None,
                    "paused": is_paused,
                    "paused_until": None if not is_paused or until == math.inf else iso(until),
                }
            )
        return listed

    async def queue_limits(self) -> dict[str, tuple[int | None, int]]:
        """Queue -> (concurrency, max_waiting), as this kernel has it or as it was announced."""
        if self._scheduler is not None:
            names = {job.policies.queue for job in self._catalog.jobs.values()} | self._catalog.queues.keys()
            queues = [self._catalog.queue(name) for name in names]
            return {queue.name: (queue.concurrency, queue.max_waiting) for queue in queues}
        infos = [json.loads(row.info) for row in await self._store.announced()]
        return {info["queue"]: (info["queue_concurrency"], info["queue_max_waiting"]) for info in infos}

    async def queues_pause(self, *, queue: str, duration: Duration | None = None) -> None:
        """Nothing of the queue begins until it is resumed, or so long."""
        name = check_name("queue", queue)
        until = math.inf if duration is None else self._clock.now() + seconds(duration)
        await self._store.pause_queue(name, until)
        await self._act()

    async def queues_resume(self, *, queue: str) -> None:
        await self._store.pause_queue(check_name("queue", queue), None)
        await self._act()

    # Schedules

    async def schedules_list(self) -> list[dict[str, Any]]:
        rows = await self._rows()
        known = {job["job"] for job in await self.jobs()}
        return [self._view(row, known) for row in sorted(rows, key=lambda row: row.name)]

    async def schedules_show(self, *, schedule: str) -> dict[str, Any]:
        row = await self._row(schedule)
        return self._view(row, {job["job"] for job in await self.jobs()})

    async def schedules_pause(self, *, schedule: str) -> None:
        await self._pause(schedule, paused=True)

    async def schedules_resume(self, *, schedule: str) -> None:
        await self._pause(schedule, paused=False)

    async def _pause(self, name: str, *, paused: bool) -> None:
        if self._scheduler is not None:
            await (self._scheduler.pause(name) if paused else self._scheduler.resume(name))
        elif not await self._store.pause_schedule(name, paused):
            raise UnknownNameError("schedule", name, [row.name for row in await self._store.schedules()])

    async def schedules_trigger(self, *, schedule: str) -> dict[str, Any]:
        """Runs the schedule's job now, beside its ticks."""
        found = (await self._row(schedule)).schedule
        run = await self._intake.trigger(found)
        return run.as_json()

    async def schedules_add(
        self, *, name: str, job: str, payload: dict[str, Any] | None = None, options: dict[str, Any]
    ) -> dict[str, Any]:
        """A schedule that is kept in the store; options as of a decorator, exactly one of cron and every among them."""
        row = new_row(name, job, payload, options, intake=self._intake, now=self._clock.now())
        if any(one.name == name for one in await self._rows()):
            raise RequestError(f'there is a schedule named "{name}" already: remove it first, or choose another name')
        if self._scheduler is not None:
            await self._scheduler.add(row)
        else:
            await self._store.put_schedules([row])
        return self._view(row, {job})

    async def schedules_remove(self, *, schedule: str) -> None:
        row = await self._row(schedule)
        if not row.dynamic:
            plugin = row.schedule.plugin
            raise RequestError(
                f'the schedule "{schedule}" is declared by the plugin {plugin}: pause it, or remove it there'
            )
        if self._scheduler is not None:
            await self._scheduler.remove(schedule)
        else:
            await self._store.remove_schedules([schedule])

    async def _rows(self) -> list[ScheduleRow]:
        return await self._store.schedules()

    async def _row(self, name: str) -> ScheduleRow:
        rows = {row.name: row for row in await self._rows()}
        if name not in rows:
            raise UnknownNameError("schedule", name, rows)
        return rows[name]

    def _view(self, row: ScheduleRow, known: set[str]) -> dict[str, Any]:
        schedule = row.schedule
        is_paused = schedule.paused if row.paused is None else row.paused
        following = None
        if schedule.kind != "after" and not is_paused and schedule.job in known:
            following = Timing(schedule, row.anchor).next_after(max(row.looked_until, self._clock.now()))
        return {
            "schedule": row.name,
            "job": schedule.job,
            "when": schedule.describe(),
            "kind": schedule.kind,
            "spec": schedule.spec,
            "timezone": schedule.timezone,
            "next_at": iso(following),
            "paused": is_paused,
            "job_known": schedule.job in known,
            "dynamic": row.dynamic,
            "plugin": schedule.plugin,
            "catch_up": schedule.catch_up,
            "overlap": schedule.overlap,
            "payload": json.loads(schedule.payload),
            "looked_until": iso(row.looked_until),
        }

    # The rest

    async def explain(self, *, subject: str, at: str | None = None) -> dict[str, Any]:
        """Why a run has not begun or how it ended; or what became of a schedule's tick at (or last before) ``at``."""
        runs = await self._store.runs(RunQuery(ids=[subject], limit=1))
        if runs:
            return await self._explainer.run(runs[0], await self.jobs())
        rows = {row.name: row for row in await self._rows()}
        if subject in rows:
            return await self._explainer.schedule(rows[subject], at, await self.jobs())
        raise UnknownNameError("run or schedule", subject, rows)

    async def plugins(self) -> list[dict[str, Any]]:
        """The plugins as the kernel that started last sees them."""
        if self._kernel is not None:
            return self._kernel.plugin_states()
        stored = await self._store.get("kernel", ["plugins"])
        found: list[dict[str, Any]] = json.loads(stored.get("plugins", "[]"))
        return found

    async def kernels(self) -> list[dict[str, Any]]:
        return [
            {
                "kernel": row.id,
                "pid": row.pid,
                "host": row.host,
                "started_at": iso(row.started),
                "seen_at": iso(row.seen),
            }
            for row in await self._store.kernels()
        ]

    async def health(self) -> dict[str, Any]:
        """The running kernel's own state: what is wrong, if anything, and the figures that say so."""
        if self._engine is None or self._kernel is None:
            raise RequestError("health: only a running kernel can tell; start one by `mainspring run`")
        judged = await judge_health(self._engine, self._kernel.plugin_states(), self._clock.now())
        return {"store": self._store.url, **judged}

    async def reload(self) -> list[str]:
        """Reads plugins.toml again; the lines of what changed."""
        if self._kernel is None:
            raise RequestError("reload: no kernel is running here")
        return list(await self._kernel.reload())

    async def _act(self) -> None:
        if self._watch is not None:
            await self._watch.refresh()


def new_row(name: str, job: str, payload: Any, options: dict[str, Any], *, intake: Intake, now: float) -> ScheduleRow:
    """A checked row for a schedule that is added by hand; RequestError when anything is wrong with it."""
    if not isinstance(name, str) or not 0 < len(name) <= 100 or not name.isprintable():
        raise RequestError(f"{shown(name)} is no name of a schedule: expected 1 to 100 printable characters")
    given = {option: value for option, value in options.items() if value is not None}
    kinds = [kind for kind in ("cron", "every") if kind in given]
    if len(kinds) != 1:
        raise RequestError(f'schedule {name}: expected one of cron and every, as cron="0 3 * * *" or every="10m"')
    intake.prepare(job, payload, {}, "", now)
    spec = given.pop(kinds[0])
    try:
        schedule = make_schedule(name, job, kinds[0], spec, payload=payload or {}, **given)
    except ConfigError as error:
        raise RequestError(f"schedule {name}: {error}") from None
    return ScheduleRow(name, schedule.as_text(), dynamic=True, anchor=schedule.first_tick(now), looked_until=now)


def _state(value: str) -> str:
    try:
        return RunState(value)
    except ValueError:
        raise RequestError(f"state: {shown(value)}: expected one of {', '.join(RunState)}") from None
