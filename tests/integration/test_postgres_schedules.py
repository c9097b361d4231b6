"""Kernels on one PostgreSQL share its schedules: each tick makes one run, and what is changed in one holds in all."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from kernel.contracts.store import Look, Looked, RunQuery
from kernel.kernel import Kernel
from kernel.model.errors import RequestError
from kernel.model.schedule import ScheduleRow
from kernel.testing import until
from plugins.postgres.store import PostgresStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from kernel.model.run import Run
    from kernel.model.schedule import Tick

SOON = 3.0
"""By then what one kernel changes holds in all: within a second, and some more on a busy machine."""
PLUGIN = """
import asyncio
from pathlib import Path
from kernel import Breaker, Context, after, cron, every, hookimpl, job

PLACE = Path(__file__).parents[2]

@job(max_silence=None, queue="held")
async def hold(ctx: Context) -> None:
    while not (PLACE / "go").exists():
        await asyncio.sleep(0.02)

@job(retry=1, breaker=Breaker("partner", failure_threshold=1, recovery_timeout="1h"))
async def fail() -> None:
    raise ValueError("no")

@job
async def quick() -> None: ...

{schedules}

@hookimpl
def register_jobs():
    return [hold, fail, quick, {names}]
"""
BESIDE = """
from kernel import hookimpl, job

@job
async def sweep() -> None: ...

@hookimpl
def register_jobs():
    return [sweep]
