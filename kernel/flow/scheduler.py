"""Which ticks are due, and what becomes of each: a look computes it, the recorder writes it in one transaction.

Woken by the alarm of timers.py. The store's rows hold how far each schedule has been looked at, so that a blocked loop,
a suspended machine, a downtime and a clock step are nothing but one longer look.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from kernel.contracts.store import Look, Looked, RunQuery, Unfinished
from kernel.flow.agenda import Agenda
from kernel.flow.clock_steps import ClockSteps
from kernel.flow.elsewhere import Elsewhere
from kernel.flow.timers import Alarm
from kernel.model.errors import ConfigError, ScheduleExistsError, StoreError, UnknownNameError
from kernel.model.events import ScheduleAdded, SchedulePaused, ScheduleRemoved, ScheduleResumed
from kernel.model.overlap import judge
from kernel.model.request import Keys
from kernel.model.run import WAITING, NewRun, RunExtra, RunState, urgency_of
from kernel.model.schedule import Plan, Result, Schedule, ScheduleRow, Tick, jitter_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Store
    from kernel.flow.catalog import Catalog
    from kernel.flow.event_bus import EventBus
    from kernel.flow.intake import Intake
    from kernel.flow.recorder import Recorder
    from kernel.flow.schedule_entry import Entry

log = logging.getLogger(__name__)

_LONG_LOOK_SECONDS = 3600.0
_AHEAD_SECONDS = 3 * 3600.0
_EVERY_AHEAD_SECONDS = 5.0
_UNFINISHED = sorted({*WAITING, RunState.RUNNING})
_LOOKS_AT_ONCE = 250
_TRIES = 10
_APART_SECONDS = 1e-6
"""Between two ticks of ``after``, when two kernels start at one instant."""


class Scheduler:
    """Holds every schedule of the store, and looks at those that are due."""

    def __init__(
        self,
        kernel_id: str,
        *,
        store: Store,
        recorder: Recorder,
        intake: Intake,
        catalog: Catalog,
        bus: EventBus,
        clock: Clock,
        why_unknown: Callable[[Schedule], str],
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._intake = intake
        self._catalog = catalog
        self._bus = bus
        self._clock = clock
        self._why_unknown = why_unknown
        self._elsewhere = Elsewhere(kernel_id, store)
        self._agenda = Agenda(clock, why_off=self._off, is_left=self._is_left)
        self._entries = self._agenda.entries
        self._started_after: set[str] = set()
        self._looking = asyncio.Lock()
        self._woken = asyncio.Event()
        self._alarm = Alarm(self._woken.set, clock)
        self._task: asyncio.Task[None] | None = None
        self._has_stopped = False
        self._reanchoring: set[asyncio.Task[None]] = set()
        self._last_look_at = clock.elapsed()
        self._steps = ClockSteps(clock)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Whoever looks or writes does it alone, and by the clock as it is set."""
        async with self._looking:
            await self._follow_clock()
            yield

    async def _read_again(self) -> None:
        """Others may have changed schedules: what the store says holds.

        Whoever puts or removes one has looked at it up to then. One that was paused, or goes on, is looked at here first.
        """
        rows = {row.name: row for row in await self._store.schedules()}
        known = ((entry, rows.get(name)) for name, entry in self._entries.items())
        changed = [(one, row) for one, row in known if row and one.holds(row) and one.row.paused != row.paused]
        if changed:
            for entry, row in changed:
                entry.row = entry.row._replace(looked_until=row.looked_until)
            await self._settle([entry for entry, _ in changed])
            rows = {row.name: row for row in await self._store.schedules()}
        self._agenda.take_all(rows.values())

    # Life

    async def start(self, declared: Sequence[Schedule], known_plugins: Iterable[str]) -> None:
        """Takes the store's rows, settles what was due while no kernel ran, then takes what the plugins declare."""
        async with self._alone():
            await self._elsewhere.read()
            await self._read_again()
            await self._bring_back()
            # Whoever knows a job that is not here may be about to start.
            may_wait = self._elsewhere.is_possible
            await self._settle([one for one in self._entries.values() if not may_wait or self._is_here(one)])
            if not may_wait:
                await self._forget_plugins_but(set(known_plugins))
        # A plugin that is on and declares nothing any more is here too, so that its schedules stop.
        by_plugin: dict[str, list[Schedule]] = {job.plugin: [] for job in self._catalog.jobs.values()}
        for schedule in declared:
            by_plugin.setdefault(schedule.plugin or "", []).append(schedule)
        for plugin, schedules in by_plugin.items():
            await self.declare(plugin, schedules)
        self._task = asyncio.create_task(self._loop(), name="mainspring:scheduler")

    async def stop(self) -> None:
        """No more looks; one under way is awaited. What does not run is looked at last, for it goes by what holds now."""
        self._has_stopped = True
        self._alarm.arm(None)
        if self._task is not None:
            task, self._task = self._task, None
            self._woken.set()
            await asyncio.wait({task})
        async with self._alone():
            await self._settle([entry for entry in self._entries.values() if entry.off is not None])
        await self.finish_reanchoring()

    async def finish_reanchoring(self) -> None:
        """Waits until the end of every run that was told here is written."""
        while self._reanchoring:
            await asyncio.wait(self._reanchoring)

    async def _forget_plugins_but(self, known: set[str]) -> None:
        """What a plugin declared that is not even found any more. It may be found by others, where there may be such."""
        await self._forget(
            [
                entry.row.name
                for entry in self._entries.values()
                if not entry.row.dynamic and entry.schedule.plugin not in known
            ]
        )

    async def declare(self, plugin: str, schedules: Sequence[Schedule]) -> None:
        """Now holds what ``plugin`` declares: new and changed schedules begin now, those it no longer declares stop."""
        async with self._alone():
            is_new = not self._elsewhere.is_possible
            for _ in range(_TRIES):
                if not is_new:
                    await self._read_again()
                is_new = False
                now = await self._settle_before(plugin, schedules)
                if await self._declare(plugin, schedules, now):  # not a later one: no tick may fall in between
                    self._arm()
                    return
        raise StoreError(f"the schedules of the plugin {plugin} are changed by others all the time; try again")

    async def _settle_before(self, plugin: str, schedules: Sequence[Schedule]) -> float:
        """Looks at what is about to change, by what holds until then; nobody will do so later."""
        texts = {schedule.name: schedule.as_text() for schedule in schedules}
        mine = [entry for entry in self._entries.values() if entry.schedule.plugin == plugin or entry.row.name in texts]
        changing = {entry.row.name for entry in mine if entry.row.definition != texts.get(entry.row.name)}
        return await self._settle(mine, last=changing)

    async def _declare(self, plugin: str, schedules: Sequence[Schedule], now: float) -> bool:
        """False when another kernel has put one of them meanwhile."""
        names = {schedule.name for schedule in schedules}
        for schedule in schedules:
            there = self._agenda.row(schedule.name)
            if there is not None and there.dynamic:
                raise ConfigError(
                    f'the schedule "{schedule.name}" of the plugin {plugin} has the name of one that was added while '
                    f"running: remove that one by `mainspring schedules remove {schedule.name}`, or give another name="
                )
        rows = [self._row_for(schedule, now) for schedule in schedules]
        changed = [row for row in rows if row != self._agenda.row(row.name)]
        if changed and not all(await self._store.put_schedules(changed)):
            return False
        for row in changed:
            self._agenda.put(row)
        await self._forget(
            [
                entry.row.name
                for entry in self._entries.values()
                if not entry.row.dynamic and entry.schedule.plugin == plugin and entry.row.name not in names
            ]
        )
        await self._start_after([self._entries[name] for name in sorted(names) if name in self._entries], now)
        return True

    def _row_for(self, schedule: Schedule, now: float) -> ScheduleRow:
        text = schedule.as_text()
        old, there = self._entries.get(schedule.name), self._agenda.row(schedule.name)
        if there is None:
            return ScheduleRow(schedule.name, text, dynamic=False, anchor=schedule.first_tick(now), looked_until=now)
        if there.definition == text:
            return there
        same_grid = old is not None and (old.schedule.kind, old.schedule.spec, old.schedule.anchor) == (
            schedule.kind,
            schedule.spec,
            schedule.anchor,
        )
        anchor = there.anchor if same_grid else schedule.first_tick(now)
        until = max(now, there.looked_until)
        return ScheduleRow(schedule.name, text, False, anchor, until, there.paused, there.version + 1)

    async def _forget(self, names: Sequence[str]) -> None:
        if not names:
            return
        await self._store.remove_schedules(names)
        for name in names:
            self._agenda.drop(name)
            self._bus.publish(ScheduleRemoved(self._clock.now(), name))

    async def _start_after(self, entries: Sequence[Entry], now: float) -> None:
        """``@after`` ticks once in the life of a kernel."""
        fresh = [
            entry for entry in entries if entry.schedule.kind == "after" and entry.row.name not in self._started_after
        ]
        if not fresh:
            return
        for _ in range(_TRIES):
            at = now
            if self._elsewhere.is_possible:  # one that started at the same instant has a tick of its own
                at = max([now, *(_just_after(one.row.looked_until, now) for one in fresh)])
            plans = {}
            for entry in fresh:
                tick = at + entry.schedule.interval
                off = self._off(entry)
                lines = () if off is None else (Tick(entry.row.name, tick, tick, 1, *off),)
                plans[entry.row.name] = Plan((tick,) if off is None else (), 0, lines, caught_up=False)
            lost = await self._write_looks(fresh, plans, at)
            self._started_after |= plans.keys() - {entry.row.name for entry in lost}
            if not lost:
                return
            fresh = lost

    # Looking

    async def _loop(self) -> None:
        wait = 0.1
        while True:
            await self._woken.wait()
            self._woken.clear()
            if self._task is None:
                return
            try:
                await self.look()
                self._recorder.trouble.ends("schedules")
                wait = 0.1
            except StoreError as error:
                self._recorder.trouble.begins("schedules", error)
                wait = self._try_again_in(wait)
            except Exception:
                log.exception("looking at the schedules failed; it is tried again")
                wait = self._try_again_in(wait)

    def _try_again_in(self, wait: float) -> float:
        """After a failure; the next wait."""
        if not self._has_stopped:
            self._alarm.arm(self._clock.now() + wait)
        return min(wait * 2, 5.0)

    async def look(self, *, plugin: str | None = None) -> None:
        """Settles every tick that is due by now; of one plugin's schedules only, when it is given."""
        async with self._alone():
            if plugin is None:
                due = self._agenda.pop_due(self._clock.now())
            else:
                due = [entry for entry in self._entries.values() if entry.schedule.plugin == plugin]
            await self._settle(due)
            self._last_look_at = self._clock.elapsed()
            if plugin is None:
                self._alarm.rung_for = None
            self._arm()

    async def _settle(
        self, due: list[Entry], now: float | None = None, *, last: AbstractSet[str] = frozenset()
    ) -> float:
        """Looks at these, due or not, and puts them where they belong next; until which instant they are settled.

        But for those that are left to others, unless it is the ``last`` look at them. Under the lock, as all that looks or
        writes.
        """
        now = self._clock.now() if now is None else now
        try:
            waiting = [entry for entry in due if entry.waits_for_finish]
            await self._look_at(due, now, last)
            for entry in waiting:
                await self._see_whether_finished(entry)
        finally:
            for entry in due:
                self._agenda.push(entry)
        return now

    @property
    def seconds_since_look(self) -> float:
        """How long ago the schedules were last looked at; more than the time to the next tick means a stall."""
        return self._clock.elapsed() - self._last_look_at

    @property
    def next_due(self) -> float | None:
        return self._alarm.due

    def overdue_seconds(self, now: float) -> float:
        """For how long a tick has been due that no look has settled: it has not begun, fails, or does not end."""
        due = self._alarm.due if self._alarm.rung_for is None else self._alarm.rung_for
        return 0.0 if due is None else max(now - due, 0.0)

    async def _look_at(self, due: list[Entry], now: float, last: AbstractSet[str]) -> None:
        due = [entry for entry in due if entry.schedule.kind != "after"]
        for _ in range(_TRIES):
            due = await self._without_left(due, last)
            if not due:
                return
            plans = await self._plans_of(due, now)
            looked = [entry for entry in due if entry.row.name in plans]
            due = []
            # What is written first begins while the next is being written.
            for at in range(0, len(looked), _LOOKS_AT_ONCE):
                due += await self._write_looks(looked[at : at + _LOOKS_AT_ONCE], plans, now)

    async def _without_left(self, due: list[Entry], last: AbstractSet[str]) -> list[Entry]:
        """Those that this kernel looks at. Nothing is recorded as of an unknown job that another one knows by now."""
        if all(self._is_here(entry) for entry in due):
            return due
        await self._elsewhere.read()
        return [entry for entry in due if entry.row.name in last or not self._is_left(entry)]

    async def _plans_of(self, due: list[Entry], now: float) -> dict[str, Plan]:
        """What becomes of their ticks, of those that have any."""
        looks = [(entry, entry.off or self._off(entry)) for entry in due]

        def make_plans() -> dict[str, Plan]:
            plans = {entry.row.name: entry.plan(now, off) for entry, off in looks}
            return {name: found for name, found in plans.items() if found.runs or found.ticks}

        if any(entry.following is not None and entry.following < now - _LONG_LOOK_SECONDS for entry in due):
            return await asyncio.to_thread(make_plans)  # many ticks to count: not on the loop
        return make_plans()

    async def _write_looks(self, given: list[Entry], plans: dict[str, Plan], now: float) -> list[Entry]:
        """Those that are to be looked at once more, by what holds now: another kernel, or an operator, was faster."""
        gone = [one for one in given if plans[one.row.name].runs and not self._is_here(one)]  # since it was planned
        if self._elsewhere.is_possible:
            given, lost = [entry for entry in given if entry not in gone], gone
        else:
            lost = []
            for entry in gone:
                plans[entry.row.name] = self._without_runs(entry, plans[entry.row.name])
        runs = {entry.row.name: self._runs_of(entry, plans[entry.row.name], now) for entry in given}
        schedules = {entry.row.name: entry.schedule for entry in given}

        def decide(look: Look, unfinished: Sequence[Unfinished]) -> Looked:
            name = look.schedule
            verdict = judge(schedules[name], plans[name], runs[name], unfinished)
            return Looked(verdict.runs, verdict.ticks, verdict.cancel, "replaced by the next tick of its schedule")

        looks = [Look(entry.row.name, entry.row.looked_until, now, entry.row.version) for entry in given]
        results = await self._recorder.look(looks, decide) if looks else []
        late = []
        for entry, result in zip(given, results, strict=True):
            if result is None:
                late.append(entry)
                continue
            entry.row = entry.row._replace(looked_until=now)
            if entry.schedule.anchor == "finish" and not result.runs:
                await self._reanchor(entry, now)
        if late:
            await self._read_rows([entry.row.name for entry in late])
        return [entry for entry in (*lost, *late) if self._entries.get(entry.row.name) is entry]

    async def _read_rows(self, names: Sequence[str]) -> None:
        """These are not as they were known here: what the store says holds."""
        rows = {row.name: row for row in await self._store.schedules(names)}
        for name in names:
            if name in rows:
                self._agenda.take(rows[name])
            else:
                self._agenda.drop(name)

    def _without_runs(self, entry: Entry, found: Plan) -> Plan:
        name, why = entry.row.name, self._why_unknown_job(entry.schedule)
        lines = (Tick(name, tick, tick, 1, "disabled", why) for tick in found.runs)
        return Plan((), 0, (*found.ticks, *lines), caught_up=False)

    def _runs_of(self, entry: Entry, found: Plan, now: float) -> list[NewRun]:
        if not found.runs:
            return []
        schedule, job = entry.schedule, self._catalog.job(entry.schedule.job)
        policies = job.policies
        # No unique key: whether a tick makes a run, overlap says.
        keys = Keys.of(policies, None, schedule.payload, job.parameters.defaults)
        runs = []
        for tick in found.runs:
            due = tick + jitter_of(schedule, tick)
            expires = None if policies.expires_seconds is None else due + policies.expires_seconds
            extra = RunExtra(
                expires, None, policies.tags, schedule.name, tick, found.folded if tick == found.runs[-1] else 0,
                keys.concurrency, keys.rate,
            )  # fmt: skip
            state = RunState.SCHEDULED if due > now else RunState.QUEUED
            runs.append(
                NewRun(
                    self._intake.ids.one(), job.name, policies.queue, policies.priority, schedule.payload,
                    state, now, due, urgency_of(due, policies.priority), extra,
                )
            )  # fmt: skip
        return runs

    def _is_here(self, entry: Entry) -> bool:
        return entry.schedule.job in self._catalog.jobs

    def _is_left(self, entry: Entry) -> bool:
        return not self._is_here(entry) and entry.schedule.job in self._elsewhere.jobs

    def _off(self, entry: Entry) -> tuple[Result, str] | None:
        if entry.schedule.job not in self._catalog.jobs:
            return "disabled", self._why_unknown_job(entry.schedule)
        if entry.row.paused:
            return "paused", "paused by hand"
        return ("paused", "paused by its definition") if entry.is_paused else None

    def _why_unknown_job(self, schedule: Schedule) -> str:
        return self._catalog.why_off(schedule.job) or self._why_unknown(schedule)

    def _arm(self) -> None:
        if not self._has_stopped:
            self._alarm.arm(self._agenda.next_look())

    # Time that does not flow

    async def heed_clock(self) -> float:
        """Takes a step of the wall clock into account; by how many seconds it was set since this was last asked."""
        async with self._alone():
            return self._steps.tell()

    async def _follow_clock(self) -> None:
        """Before every look, for a look by a clock that was set an hour ahead would leave nothing for that hour.

        Elapsed time goes on: ``every`` keeps its rhythm. Cron follows the wall clock, and runs no instant twice.
        """
        step = self._steps.find()
        if not step:
            return
        if not self._elsewhere.is_possible:
            # What was due when the clocks still agreed goes by the old one: ticks of what is off are looked at late.
            before = self._steps.agreed_until
            await self._settle([one for one in self._entries.values() if (one.next_at or math.inf) <= before], before)
            await self._shift(step)
        elif step < 0:
            await self._read_again()
            await self._bring_back(-step)
        self._steps.taken()
        self._woken.set()

    async def _shift(self, step: float) -> None:
        """``every`` goes on by elapsed time. Where kernels share a clock it goes by that one, for each would shift it."""
        moved = [
            row._replace(anchor=row.anchor + step, looked_until=row.looked_until + step)
            for row in (entry.row for entry in self._entries.values() if entry.schedule.kind == "every")
        ]
        await self._move(moved + self._far_ahead(self._clock.now()))

    async def _bring_back(self, back: float = 0.0) -> None:
        """The clock was set ``back``, nobody knows by how much when 0.0: what lies ahead now goes with it, and goes on.

        When another kernel has done it already there is nothing ahead any more.
        """
        for _ in range(_TRIES):
            now = self._clock.now()
            moved = []
            for row in (entry.row for entry in self._entries.values() if entry.schedule.kind == "every"):
                ahead = row.looked_until - now
                if ahead > _EVERY_AHEAD_SECONDS:
                    by = max(ahead, back)  # keeps its rhythm, if that is known
                    moved.append(row._replace(anchor=row.anchor - by, looked_until=row.looked_until - by))
            if await self._move(moved + self._far_ahead(now)):
                return

    def _far_ahead(self, now: float) -> list[ScheduleRow]:
        return [
            entry.row._replace(looked_until=now)
            for entry in self._entries.values()
            if entry.schedule.kind == "cron" and entry.row.looked_until > now + _AHEAD_SECONDS
        ]

    async def _move(self, given: list[ScheduleRow]) -> bool:
        """Rows whose time has moved. False when some have been put by another meanwhile, who has moved them or has not."""
        rows = [row._replace(version=row.version + 1) for row in given]
        written = await self._store.put_schedules(rows, True) if rows else []
        for row, is_written in zip(rows, written, strict=True):
            if is_written:
                self._agenda.put(row)
        if not all(written):
            await self._read_rows([row.name for row, is_first in zip(rows, written, strict=True) if not is_first])
        self._arm()
        return all(written)

    def rearm(self) -> None:
        self._alarm.rearm()

    # Schedules anchored at the finish of their last run

    def run_ended(self, schedule: str, finished: float) -> None:
        """Told by the recorder: the wait of ``anchor="finish"`` begins."""
        entry = self._entries.get(schedule)
        if entry is not None and entry.schedule.anchor == "finish":
            task = asyncio.create_task(self._take_finish(entry, finished), name="mainspring:reanchor")
            self._reanchoring.add(task)
            task.add_done_callback(self._reanchoring.discard)

    async def _take_finish(self, entry: Entry, finished: float) -> None:
        async with self._alone():
            try:
                await self._reanchor(entry, finished)
            except StoreError as error:
                log.warning("when %s runs next is asked for again: %s", entry.row.name, error)
            self._agenda.push(entry)
            self._arm()

    async def _reanchor(self, entry: Entry, finished: float) -> None:
        """The next tick comes one interval after ``finished``, and after what has been looked at."""
        row = entry.row
        anchor = min(finished, self._clock.now()) + entry.schedule.interval
        anchor = max(anchor, math.nextafter(row.looked_until, math.inf))
        row = row._replace(anchor=anchor, version=row.version + 1)
        if all(await self._store.put_schedules([row])):
            entry.take(row)
        else:  # another kernel has told the end, or has changed the definition: then it is asked for again
            await self._read_rows([row.name])

    async def _see_whether_finished(self, entry: Entry) -> None:
        """Goes on from the end of the last run, if none is unfinished."""
        if not entry.waits_for_finish or await self._store.runs(
            RunQuery(states=_UNFINISHED, schedule=entry.row.name, limit=1)
        ):
            return
        last = await self._store.runs(RunQuery(schedule=entry.row.name, limit=1))
        finished = last[0].finished if last else None
        await self._reanchor(entry, self._clock.now() if finished is None else finished)

    # By hand

    async def add(self, row: ScheduleRow) -> None:
        """Takes a checked row of a schedule that is kept in the store."""
        async with self._alone():
            if not all(await self._store.put_schedules([row])):
                raise ScheduleExistsError(row.name)
            self._agenda.put(row)
            self._arm()
        self._bus.publish(ScheduleAdded(self._clock.now(), row.name))

    async def remove(self, name: str) -> None:
        """Ticks up to now still count."""
        async with self._alone():
            await self._settle([await self._find(name)], last={name})
            await self._forget([name])
            self._arm()

    async def pause(self, name: str) -> None:
        await self._set_paused(name, paused=True)

    async def resume(self, name: str) -> None:
        await self._set_paused(name, paused=False)

    async def _set_paused(self, name: str, *, paused: bool) -> None:
        async with self._alone():
            entry = await self._find(name)
            await self._settle([entry])  # ticks up to now go by what holds until now
            if not await self._store.pause_schedule(name, paused):
                raise UnknownNameError("schedule", name, self._entries)
            entry.row = entry.row._replace(paused=paused)
            self._agenda.push(entry)
            self._arm()
        event = SchedulePaused if paused else ScheduleResumed
        self._bus.publish(event(self._clock.now(), name))

    async def _find(self, name: str) -> Entry:
        if name not in self._entries:
            await self._read_again()  # another process may have added it just now
        return self._entry(name)

    def _entry(self, name: str) -> Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise UnknownNameError("schedule", name, self._entries)
        return entry

    @property
    def entries(self) -> dict[str, Entry]:
        return self._entries

    def off(self, name: str) -> tuple[Result, str] | None:
        """Why the schedule's ticks do not run now: paused or disabled, and the reason. None of what others look at."""
        entry = self._entry(name)
        return None if entry.is_left else self._off(entry)

    async def known_elsewhere(self) -> AbstractSet[str]:
        """The jobs that other living kernels have announced."""
        await self._elsewhere.read()
        return self._elsewhere.jobs

    async def heed_elsewhere(self) -> None:
        """To be called every few seconds: ticks of jobs that are not here are left to kernels that know them, if any do."""
        if not self._elsewhere.is_possible or all(self._is_here(entry) for entry in self._entries.values()):
            return
        async with self._alone():
            await self._elsewhere.read()
            for entry in [one for one in self._entries.values() if one.is_left != self._is_left(one)]:
                self._agenda.push(entry)
            self._arm()

    async def reload(self) -> None:
        """Another process changed schedules."""
        async with self._alone():
            await self._read_again()
            self._arm()

    async def refresh(self) -> None:
        """The catalog has changed: what was off may be on, and the other way round."""
        async with self._alone():
            await self._settle(
                [entry for entry in self._entries.values() if entry.is_left or entry.off != self._off(entry)]
            )
            self._arm()


def _just_after(looked_until: float, now: float) -> float:
    """When ``now`` was looked at already, just after that; of a clock that was set back, ``now``."""
    return looked_until + _APART_SECONDS if now <= looked_until < now + 1 else now
