"""Which ticks are due, and what becomes of each: a look computes it, the recorder writes it in one transaction.

Woken by the alarm of timers.py. The store's rows hold how far each schedule has been looked at, so that a blocked loop,
a suspended machine, a downtime and a clock step are nothing but one longer look.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from typing import TYPE_CHECKING

from kernel.contracts.store import Look, Looked, RunQuery, Unfinished
from kernel.flow.timers import Alarm
from kernel.model.errors import ConfigError, StoreError, UnknownNameError
from kernel.model.events import ScheduleAdded, SchedulePaused, ScheduleRemoved, ScheduleResumed
from kernel.model.overlap import judge
from kernel.model.run import NewRun, RunExtra, RunState, urgency_of
from kernel.model.schedule import NOT_LATE_SECONDS, Plan, Result, Schedule, ScheduleRow, Tick, Timing, jitter_of, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Store
    from kernel.flow.catalog import Catalog
    from kernel.flow.event_bus import EventBus
    from kernel.flow.intake import Intake
    from kernel.flow.recorder import Recorder

log = logging.getLogger(__name__)

_LONG_LOOK_SECONDS = 3600.0
_AHEAD_SECONDS = 3 * 3600.0
_PAUSED_LOOK_SECONDS = 60.0
_LOOKS_AT_ONCE = 250


class Entry:
    """One schedule as it stands in this kernel."""

    __slots__ = ("following", "next_at", "row", "schedule", "serial", "timing")

    def __init__(self, row: ScheduleRow) -> None:
        self.serial = 0
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
        self._reanchoring: set[asyncio.Task[None]] = set()
        self._last_look_at = clock.elapsed()

    # Life

    async def start(self, declared: Sequence[Schedule], known_plugins: Iterable[str]) -> None:
        """Takes the store's rows, settles what was due while no kernel ran, then takes what the plugins declare."""
        for row in await self._store.schedules():
            self._put(row)
        await self.look()
        known = set(known_plugins)
        gone = [
            entry.row.name
            for entry in self._entries.values()
            if not entry.row.dynamic and entry.schedule.plugin not in known
        ]
        await self._forget(gone)
        by_plugin: dict[str, list[Schedule]] = {}
        for schedule in declared:
            by_plugin.setdefault(schedule.plugin or "", []).append(schedule)
        for plugin, schedules in by_plugin.items():
            await self.declare(plugin, schedules)
        self._task = asyncio.create_task(self._loop(), name="mainspring:scheduler")

    async def stop(self) -> None:
        """No more looks; one under way is awaited."""
        self._alarm.stop()
        if self._task is not None:
            task, self._task = self._task, None
            self._woken.set()
            await asyncio.wait({task, *self._reanchoring})

    async def declare(self, plugin: str, schedules: Sequence[Schedule]) -> None:
        """What ``plugin`` declares now holds: new ones begin now, changed ones too, and what it no longer declares stops."""
        await self.look(plugin=plugin)
        now = self._clock.now()
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
        await self._start_after([self._entries[name] for name in sorted(names)], now)
        self._arm()

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
            entry = self._entries.pop(name, None)
            if entry is not None:
                entry.serial = -1
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
            self._started_after.add(entry.row.name)
            tick = now + entry.schedule.interval
            off = self._off(entry)
            lines = () if off is None else (Tick(entry.row.name, tick, tick, 1, *off),)
            plans[entry.row.name] = Plan((tick,) if off is None else (), 0, lines, caught_up=False)
        await self._write_looks(fresh, plans, now)

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
                wait = 0.1
            except StoreError as error:
                self._recorder.trouble(error)
                self._alarm.arm(self._clock.now() + wait)
                wait = min(wait * 2, 5.0)
            except Exception:
                log.exception("looking at the schedules failed; it is tried again")
                self._alarm.arm(self._clock.now() + wait)
                wait = min(wait * 2, 5.0)

    async def look(self, *, plugin: str | None = None) -> None:
        """Settles every tick that is due by now; of one plugin's schedules only, when it is given."""
        async with self._looking:
            now = self._clock.now()
            if plugin is None:
                due = self._pop_due(now)
            else:
                due = [entry for entry in self._entries.values() if entry.schedule.plugin == plugin]
            if due:
                try:
                    await self._look_at(due, now)
                finally:
                    for entry in due:
                        self._push(entry)
            self._last_look_at = self._clock.elapsed()
            self._arm()

    @property
    def seconds_since_look(self) -> float:
        """How long ago the schedules were last looked at; more than the time to the next tick means a stall."""
        return self._clock.elapsed() - self._last_look_at

    @property
    def next_due(self) -> float | None:
        return self._alarm.due

    async def _look_at(self, due: list[Entry], now: float) -> None:
        due = [entry for entry in due if entry.schedule.kind != "after"]
        looks = [(entry, self._off(entry)) for entry in due]

        def make_plans() -> dict[str, Plan]:
            plans = {entry.row.name: entry.plan(now, off) for entry, off in looks}
            return {name: found for name, found in plans.items() if found.runs or found.ticks}

        if any(entry.following is None or entry.following < now - _LONG_LOOK_SECONDS for entry in due):
            plans = await asyncio.to_thread(make_plans)  # many ticks to count: not on the loop
        else:
            plans = make_plans()
        looked = [entry for entry in due if entry.row.name in plans]
        # What is written first begins while the next is being written.
        for at in range(0, len(looked), _LOOKS_AT_ONCE):
            await self._write_looks(looked[at : at + _LOOKS_AT_ONCE], plans, now)

    async def _write_looks(self, entries: list[Entry], plans: dict[str, Plan], now: float) -> None:
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

    def _runs_of(self, entry: Entry, found: Plan, now: float) -> list[NewRun]:
        schedule = entry.schedule
        job = self._catalog.jobs.get(schedule.job)
        if job is None:
            return []
        runs = []
        for tick in found.runs:
            policies = job.policies
            due = tick + jitter_of(schedule, tick)
            expires = None if policies.expires_seconds is None else due + policies.expires_seconds
            extra = RunExtra(
                expires, None, policies.tags, schedule.name, tick, found.folded if tick == found.runs[-1] else 0
            )
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
            return "disabled", self._why_unknown(entry.schedule)
        if entry.row.paused:
            return "paused", "paused by hand"
        return ("paused", "paused by its definition") if entry.is_paused else None

    # The order of what is due

    def _put(self, row: ScheduleRow) -> Entry:
        entry = self._entries.get(row.name)
        if entry is None:
            entry = self._entries[row.name] = Entry(row)
        else:
            entry.take(row)
        self._push(entry)
        return entry

    def _push(self, entry: Entry) -> None:
        if entry.serial == -1:
            return
        self._serials += 1
        entry.serial = self._serials
        look_at = entry.find_next()
        if look_at is not None:
            if self._off(entry) is not None:
                # Nothing is to be run: many ticks go into one line, a minute at a time.
                look_at = max(look_at, self._clock.now() + _PAUSED_LOOK_SECONDS)
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
        while self._heap:
            at, serial, name = self._heap[0]
            entry = self._entries.get(name)
            if entry is not None and entry.serial == serial:
                self._alarm.arm(at)
                return
            heapq.heappop(self._heap)
        self._alarm.arm(None)

    # Time that does not flow

    async def clock_stepped(self, seconds: float) -> None:
        """Elapsed time goes on: ``every`` keeps its rhythm. Cron follows the wall clock, and runs no instant twice."""
        now = self._clock.now()
        moved = []
        for entry in self._entries.values():
            row = entry.row
            if entry.schedule.kind == "every":
                moved.append(row._replace(anchor=row.anchor + seconds, looked_until=row.looked_until + seconds))
            elif entry.schedule.kind == "cron" and row.looked_until > now + _AHEAD_SECONDS:
                moved.append(row._replace(looked_until=now))
        if moved:
            await self._store.put_schedules(moved)
        for row in moved:
            self._put(row)
        self._woken.set()
        self._arm()

    def rearm(self) -> None:
        self._alarm.rearm()

    # anchor="finish"

    def run_ended(self, schedule: str, finished: float) -> None:
        """Told by the recorder: the wait of ``anchor="finish"`` begins."""
        entry = self._entries.get(schedule)
        if entry is not None and entry.schedule.anchor == "finish":
            task = asyncio.create_task(self._reanchor(entry, finished), name="mainspring:reanchor")
            self._reanchoring.add(task)
            task.add_done_callback(self._reanchoring.discard)

    async def _reanchor(self, entry: Entry, finished: float) -> None:
        row = entry.row._replace(anchor=finished + entry.schedule.interval)
        try:
            await self._store.put_schedules([row])
        except StoreError as error:
            self._recorder.trouble(error)
        entry.take(row)
        self._push(entry)
        self._arm()

    # By hand

    async def add(self, row: ScheduleRow) -> None:
        """Takes a checked row of a schedule that is kept in the store."""
        await self._store.put_schedules([row])
        self._put(row)
        self._arm()
        self._bus.publish(ScheduleAdded(self._clock.now(), row.name))

    async def remove(self, name: str) -> None:
        """Ticks up to now still count."""
        await self._look_now(self._entry(name))
        await self._forget([name])
        self._arm()

    async def pause(self, name: str) -> None:
        await self._set_paused(name, paused=True)

    async def resume(self, name: str) -> None:
        await self._set_paused(name, paused=False)

    async def _set_paused(self, name: str, *, paused: bool) -> None:
        entry = self._entry(name)
        await self._look_now(entry)
        await self._store.pause_schedule(name, paused)
        entry.row = entry.row._replace(paused=paused)
        self._push(entry)
        self._arm()
        event = SchedulePaused if paused else ScheduleResumed
        self._bus.publish(event(self._clock.now(), name))

    async def _look_now(self, entry: Entry) -> None:
        """Ticks up to now go by what holds until now."""
        async with self._looking:
            await self._look_at([entry], self._clock.now())

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
        await self.look()
        rows = {row.name: row for row in await self._store.schedules()}
        for name in [name for name in self._entries if name not in rows]:
            self._entries.pop(name).serial = -1
        for row in rows.values():
            entry = self._entries.get(row.name)
            if entry is None or entry.row != row:
                self._put(row)
        self._arm()

    async def refresh(self) -> None:
        """The catalog has changed: what was off may be on, and the other way round."""
        for entry in self._entries.values():
            self._push(entry)
        self._arm()

    async def recover_finish_anchors(self) -> None:
        """After a start: ``anchor="finish"`` schedules whose last run ended unseen go on from its end."""
        for entry in list(self._entries.values()):
            if entry.schedule.anchor == "finish" and entry.row.anchor <= entry.row.looked_until:
                runs = await self._store.runs(RunQuery(schedule=entry.row.name, limit=1))
                if not runs or runs[0].finished is not None:
                    ended = runs[0].finished if runs and runs[0].finished is not None else self._clock.now()
                    await self._reanchor(entry, max(ended, entry.row.looked_until - entry.schedule.interval))