"""


class Site:
    """Two plugins in a folder, and kernels that have both of them or one. ``shop`` has schedules, ``beside`` has none."""

    def __init__(self, folder: Path, url: str, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._url = url
        self._stack = stack
        self._kernels: list[Kernel | None] = []
        self._deploys = 0
        self.declare()

    def declare(self, **schedules: str) -> None:
        """New code for the kernels that start from now on: decorators of jobs that do nothing, by their names."""
        self._deploys += 1
        text = "\n".join(f"{decorator}\nasync def {name}() -> None: ...\n" for name, decorator in schedules.items())
        shop = PLUGIN.format(schedules=text, names=", ".join(schedules))
        for name, code in (("shop", shop), ("beside", BESIDE)):
            package = self._folder / f"deploy-{self._deploys}" / name
            package.mkdir(parents=True)
            (package / "__init__.py").write_text(code, "utf-8")

    async def kernel(self, *plugins: str) -> Kernel:
        """With these plugins; with both when none is named."""
        config = self._folder / f"plugins-{len(self._kernels)}.toml"
        tables = "".join(f"[plugins.{name}]\n" for name in plugins or ("shop", "beside"))
        config.write_text(
            f"[kernel]\nstore = '{self._url}'\nplugin_dirs = ['deploy-{self._deploys}']\nrun_dir = 'run'\n{tables}",
            "utf-8",
        )
        kernel = Kernel.from_toml(config)
        await kernel.start()
        self._kernels.append(kernel)
        return kernel

    async def stop(self, kernel: Kernel) -> None:
        self._kernels[self._kernels.index(kernel)] = None
        await kernel.stop(grace=1.0)

    async def stop_all(self) -> None:
        self.go()
        for kernel in self._kernels:
            if kernel is not None:
                await kernel.stop(grace=1.0)

    def go(self) -> None:
        """Whatever holds ends now."""
        (self._folder / "go").touch()


@pytest.fixture
async def site(tmp_path: Path, postgres_url: str) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        site = Site(tmp_path, postgres_url, stack)
        stack.push_async_callback(site.stop_all)
        yield site


async def lines_of(kernel: Kernel, schedule: str) -> list[Tick]:
    """Its ledger, oldest first."""
    return [*reversed(await kernel.store.ticks(schedule, 0.0, 1e12, 100_000))]


async def runs_of(kernel: Kernel, **query: Any) -> list[Run]:
    """Oldest first."""
    return [*reversed(await kernel.store.runs(RunQuery(limit=1000, **query)))]


async def soon(holds: Callable[[], Awaitable[object]], limit: float = SOON) -> None:
    async with asyncio.timeout(limit):
        while not await holds():  # noqa: ASYNC110 - in the store, which tells nobody here
            await asyncio.sleep(0.02)


async def running_in(kernels: Sequence[Kernel], job: str = "shop.hold") -> tuple[Run, Kernel, Kernel]:
    """A run of the job that runs; the kernel in which it does, and another one."""

    async def runs() -> bool:
        return bool(await runs_of(kernels[0], states=["running"], job=job))

    await soon(runs, 10)
    [run] = await runs_of(kernels[0], states=["running"], job=job)
    [there] = [kernel for kernel in kernels if kernel.id == run.kernel]
    return run, there, next(kernel for kernel in kernels if kernel is not there)


def tick_of(run: Run) -> float | None:
    return None if run.extra is None else run.extra.tick


def next_tick(kernel: Kernel, schedule: str) -> float | None:
    entry = kernel.engine.scheduler.entries.get(schedule)
    return None if entry is None else entry.next_at


# Ticks


async def test_each_second_has_one_run_while_kernels_come_and_go(site: Site) -> None:
    site.declare(tick="@cron('* * * * * *')", beat="@every('200ms')")
    one, two = await site.kernel(), await site.kernel()
    begin = one.clock.now()

    await until(lambda: one.clock.now() > begin + 1.3)
    three = await site.kernel()
    await until(lambda: one.clock.now() > begin + 2.6)
    await site.stop(one)
    await until(lambda: two.clock.now() > begin + 4.1)
    await site.stop(three)
    await until(lambda: two.clock.now() > begin + 5.4)

    rows = {row.name: row for row in await two.store.schedules()}
    for name, row in rows.items():
        lines = [line for line in await lines_of(two, name) if line.first <= row.looked_until]
        runs = [run for run in await runs_of(two, schedule=name) if (tick_of(run) or 0.0) <= row.looked_until]
        first, interval = (lines[0].first, 1.0) if name == "shop.tick" else (row.anchor, 0.2)
        assert sum(line.count for line in lines) == round((lines[-1].last - first) / interval) + 1
        ticks = [tick_of(run) for run in runs]
        assert len(ticks) == len(set(ticks)) == sum(line.run is not None for line in lines)
    assert len(await runs_of(two, schedule="shop.tick")) >= 4


async def test_a_kernel_that_lacks_the_plugin_leaves_its_ticks_alone(site: Site) -> None:
    site.declare(beat="@every('200ms')")
    new = await site.kernel()
    plain = await site.kernel("beside")
    await soon(lambda: runs_count(new, "shop.beat", 5))

    lines = await lines_of(new, "shop.beat")
    listed = await plain.schedules.get("shop.beat")

    assert {line.result for line in lines} == {"run"}
    assert (listed["job_known"], listed["next_at"] is not None) == (True, True)
    assert {job["job"] for job in await plain.control.jobs()} >= {"shop.beat", "beside.sweep"}
    assert (await plain.control.health())["problems"] == []
    with pytest.raises(RequestError, match="declared by the plugin shop"):
        await plain.schedules.remove("shop.beat")


async def runs_count(kernel: Kernel, schedule: str, least: int) -> bool:
    return len(await runs_of(kernel, schedule=schedule)) >= least


async def test_the_last_schedules_of_a_plugin_that_no_kernel_has_are_removed_by_hand(site: Site) -> None:
    site.declare(beat="@every('200ms')")
    plain, old = await site.kernel("beside"), await site.kernel("shop")
    await soon(lambda: runs_count(old, "shop.beat", 1))
    await site.stop(old)

    await plain.schedules.remove("shop.beat")

    assert await plain.schedules.list() == []


async def test_a_kernel_with_new_code_changes_what_an_older_one_goes_by(site: Site) -> None:
    site.declare(beat="@every('200ms')", gone="@every('300ms')")
    old = await site.kernel()
    await soon(lambda: runs_count(old, "shop.gone", 1))
    site.declare(beat="@every('1h')", fresh="@every('200ms')")
    new = await site.kernel()

    await until(lambda: {*old.engine.scheduler.entries} == {"shop.beat", "shop.fresh"}, SOON)
    many = len(await runs_of(new, schedule="shop.beat"))
    await old.reload()
    await soon(lambda: runs_count(new, "shop.fresh", 4))

    assert len(await runs_of(new, schedule="shop.beat")) == many
    rows = {row.name: row.schedule.interval for row in await new.store.schedules()}
    assert rows == {"shop.beat": 3600.0, "shop.fresh": 0.2}
    assert {line.result for line in await lines_of(new, "shop.fresh")} == {"run"}


# By hand, in one of them


async def test_what_is_done_to_schedules_in_one_kernel_holds_in_the_other(site: Site) -> None:
    one, two = await site.kernel(), await site.kernel()

    await one.schedules.add("added", "shop.quick", every="1h")
    await until(lambda: next_tick(two, "added") is not None, SOON)
    await two.schedules.pause("added")
    await until(lambda: one.engine.scheduler.off("added") == ("paused", "paused by hand"), SOON)
    await one.schedules.resume("added")
    await until(lambda: two.engine.scheduler.off("added") is None, SOON)
    triggered = await two.schedules.trigger("added")
    done = await one.wait(triggered["id"], timeout=10)
    await two.schedules.remove("added")
    await until(lambda: next_tick(one, "added") is None, SOON)

    assert (done.state, await one.schedules.list()) == ("completed", [])


async def test_a_queue_that_is_paused_in_one_kernel_is_in_the_other(site: Site) -> None:
    one, two = await site.kernel(), await site.kernel()
    site.go()

    await one.control.queues_pause(queue="held")
    await until(lambda: "held" in two.engine.watch._paused, SOON)
    run = await two.enqueue("shop.hold")
    quick = await two.enqueue("shop.quick")
    await two.wait(quick.id, timeout=10)
    [waiting] = await runs_of(two, ids=[run.id])
    await two.control.queues_resume(queue="held")

    assert waiting.state == "queued"
    assert (await one.wait(run.id, timeout=10)).state == "completed"


async def test_a_run_is_cancelled_from_the_other_kernel(site: Site) -> None:
    kernels = await site.kernel(), await site.kernel()
    await kernels[0].enqueue("shop.hold")
    run, _, other = await running_in(kernels)

    await other.control.runs_cancel(runs=[run.id])

    assert (await other.wait(run.id, timeout=SOON)).state == "cancelled"


async def test_a_breaker_that_trips_in_one_kernel_is_open_in_the_other(site: Site) -> None:
    one, two = await site.kernel(), await site.kernel()
    run = await one.enqueue("shop.fail")
    await one.wait(run.id, timeout=10)

    async def is_open(kernel: Kernel) -> bool:
        return [row["state"] for row in await kernel.control.breakers_list()] == ["open"]

    await soon(lambda: is_open(one))
    await soon(lambda: is_open(two))
    await two.control.breakers_reset(breaker="partner")

    async def is_closed() -> bool:
        return not await is_open(one)

    await soon(is_closed)


# Overlap, after, finish


async def test_a_tick_is_skipped_while_a_run_of_its_schedule_runs_in_the_other_kernel(site: Site) -> None:
    kernels = await site.kernel(), await site.kernel()
    await kernels[0].schedules.add("held", "shop.hold", every="300ms")
    run, there, other = await running_in(kernels)

    async def is_skipped() -> bool:
        return any(line.result == "skipped" and line.count >= 3 for line in await lines_of(other, "held"))

    await soon(is_skipped, 10)

    assert [one.id for one in await runs_of(there, schedule="held")] == [run.id]


async def test_replace_cancels_a_run_that_runs_in_the_other_kernel_and_begins_when_that_has_ended(site: Site) -> None:
    kernels = await site.kernel(), await site.kernel()
    await kernels[0].schedules.add("held", "shop.hold", every="1500ms", overlap="replace")
    run, there, other = await running_in(kernels)
    there.engine.scheduler._alarm.arm(None)  # as if it were late: the other one looks
    there.engine.scheduler._arm = lambda: None  # type: ignore[method-assign]

    done = await other.wait(run.id, timeout=10)

    assert (done.state, done.reason) == ("cancelled", "replaced by the next tick of its schedule")
    again, *_ = await running_in(kernels)
    assert again.started is not None
    assert done.finished is not None
    assert again.started >= done.finished


async def test_after_ticks_once_for_each_kernel(site: Site) -> None:
    site.declare(warm="@after('100ms', overlap='allow')")
    one, _ = await site.kernel(), await site.kernel()

    await soon(lambda: runs_count(one, "shop.warm", 2), 10)
    await site.kernel()
    await soon(lambda: runs_count(one, "shop.warm", 3), 10)

    assert {line.result for line in await lines_of(one, "shop.warm")} == {"run"}


async def test_anchored_at_the_finish_the_wait_begins_when_the_run_has_ended_in_either_kernel(site: Site) -> None:
    site.declare(rest="@every('300ms', anchor='finish')")
    one, _ = await site.kernel(), await site.kernel()

    await soon(lambda: runs_count(one, "shop.rest", 6), 20)
    runs = await runs_of(one, schedule="shop.rest", states=["completed"])

    pairs = list(pairwise(runs))
    assert [tick_of(later) for _, later in pairs] == [(earlier.finished or 0.0) + 0.3 for earlier, _ in pairs]
    assert len(pairs) >= 4


# Races


async def test_neither_a_pause_nor_a_look_is_lost_beside_rows_that_are_put(postgres_url: str) -> None:
    one, two = PostgresStore(postgres_url), PostgresStore(postgres_url)
    await one.open(None)
    await two.open(None)
    now = 1_000.0
    await one.put_schedules([ScheduleRow("nightly", "{}", dynamic=False, anchor=0.0, looked_until=now)])
    looks = 0
    for number in range(60):
        [row] = await two.schedules()
        paused = number % 2 == 0
        look = Look("nightly", row.looked_until, now + number + 1, row.version)
        put = row._replace(anchor=float(number), version=row.version + 1, paused=not paused)

        [looked], is_paused, [is_put], _ = await asyncio.gather(
            one.look([look], lambda _look, _unfinished: Looked()),
            two.pause_schedule("nightly", paused),
            one.put_schedules([put]) if number % 3 else two.put_schedules([put]),
            two.schedules(),
        )

        [after] = await one.schedules()
        assert (is_paused, is_put) == (True, True)
        assert (after.paused, after.anchor, after.version) == (paused, float(number), row.version + 1)
        assert after.looked_until == (row.looked_until if looked is None else look.until)
        looks += looked is not None
    assert looks > 0
    await one.close()
    await two.close()
