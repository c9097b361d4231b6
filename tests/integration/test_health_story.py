"""The health of jobs in a real kernel: what is told of them, over restarts, downtimes and pauses, and by several kernels."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Kernel, StoreError
from kernel.events import EventsDropped, HealthChanged, RunCompleted
from kernel.testing import FakeClock, settle, until
from plugins.health import WRITE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from kernel.events import Event

PLUGIN = """
import asyncio
from pathlib import Path
from kernel import Context, cron, every, hookimpl, job

HERE = Path(__file__).parent

@cron("0 * * * *")
@job(retry=1)
async def hourly() -> None:
    if (HERE / "down").exists():
        raise ValueError("no luck")

@job(retry=1, queue="mail", max_silence="2h")
async def send(ctx: Context) -> None:
    if (HERE / "down").exists():
        raise ValueError("no mail today")
    await ctx.optional("price", fetch, fallback=0)

async def fetch() -> int:
    if (HERE / "half").exists():
        raise ValueError("no price")
    return 1

@job(timeout="10s")
async def nap(seconds: float) -> None:
    await asyncio.Event().wait()

@hookimpl
def register_jobs():
    return [hourly, send, nap]
"""
BESIDE = """
from kernel import hookimpl, job

@job(max_silence="1h")
async def sweep() -> None: ...

@hookimpl
def register_jobs():
    return [sweep]
