"""What an operator may do: list, show, enqueue, cancel, retry, pause, resume, trigger, add, remove, explain.

The command line, the socket and the web plugin all use it: plain values in, JSON values out. Changes go through the
store and so reach any kernel; inside a kernel they are acted on at once.
"""

from __future__ import annotations

import json
import math
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from kernel.breaker_rows import list_breakers, reset_breaker
from kernel.bulk import FILTERS, RETRYABLE, Bulk, states_of
from kernel.contracts.store import RunQuery
from kernel.explain import Explainer, Slots
from kernel.health import PLUGIN_SECONDS, judge_health
from kernel.model.announcement import announced_job, announced_queue, describe_job
from kernel.model.counted import counted
from kernel.model.duration import Duration, seconds
from kernel.model.errors import ConfigError, RequestError, ScheduleExistsError, UnknownNameError, nearest, shown
from kernel.model.job import Policies, check_concurrency, check_name
from kernel.model.moment import moment_of
from kernel.model.payload import MAX_BYTES
from kernel.model.run import RunState, iso
from kernel.model.schedule import Schedule, ScheduleRow, Timing, make_schedule
from kernel.run_record import attempts_of, record_of
from kernel.run_tree import RunTree
from kernel.schedule_calendar import coming_ticks, past_ticks
from kernel.schedule_hours import hours_ahead

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Store
    from kernel.flow.catalog import Catalog
    from kernel.flow.engine import Engine
    from kernel.flow.intake import Intake
    from kernel.flow.recorder import Recorder
    from kernel.model.queue import Queue
    from kernel.model.run import Run

OPERATIONS = frozenset(
    {
        "jobs", "runs_list", "runs_show", "runs_tree", "runs_cancel", "runs_retry", "runs_select", "runs_cancel_many",
        "runs_retry_many", "runs_cancel_all", "runs_retry_all", "enqueue", "wait", "queues_list", "queues_pause",
        "queues_resume", "queues_resize", "schedules_list", "schedules_show", "schedules_pause", "schedules_resume",
        "schedules_trigger", "schedules_add", "schedules_remove", "schedules_hours", "schedules_next",
        "schedules_ticks", "schedules_upcoming", "breakers_list",
        "breakers_reset", "ask", "explain", "plugins", "plugins_release", "plugins_enable", "plugins_disable", "kernels", "health",
        "config", "reload",
    }
)  # fmt: skip
MOST_RUNS = 1_000
WHOLE_ID, SHORTEST_END = 36, 8
"""Characters of a run's id, and of the end of one that finds it."""
MOST_ERROR_TEXT = 500
MOST_TICKS = 5_000
MOST_AHEAD_SECONDS = 366 * 86400.0
DEFAULT_QUEUE = Policies().queue


