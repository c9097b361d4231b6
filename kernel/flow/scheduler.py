"""Which ticks are due, and what becomes of each: a look computes it, the recorder writes it in one transaction.

Woken by the alarm of timers.py. The store's rows hold how far each schedule has been looked at, so that a blocked loop,
a suspended machine, a downtime and a clock step are nothing but one longer look.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from kernel.contracts.store import Look, Looked, RunQuery, Unfinished
from kernel.flow.timers import Alarm
from kernel.model.errors import ConfigError, StoreError, UnknownNameError
from kernel.model.events import ScheduleAdded, SchedulePaused, ScheduleRemoved, ScheduleResumed
from kernel.model.overlap import judge
from kernel.model.request import Keys
from kernel.model.run import WAITING, NewRun, RunExtra, RunState, urgency_of
from kernel.model.schedule import NOT_LATE_SECONDS, Plan, Result, Schedule, ScheduleRow, Tick, Timing, jitter_of, plan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Store
    from kernel.flow.catalog import Catalog
    from kernel.flow.event_bus import EventBus
    from kernel.flow.intake import Intake
    from kernel.flow.recorder import Recorder

log = logging.getLogger(__name__)

_LONG_LOOK_SECONDS = 3600.0
_AHEAD_SECONDS = 3 * 3600.0
_EVERY_AHEAD_SECONDS = 5.0
_PAUSED_LOOK_SECONDS = 60.0
_STEP_SECONDS = 0.5
_AT_ONE_MOMENT_SECONDS = 0.1
_UNFINISHED = sorted({*WAITING, RunState.RUNNING})
_LOOKS_AT_ONCE = 250


class Entry:
    """One schedule as it stands in this kernel."""

    __slots__ = ("following", "next_at", "off", "row", "schedule", "serial", "timing")

    def __init__(self, row: ScheduleRow) -> None:
        self.serial = 0
        self.off: tuple[Result, str] | None = None
        """Why ticks since the last look do not run, if so; they go by what held then, whatever has come since."""
        self.take(row)

    def take(self, row: ScheduleRow) -> None:
        self.row = row
        self.schedule = row.schedule
        self.timing = Timing(self.schedule, row.anchor)
        self.next_at: float | None = None
        self.following: float | None = None

    def find_next(self) -> float | None:
        """The tick after the last look; the one that follows it is computed too, ahead and off the second."""
        until = self.row.looked_until
        if self.next_at is not None and self.following is not None and self.next_at <= until < self.following:
            self.next_at = self.following
        else:
            self.next_at = self.timing.next_after(until)
        self.following = None if self.next_at is None else self.timing.next_after(self.next_at)
        return self.next_at

    def plan(self, now: float, off: tuple[Result, str] | None) -> Plan:
        """What becomes of the ticks since the last look; nearly always that is one tick, on time."""
        until, at = self.row.looked_until, self.next_at
        is_alone = self.following is None or self.following > now
        if off is None and at is not None and until < at <= now < at + NOT_LATE_SECONDS and is_alone:
            return Plan((at,), 0, (), caught_up=False)
        return plan(self.schedule, self.timing, until, now, off)

    @property
    def is_paused(self) -> bool:
        return self.schedule.paused if self.row.paused is None else self.row.paused

    @property
    def waits_for_finish(self) -> bool:
        """Whether the next tick is known only when the run of the last one has ended."""
        return self.schedule.anchor == "finish" and self.row.anchor <= self.row.looked_until


class Stepping(NamedTuple):
    """A step of the wall clock that is being taken into account; tried again after a failure, the very same rows result."""

    offset: float
    step: float


class Scheduler:
    """Holds every schedule of the store, and looks at those that are due."""

    def __init__(
        self,
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
        self._entries: dict[str, Entry] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._serials = 0
        self._started_after: set[str] = set()
        self._looking = asyncio.Lock()
        self._woken = asyncio.Event()
        self._alarm = Alarm(self._woken.set, clock)
        self._task: asyncio.Task[None] | None = None
        self._has_stopped = False
        self._reanchoring: set[asyncio.Task[None]] = set()
        self._last_look_at = clock.elapsed()
        self._offset = self._offset_now()
        self._compared_at = clock.elapsed()
        self._step = 0.0
        self._stepping: Stepping | None = None

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Whoever looks or writes does it alone, and by the clock as it is set."""
        async with self._looking:
            await self._follow_clock()
            yield

    async def _read_again(self) -> None:
        rows = {row.name: row for row in await self._store.schedules()}
        for entry in [entry for name, entry in self._entries.items() if name not in rows]:
            self._entries.pop(entry.row.name, None)
        for row in rows.values():
            known = self._entries.get(row.name)
            if known is None or known.row != row:
                self._put(row)

    # Life

    async def start(self, declared: Sequence[Schedule], known_plugins: Iterable[str]) -> None:
        """Takes the store's rows, settles what was due while no kernel ran, then takes what the plugins declare."""
        async with self._alone():
            for row in await self._store.schedules():
                self._put(row)
            await self._bring_back()
            await self._settle(list(self._entries.values()))
            known = set(known_plugins)
            gone = [
                entry.row.name
                for entry in self._entries.values()
                if not entry.row.dynamic and entry.schedule.plugin not in known
            ]
            await self._forget(gone)
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

    async def declare(self, plugin: str, schedules: Sequence[Schedule]) -> None:
        """Now holds what ``plugin`` declares: new and changed schedules begin now, those it no longer declares stop."""
        async with self._alone():
            now = await self._settle([entry for entry in self._entries.values() if entry.schedule.plugin == plugin])
            await self._declare(plugin, schedules, now)  # not a later one: no tick may fall in between
            self._arm()

    async def _declare(self, plugin: str, schedules: Sequence[Schedule], now: float) -> None:
        names = {schedule.name for schedule in schedules}
        for schedule in schedules:
            entry = self._entries.get(schedule.name)
            if entry is not None and entry.row.dynamic:
                raise ConfigError(
                    f'the schedule "{schedule.name}" of the plugin {plugin} has the name of one that was added while '
                    f"running: remove that one by `mainspring schedules remove {schedule.name}`, or give another name="
                )
        rows = [self._row_for(schedule, now) for schedule in schedules]
        changed = [row for row in rows if self._is_news(row)]
        if changed:
            await self._store.put_schedules(changed)
        for row in changed:
            self._put(row)
        await self._forget(
            [
                entry.row.name
                for entry in self._entries.values()
                if not entry.row.dynamic and entry.schedule.plugin == plugin and entry.row.name not in names
            ]
        )
        await self._start_after([self._entries[name] for name in sorted(names) if name in self._entries], now)

    def _row_for(self, schedule: Schedule, now: float) -> ScheduleRow:
        text = schedule.as_text()
        old = self._entries.get(schedule.name)
        if old is None:
            return ScheduleRow(schedule.name, text, dynamic=False, anchor=schedule.first_tick(now), looked_until=now)
        if old.row.definition == text:
            return old.row
        same_grid = (old.schedule.kind, old.schedule.spec, old.schedule.anchor) == (
            schedule.kind,
            schedule.spec,
            schedule.anchor,
        )
        anchor = old.row.anchor if same_grid else schedule.first_tick(now)
        return ScheduleRow(schedule.name, text, False, anchor, max(now, old.row.looked_until), old.row.paused)

    def _is_news(self, row: ScheduleRow) -> bool:
        old = self._entries.get(row.name)
        return old is None or old.row != row

    async def _forget(self, names: Sequence[str]) -> None:
        if not names:
            return
        await self._store.remove_schedules(names)
        for name in names:
            self._entries.pop(name, None)
            self._bus.publish(ScheduleRemoved(self._clock.now(), name))

    async def _start_after(self, entries: Sequence[Entry], now: float) -> None:
        """``@after`` ticks once in the life of a kernel."""
        fresh = [
            entry for entry in entries if entry.schedule.kind == "after" and entry.row.name not in self._started_after
        ]
        if not fresh:
            return
        plans = {}
        for entry in fresh:
            tick = now + entry.schedule.interval
            off = self._off(entry)
            lines = () if off is None else (Tick(entry.row.name, tick, tick, 1, *off),)
            plans[entry.row.name] = Plan((tick,) if off is None else (), 0, lines, caught_up=False)
        await self._write_looks(fresh, plans, now)
        self._started_after.update(plans)

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
                self._recorder.recovered("schedules")
                wait = 0.1
            except StoreError as error:
                self._recorder.trouble("schedules", error)
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
                due = self._pop_due(self._clock.now())
            else:
                due = [entry for entry in self._entries.values() if entry.schedule.plugin == plugin]
            await self._settle(due)
            self._last_look_at = self._clock.elapsed()
            self._arm()

    async def _settle(self, due: list[Entry], now: float | None = None) -> float:
        """Looks at these, due or not, and puts them where they belong next; until which instant they are settled.

        Under the lock, as all that looks or writes.
        """
        now = self._clock.now() if now is None else now
        try:
            waiting = [entry for entry in due if entry.waits_for_finish]
            await self._look_at(due, now)
            for entry in waiting:
                await self._see_whether_finished(entry)
        finally:
            for entry in due:
                self._push(entry)
        return now

    @property
    def seconds_since_look(self) -> float:
        """How long ago the schedules were last looked at; more than the time to the next tick means a stall."""
        return self._clock.elapsed() - self._last_look_at

    @property
    def next_due(self) -> float | None:
        return self._alarm.due

    async def _look_at(self, due: list[Entry], now: float) -> None:
        due = [entry for entry in due if entry.schedule.kind != "after"]
        looks = [(entry, entry.off or self._off(entry)) for entry in due]

        def make_plans() -> dict[str, Plan]:
            plans = {entry.row.name: entry.plan(now, off) for entry, off in looks}
            return {name: found for name, found in plans.items() if found.runs or found.ticks}

        if any(entry.following is not None and entry.following < now - _LONG_LOOK_SECONDS for entry in due):
            plans = await asyncio.to_thread(make_plans)  # many ticks to count: not on the loop
        else:
            plans = make_plans()
        looked = [entry for entry in due if entry.row.name in plans]
        # What is written first begins while the next is being written.
        for at in range(0, len(looked), _LOOKS_AT_ONCE):
            await self._write_looks(looked[at : at + _LOOKS_AT_ONCE], plans, now)

    async def _write_looks(self, entries: list[Entry], plans: dict[str, Plan], now: float) -> None:
        for entry in entries:
            if entry.schedule.job not in self._catalog.jobs:  # since it was planned
                plans[entry.row.name] = self._without_runs(entry, plans[entry.row.name])
        runs = {entry.row.name: self._runs_of(entry, plans[entry.row.name], now) for entry in entries}
        schedules = {entry.row.name: entry.schedule for entry in entries}

        def decide(look: Look, unfinished: Sequence[Unfinished]) -> Looked:
            name = look.schedule
            verdict = judge(schedules[name], plans[name], runs[name], unfinished)
            return Looked(verdict.runs, verdict.ticks, verdict.cancel, "replaced by the next tick of its schedule")

        looks = [Look(entry.row.name, entry.row.looked_until, now) for entry in entries]
        results = await self._recorder.look(looks, decide)
        lost = []
        for entry, result in zip(entries, results, strict=True):
            if result is None:
                lost.append(entry)
                continue
            entry.row = entry.row._replace(looked_until=now)
            if entry.schedule.anchor == "finish" and not result.runs:
                await self._reanchor(entry, now)
        if lost:  # another kernel, or an operator, was faster: what the store says holds
            rows = {row.name: row for row in await self._store.schedules()}
            for entry in lost:
                if entry.row.name in rows:
                    entry.take(rows[entry.row.name])
                else:
                    self._entries.pop(entry.row.name, None)

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

    def _off(self, entry: Entry) -> tuple[Result, str] | None:
        if entry.schedule.job not in self._catalog.jobs:
            return "disabled", self._why_unknown_job(entry.schedule)
        if entry.row.paused:
            return "paused", "paused by hand"
        return ("paused", "paused by its definition") if entry.is_paused else None

    def _why_unknown_job(self, schedule: Schedule) -> str:
        return self._catalog.why_off(schedule.job) or self._why_unknown(schedule)

    # The order of what is due

    def _put(self, row: ScheduleRow) -> None:
        entry = self._entries.get(row.name)
        try:
            if entry is None:
                entry = Entry(row)
            else:
                entry.take(row)
            self._push(entry)
        except (ConfigError, TypeError, ValueError) as error:
            # Written by hand, by another version, or for a time zone that is no more: the others go on.
            log.error("the schedule %s is left out, for its definition cannot be used: %s", row.name, error)  # noqa: TRY400 - the message says it all
            if entry is not None:
                self._entries.pop(entry.row.name, None)
        else:
            self._entries[row.name] = entry

    def _push(self, entry: Entry) -> None:
        self._serials += 1
        entry.serial = self._serials
        entry.off = self._off(entry)
        look_at = entry.find_next()
        if look_at is None and entry.waits_for_finish:
            # Its end is told, but for one that came by another kernel, by hand, or by expiring: asked for now and then.
            look_at = self._clock.now() + min(max(entry.schedule.interval, 1.0), 60.0)
        elif look_at is not None and entry.off is not None:
            # Nothing is to be run: many ticks go into one line, a minute at a time.
            look_at = max(look_at, self._clock.now() + _PAUSED_LOOK_SECONDS)
        if look_at is not None:
            heapq.heappush(self._heap, (look_at, entry.serial, entry.row.name))

    def _pop_due(self, now: float) -> list[Entry]:
        due = []
        while self._heap and self._heap[0][0] <= now:
            _, serial, name = heapq.heappop(self._heap)
            entry = self._entries.get(name)
            if entry is not None and entry.serial == serial:
                due.append(entry)
        return due

    def _arm(self) -> None:
        if self._has_stopped:
            return
        while self._heap:
            at, serial, name = self._heap[0]
            entry = self._entries.get(name)
            if entry is not None and entry.serial == serial:
                self._alarm.arm(at)
                return
            heapq.heappop(self._heap)
        self._alarm.arm(None)

    # Time that does not flow

    async def heed_clock(self) -> float:
        """Takes a step of the wall clock into account; by how many seconds it was set since this was last asked."""
        async with self._alone():
            pass
        step, self._step = self._step, 0.0
        return step

    async def _follow_clock(self) -> None:
        """Before every look, for a look by a clock that was set an hour ahead would leave nothing for that hour.

        Elapsed time goes on: ``every`` keeps its rhythm. Cron follows the wall clock, and runs no instant twice.
        """
        if self._stepping is None:
            offset = self._offset_now()
            if abs(offset - self._offset) <= _STEP_SECONDS:
                self._offset, self._compared_at = offset, self._clock.elapsed()
                return
            # What was due when the clocks still agreed goes by the old one: ticks of what is off are looked at late.
            before = self._compared_at + self._offset
            await self._settle([one for one in self._entries.values() if (one.next_at or math.inf) <= before], before)
            self._stepping = Stepping(offset, offset - self._offset)
        offset, step = self._stepping
        moved = [
            row._replace(anchor=row.anchor + step, looked_until=row.looked_until + step)
            for row in (entry.row for entry in self._entries.values() if entry.schedule.kind == "every")
        ]
        await self._take_clock_stepped(moved + self._far_ahead(self._clock.now()))
        self._offset, self._compared_at, self._stepping = offset, self._clock.elapsed(), None
        self._step += step
        self._woken.set()

    def _offset_now(self) -> float:
        """The wall clock against elapsed time, both read at one moment: the process may be stopped in between."""
        while True:
            before = self._clock.elapsed()
            wall = self._clock.now()
            after = self._clock.elapsed()
            if after - before < _AT_ONE_MOMENT_SECONDS:
                return wall - before

    async def _bring_back(self) -> None:
        """The clock was set back while no kernel ran: what was looked at in what is the future now goes on from now."""
        now = self._clock.now()
        moved = []
        for row in (entry.row for entry in self._entries.values() if entry.schedule.kind == "every"):
            ahead = row.looked_until - now
            if ahead > _EVERY_AHEAD_SECONDS:
                moved.append(row._replace(anchor=row.anchor - ahead, looked_until=now))
        await self._take_clock_stepped(moved + self._far_ahead(now))

    def _far_ahead(self, now: float) -> list[ScheduleRow]:
        return [
            entry.row._replace(looked_until=now)
            for entry in self._entries.values()
            if entry.schedule.kind == "cron" and entry.row.looked_until > now + _AHEAD_SECONDS
        ]

    async def _take_clock_stepped(self, rows: list[ScheduleRow]) -> None:
        if rows:
            await self._store.put_schedules(rows)
        for row in rows:
            self._put(row)
        self._arm()

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
            self._push(entry)
            self._arm()

    async def _reanchor(self, entry: Entry, finished: float) -> None:
        """The next tick comes one interval after ``finished``, and after what has been looked at."""
        row = entry.row
        anchor = min(finished, self._clock.now()) + entry.schedule.interval
        row = row._replace(anchor=max(anchor, math.nextafter(row.looked_until, math.inf)))
        await self._store.put_schedules([row])
        entry.take(row)

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
            await self._store.put_schedules([row])
            self._put(row)
            self._arm()
        self._bus.publish(ScheduleAdded(self._clock.now(), row.name))

    async def remove(self, name: str) -> None:
        """Ticks up to now still count."""
        async with self._alone():
            await self._settle([self._entry(name)])
            await self._forget([name])
            self._arm()

    async def pause(self, name: str) -> None:
        await self._set_paused(name, paused=True)

    async def resume(self, name: str) -> None:
        await self._set_paused(name, paused=False)

    async def _set_paused(self, name: str, *, paused: bool) -> None:
        async with self._alone():
            entry = self._entry(name)
            await self._settle([entry])  # ticks up to now go by what holds until now
            await self._store.pause_schedule(name, paused)
            entry.row = entry.row._replace(paused=paused)
            self._push(entry)
            self._arm()
        event = SchedulePaused if paused else ScheduleResumed
        self._bus.publish(event(self._clock.now(), name))

    def _entry(self, name: str) -> Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise UnknownNameError("schedule", name, self._entries)
        return entry

    @property
    def entries(self) -> dict[str, Entry]:
        return self._entries

    def off(self, name: str) -> tuple[Result, str] | None:
        """Why the schedule's ticks do not run now: paused or disabled, and the reason."""
        return self._off(self._entry(name))

    async def reload(self) -> None:
        """Another process changed schedules: ticks up to now go by what was known, then the store's rows hold."""
        async with self._alone():
            rows = {row.name: row for row in await self._store.schedules()}
            await self._settle([entry for name, entry in self._entries.items() if rows.get(name) != entry.row])
            await self._read_again()
            self._arm()

    async def refresh(self) -> None:
        """The catalog has changed: what was off may be on, and the other way round."""
        async with self._alone():
            await self._settle([entry for entry in self._entries.values() if entry.off != self._off(entry)])
            self._arm()
