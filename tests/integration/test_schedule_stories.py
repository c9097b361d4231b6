"""Schedules and what befalls them: blocked loops, set clocks, downtimes, pauses, plugins that go off, changes."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Context  # noqa: TC001 - the annotations of these jobs are read
from kernel.contracts.store import Look, RunQuery
from kernel.model.errors import ConfigError, StoreError, UnknownNameError
from kernel.model.events import (
    ScheduleAdded,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleResumed,
    TickPassed,
)
from kernel.model.run import FINAL
from kernel.model.schedule import Schedule, make_schedule
from kernel.testing import FakeClock, settle
from tests.flow_kit import Flow, TroubledStore, cron, every, job_of, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

HOUR = 3600.0
DAY = 86400.0


class Work:
    """The job of these schedules: notes each tick it runs for, and ends at once or when it is let go."""

    def __init__(self, *, holds: bool = False) -> None:
        self.ticks: list[float] = []
        self.folded: list[int] = []
        self.now = self.most = 0
        self._let_go = asyncio.Event()
        if not holds:
            self._let_go.set()

    async def __call__(self, ctx: Context) -> None:
        tick = ctx.tick
        assert tick is not None
        self.ticks.append(tick.due_at.timestamp())
        self.folded.append(tick.folded)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self._let_go.wait()
        finally:
            self.now -= 1

    def let_go(self) -> None:
        self._let_go.set()

    def hold(self) -> None:
        self._let_go.clear()

    async def let_one_go(self) -> None:
        """What runs now ends; what begins then is held again."""
        self.let_go()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.hold()
        await settle()


def work_of(work: Work) -> Any:
    async def function(ctx: Context) -> None:
        await work(ctx)

    function.__name__ = "work"
    return job_of(function)


@pytest.fixture
async def held() -> AsyncIterator[Work]:
    work = Work(holds=True)
    yield work
    work.let_go()
    await settle()


async def results(flow: Flow, schedule: str = "demo.work") -> list[tuple[str, int]]:
    """The ledger, oldest first: result and count of each line, those alike that follow one another joined."""
    found: list[tuple[str, int]] = []
    for line in await flow.ticks(schedule):
        if found and found[-1][0] == line.result:
            found[-1] = (line.result, found[-1][1] + line.count)
        else:
            found.append((line.result, line.count))
    return found


async def life(work: Work, *schedules: Schedule, after: Flow | None = None, name: str = "kernel-1") -> Flow:
    """A kernel on the store and clock of the one before."""
    store, clock = (after.store, after.clock) if after else (None, None)
    return await Flow([work_of(work)], schedules, store=store, clock=clock, name=name).start()


# Ticks in time


async def test_every_tick_in_time_is_a_run_and_a_line() -> None:
    work = Work()
    async with running(work_of(work), schedules=[every(1)]) as flow:
        begin = flow.clock.now()
        await flow.clock.advance(5)
        lines = await flow.ticks()
        runs = await flow.runs()

    assert work.ticks == [begin + second for second in (1, 2, 3, 4, 5)]
    assert [(line.first, line.result, line.run) for line in lines] == [
        (tick, "run", run.id) for tick, run in zip(work.ticks, runs, strict=True)
    ]
    assert {run.state for run in runs} == {"completed"}


async def test_a_tick_runs_at_its_instant_and_not_before() -> None:
    work = Work()
    async with running(work_of(work), schedules=[cron("30 * * * * *")]) as flow:
        await flow.clock.advance(29.999)
        before = list(work.ticks)
        await flow.clock.advance(0.001)

    assert (before, len(work.ticks)) == ([], 1)


async def test_jitter_puts_the_run_off_and_not_the_tick() -> None:
    work = Work()
    schedule = every(60, jitter="10s")
    async with running(work_of(work), schedules=[schedule]) as flow:
        begin = flow.clock.now()
        await flow.clock.advance(60)
        [run] = await flow.runs()
        await flow.clock.advance(10)

    assert run.state == "scheduled"
    assert begin + 60 < run.due < begin + 70
    assert work.ticks == [begin + 60]


async def test_a_schedule_ends_with_its_last_tick() -> None:
    work = Work()
    begin = FakeClock().now()
    async with running(work_of(work), schedules=[every(10, start=_iso(begin + 20), end=_iso(begin + 40))]) as flow:
        await flow.clock.advance(100)

    assert [tick - begin for tick in work.ticks] == [20, 30, 40]


def _iso(instant: float) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415 - for this alone

    return datetime.fromtimestamp(instant, UTC).isoformat()


# Blocked loops, clocks, downtimes


async def test_a_loop_blocked_for_five_seconds_makes_one_run_and_folds_the_other_ticks_into_it() -> None:
    work = Work()
    async with running(work_of(work), schedules=[every(1)]) as flow:
        await flow.clock.advance(2)
        flow.clock.skip(5)
        await flow.clock.advance(0)
        await flow.clock.advance(1)

    assert await results(flow) == [("run", 2), ("folded", 4), ("run", 2)]
    assert work.folded == [0, 0, 4, 0]


async def test_a_machine_that_slept_for_a_week_makes_one_run() -> None:
    work = Work()
    async with running(work_of(work), schedules=[cron("0 * * * *")]) as flow:
        flow.clock.skip(7 * DAY)
        await flow.clock.advance(1)
        await flow.quiet()

    assert await results(flow) == [("missed", 143), ("folded", 24), ("run", 1)]


@pytest.mark.parametrize("seconds", [HOUR, -HOUR, DAY, -DAY, 1.0, -1.0])
async def test_every_keeps_its_rhythm_when_the_clock_is_set(seconds: float) -> None:
    work = Work()
    began: list[float] = []

    async def notes(ctx: Context) -> None:
        began.append(flow.clock.elapsed())

    async with running(job_of(notes), schedules=[every(1, "demo.notes")]) as flow:
        await flow.clock.advance(2.5)
        flow.clock.step(seconds)
        await flow.clock.advance(5)
        lines = await results(flow, "demo.notes")

    assert [round(later - earlier, 3) for earlier, later in pairwise(began)] == [1.0] * 6
    assert lines == [("run", 7)]
    assert work.ticks == []


async def test_a_clock_set_forward_by_an_hour_makes_one_run_of_a_cron_schedule_and_no_more() -> None:
    work = Work()
    async with running(work_of(work), schedules=[cron("*/5 * * * *")]) as flow:
        await flow.clock.advance(301)
        flow.clock.step(HOUR)
        await flow.clock.advance(2)
        at_once = len(work.ticks)
        await flow.clock.advance(300)

    assert at_once == 2
    assert await results(flow) == [("run", 1), ("folded", 11), ("run", 2)]


async def test_a_clock_set_back_by_an_hour_runs_no_instant_of_a_cron_schedule_twice() -> None:
    work = Work()
    async with running(work_of(work), schedules=[cron("*/5 * * * *")]) as flow:
        await flow.clock.advance(901)
        flow.clock.step(-HOUR)
        await flow.clock.advance(1)
        flow.clock.skip(HOUR - 10)
        await flow.clock.advance(1)
        meanwhile = len(work.ticks)
        flow.clock.skip(310)
        await flow.clock.advance(1)

    assert meanwhile == 3
    assert len(set(work.ticks)) == len(work.ticks) == 4


async def test_a_clock_that_was_a_day_ahead_does_not_silence_a_cron_schedule_for_a_day() -> None:
    work = Work()
    async with running(work_of(work), schedules=[cron("*/5 * * * *")]) as flow:
        await flow.clock.advance(301)
        flow.clock.step(-DAY)
        await flow.clock.advance(301)

    assert len(work.ticks) == 2


@pytest.mark.parametrize(
    "schedule", [every(60), cron("* * * * *"), every(60, anchor="finish")], ids=lambda s: s.describe()
)
async def test_a_clock_set_back_by_a_year_while_no_kernel_ran_does_not_silence_a_schedule(schedule: Schedule) -> None:
    work = Work()
    first = await life(work, schedule)
    await first.clock.advance(61)
    await first.stop()
    first.clock.step(-365 * DAY)

    second = await life(work, schedule, after=first)
    await second.clock.advance(61)
    await second.stop()

    assert len(work.ticks) == 2


@pytest.mark.parametrize("drift", [0.0005, -0.0005])
async def test_a_clock_that_is_slewed_makes_no_tick_early_and_none_a_second_late(drift: float) -> None:
    late: list[float] = []

    async def work(ctx: Context) -> None:
        assert ctx.tick is not None
        late.append(flow.clock.now() - ctx.tick.due_at.timestamp())

    async with running(job_of(work), schedules=[cron("0 * * * *")]) as flow:
        for _ in range(365):
            await flow.clock.advance(10)
            flow.clock.step(10 * drift)

    [seconds] = late
    assert 0 <= seconds < 1


@pytest.mark.parametrize("seconds", [60.0, DAY])
async def test_a_kernel_that_was_stopped_makes_one_run_for_what_it_missed(seconds: float) -> None:
    work = Work()
    first = await life(work, every(10))
    await first.clock.advance(10)
    await first.stop()
    first.clock.skip(seconds)

    second = await life(work, every(10), after=first)
    await second.quiet()
    await second.stop()

    assert await results(second) == [("run", 1), ("folded", seconds / 10 - 1), ("run", 1)]
    assert work.folded[-1] == seconds / 10 - 1


async def test_the_grid_of_every_is_kept_over_a_restart() -> None:
    work = Work()
    first = await life(work, every(10))
    begin = first.clock.now()
    await first.clock.advance(10)
    await first.stop()
    first.clock.skip(13)

    second = await life(work, every(10), after=first)
    await second.clock.advance(20)
    await second.stop()

    assert [tick - begin for tick in work.ticks] == pytest.approx([10, 20, 30, 40])


async def test_a_kernel_that_is_stopped_records_what_is_off_up_to_its_end() -> None:
    work = Work()
    async with running(work_of(work), schedules=[every(10, paused=True)]) as flow:
        await flow.clock.advance(55)
        await flow.stop()

    assert await results(flow) == [("paused", 5)]


# Overlap


async def test_skip_leaves_out_ticks_while_a_run_is_unfinished_and_says_so(held: Work) -> None:
    async with running(work_of(held), schedules=[every(10)]) as flow:
        await flow.clock.advance(30)
        held.let_go()
        await flow.clock.advance(10)
        lines = await flow.ticks()

    assert [line.result for line in lines] == ["run", "skipped", "run"]
    assert (lines[1].count, lines[1].reason) == (2, f"run {lines[0].run} was running")
    assert held.most == 1
    assert [(event.result, event.count) for event in flow.told(TickPassed)] == [("skipped", 1)] * 2


async def test_a_run_that_waits_for_its_retry_counts_as_unfinished() -> None:
    async def work() -> None:
        raise ValueError("again")

    async with running(job_of(work, retry={"base": 25.0, "jitter": 0}), schedules=[every(10)]) as flow:
        await flow.clock.advance(30)
        lines = await flow.ticks()

    assert [line.result for line in lines] == ["run", "skipped"]
    assert "was retrying" in str(lines[1].reason)


async def test_queue_runs_them_one_after_another_and_keeps_no_more_waiting_than_catch_up_max(held: Work) -> None:
    async with running(work_of(held), schedules=[every(10, overlap="queue", catch_up_max=2)]) as flow:
        await flow.clock.advance(50)
        counts = await flow.store.count(RunQuery())
        lines = await results(flow)
        held.let_go()
        await settle()
        begin = flow.clock.now() - 50

    assert counts == {"running": 1, "blocked": 2}
    assert lines == [("run", 3), ("skipped", 2)]
    assert held.most == 1
    assert [tick - begin for tick in held.ticks] == [10, 20, 30]


async def test_allow_runs_them_side_by_side(held: Work) -> None:
    async with running(work_of(held), schedules=[every(10, overlap="allow")]) as flow:
        await flow.clock.advance(30)

    assert held.most == 3


async def test_replace_cancels_the_run_before_and_starts_when_that_has_ended(held: Work) -> None:
    async with running(work_of(held), schedules=[every(10, overlap="replace")]) as flow:
        await flow.clock.advance(35)
        runs = await flow.runs()

    assert [run.state for run in runs] == ["cancelled", "cancelled", "running"]
    assert {run.reason for run in runs[:2]} == {"replaced by the next tick of its schedule"}
    assert held.most == 1
    assert await results(flow) == [("run", 3)]


# catch_up


async def test_catch_up_all_runs_every_missed_tick_one_after_another_oldest_first() -> None:
    work = Work()
    schedule = every(10, catch_up="all", overlap="skip")
    first = await life(work, schedule)
    begin = first.clock.now()
    await first.stop()
    first.clock.skip(45)
    work.hold()

    second = await life(work, schedule, after=first)
    counts = await second.store.count(RunQuery())
    for _ in range(3):
        await work.let_one_go()
    work.let_go()
    await settle()
    await second.stop()

    assert counts == {"running": 1, "blocked": 3}
    assert [tick - begin for tick in work.ticks] == pytest.approx([10, 20, 30, 40])
    assert work.most == 1
    assert await results(second) == [("run", 4)]


async def test_catch_up_all_runs_no_more_than_its_maximum_and_says_what_it_left_out() -> None:
    work = Work()
    schedule = every(10, catch_up="all", catch_up_max=3)
    first = await life(work, schedule)
    await first.stop()
    first.clock.skip(105)

    second = await life(work, schedule, after=first)
    await second.stop()

    assert await results(second) == [("missed", 6), ("run", 4)]


async def test_catch_up_skip_runs_the_tick_that_is_in_time_alone() -> None:
    work = Work()
    async with running(work_of(work), schedules=[every(10, catch_up="skip")]) as flow:
        flow.clock.skip(35)
        await flow.clock.advance(0)

    assert await results(flow) == [("missed", 2), ("run", 1)]


# Anchored at the finish


async def test_anchored_at_the_finish_the_wait_begins_when_the_last_run_has_ended(held: Work) -> None:
    async with running(work_of(held), schedules=[every(10, anchor="finish")]) as flow:
        begin = flow.clock.now()
        await flow.clock.advance(35)
        meanwhile = await results(flow)
        await held.let_one_go()
        await flow.clock.advance(9.9)
        before = len(held.ticks)
        await flow.clock.advance(0.1)

    assert meanwhile == [("run", 1)]
    assert before == 1
    assert [tick - begin for tick in held.ticks] == [10, 45]


async def test_anchored_at_the_finish_a_run_that_ended_while_the_kernel_stopped_counts(held: Work) -> None:
    schedule = every(10, anchor="finish")
    first = await life(held, schedule)
    begin = first.clock.now()
    await first.clock.advance(10)
    stopping = asyncio.create_task(first.engine.stop(30))
    await first.clock.advance(5)
    held.let_go()
    await stopping
    await first.stop()
    first.clock.skip(2)

    second = await life(held, schedule, after=first)
    await second.clock.advance(8)
    await second.stop()

    assert [tick - begin for tick in held.ticks] == [10, 25]


async def test_anchored_at_the_finish_a_run_that_was_cut_short_runs_again_and_then_the_wait_begins(held: Work) -> None:
    schedule = every(10, anchor="finish")
    first = await life(held, schedule)
    begin = first.clock.now()
    await first.clock.advance(10)
    await first.stop()
    first.clock.skip(100)

    held.let_go()
    second = await life(held, schedule, after=first)
    restarted = second.clock.now()
    await second.clock.advance(10)
    await second.stop()

    assert held.ticks[:2] == [begin + 10, begin + 10]
    assert held.ticks[2] == pytest.approx(restarted + 10)


@pytest.mark.parametrize("how", ["cancelled here", "cancelled elsewhere", "expired", "gone"])
async def test_anchored_at_the_finish_it_goes_on_after_a_run_that_never_ran(how: str) -> None:
    work = Work()
    job = job_of(_named(work), expires="30s" if how == "expired" else None)
    async with running(job, schedules=[every(10, anchor="finish")]) as flow:
        await flow.store.pause_queue("default", 1e12)
        await flow.engine.watch.refresh()
        await flow.clock.advance(10)
        [run] = await flow.runs()
        if how == "cancelled here":
            await flow.cancel(run)
        elif how == "cancelled elsewhere":
            await flow.store.cancel([run.id], "by hand", flow.clock.now())
        elif how == "gone":
            await flow.store.cancel([run.id], "by hand", flow.clock.now())
            await flow.store.prune({}, _keep_nothing(), 0.0, flow.clock.now() + 1, 100)
        await flow.store.pause_queue("default", None)
        await flow.clock.advance(0 if how != "expired" else 31)
        await flow.engine.watch.refresh()
        await flow.clock.advance(30)

    assert len(work.ticks) >= 1


def _named(work: Work) -> Any:
    async def function(ctx: Context) -> None:
        await work(ctx)

    function.__name__ = "work"
    return function


def _keep_nothing() -> Any:
    from kernel import Keep  # noqa: PLC0415 - for this alone

    return Keep(completed=0, failed=0, count=0)


async def test_anchored_at_the_finish_a_tick_that_does_not_run_is_followed_by_the_next_one_interval_later() -> None:
    work = Work()
    async with running(work_of(work), schedules=[every(10, anchor="finish")]) as flow:
        await flow.engine.scheduler.pause("demo.work")
        await flow.clock.advance(100)
        await flow.engine.scheduler.resume("demo.work")
        resumed = flow.clock.now()
        await flow.clock.advance(20)
        lines = await results(flow)

    assert lines == [("paused", 2), ("run", 2)]
    assert [tick - resumed for tick in work.ticks] == [10, 20]


async def test_anchored_at_the_finish_an_end_that_lies_ahead_of_a_clock_set_back_does_not_silence_it() -> None:
    work = Work()
    schedule = every(10, anchor="finish")
    first = await life(work, schedule)
    await first.clock.advance(10)
    await first.stop()
    [row] = await first.store.schedules()
    before = row._replace(anchor=row.looked_until, version=row.version + 1)
    assert await first.store.put_schedules([before]) == [True]  # as if it had died before it took the end
    first.clock.step(-HOUR)

    second = await life(work, schedule, after=first)
    await second.clock.advance(11)
    await second.stop()

    assert len(work.ticks) == 2


async def test_anchored_at_the_finish_a_kernel_that_stops_arms_nothing_any_more(held: Work) -> None:
    async with running(work_of(held), schedules=[every(10, anchor="finish")]) as flow:
        await flow.clock.advance(10)
        stopping = asyncio.create_task(flow.engine.stop(30))
        await settle()
        held.let_go()
        await stopping
        next_due = flow.engine.scheduler.next_due

    assert next_due is None


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
async def test_anchored_at_the_finish_it_goes_on_when_the_clock_is_set_while_it_runs(
    seconds: float, held: Work
) -> None:
    async with running(work_of(held), schedules=[every(10, anchor="finish")]) as flow:
        await flow.clock.advance(10)
        flow.clock.step(seconds)
        await flow.clock.advance(5)
        await held.let_one_go()
        await flow.clock.advance(9.9)
        before = len(held.ticks)
        await flow.clock.advance(0.2)

    assert (before, len(held.ticks)) == (1, 2)


# After


async def test_after_ticks_once_at_each_start() -> None:
    work = Work()
    schedule = make_schedule("demo.work", "demo.work", "after", 5, plugin="demo")
    flow = None
    for number in (1, 2):
        flow = await life(work, schedule, after=flow, name=f"kernel-{number}")
        await flow.clock.advance(4.9)
        before = len(work.ticks)
        await flow.clock.advance(60)
        await flow.stop()
        assert (before, len(work.ticks)) == (number - 1, number)


async def test_after_does_not_tick_again_when_its_plugin_is_switched_off_and_on() -> None:
    work = Work()
    schedule = make_schedule("demo.work", "demo.work", "after", 5, plugin="demo")
    async with running(work_of(work), schedules=[schedule]) as flow:
        await flow.clock.advance(10)
        await flow.engine.scheduler.declare("demo", [schedule])
        await flow.clock.advance(60)

    assert len(work.ticks) == 1
    assert await results(flow) == [("run", 1)]


async def test_after_that_is_paused_is_recorded_as_paused() -> None:
    work = Work()
    schedule = make_schedule("demo.work", "demo.work", "after", 5, plugin="demo", paused=True)
    async with running(work_of(work), schedules=[schedule]) as flow:
        await flow.clock.advance(60)

    assert (work.ticks, await results(flow)) == ([], [("paused", 1)])


# Paused


async def test_a_paused_schedule_records_its_ticks_as_one_line_and_makes_no_run_when_it_is_resumed() -> None:
    work = Work()
    async with running(work_of(work), schedules=[every(10)]) as flow:
        await flow.clock.advance(10)
        await flow.engine.scheduler.pause("demo.work")
        await flow.clock.advance(205)
        await flow.engine.scheduler.resume("demo.work")
        await settle()
        at_once = len(work.ticks)
        await flow.clock.advance(5)
        lines = await flow.ticks()

    assert at_once == 1
    assert [(line.result, line.count, line.reason) for line in lines] == [
        ("run", 1, None),
        ("paused", 20, "paused by hand"),
        ("run", 1, None),
    ]
    assert len(flow.told(SchedulePaused)) == len(flow.told(ScheduleResumed)) == 1


async def test_a_schedule_that_another_process_pauses_and_resumes_goes_by_what_held_at_each_tick() -> None:
    work = Work()
    async with running(work_of(work), schedules=[every(10)]) as flow:
        await flow.clock.advance(15)
        await flow.store.pause_schedule("demo.work", True)
        await flow.engine.watch.refresh()
        await flow.clock.advance(30)
        await flow.store.pause_schedule("demo.work", False)
        await flow.engine.watch.refresh()
        await settle()
        at_once = len(work.ticks)
        await flow.clock.advance(5)

    assert at_once == 1
    assert await results(flow) == [("run", 1), ("paused", 3), ("run", 1)]


async def test_a_pause_outlives_the_kernel() -> None:
    work = Work()
    first = await life(work, every(10))
    await first.engine.scheduler.pause("demo.work")
    await first.stop()
    first.clock.skip(25)

    second = await life(work, every(10), after=first)
    await second.clock.advance(10)
    await second.stop()

    assert (work.ticks, await results(second)) == ([], [("paused", 3)])


async def test_a_schedule_that_its_definition_pauses_can_be_resumed_by_hand() -> None:
    work = Work()
    async with running(work_of(work), schedules=[every(10, paused=True)]) as flow:
        await flow.clock.advance(25)
        await flow.engine.scheduler.resume("demo.work")
        await flow.clock.advance(10)
        lines = await flow.ticks()

    assert [(line.result, line.count, line.reason) for line in lines] == [
        ("paused", 2, "paused by its definition"),
        ("run", 1, None),
    ]


async def test_a_schedule_that_there_is_not_cannot_be_paused() -> None:
    async with running(work_of(Work()), schedules=[every(10)]) as flow:
        with pytest.raises(UnknownNameError, match=r"no schedule named 'demo\.wrok'\. Did you mean \"demo\.work\"\?"):
            await flow.engine.scheduler.pause("demo.wrok")


# Plugins that go off and on


async def test_ticks_while_the_plugin_is_off_are_disabled_and_not_caught_up_when_it_is_on_again() -> None:
    work = Work()
    schedule = every(10)
    async with running(work_of(work), schedules=[schedule]) as flow:
        await flow.clock.advance(15)
        await switch_off(flow)
        await flow.clock.advance(130)
        await switch_on(flow, work_of(work), schedule)
        at_once = len(work.ticks)
        await flow.clock.advance(10)
        lines = await flow.ticks()

    assert at_once == 1
    assert [(line.result, line.count) for line in lines] == [("run", 1), ("disabled", 13), ("run", 1)]
    assert lines[1].reason == "plugin demo is off"


async def switch_off(flow: Flow) -> None:
    await flow.engine.scheduler.look(plugin="demo")
    draining = asyncio.create_task(flow.engine.drain_plugin("demo", 0.0))
    await settle()
    while not draining.done():
        await flow.clock.advance(0.1)
        await asyncio.sleep(0.01)
    await draining


async def switch_on(flow: Flow, job: Any, *schedules: Schedule) -> None:
    flow.catalog.add([job])
    await flow.engine.scheduler.declare("demo", schedules)
    await flow.engine.scheduler.refresh()
    flow.engine.claimer.wake()
    await flow.quiet()


async def test_a_dynamic_schedule_of_a_plugin_that_is_off_is_disabled_and_goes_on_with_it() -> None:
    work = Work()
    async with running(work_of(work)) as flow:
        await flow.engine.scheduler.add(flow.row(every(10, name="added", plugin=None)))
        await flow.clock.advance(15)
        await switch_off(flow)
        await flow.clock.advance(130)
        await switch_on(flow, work_of(work))
        at_once = len(work.ticks)
        await flow.clock.advance(10)

    assert at_once == 1
    assert await results(flow, "added") == [("run", 1), ("disabled", 13), ("run", 1)]


async def test_a_plugin_that_goes_off_between_plan_and_write_leaves_no_tick_without_a_result() -> None:
    work = Work()
    async with running(work_of(work), schedules=[cron("0 * * * *")]) as flow:
        flow.clock.skip(10 * HOUR)
        looking = asyncio.create_task(flow.engine.scheduler.look())
        await asyncio.sleep(0)  # its ticks are counted in a thread now
        flow.catalog.remove("demo", "plugin demo is off")
        await looking
        await flow.quiet()

    assert sum(count for _, count in await results(flow)) == 10
    assert (await results(flow))[-1] == ("disabled", 1)


async def test_a_schedule_whose_job_nobody_knows_stays_and_is_recorded_as_disabled() -> None:
    work = Work()
    async with running(work_of(work)) as flow:
        await flow.engine.scheduler.add(flow.row(every(10, "demo.gone", name="added", plugin=None)))
        await flow.clock.advance(70)
        await flow.stop()
        [line] = await flow.ticks("added")

    assert (line.result, line.count, line.reason) == ("disabled", 7, "job unknown")


# Declarations that change


async def test_a_changed_definition_leaves_the_ticks_up_to_the_change_to_the_old_one() -> None:
    work = Work()
    async with running(work_of(work), schedules=[every(10)]) as flow:
        begin = flow.clock.now()
        await flow.clock.advance(20)
        flow.clock.skip(15)
        await flow.engine.scheduler.declare("demo", [every(7)])
        await flow.clock.advance(14)
        ticks = [tick - begin for tick in work.ticks]

    assert ticks == [10, 20, 30, 42, 49]
    assert await results(flow) == [("run", 5)]


async def test_a_definition_changed_while_no_kernel_ran_leaves_the_downtime_to_the_old_one() -> None:
    work = Work()
    first = await life(work, every(10, catch_up="all"))
    begin = first.clock.now()
    await first.stop()
    first.clock.skip(35)

    second = await life(work, cron("* * * * *", catch_up="all"), after=first)
    await second.clock.advance(60)
    await second.stop()

    assert [tick - begin for tick in work.ticks] == pytest.approx([10, 20, 30, 60])


async def test_a_change_of_another_option_keeps_the_grid() -> None:
    work = Work()
    async with running(work_of(work), schedules=[every(10)]) as flow:
        begin = flow.clock.now()
        await flow.clock.advance(13)
        await flow.engine.scheduler.declare("demo", [every(10, overlap="allow")])
        await flow.clock.advance(10)

    assert [tick - begin for tick in work.ticks] == [10, 20]


async def test_what_a_plugin_no_longer_declares_stops_and_its_last_ticks_still_count() -> None:
    work = Work()
    async with running(work_of(work), schedules=[every(10), every(10, name="demo.other")]) as flow:
        await flow.clock.advance(10)
        flow.clock.skip(10)
        await flow.engine.scheduler.declare("demo", [every(10, name="demo.other")])
        await flow.clock.advance(100)
        rows = await flow.store.schedules()

    assert await results(flow) == [("run", 2)]
    assert [row.name for row in rows] == ["demo.other"]
    assert [event.schedule for event in flow.told(ScheduleRemoved)] == ["demo.work"]


async def test_a_schedule_whose_plugin_declares_none_any_more_stops_at_the_next_start() -> None:
    work = Work()
    first = await life(work, every(10))
    await first.clock.advance(10)
    await first.stop()
    first.clock.skip(10)

    second = await life(work, after=first)
    await second.clock.advance(100)
    await second.stop()

    assert await second.store.schedules() == []
    assert await results(second) == [("run", 2)]


async def test_a_schedule_whose_plugin_is_gone_is_settled_before_it_stops() -> None:
    work = Work()
    first = await life(work, every(10, plugin="demo"))
    await first.stop()
    first.clock.skip(35)

    other = Flow([job_of(_named(work), plugin="other")], store=first.store, clock=first.clock)
    await other.start()
    await other.stop()

    assert await results(other) == [("disabled", 3)]
    assert await other.store.schedules() == []


async def test_a_schedule_of_a_plugin_that_is_off_at_the_start_stays_and_is_recorded_as_disabled() -> None:
    work = Work()
    first = await life(work, every(10))
    await first.stop()
    first.clock.skip(35)

    second = Flow([], store=first.store, clock=first.clock)
    second.off["demo.work"] = "plugin demo is off"
    await second.start(known=["demo"])
    await second.clock.advance(100)
    await second.stop()

    assert [row.name for row in await second.store.schedules()] == ["demo.work"]
    assert await results(second) == [("disabled", 13)]


# Dynamic schedules


async def test_a_dynamic_schedule_survives_a_restart() -> None:
    work = Work()
    first = await life(work)
    await first.engine.scheduler.add(first.row(every(10, name="added", plugin=None)))
    await first.clock.advance(10)
    await first.stop()
    first.clock.skip(25)

    second = await life(work, after=first)
    await second.clock.advance(5)
    await second.stop()

    assert await results(second, "added") == [("run", 1), ("folded", 1), ("run", 2)]
    assert [event.schedule for event in first.told(ScheduleAdded)] == ["added"]


async def test_a_dynamic_schedule_that_is_removed_stops_and_its_last_ticks_still_count() -> None:
    work = Work()
    async with running(work_of(work)) as flow:
        await flow.engine.scheduler.add(flow.row(every(10, name="added", plugin=None)))
        await flow.clock.advance(10)
        flow.clock.skip(10)
        await flow.engine.scheduler.remove("added")
        await flow.clock.advance(100)

    assert await results(flow, "added") == [("run", 2)]


async def test_a_schedule_that_another_process_adds_is_taken_up() -> None:
    work = Work()
    async with running(work_of(work)) as flow:
        await flow.store.put_schedules([flow.row(every(10, name="added", plugin=None))])
        await flow.engine.watch.refresh()
        await flow.clock.advance(10)

    assert await results(flow, "added") == [("run", 1)]


async def test_a_schedule_that_another_process_removes_stops_and_keeps_nobody_busy() -> None:
    work = Work()
    store = TroubledStore()
    async with running(work_of(work), store=store, schedules=[every(10)]) as flow:
        await flow.clock.advance(10)
        await store.remove_schedules(["demo.work"])
        store.calls.clear()
        await flow.clock.advance(30)
        looks = store.calls.count("look")
        entries = dict(flow.engine.scheduler.entries)

    assert looks <= 1
    assert entries == {}


# Several kernels, and stores that fail


async def test_a_look_that_another_kernel_has_made_is_not_made_again() -> None:
    work = Work()
    async with running(work_of(work), schedules=[every(10)]) as flow:
        row = (await flow.store.schedules())[0]
        look = Look("demo.work", row.looked_until, row.looked_until + 10)
        await flow.store.look([look], lambda _look, _unfinished: _nothing())
        await flow.clock.advance(20)

    assert [tick - row.anchor for tick in work.ticks] == [10]


def _nothing() -> Any:
    from kernel.contracts.store import Looked  # noqa: PLC0415 - for this alone

    return Looked()


@pytest.mark.parametrize("kind", ["failing", "lying"])
@pytest.mark.parametrize("call", ["look", "put_schedules", "schedules"])
async def test_a_store_that_fails_for_a_while_costs_no_tick_and_doubles_none(kind: str, call: str) -> None:
    work = Work()
    store = TroubledStore()
    schedules = [every(1), every(2, name="demo.finish", anchor="finish")]
    async with running(work_of(work), store=store, schedules=schedules) as flow:
        await flow.clock.advance(2)
        getattr(store, kind)[call] = StoreError("locked")
        await flow.clock.advance(5)
        flow.clock.step(100)
        await flow.clock.advance(5)
        getattr(store, kind).clear()
        await flow.clock.advance(20)
        lines = await results(flow)
        runs = await flow.runs(schedule="demo.work")
        finishes = await flow.runs(schedule="demo.finish")

    assert sum(count for _, count in lines) == 32
    assert len({run.tick_at for run in runs}) == len(runs) == sum(count for kind, count in lines if kind == "run")
    assert len(finishes) >= 8
    assert {run.state for run in (*runs, *finishes)} <= FINAL


@pytest.mark.parametrize(
    "definition",
    ["", "5", "[]", "{}", '{"name": "bad", "job": "demo.work", "kind": "cron", "spec": "nonsense"}',
     '{"name": "bad", "job": "demo.work", "kind": "every", "spec": null}',
     '{"name": "bad", "job": "demo.work", "kind": "cron", "spec": "* * * * *", "timezone": "Mars/Olympus"}',
     '{"name": "bad", "job": "demo.work", "kind": "every", "spec": "60", "since": "a later version"}'],
)  # fmt: skip
async def test_a_definition_that_cannot_be_read_is_left_out_and_the_others_go_on(
    definition: str, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    first = await life(work, every(10))
    await first.store.put_schedules([first.row(every(10, name="bad", plugin=None), definition=definition)])
    await first.stop()

    second = await life(work, every(10), after=first)
    await second.clock.advance(10)
    await second.stop()

    assert len(work.ticks) == 1
    assert "the schedule bad is left out, for its definition cannot be used" in caplog.text


async def test_a_name_that_a_dynamic_schedule_has_is_refused_to_a_declared_one() -> None:
    async with running(work_of(Work())) as flow:
        await flow.engine.scheduler.add(flow.row(every(10, plugin=None)))
        with pytest.raises(ConfigError, match="has the name of one that was added while running"):
            await flow.engine.scheduler.declare("demo", [every(10)])


# Pace


def test_a_year_without_a_kernel_is_counted_quickly() -> None:
    async def story() -> tuple[list[tuple[str, int]], Sequence[float]]:
        work = Work()
        first = await life(work, every(0.1), cron("* * * * *", name="demo.minutes"))
        await first.stop()
        first.clock.skip(30 * DAY)
        second = await life(work, every(0.1), cron("* * * * *", name="demo.minutes"), after=first)
        await second.quiet()
        await second.stop()
        return await results(second), work.ticks

    (missed, folded, run), ticks = asyncio.run(story())

    assert (missed[0], folded[0], run) == ("missed", "folded", ("run", 1))
    assert missed[1] + folded[1] + 1 == pytest.approx(30 * DAY * 10, abs=2)
    assert len(ticks) == 2
    assert math.isfinite(ticks[0])