class Living(Protocol):
    """What control needs of the kernel around it."""

    def plugin_states(self) -> list[dict[str, Any]]: ...

    async def ask(self, hook: str, *, within: float | None = None, **values: Any) -> list[Any]: ...

    def release_plugin(self, name: str) -> None: ...

    async def reload(self) -> tuple[str, ...]: ...

    async def resize_queue(self, queue: str, concurrency: int | None) -> tuple[str, ...]: ...

    async def switch_plugin(self, name: str, *, enabled: bool) -> tuple[str, ...]: ...

    def config_state(self) -> dict[str, Any]: ...


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
        self._breakers = engine.breakers if engine else None
        self._kernel = kernel
        self._explainer = Explainer(store, clock, catalog.breaker_table, self._slots)
        self._bulk = Bulk(store, recorder)

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
        infos = [json.loads(row.info) for row in await self._store.announced()]
        self._catalog.add([announced_job(info) for info in infos])
        self._catalog.max_payload = max(
            (info.get("max_payload", MAX_BYTES) for info in infos), default=self._catalog.max_payload
        )

    # Jobs

    async def jobs(self) -> list[dict[str, Any]]:
        """Every job that is known, by name; those that other living kernels know too."""
        if self._scheduler is None:
            return sorted(
                (json.loads(row.info) for row in await self._store.announced()), key=lambda info: str(info["job"])
            )
        most = self._catalog.max_payload
        here, table = self._catalog.jobs, self._catalog.breaker_table
        infos = [describe_job(job, self._catalog.queue(job.policies.queue), most, table) for job in here.values()]
        elsewhere = await self._scheduler.known_elsewhere() - here.keys()
        if elsewhere:
            infos += [json.loads(row.info) for row in await self._store.announced() if row.job in elsewhere]
        return sorted(infos, key=lambda info: str(info["job"]))

    # Runs

    async def runs_list(
        self,
        *,
        state: str | None = None,
        job: str | None = None,
        queue: str | None = None,
        schedule: str | None = None,
        tag: str | None = None,
        since: str | float | None = None,
        until: str | float | None = None,
        error: str | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> list[dict[str, Any]]:
        """Runs that fit the filter, newest first; ``before`` is the id of the last one of the page before.

        ``state``: one, or several as "failed,expired". ``since`` and ``until``: between which instants they were enqueued,
        as ISO 8601, epoch seconds, or "2h" for two hours ago. ``error``: a text of the error or the reason of runs that
        ended badly, retry or run; of others when ``state`` names theirs. When there are none, UnknownNameError for a job,
        queue or schedule that nothing bears.
        """
        _check_limit(limit, MOST_RUNS)
        states = None if state is None else states_of(state, tuple(RunState))
        if before is not None and not await self._store.runs(RunQuery(ids=[before], limit=1)):
            raise UnknownNameError("run", before, hint="before: expected the id of the last run of the page before")
        query = RunQuery(None, states, job, queue, schedule, tag, limit, before, *self._told(since, until, error))
        found = await self._store.runs(query)
        if not found:
            await self._refuse_unknown(job, queue, schedule)
        return [run.as_json() for run in found]

    def _told(self, since: Any, until: Any, error: Any) -> tuple[float | None, float | None, str | None]:
        """The filters that need a look, as a RunQuery has them; RequestError when one is unusable."""
        now = self._clock.now()
        if error is not None and (not isinstance(error, str) or not 0 < len(error) <= MOST_ERROR_TEXT):
            raise RequestError(f"error: {shown(error)}: expected a text of 1 to {MOST_ERROR_TEXT} characters")
        begin, end = (
            None if value is None else moment_of(value, now, name)
            for name, value in (("since", since), ("until", until))
        )
        if begin is not None and end is not None and begin >= end:
            raise RequestError(f"until: {shown(until)}: expected an instant after since, which is {iso(begin)}")
        return begin, end, error

    async def _refuse_unknown(self, job: str | None, queue: str | None, schedule: str | None) -> None:
        if job is not None and not await self._store.runs(RunQuery(job=job, limit=1)):
            _refuse("job", job, [info["job"] for info in await self.jobs()])
        if queue is not None:
            _refuse("queue", queue, await self._queue_names())
        if schedule is not None and not await self._store.runs(RunQuery(schedule=schedule, limit=1)):
            _refuse("schedule", schedule, [row.name for row in await self._rows()])

    async def runs_ended(self, *, job: str, limit: int = 100) -> list[dict[str, Any]]:
        """Those of the job that have completed or failed, newest first; none for a job that nothing bears."""
        states = [RunState.COMPLETED, RunState.FAILED]
        return [run.as_json() for run in await self._store.runs(RunQuery(job=job, states=states, limit=limit))]

    async def runs_show(self, *, run: str) -> dict[str, Any]:
        """All that is kept of the run, with its ``attempts``, its recorded ``steps`` and its ``log``.

        ``run``: its id, or as of ``explain`` the end of one.
        """
        found = await self._run(run)
        if found is None:
            raise UnknownNameError("run", run, hint="`mainspring runs list` shows the newest.")
        attempts = await attempts_of(self._store, found)
        return found.as_json() | {"attempts": attempts} | await record_of(self._store, found.id)

    async def _run(self, text: str) -> Run | None:
        """By its id; or by the end of that, as narrow tables show it, if it is one of the newest runs or failed ones."""
        found = await self._store.runs(RunQuery(ids=[text], limit=1))
        if found or not SHORTEST_END <= len(text) < WHOLE_ID:
            return found[0] if found else None
        for states in (None, [RunState.FAILED], [RunState.RUNNING]):
            newest = await self._store.runs(RunQuery(states=states, limit=MOST_RUNS))
            ends = [run for run in newest if run.id.endswith(text)]
            if len(ends) > 1:
                raise RequestError(f"{shown(text)} is the end of several runs' ids, as {ends[0].id} and {ends[1].id}")
            if ends:
                return ends[0]
        return None

    async def runs_tree(self, *, run: str) -> dict[str, Any]:
        """What the run depends on and what depends on it, some levels deep, and of many runs the first few."""
        return await RunTree(self._store).around(run)

    async def runs_cancel(self, *, runs: Sequence[str], reason: str = "cancelled by hand") -> list[dict[str, Any]]:
        """Waiting runs end at once; running ones are told to, by the kernel that has them.

        Behind those asked for stand the first of the runs that depended on them and are cancelled too.
        """
        known = [run.id for run in await self._known(runs)]
        ended = await self._recorder.cancel(known, reason)
        await self._act()
        return [one._asdict() for one in ended[: len(known) + MOST_RUNS]]

    async def runs_retry(self, *, runs: Sequence[str]) -> list[dict[str, Any]]:
        """Failed, cancelled and expired runs are queued again, with all their attempts.

        RequestError when one of them is none of these, or depends on a run that has not completed, before anything is
        done; or when its unique key is another run's now.
        """
        known = await self._known(runs)
        for run in known:
            if run.state not in RETRYABLE:
                raise RequestError(
                    f"run {run.id} is {run.state}: expected one that has failed, was cancelled or has expired"
                )
        for child, parent in (await self._bulk.unready([run.id for run in known])).items():
            raise RequestError(
                f"run {child} depends on run {parent.id}, which is {parent.state}: "
                "retry it when that one has completed; nothing is queued again"
            )
        ended = await self._recorder.retry([run.id for run in known])
        await self._act()
        held = [one for one in ended if one.held_by is not None]
        if held:
            others = ", and so for others of them" if len(held) > 1 else ""
            queued = sum(one.after != one.before for one in ended)
            also = f"; {counted(queued, 'run is', 'runs are')} queued again" if queued else ""
            raise RequestError(
                f"run {held[0].id} has a unique key that run {held[0].held_by} of {held[0].job} holds now: "
                f"wait for that one, or cancel it{others}{also}"
            )
        return [one._asdict() for one in ended]

    async def runs_select(
        self,
        *,
        purpose: str,
        state: str | None = None,
        job: str | None = None,
        queue: str | None = None,
        schedule: str | None = None,
        tag: str | None = None,
        since: str | float | None = None,
        until: str | float | None = None,
        error: str | None = None,
        before: str | None = None,
    ) -> list[dict[str, str]]:
        """The runs to cancel (the unfinished ones) or to retry (the failed ones, or as ``state`` says), newest first.

        A page of them, id, job and state of each: those older than ``before``. ``purpose``: cancel or retry.
        """
        query = RunQuery(None, None, job, queue, schedule, tag, 0, before, *self._told(since, until, error))
        found = await self._bulk.select(purpose, state, query)
        if not found and before is None:
            await self._refuse_unknown(job, queue, schedule)
        return [{"id": run.id, "job": run.job, "state": str(run.state)} for run in found]

    async def runs_cancel_many(self, *, runs: Sequence[str], reason: str = "cancelled by hand") -> dict[str, int]:
        """As ``runs_cancel``, leaving out what is not there; only how many."""
        tally = await self._bulk.cancel(runs, reason)
        await self._act()
        return tally

    async def runs_retry_many(self, *, runs: Sequence[str]) -> dict[str, int]:
        """As ``runs_retry``, leaving alone what cannot be retried; only how many."""
        tally = await self._bulk.retry(runs)
        await self._act()
        return tally

    async def runs_cancel_all(self, *, reason: str = "cancelled by hand", **given: Any) -> dict[str, int]:
        """Cancels all that ``runs_select`` names with this filter, any of FILTERS."""
        return await self.runs_cancel_many(runs=await self._all("cancel", given), reason=reason)

    async def runs_retry_all(self, **given: Any) -> dict[str, int]:
        """Retries all that ``runs_select`` names with this filter, each once, the oldest first."""
        return await self.runs_retry_many(runs=(await self._all("retry", given))[::-1])

    async def _all(self, purpose: str, given: dict[str, Any]) -> list[str]:
        for name in given.keys() - set(FILTERS):
            raise RequestError(f"{purpose}: no filter named {shown(name)}; expected {', '.join(FILTERS)}")
        now = self._clock.now()
        for name in ("since", "until"):  # "2h" means the same for each page
            if given.get(name) is not None:
                given = {**given, name: moment_of(given[name], now, name)}
        found: list[str] = []
        while page := await self.runs_select(purpose=purpose, before=found[-1] if found else None, **given):
            found += [run["id"] for run in page]
        return found

    async def _known(self, runs: Sequence[str]) -> list[Run]:
        wanted = list(dict.fromkeys(runs))
        found = {run.id: run for run in await self._store.runs(RunQuery(ids=wanted, limit=len(wanted)))}
        for run in wanted:
            if run not in found:
                raise UnknownNameError("run", run, hint="`mainspring runs list` shows the newest.")
        return [found[run] for run in wanted]

    def fresh_id(self) -> str:
        """The id of a run that is not made yet, for ``enqueue``."""
        return self._intake.ids.one()

    async def enqueue(
        self, *, job: str, payload: Any = None, options: dict[str, Any] | None = None, run: str | None = None
    ) -> dict[str, Any]:
        """The run; with a ``note`` when it is the first that anything has to do with its queue.

        ``run``: a ``fresh_id`` for it, that was written down before. When a run has it already, that one is left alone.
        """
        note = await self._note_of_queue((options or {}).get("queue"))
        if run is None:
            made = await self._intake.enqueue(job, payload, **(options or {}))
        else:
            made = await self._intake.enqueue_as(run, job, payload, options or {})
        return made.as_json() | {"is_new": made.is_new, "note": note if made.is_new else None}

    async def _note_of_queue(self, queue: Any) -> str | None:
        """A queue need not be declared: that nothing has one of this name, as it is misspelt say, is worth a word."""
        if not isinstance(queue, str):
            return None
        known = await self._queue_names() | {DEFAULT_QUEUE}
        if queue in known:
            return None
        return f"no job, configuration or other run has the queue {shown(queue)}.{nearest(queue, known)}"

    async def wait(self, *, run: str, timeout: Duration | None = None) -> dict[str, Any]:
        """The run as soon as it has ended, or as it is when the time is over."""
        limit = None if timeout is None else seconds(timeout, zero=True, option="timeout")
        found = await self._recorder.endings.wait(run, limit)
        if found is None:
            raise UnknownNameError("run", run)
        return found.as_json()

    # Queues

    async def queues_list(self) -> list[dict[str, Any]]:
        rows = {row.name: row for row in await self._store.queues()}
        limits = await self._queues()
        now = self._clock.now()
        listed = []
        for name in sorted(rows.keys() | limits.keys()):
            row = rows.get(name)
            limit = limits.get(name)
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
                    "concurrency": limit.concurrency if limit else None,
                    "concurrency_scope": limit.concurrency_scope if limit else "all",
                    "max_waiting": limit.max_waiting if limit else None,
                    "rate_limit": str(limit.rate_limit) if limit and limit.rate_limit else None,
                    "oldest_due_at": iso(row.oldest_due) if row else None,
                    "paused": is_paused,
                    "paused_until": None if not is_paused or until == math.inf else iso(until),
                }
            )
        return listed

    async def queue_limits(self) -> dict[str, Queue]:
        """The queues with their limits, as this kernel has them or as they were announced."""
        if self._scheduler is not None:
            return {name: self._catalog.queue(name) for name in self._configured_queues()}
        queues = [announced_queue(json.loads(row.info)) for row in await self._store.announced()]
        return {queue.name: queue for queue in queues}

    def _configured_queues(self) -> set[str]:
        return {job.policies.queue for job in self._catalog.jobs.values()} | self._catalog.queues.keys()

    async def _queues(self) -> dict[str, Queue]:
        """Those of the configuration too, of which no job tells."""
        return self._catalog.queues | await self.queue_limits()

    async def _queue_names(self) -> set[str]:
        """Those that a job, the configuration or a run has."""
        rows = {row.name for row in await self._store.queues()}
        return rows | (await self._queues()).keys() | self._configured_queues()

    async def queues_pause(self, *, queue: str, duration: Duration | None = None) -> None:
        """Nothing of the queue begins until it is resumed, or so long. UnknownNameError when nothing has such a queue."""
        name = check_name("queue", queue)
        until = math.inf if duration is None else self._clock.now() + seconds(duration, option="duration")
        await self._refuse_unknown(None, name, None)
        await self._store.pause_queue(name, until)
        await self._act()

    async def queues_resume(self, *, queue: str) -> None:
        name = check_name("queue", queue)
        await self._refuse_unknown(None, name, None)
        await self._store.pause_queue(name, None)
        await self._act()

    async def queues_resize(self, *, queue: str, concurrency: int | None) -> list[str]:
        """Writes how many of the queue may run at once, or None for no limit, into this kernel's plugins.toml.

        It holds at once, and after a restart; the lines of what changed. ConfigError when the file cannot be used: it stays
        as it is.
        """
        kernel = self._living("queues resize")
        name = check_name("queue", queue)
        try:
            limit = check_concurrency(concurrency)
        except ConfigError as error:
            raise RequestError(f"queues resize: {error}") from None
        await self._refuse_unknown(None, name, None)
        return list(await kernel.resize_queue(name, limit))

    # Schedules

    async def schedules_list(self) -> list[dict[str, Any]]:
        rows = await self._rows()
        known = {job["job"] for job in await self.jobs()}
        return [self._view(row, known) for row in sorted(rows, key=lambda row: row.name)]

    async def schedules_show(self, *, schedule: str) -> dict[str, Any]:
        row = await self._row(schedule)
        return self._view(row, {job["job"] for job in await self.jobs()})

    async def schedules_hours(
        self, *, since: float, until: float, schedules: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """How many ticks come in each hour between two instants (epoch seconds), and the first of each, by schedule.

        Of all schedules, or of these; those that are paused, or whose job nobody knows, have none.
        """
        now, known = self._clock.now(), {job["job"] for job in await self.jobs()}
        if not now - MOST_AHEAD_SECONDS <= since <= until <= now + MOST_AHEAD_SECONDS:
            raise RequestError(f"until: {shown(until)}: expected an instant after since, at most a year ahead")
        wanted = None if schedules is None else {*schedules}
        rows = [row for row in await self._rows() if wanted is None or row.name in wanted]
        ticking = [row for row in rows if self._view(row, known)["next_at"] is not None]
        return await hours_ahead(ticking, max(since, now), until)

    async def schedules_next(self, *, schedule: str, count: int = 10) -> list[str | None]:
        """The next instants of the schedule, were it not paused; none for one that ticks after the end of another run."""
        if not isinstance(count, int) or not 1 <= count <= MOST_RUNS:
            raise RequestError(f"count: {shown(count)}: expected a whole number from 1 to {MOST_RUNS:,}")
        row = await self._row(schedule)
        timing = Timing(row.schedule, row.anchor)
        after = max(row.looked_until, self._clock.now())
        return [iso(at) for at in islice(timing.between(after, math.inf), count)]

    async def schedules_ticks(
        self, *, since: str | float, until: str | float, schedule: str | None = None, limit: int = 1_000
    ) -> dict[str, Any]:
        """What became of the ticks between two instants, of one schedule or of all: ledger lines, newest first.

        ``is_cut`` when there are more than ``limit``. Instants as of ``runs_list``.
        """
        now = self._clock.now()
        begin, end = moment_of(since, now, "since"), moment_of(until, now, "until")
        if begin > end:
            raise RequestError(f"until: {shown(until)}: expected an instant after since, which is {iso(begin)}")
        _check_limit(limit, MOST_TICKS)
        names = [row.name for row in await self._rows()] if schedule is None else [schedule]
        found = await past_ticks(self._store, names, begin, end, limit)
        if schedule is not None and not found["ticks"]:
            await self._row(schedule)
        return found

    async def schedules_upcoming(self, *, until: str | float, limit: int = 1_000) -> dict[str, Any]:
        """The next ticks of all schedules that are not paused and whose job is known, in order of time.

        ``until``: as ISO 8601, epoch seconds, or "12h" for twelve hours from now. At most ``limit``, and 100 of one
        schedule; ``more`` says of which schedules there are others, and how many.
        """
        now = self._clock.now()
        end = moment_of(until, now, "until", is_ahead=True)
        _check_limit(limit, MOST_TICKS)
        known = {job["job"] for job in await self.jobs()}
        return await coming_ticks([row for row in await self._rows() if _ticks(row, known)], now, end, limit)

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
            raise ScheduleExistsError(name)
        if self._scheduler is not None:
            await self._scheduler.add(row)
        elif not all(await self._store.put_schedules([row])):
            raise ScheduleExistsError(name)
        return self._view(row, {job})

    async def schedules_remove(self, *, schedule: str) -> None:
        row = await self._row(schedule)
        if not row.dynamic and await self._may_be_declared(row):
            plugin = row.schedule.plugin
            raise RequestError(
                f'the schedule "{schedule}" is declared by the plugin {plugin}: pause it, or remove it there'
            )
        if self._scheduler is not None:
            await self._scheduler.remove(schedule)
        else:
            await self._store.remove_schedules([schedule])

    async def _may_be_declared(self, row: ScheduleRow) -> bool:
        """Where kernels share the store none can tell that a plugin is gone for good: its last schedules are removed by hand."""
        return not self._store.is_shared or any(info["job"] == row.schedule.job for info in await self.jobs())

    async def _rows(self) -> list[ScheduleRow]:
        return await self._store.schedules()

    async def _row(self, name: str) -> ScheduleRow:
        rows = {row.name: row for row in await self._rows()}
        if name not in rows:
            raise UnknownNameError("schedule", name, rows)
        return rows[name]

    def _view(self, row: ScheduleRow, known: set[str]) -> dict[str, Any]:
        schedule = row.schedule
        following = None
        if _ticks(row, known):
            following = Timing(schedule, row.anchor).next_after(max(row.looked_until, self._clock.now()))
        return {
            "schedule": row.name,
            "job": schedule.job,
            "when": schedule.describe(),
            "kind": schedule.kind,
            "spec": schedule.spec,
            "timezone": schedule.timezone,
            "next_at": iso(following),
            "paused": _is_paused(row),
            "job_known": schedule.job in known,
            "dynamic": row.dynamic,
            "plugin": schedule.plugin,
            "catch_up": schedule.catch_up,
            "overlap": schedule.overlap,
            "anchor": schedule.anchor,
            "jitter_seconds": schedule.jitter_seconds,
            "payload": json.loads(schedule.payload),
            "looked_until": iso(row.looked_until),
        }

    # Breakers

    async def breakers_list(self) -> list[dict[str, Any]]:
        return await list_breakers(self._store, self._catalog, await self.jobs(), self._breakers)

    async def breakers_reset(self, *, breaker: str) -> None:
        """Calls through it are made again at once, and its failures are counted from nothing."""
        await reset_breaker(self._store, breaker, [one["breaker"] for one in await self.breakers_list()])
        await self._act()

    # The rest

    async def explain(self, *, subject: str, at: str | None = None) -> dict[str, Any]:
        """Why a run has not begun or how it ended; or what became of a schedule's tick at (or last before) ``at``.

        A run by its id, or by the end of that (8 characters or more) when it is one of the newest thousand.
        """
        rows = {row.name: row for row in await self._rows()}
        run = None if subject in rows else await self._run(subject)
        if run is not None:
            if at is not None:
                raise RequestError(
                    f"at: {subject} is a run: expected the name of a schedule, whose tick it then chooses"
                )
            return await self._explainer.run(run, await self.jobs(), await self._queues())
        if subject in rows:
            return await self._explainer.schedule(rows[subject], at, await self.jobs())
        raise UnknownNameError("run or schedule", subject, rows)

    def _slots(self) -> Slots | None:
        if self._engine is None:
            return None
        pool = self._engine.pool
        begun = {run: worker.run.job for run, worker in pool.busy.items() if worker.run is not None}
        return Slots(pool.concurrency, begun, {run.id for run in self._engine.ready.held()})

    async def plugins(self) -> list[dict[str, Any]]:
        """The plugins as the kernel that started last sees them."""
        if self._kernel is not None:
            return self._kernel.plugin_states()
        stored = await self._store.get("kernel", ["plugins"])
        found: list[dict[str, Any]] = json.loads(stored.get("plugins", "[]"))
        return found

    async def plugins_release(self, *, plugin: str) -> None:
        """Lets it out of quarantine: its hooks are called again."""
        if self._kernel is None:
            raise RequestError("plugins release: only a running kernel has plugins in quarantine")
        self._kernel.release_plugin(plugin)

    async def plugins_enable(self, *, plugin: str) -> dict[str, Any]:
        """Switches it on in this kernel's plugins.toml and takes it up; the plugin as it is then, which may be broken."""
        return await self._switch(plugin, enabled=True)

    async def plugins_disable(self, *, plugin: str) -> dict[str, Any]:
        """Switches it off there, once its attempts have ended, or kernel.shutdown_grace is over."""
        return await self._switch(plugin, enabled=False)

    async def _switch(self, name: str, *, enabled: bool) -> dict[str, Any]:
        kernel = self._living(f"plugins {'enable' if enabled else 'disable'}")
        names = {one["plugin"] for one in kernel.plugin_states()}
        if name not in names:
            raise UnknownNameError("plugin", str(name), names)
        await kernel.switch_plugin(name, enabled=enabled)
        return next((one for one in kernel.plugin_states() if one["plugin"] == name), {})

    def _living(self, what: str) -> Living:
        if self._kernel is None:
            raise RequestError(f"{what}: only a running kernel can do it; start one by `mainspring run`")
        return self._kernel

    async def ask(self, *, question: str, about: dict[str, Any] | None = None) -> Any:
        """What the plugin whose question this is answers, by its hook ``answer``; UnknownNameError when it is nobody's."""
        if self._kernel is None:
            raise RequestError(f"{question}: only a running kernel can tell; start one by `mainspring run`")
        answers = await self._kernel.ask("answer", question=question, about=about or {})
        for answer in answers:
            if answer.value is not None:
                return answer.value
        for answer in answers:
            if answer.error is not None:
                raise RequestError(f"plugin {answer.plugin}: {answer.error.reason}")
        raise UnknownNameError("question", question, hint="No plugin that is on answers it.")

    async def kernels(self) -> list[dict[str, Any]]:
        """The kernels on this store by their start: alive, stopping, or lost, when nobody has taken up yet what one had."""
        now = self._clock.now()
        members = await self._store.members()
        stopping = await self._recorder.stopping()
        return [
            {
                "kernel": row.id,
                "state": "lost" if not one.is_alive else "stopping" if row.id in stopping else "alive",
                "host": row.host,
                "pid": row.pid,
                "started_at": iso(row.started),
                "seen_at": iso(row.seen),
                "seen_seconds": round(max(now - row.seen, 0.0), 1),
                "running": one.running,
            }
            for one in members
            for row in (one.kernel,)
        ]

    async def health(self) -> dict[str, Any]:
        """The running kernel's own state and what its plugins say of theirs: what is wrong, if anything, with the figures."""
        if self._engine is None or self._kernel is None:
            raise RequestError("health: only a running kernel can tell; start one by `mainspring run`")
        kernel = self._kernel
        judged = await judge_health(
            self._engine,
            kernel.plugin_states(),
            self._clock.now(),
            lambda: kernel.ask("check_health", within=PLUGIN_SECONDS),
        )
        return {"store": self._store.url, **judged}

    async def config(self) -> dict[str, Any]:
        """The ``path`` of this kernel's plugins.toml, and the ``problems`` for which its last edit is not used."""
        return self._living("config").config_state()

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
    if idle := _idle_option(schedule, given):
        raise RequestError(f"schedule {name}: {idle}")
    return ScheduleRow(name, schedule.as_text(), dynamic=True, anchor=schedule.first_tick(now), looked_until=now)


def _idle_option(schedule: Schedule, given: Collection[str]) -> str | None:
    """An option that was given and would change nothing."""
    if "timezone" in given and schedule.kind == "every" and not {"start", "end"} & set(given):
        return "timezone: it goes with cron, or with start and end, not with every alone, which counts seconds"
    if "catch_up_max" in given and schedule.catch_up != "all" and schedule.overlap != "queue":
        return f'catch_up_max: it goes with catch_up="all" or overlap="queue", not with catch_up="{schedule.catch_up}"'
    return None


def _is_paused(row: ScheduleRow) -> bool:
    return row.schedule.paused if row.paused is None else row.paused


def _ticks(row: ScheduleRow, known: Collection[str]) -> bool:
    """Whether one can say when it ticks next: ``after`` begins with the end of another run."""
    return row.schedule.kind != "after" and not _is_paused(row) and row.schedule.job in known


def _check_limit(limit: Any, most: int) -> None:
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= most:
        raise RequestError(f"limit: {shown(limit)}: expected a whole number from 1 to {most:,}")


def _refuse(kind: str, name: str, known: Collection[str]) -> None:
    """Where nobody knows any name yet, none is wrong."""
    if known and name not in known:
        raise UnknownNameError(kind, str(name), known)