"""
HOUR = 3600.0
DAY = 24 * HOUR
CHECK = "health.check_job_health"


class Site:
    """A folder with plugins, and kernels in it, one after the other or on one PostgreSQL together."""

    def __init__(self, folder: Path, store: str = "sqlite:///kernel.db") -> None:
        self.folder = folder
        self.store = store
        self.clock = FakeClock()
        self.heard: list[Event] = []
        for name, code in (("shop", PLUGIN), ("beside", BESIDE)):
            (folder / "plugins" / name).mkdir(parents=True)
            (folder / "plugins" / name / "__init__.py").write_text(code, encoding="utf-8")
        self.configure()

    def configure(self, settings: str = "", *, beside: bool = False) -> None:
        lines = [f'[kernel]\nstore = "{self.store}"\nrun_dir = "run"\n[plugins.shop]\n[plugins.health]\n{settings}\n']
        lines += ["[plugins.beside]\n"] * beside
        (self.folder / "plugins.toml").write_text("".join(lines), encoding="utf-8")

    @asynccontextmanager
    async def kernel(self) -> AsyncIterator[Kernel]:
        async with Kernel.from_toml(self.folder / "plugins.toml", clock=self.clock) as kernel:
            kernel.bus.subscribe("test", (HealthChanged, RunCompleted, EventsDropped), self._hear)
            yield kernel

    async def _hear(self, events: Sequence[Event]) -> None:
        self.heard += events

    def switch(self, name: str, *, on: bool) -> None:
        file = self.folder / "plugins" / "shop" / name
        file.touch() if on else file.unlink()

    def told(self) -> list[tuple[str, str, str]]:
        changes = [event for event in self.heard if isinstance(event, HealthChanged)]
        return [(event.job, event.before, event.verdict) for event in changes]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def run(kernel: Kernel, job: str) -> None:
    enqueued = await kernel.enqueue(job)
    await kernel.wait(enqueued.id)
    await settle()


async def check(kernel: Kernel) -> dict[str, int]:
    """One check by hand; how many jobs have each verdict."""
    made = await kernel.control.schedules_trigger(schedule=CHECK)
    done = await kernel.wait(made["id"])
    assert done.state == "completed", done.error
    await settle()
    found: dict[str, int] = done.result
    return found


async def checks(kernel: Kernel) -> dict[str, dict[str, Any]]:
    """What is said of each job when somebody asks."""
    answer = await kernel.control.health()
    return {one["subject"]: one for one in answer["checks"] if one["plugin"] == "health"}


async def verdict(kernel: Kernel, job: str) -> str:
    found: str = (await checks(kernel))[job]["verdict"]
    return found


async def soon(holds: Callable[[], Awaitable[object]], limit: float = 10.0) -> None:
    async with asyncio.timeout(limit):
        while not await holds():  # noqa: ASYNC110 - in the store, which tells nobody here
            await asyncio.sleep(0.01)


async def test_a_job_that_fails_and_recovers_is_told_twice_and_in_between_nothing(site: Site) -> None:
    async with site.kernel() as kernel:
        await check(kernel)
        site.switch("down", on=True)
        await run(kernel, "shop.send")
        await check(kernel)
        await run(kernel, "shop.send")
        await check(kernel)
        failing = (await checks(kernel))["shop.send"]
        site.switch("down", on=False)
        await run(kernel, "shop.send")
        await check(kernel)
        await check(kernel)
        healthy = (await checks(kernel))["shop.send"]

    assert site.told() == [("shop.send", "healthy", "failing"), ("shop.send", "failing", "healthy")]
    assert (failing["ok"], failing["details"]["failures"]) == (False, 2)
    assert failing["text"] == "the last 2 runs have failed: ValueError: no mail today"
    assert (healthy["ok"], healthy["details"]["failures"]) == (True, 0)
    assert healthy["details"]["last_failure_at"] is not None


async def test_the_check_comes_by_itself_every_minute(site: Site) -> None:
    site.store = "memory://"
    site.configure()
    async with site.kernel() as kernel:
        site.switch("down", on=True)
        await run(kernel, "shop.send")
        await site.clock.advance(30)
        before = site.told()
        await site.clock.advance(31)
        await until(lambda: bool(site.told()))

    assert before == []
    assert site.told() == [("shop.send", "healthy", "failing")]


async def test_an_unhealthy_job_makes_the_kernel_unhealthy_with_a_problem_in_words(site: Site) -> None:
    async with site.kernel() as kernel:
        good = await kernel.control.health()
        site.switch("down", on=True)
        await run(kernel, "shop.send")
        bad = await kernel.control.health()

    assert (good["healthy"], good["problems"]) == (True, [])
    assert (bad["healthy"], bad["problems"]) == (
        False,
        ["shop.send is failing: the last run has failed: ValueError: no mail today"],
    )


async def test_a_restart_forgets_nothing_and_tells_nothing_again(site: Site) -> None:
    async with site.kernel() as kernel:
        site.switch("down", on=True)
        await run(kernel, "shop.send")
        await run(kernel, "shop.send")
        await check(kernel)
        before = (await checks(kernel))["shop.send"]
    site.clock.skip(60)
    async with site.kernel() as kernel:
        after = (await checks(kernel))["shop.send"]
        await check(kernel)
        site.switch("down", on=False)
        await run(kernel, "shop.send")
        await check(kernel)

    assert after == before
    assert site.told() == [("shop.send", "healthy", "failing"), ("shop.send", "failing", "healthy")]


async def test_what_was_not_written_before_a_crash_is_taken_from_the_runs_of_the_store(site: Site) -> None:
    async with site.kernel() as kernel:
        await run(kernel, "shop.send")
        site.switch("down", on=True)
        site.clock.skip(10)
        await run(kernel, "shop.send")
        site.clock.skip(10)
        await run(kernel, "shop.send")
        before = (await checks(kernel))["shop.send"]
    await forget(site)
    async with site.kernel() as kernel:
        after = (await checks(kernel))["shop.send"]

    assert (after["verdict"], after["text"]) == (before["verdict"], before["text"])
    for name in ("failures", "last_success_at", "last_failure_at"):
        assert after["details"][name] == before["details"][name]


async def forget(site: Site) -> None:
    """As if the kernel had been killed before anything was written."""
    from kernel.plugin_host import open_store  # noqa: PLC0415 - for this one

    store = await open_store(f"sqlite:///{site.folder}/kernel.db")
    await store.open(None)
    await store.put("health", dict.fromkeys(await store.get("health")))
    await store.close()


async def test_what_was_written_is_not_counted_again_from_the_runs_of_the_store(site: Site) -> None:
    site.switch("down", on=True)
    for failures in (1, 2, 3):
        async with site.kernel() as kernel:
            await run(kernel, "shop.send")
            found = (await checks(kernel))["shop.send"]
        site.clock.skip(1)

        assert found["details"]["failures"] == failures


async def test_after_a_downtime_the_run_of_the_catch_up_makes_a_job_healthy_again(site: Site) -> None:
    async with site.kernel() as kernel:
        await until_success_after(site, kernel, "shop.hourly", site.clock.now())
        before = (await checks(kernel))["shop.hourly"]["details"]
    site.clock.skip(2 * DAY)
    up_at = site.clock.now()
    async with site.kernel() as kernel:
        await until_success_after(site, kernel, "shop.hourly", up_at - 1)
        found = (await checks(kernel))["shop.hourly"]

    assert found["verdict"] == "healthy"
    assert found["details"]["last_success_at"] > before["last_success_at"]


async def test_a_job_whose_ticks_make_no_run_is_late_and_healthy_again_when_one_has(site: Site) -> None:
    async with site.kernel() as kernel:
        await run(kernel, "shop.send")
        await check(kernel)
        site.clock.skip(2 * HOUR + 1)
        late = (await checks(kernel))["shop.send"]
        await check(kernel)
        await run(kernel, "shop.send")
        await check(kernel)

    assert (late["verdict"], late["ok"]) == ("late", False)
    assert late["text"] == "no success for 2 h 1 s; its max_silence is 2 h"
    assert ("shop.send", "healthy", "late") in site.told()
    assert ("shop.send", "late", "healthy") in site.told()


async def until_success_after(site: Site, kernel: Kernel, job: str, at: float) -> None:
    def is_there() -> bool:
        return any(isinstance(event, RunCompleted) and event.job == job and event.at > at for event in site.heard)

    async with asyncio.timeout(20):
        while not is_there():
            # The store answers in its own time, and the clock goes on meanwhile.
            await site.clock.advance(60)
            await kernel.store.signals()


async def test_after_a_downtime_the_verdict_that_stood_before_holds_until_the_first_success(site: Site) -> None:
    async with site.kernel() as kernel:
        await run(kernel, "shop.send")
    site.clock.skip(3 * HOUR)
    async with site.kernel() as kernel:
        before = await verdict(kernel, "shop.send")
        await run(kernel, "shop.send")
        after = await verdict(kernel, "shop.send")

    assert (before, after) == ("late", "healthy")


async def test_a_paused_schedule_is_paused_and_when_it_goes_on_nothing_was_missed(site: Site) -> None:
    async with site.kernel() as kernel:
        await kernel.schedules.pause("shop.hourly")
        await verdict(kernel, "shop.hourly")
        site.clock.skip(DAY)
        paused = (await checks(kernel))["shop.hourly"]
        site.clock.skip(DAY)
        await kernel.schedules.resume("shop.hourly")
        resumed = (await checks(kernel))["shop.hourly"]

    assert (paused["verdict"], paused["ok"], paused["text"]) == ("paused", True, "its schedule is paused")
    assert resumed["verdict"] == "healthy"


async def test_a_paused_queue_makes_its_jobs_paused_over_a_restart_too(site: Site) -> None:
    async with site.kernel() as kernel:
        await run(kernel, "shop.send")
        await kernel.control.queues_pause(queue="mail")
        site.clock.skip(DAY)
        paused = (await checks(kernel))["shop.send"]
    site.clock.skip(HOUR)
    async with site.kernel() as kernel:
        still = await verdict(kernel, "shop.send")
        await kernel.control.queues_resume(queue="mail")
        resumed = await verdict(kernel, "shop.send")

    assert (paused["verdict"], paused["text"]) == ("paused", "its queue mail is paused")
    assert (still, resumed) == ("paused", "healthy")


async def test_a_run_that_ended_degraded_is_told_and_is_ok(site: Site) -> None:
    async with site.kernel() as kernel:
        site.switch("half", on=True)
        await run(kernel, "shop.send")
        await check(kernel)
        found = (await checks(kernel))["shop.send"]

    async with site.kernel() as kernel:
        again = (await checks(kernel))["shop.send"]

    assert (found["verdict"], found["ok"]) == ("degraded", True)
    assert found["text"] == "the last run did without: price: ValueError: no price"
    assert (again["verdict"], again["text"]) == (found["verdict"], found["text"])
    assert site.told() == [("shop.send", "healthy", "degraded")]


async def test_a_run_past_its_timeout_is_stuck(site: Site) -> None:
    async with site.kernel() as kernel:
        nap = await kernel.enqueue("shop.nap", {"seconds": 1.0})
        await soon(lambda: kernel.control.runs_list(state="running", job="shop.nap"))
        before = await verdict(kernel, "shop.nap")
        site.clock.skip(46)
        after = (await checks(kernel))["shop.nap"]
        await kernel.control.runs_cancel(runs=[nap.id])

    assert before == "healthy"
    assert (after["verdict"], after["text"]) == ("stuck", "a run goes on for 46 s, past its timeout of 10 s")


async def test_a_job_that_is_gone_is_shown_no_more_and_forgotten_after_a_day(site: Site) -> None:
    site.configure(beside=True)
    async with site.kernel() as kernel:
        await run(kernel, "beside.sweep")
        await check(kernel)
    site.configure()
    async with site.kernel() as kernel:
        assert "beside.sweep" not in await checks(kernel)
        await check(kernel)
        kept = [key for key in await kernel.values("health").get() if key.endswith("beside.sweep")]
        site.clock.skip(DAY + 1)
        await check(kernel)
        left = await kernel.values("health").get()

    assert kept
    assert [key for key in left if key.endswith("beside.sweep")] == []
    assert "beside.sweep" not in left["verdicts"]


async def test_a_job_that_comes_back_is_not_late_for_the_time_that_it_was_gone(site: Site) -> None:
    site.configure(beside=True)
    async with site.kernel() as kernel:
        await run(kernel, "beside.sweep")
        await verdict(kernel, "beside.sweep")
        site.configure()
        await kernel.reload()
        assert "beside.sweep" not in await checks(kernel)
        site.clock.skip(2 * HOUR)
        site.configure(beside=True)
        await kernel.reload()
        assert await verdict(kernel, "beside.sweep") == "healthy"
        site.clock.skip(HOUR + 1)
        assert await verdict(kernel, "beside.sweep") == "late"


async def test_new_settings_of_the_plugin_forget_nothing(site: Site) -> None:
    async with site.kernel() as kernel:
        site.switch("down", on=True)
        await run(kernel, "shop.send")
        await verdict(kernel, "shop.send")
        site.configure("failing_after = 3")
        await kernel.reload()
        after = (await checks(kernel))["shop.send"]

    assert (after["verdict"], after["details"]["failures"]) == ("healthy", 1)


async def test_the_rows_of_kernels_that_are_gone_become_one(site: Site) -> None:
    for _ in range(3):
        async with site.kernel() as kernel:
            await run(kernel, "shop.send")
            await check(kernel)
        site.clock.skip(1)
    async with site.kernel() as kernel:
        await check(kernel)
        keys = [key for key in await kernel.values("health").get() if key.endswith(" shop.send")]
        known = (await checks(kernel))["shop.send"]["details"]

    assert keys == ["all shop.send"]
    assert known["last_success_at"] is not None


async def test_what_is_heard_is_written_in_batches_and_not_for_each_run(site: Site) -> None:
    site.store = "memory://"
    site.configure()
    async with site.kernel() as kernel:
        await site.clock.advance(WRITE_SECONDS)
        await verdict(kernel, "shop.send")
        await site.clock.advance(WRITE_SECONDS)
        puts = []
        put = kernel.store.put

        async def counted(plugin: str, values: Any) -> None:
            puts.append((plugin, [*values]))
            await put(plugin, values)

        kernel.store.put = counted  # type: ignore[method-assign] # the store is watched
        runs = await kernel.enqueue_many([("shop.send", {})] * 500)
        for one in runs:
            await kernel.wait(one.id)
        await settle()
        before = [*puts]
        await site.clock.advance(WRITE_SECONDS + 1)

    assert before == []
    assert puts[0] == ("health", [f"{kernel.id} shop.send"])


async def test_a_store_that_does_not_answer_is_one_check_that_says_so_and_no_fault_of_the_plugin(site: Site) -> None:
    async with site.kernel() as kernel:
        await verdict(kernel, "shop.send")

        async def broken(*_: object, **__: object) -> Any:
            raise StoreError("the disk is gone")

        kernel.store.get = broken  # type: ignore[method-assign] # a fault is planted
        found = await checks(kernel)
        del kernel.store.get
        after = await verdict(kernel, "shop.send")
        states = {state["plugin"]: state for state in kernel.plugin_states()}

    assert (found["jobs"]["verdict"], found["jobs"]["ok"]) == ("unknown", False)
    assert "the disk is gone" in found["jobs"]["text"]
    assert after == "healthy"
    assert states["health"]["faults"] == []


async def test_events_that_were_dropped_are_made_up_for_from_the_store(site: Site) -> None:
    async with site.kernel() as kernel:
        await verdict(kernel, "shop.send")
        [ear] = [one for one in kernel.bus.subscriptions if one.name == "health"]
        ear.put = lambda event: None  # type: ignore[method-assign] # its inbox is full
        site.switch("down", on=True)
        await run(kernel, "shop.send")
        deaf = await verdict(kernel, "shop.send")
        del ear.put
        kernel.publish(EventsDropped(site.clock.now(), "health", 2))
        await settle()
        after = (await checks(kernel))["shop.send"]

    assert deaf == "healthy"
    assert (after["verdict"], after["details"]["failures"]) == ("failing", 1)


async def test_two_kernels_on_one_store_know_what_either_has_run_and_tell_it_once(
    tmp_path: Path, postgres_url: str
) -> None:
    site = Site(tmp_path, postgres_url)
    site.clock = None  # type: ignore[assignment] # theirs is the database's
    async with site.kernel() as first, site.kernel() as second:
        site.switch("down", on=True)
        for _ in range(3):
            await run(first, "shop.send")
            await run(second, "shop.send")
        failed = await first.control.runs_list(job="shop.send", state="failed")

        async def failures() -> list[int]:
            for kernel in (first, second):
                # As its timer would.
                await kernel.host._plugins["health"]._object._checker.write()
            return [(await checks(kernel))["shop.send"]["details"]["failures"] for kernel in (first, second)]

        async def are(count: int) -> bool:
            return await failures() == [count, count]

        await soon(lambda: are(6))
        await check(first)
        await check(second)
        site.switch("down", on=False)
        await run(first, "shop.send")
        await soon(lambda: are(0))
        await check(second)
        await check(first)

    assert {row["kernel"] for row in failed} == {first.id, second.id}
    assert site.told() == [("shop.send", "healthy", "failing"), ("shop.send", "failing", "healthy")]
