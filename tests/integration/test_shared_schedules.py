"""Several kernels on one store share its schedules: what each knows, declares and records, by a clock that is told the time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from kernel.contracts.store import RunQuery
from kernel.model.errors import ScheduleExistsError, UnknownNameError
from kernel.model.schedule import make_schedule
from kernel.testing import FakeClock, settle
from tests.flow_kit import Flow, SharedStore, cron, every, job_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernel.contracts.store import Look, Looked, Unfinished
    from kernel.model.job import Job
    from kernel.model.schedule import Schedule, Tick

HOUR = 3600.0


async def work() -> None: ...


async def other() -> None: ...


WORK = job_of(work)
BESIDE = job_of(other, "beside")
"""Of another plugin: who has that one alone knows nothing of the first."""


class KnowingStore(SharedStore):
    """Knows which kernel has announced which jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, set[str]] = {}
        self.asked = 0

    async def announced_elsewhere(self, kernel: str) -> set[str]:
        self.asked += 1
        return set().union(*(jobs for name, jobs in self.known.items() if name != kernel))


class Site:
    """Kernels on one store and clock. Each knows the jobs that it is given, and has announced them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = KnowingStore()
        self.flows: dict[str, Flow] = {}

    async def start(self, name: str, *schedules: Schedule, job: Job = WORK) -> Flow:
        flow = Flow([job], schedules, store=self.store, clock=self.clock, name=name)
        self.store.known[name] = set(flow.catalog.jobs)
        self.flows[name] = flow
        return await flow.start()

    async def stop(self, name: str) -> None:
        await self.flows.pop(name).stop()
        del self.store.known[name]

    async def stop_all(self) -> None:
        for name in list(self.flows):
            await self.stop(name)

    async def tell(self) -> None:
        """What another process has changed reaches all kernels within a second."""
        for flow in self.flows.values():
            await flow.engine.watch.refresh()
        await settle()

    async def lines(self, schedule: str = "demo.work") -> list[Tick]:
        return [*reversed(await self.store.ticks(schedule, 0.0, 1e12, 1_000_000))]

    async def results(self, schedule: str = "demo.work") -> list[tuple[str, int]]:
        """Oldest first; runs that follow one another together."""
        found: list[tuple[str, int]] = []
        for line in await self.lines(schedule):
            if found and found[-1][0] == line.result:
                found[-1] = (line.result, found[-1][1] + line.count)
            else:
                found.append((line.result, line.count))
        return found


@pytest.fixture
def site() -> Site:
    return Site()


# Who knows which job


async def test_a_kernel_that_lacks_a_job_leaves_its_ticks_to_one_that_knows_it(site: Site) -> None:
    await site.start("new", every(10))
    await site.start("old", job=BESIDE)
    await site.clock.advance(200)
    await site.stop_all()

    assert await site.results() == [("run", 20)]


async def test_it_learns_of_a_kernel_that_comes_later_before_it_records_anything_as_of_an_unknown_job(
    site: Site,
) -> None:
    await site.start("old", job=BESIDE)
    begin = site.clock.now()
    await site.clock.advance(30)
    new = await site.start("new", every(10))
    await site.tell()
    await site.clock.advance(200)
    await site.stop_all()

    assert await site.results() == [("run", 20)]
    assert begin + 40 == (await site.lines())[0].first
    assert new.engine.scheduler.entries["demo.work"].off is None


async def test_it_asks_who_knows_the_job_just_before_it_records_anything(site: Site) -> None:
    old = await site.start("old", job=BESIDE)
    await site.clock.advance(2)
    await old.engine.scheduler.add(old.row(every(10, name="added", plugin=None)))
    await site.clock.advance(59)
    site.store.known["new"] = {"demo.work"}  # and is looked for every five seconds
    await site.clock.advance(3)
    await site.stop_all()

    assert await site.results("added") == []


async def test_when_the_last_kernel_that_knows_the_job_has_gone_its_ticks_are_recorded_as_of_an_unknown_job(
    site: Site,
) -> None:
    old = await site.start("old", job=BESIDE)
    await site.start("new", every(10))
    await site.tell()
    await site.clock.advance(35)
    await site.stop("new")
    await site.clock.advance(100)
    before = old.engine.scheduler.off("demo.work")
    await site.stop_all()

    assert await site.results() == [("run", 3), ("disabled", 10)]
    assert (await site.lines())[-1].reason == "job unknown"
    assert before == ("disabled", "job unknown")


async def test_a_kernel_that_alone_knows_a_job_makes_up_for_a_short_absence_itself(site: Site) -> None:
    await site.start("plain", job=BESIDE)
    await site.start("special", every(10))
    await site.tell()
    await site.clock.advance(35)
    await site.stop("special")
    await site.clock.advance(30)
    await site.start("special", every(10))
    await site.clock.advance(100)
    await site.stop_all()

    assert await site.results() == [("run", 3), ("folded", 2), ("run", 11)]


async def test_a_kernel_that_starts_first_leaves_the_others_time_to_start(site: Site) -> None:
    await site.start("special", every(10))
    await site.clock.advance(10)
    await site.stop("special")
    site.clock.skip(300)
    await site.start("plain", job=BESIDE)
    await site.clock.advance(20)
    await site.start("special", every(10))
    await site.clock.advance(10)
    await site.stop_all()

    assert await site.results() == [("run", 1), ("folded", 31), ("run", 2)]


async def test_a_plugin_that_is_off_here_and_on_elsewhere_runs_there(site: Site) -> None:
    one = await site.start("one", every(10))
    await site.start("two", every(10))
    await switch_off(site, one)
    await site.clock.advance(100)

    assert await site.results() == [("run", 10)]

    await switch_off(site, site.flows["two"])
    await site.clock.advance(100)
    await site.stop_all()

    assert await site.results() == [("run", 10), ("disabled", 10)]
    assert (await site.lines())[-1].reason == "plugin demo is off"


async def switch_off(site: Site, flow: Flow) -> None:
    await flow.engine.scheduler.look(plugin="demo")
    flow.catalog.remove("demo", "plugin demo is off")
    site.store.known[flow.name] = set()
    await flow.engine.scheduler.refresh()
    await settle()


async def test_while_a_plugin_goes_off_here_its_ticks_are_left_to_others_at_once(site: Site) -> None:
    one = await site.start("one", every(10))
    await site.start("two", every(10))
    site.store.known["one"] = set()
    one.catalog.remove("demo", "plugin demo is off")  # and what runs is drained
    await site.clock.advance(100)
    await one.engine.scheduler.refresh()
    await site.stop_all()

    assert await site.results() == [("run", 10)]


async def test_ticks_that_were_planned_here_when_the_plugin_went_off_are_left_to_others(site: Site) -> None:
    one = await site.start("one", cron("0 * * * *"))
    site.store.known["two"] = {"demo.work"}
    site.clock.skip(10 * HOUR)
    looking = asyncio.create_task(one.engine.scheduler.look())
    await asyncio.sleep(0)  # its ticks are counted in a thread now
    one.catalog.remove("demo", "plugin demo is off")
    await looking
    await one.quiet()
    await site.stop_all()

    assert await site.results() == []


async def test_a_plugin_that_is_switched_on_here_takes_up_what_was_left_to_others(site: Site) -> None:
    plain = await site.start("plain", job=BESIDE)
    special = await site.start("special")
    await special.engine.scheduler.add(special.row(every(10, name="added", plugin=None)))
    await site.tell()
    await site.clock.advance(20)
    plain.catalog.add([WORK])
    await plain.engine.scheduler.refresh()
    await site.stop("special")
    await site.clock.advance(20)
    await site.stop_all()

    assert await site.results("added") == [("run", 4)]


async def test_a_kernel_that_knows_every_job_never_asks_who_else_does(site: Site) -> None:
    await site.start("one", every(10))
    asked = site.store.asked
    await site.clock.advance(100)
    asked, before = site.store.asked, asked
    await site.stop_all()

    assert asked == before


async def test_what_is_left_to_others_has_a_result_when_it_is_removed_here(site: Site) -> None:
    plain = await site.start("plain", job=BESIDE)
    special = await site.start("special")
    await special.engine.scheduler.add(special.row(every(10, name="added", plugin=None)))
    await site.tell()
    await site.clock.advance(15)
    site.clock.skip(10)  # a tick is due, and nobody has looked yet
    await plain.engine.scheduler.remove("added")
    await site.stop_all()

    assert await site.results("added") == [("run", 1), ("disabled", 1)]


async def test_what_is_left_to_others_has_a_result_when_it_is_changed_here(site: Site) -> None:
    await site.start("old", every(10))
    await site.clock.advance(15)
    site.clock.skip(10)
    await site.start("new", every(30, "demo.other", name="demo.work"), job=job_of(other))
    await site.clock.advance(30)
    await site.stop_all()

    assert await site.results() == [("run", 1), ("disabled", 1), ("run", 1)]


# Declarations


async def test_a_kernel_that_starts_without_a_plugin_leaves_its_schedules_alone(site: Site) -> None:
    one = await site.start("one", every(10))
    await one.engine.scheduler.pause("demo.work")
    [before] = await site.store.schedules()

    await site.start("two", job=BESIDE)
    await site.clock.advance(10)

    [row] = await site.store.schedules()
    assert (row.definition, row.anchor, row.paused) == (before.definition, before.anchor, True)
    await site.stop_all()


async def test_a_schedule_stops_when_a_kernel_has_its_plugin_and_no_longer_declares_it(site: Site) -> None:
    old = await site.start("old", every(10), every(10, name="demo.more"))
    await site.clock.advance(20)
    await site.start("new", every(10))
    await site.tell()
    await site.clock.advance(20)
    rows = [row.name for row in await site.store.schedules()]
    known = [*old.engine.scheduler.entries]
    await site.stop_all()

    assert rows == known == ["demo.work"]
    assert (await site.results(), await site.results("demo.more")) == ([("run", 4)], [("run", 2)])


async def test_an_older_kernel_does_not_look_by_a_definition_that_was_changed_though_it_has_not_heard_yet(
    site: Site,
) -> None:
    await site.start("old", every(1))
    await site.clock.advance(10)
    await site.start("new", every(10))
    await site.clock.advance(20)  # nobody is told here
    await site.stop_all()

    assert await site.results() == [("run", 12)]


@pytest.mark.parametrize("how", ["another plugin is switched on", "the clock is set back", "a run has ended"])
async def test_an_older_kernel_does_not_put_its_declaration_back(site: Site, how: str) -> None:
    old = await site.start("old", every(10, anchor="finish"))
    await site.clock.advance(25)
    newer = every(10, anchor="finish", overlap="allow")
    await site.start("new", newer)
    match how:
        case "another plugin is switched on":
            old.catalog.add([BESIDE])
            await old.engine.scheduler.declare("beside", [every(10, "beside.other", plugin="beside")])
            await old.engine.scheduler.refresh()
        case "the clock is set back":
            site.clock.step(-HOUR)
            await site.clock.advance(2)
        case _:
            await site.clock.advance(20)

    rows = {row.name: row for row in await site.store.schedules()}
    assert rows["demo.work"].schedule == newer
    await site.stop_all()


async def test_the_plugin_that_is_reloaded_last_is_what_holds(site: Site) -> None:
    old = await site.start("old", every(10))
    await site.start("new", every(20))

    await old.engine.scheduler.declare("demo", [every(30)])

    changed = [row.schedule for row in await site.store.schedules()]
    await site.flows["new"].engine.scheduler.declare("demo", [every(20)])
    assert (changed, [row.schedule for row in await site.store.schedules()]) == ([every(30)], [every(20)])
    await site.stop_all()


async def test_two_kernels_that_declare_the_same_at_one_moment_agree(site: Site) -> None:
    one = await site.start("one")
    two = await site.start("two")

    for flow in (one, two):
        await flow.engine.scheduler.declare("demo", [every(10)])
    await site.clock.advance(20)

    assert (await site.store.schedules())[0].version == 1
    assert await site.results() == [("run", 2)]
    await site.stop_all()


async def test_of_two_that_declare_something_else_at_one_moment_one_holds_in_both(site: Site) -> None:
    one, two = await site.start("one"), await site.start("two")
    site.store.before["put_schedules"] = asyncio.Event()
    declaring = [
        asyncio.create_task(one.engine.scheduler.declare("demo", [every(10)])),
        asyncio.create_task(two.engine.scheduler.declare("demo", [every(20)])),
    ]
    await settle()
    site.store.before.pop("put_schedules").set()
    await asyncio.gather(*declaring)

    [row] = await site.store.schedules()
    assert (row.version, row.schedule) == (2, every(20))
    assert two.engine.scheduler.entries["demo.work"].row == row
    await site.tell()
    await site.clock.advance(20)
    await site.stop_all()
    assert await site.results() == [("run", 1)]


async def test_a_definition_that_cannot_be_used_is_told_once_and_replaced_by_the_next_one_that_is_declared(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    one = await site.start("one")
    await site.store.put_schedules([one.row(every(10), definition='{"of": "a later version"}', dynamic=False)])
    for _ in range(3):
        await site.tell()

    await one.engine.scheduler.declare("demo", [every(10)])
    await site.clock.advance(10)
    await site.stop_all()

    assert caplog.text.count("is left out") == 1
    assert await site.results() == [("run", 1)]


async def test_a_name_that_another_kernel_has_just_given_is_refused(site: Site) -> None:
    one, two = await site.start("one"), await site.start("two")
    await one.engine.scheduler.add(one.row(every(10, name="added", plugin=None)))

    with pytest.raises(ScheduleExistsError, match='"added" already'):
        await two.engine.scheduler.add(two.row(every(60, name="added", plugin=None)))

    assert (await site.store.schedules())[0].schedule.interval == 10
    await site.stop_all()


async def test_what_another_kernel_has_added_can_be_paused_here_before_it_is_heard_of(site: Site) -> None:
    one, two = await site.start("one"), await site.start("two")
    await one.engine.scheduler.add(one.row(every(10, name="added", plugin=None)))

    await two.engine.scheduler.pause("added")
    await site.tell()
    await site.clock.advance(70)
    await site.stop_all()

    assert await site.results("added") == [("paused", 7)]


async def test_what_another_kernel_has_just_removed_cannot_be_paused_here(site: Site) -> None:
    one, two = await site.start("one"), await site.start("two")
    await one.engine.scheduler.add(one.row(every(10, name="added", plugin=None)))
    await site.tell()
    await one.engine.scheduler.remove("added")

    with pytest.raises(UnknownNameError, match="no schedule named 'added'"):
        await two.engine.scheduler.pause("added")
    await site.stop_all()


async def test_a_pause_that_is_heard_of_late_leaves_what_was_due_before_to_what_held_then(site: Site) -> None:
    schedule = every(10, overlap="allow")
    one, two = await site.start("one", schedule), await site.start("two", schedule)
    site.clock.skip(10)
    await one.engine.scheduler.look()
    site.clock.skip(10)
    await site.store.pause_schedule("demo.work", True)

    await two.engine.watch.refresh()
    await site.tell()
    await site.clock.advance(70)
    await site.stop_all()

    assert await site.results() == [("run", 2), ("paused", 7)]


async def test_a_pause_survives_what_another_kernel_puts_that_has_not_heard_of_it(site: Site) -> None:
    one = await site.start("one", every(10))
    two = await site.start("two", every(10))
    await two.engine.scheduler.pause("demo.work")

    await one.engine.scheduler.declare("demo", [every(10, overlap="allow")])
    await site.tell()
    await site.clock.advance(70)
    await site.stop_all()

    assert await site.results() == [("paused", 7)]


# After, and anchored at the finish


async def test_after_ticks_once_for_each_kernel_even_when_they_start_at_one_instant(site: Site) -> None:
    schedule = make_schedule("demo.work", "demo.work", "after", 5, plugin="demo", overlap="allow")
    site.store.before["look"] = asyncio.Event()
    starting = [asyncio.create_task(site.start(name, schedule)) for name in ("one", "two", "three")]
    await settle()
    site.store.before.pop("look").set()
    await asyncio.gather(*starting)
    await site.clock.advance(60)
    runs = await site.store.runs(RunQuery())
    ticks = {line.first for line in await site.lines()}
    await site.stop_all()

    assert await site.results() == [("run", 3)]
    assert [run.state for run in runs] == ["completed"] * 3
    assert len(ticks) == 3


async def test_anchored_at_the_finish_the_wait_begins_once_whichever_kernel_ran_it(site: Site) -> None:
    for name in ("one", "two"):
        await site.start(name, every(10, anchor="finish"))
    begin = site.clock.now()
    await site.clock.advance(100)
    await site.stop_all()

    assert [line.first - begin for line in await site.lines()] == [*range(10, 101, 10)]


# Clocks


async def test_a_shared_clock_that_is_set_back_goes_on_once_and_doubles_no_tick(site: Site) -> None:
    for name in ("one", "two", "three"):
        await site.start(name, every(10), cron("* * * * *", name="demo.minutes"))
    await site.clock.advance(65)
    before = site.clock.now()
    site.clock.step(-HOUR)
    await site.clock.advance(60)
    lines = await site.lines()
    [rows] = [[row for row in await site.store.schedules() if row.name == "demo.work"]]
    minutes = await site.lines("demo.minutes")
    await site.stop_all()

    late = [line.first for line in lines if line.first < before - HOUR / 2]
    assert (len(lines), len(late)) == (12, 6)
    assert {line.result for line in lines} == {"run"}
    assert rows[0].version == 2
    assert [line.first for line in minutes] == sorted({line.first for line in minutes})


async def test_a_shared_clock_that_is_set_forward_shifts_no_grid_and_makes_one_run(site: Site) -> None:
    for name in ("one", "two", "three"):
        await site.start(name, every(10))
    begin = site.clock.now()
    await site.clock.advance(25)
    site.clock.step(HOUR)
    await site.clock.advance(10)
    [row] = await site.store.schedules()
    await site.stop_all()

    assert await site.results() == [("run", 2), ("folded", 359), ("run", 2)]
    assert (row.anchor, row.version) == (begin + 10, 1)


# All of it


class CountingStore(KnowingStore):
    """Knows which ticks were made runs, and how often each."""

    def __init__(self) -> None:
        super().__init__()
        self.made: Counter[tuple[str, float]] = Counter()

    async def look(
        self, looks: Sequence[Look], decide: Callable[[Look, Sequence[Unfinished]], Looked]
    ) -> list[Looked | None]:
        found = await super().look(looks, decide)
        for look, one in zip(looks, found, strict=True):
            self.made.update((look.schedule, tick.first) for tick in (one.ticks if one else ()))
        return found


@pytest.mark.parametrize("seed", range(25))
async def test_each_due_tick_has_one_result_while_kernels_come_and_go(site: Site, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - it decides what befalls the kernels
    site.store = CountingStore()
    declared = [every(1), every(7, name="demo.slow"), cron("*/5 * * * * *", name="demo.cron")]
    await site.start("first", *declared)
    begin = site.clock.now()
    for number in range(60):
        match chance.randrange(10):
            case 0 | 1:
                await site.start(f"kernel-{number}", *declared)
            case 2:
                await site.start(f"plain-{number}", job=BESIDE)
            case 3 | 4 if len(site.flows) > 1:
                await site.stop(chance.choice([*site.flows]))
            case 5:
                await chance.choice([*site.flows.values()]).engine.scheduler.pause("demo.slow")
            case 6:
                await chance.choice([*site.flows.values()]).engine.scheduler.resume("demo.slow")
            case 7:
                site.clock.skip(chance.randrange(160) / 8)
            case _:
                await site.tell()
        await site.clock.advance(chance.randrange(40) / 8)
    await site.start("last", *declared)
    await site.tell()
    await site.clock.advance(1)
    rows = {row.name: row for row in await site.store.schedules()}
    lines = {name: await site.lines(name) for name in rows}
    runs = await site.store.runs(RunQuery(limit=100_000))
    await site.stop_all()

    for name, row in rows.items():
        due = (row.looked_until - begin) // {"demo.work": 1, "demo.slow": 7, "demo.cron": 5}[name]
        assert sum(line.count for line in lines[name]) == due, name
        assert row.looked_until > site.clock.now() - 120
    assert set(site.store.made.values()) == {1}
    ticks = [(run.schedule, run.extra.tick) for run in runs if run.extra]
    assert len(ticks) == len(set(ticks)) == sum(bool(line.run) for one in lines.values() for line in one)
