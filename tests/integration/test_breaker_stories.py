"""A partner that is down, in a real kernel: two plugins share a breaker, on SQLite and in memory, over restarts and reloads."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from kernel import ConfigError, Kernel, UnknownNameError
from kernel.contracts.store import BreakerRow
from kernel.model.breaker import CLOSED, HALF_OPEN, OPEN
from kernel.plugin_host import open_store
from kernel.testing import FakeClock, settle, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kernel import Run

PLUGIN = """
    import pathlib
    from kernel import Breaker, Context, hookimpl, job

    DOWN = pathlib.Path(__file__).parents[2] / "down"
    CALLED = pathlib.Path(__file__).parents[2] / "called"

    def ask():
        with CALLED.open("a") as file:
            file.write("x")
        if DOWN.exists():
            raise ConnectionError("the partner does not answer")
        return "answer"

    @job(retry=1, breaker=Breaker("partner"{options}))
    async def fetch() -> str:
        return ask()

    @job(retry=1, breaker=Breaker("partner"{options}, when_open="skip"))
    async def refresh() -> str:
        return ask()

    @job(retry=1)
    def ask_by_hand(ctx: Context) -> str:
        return ctx.breaker("partner").call(ask)

    @hookimpl
    def register_jobs():
        return [fetch, refresh, ask_by_hand]
"""
STORES = {"sqlite": "sqlite:///kernel.db", "memory": "memory://"}


class Place:
    """A folder with plugins.toml and two plugins; the partner is down while a file is there."""

    def __init__(self, root: Path, store: str) -> None:
        self.root = root
        self.file = root / "plugins.toml"
        self.store = store
        for name in ("shop", "office"):
            self.write(name)
        self.configure()

    def write(self, name: str, options: str = "") -> None:
        package = self.root / "plugins" / name
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(dedent(PLUGIN).replace("{options}", options))

    def configure(self, more: str = "") -> None:
        self.file.write_text(
            f'[kernel]\nstore = "{STORES[self.store]}"\nshutdown_grace = "1s"\n'
            f"[plugins.shop]\n[plugins.office]\n{dedent(more)}"
        )

    def set_down(self, is_down: bool) -> None:
        (self.root / "down").touch() if is_down else (self.root / "down").unlink(missing_ok=True)

    @property
    def calls(self) -> int:
        called = self.root / "called"
        return len(called.read_text()) if called.exists() else 0

    @asynccontextmanager
    async def kernel(self, clock: FakeClock) -> AsyncIterator[Kernel]:
        kernel = Kernel.from_toml(self.file, clock=clock)
        await kernel.start()
        try:
            yield kernel
        finally:
            stopping = asyncio.ensure_future(kernel.stop(0.0))
            while not stopping.done():
                await clock.advance(0.5)
                await asyncio.sleep(0.001)
            await stopping


@pytest.fixture(params=["sqlite", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path, request.param)


@pytest.fixture
def on_disk(tmp_path: Path) -> Place:
    return Place(tmp_path, "sqlite")


async def ended(kernel: Kernel, run: Run) -> Run:
    async with asyncio.timeout(10):
        return await kernel.wait(run.id)


async def fail(kernel: Kernel, place: Place, times: int = 5, job: str = "shop.fetch") -> None:
    place.set_down(True)
    for _ in range(times):
        assert (await ended(kernel, await kernel.enqueue(job))).state == "failed"
    place.set_down(False)
    await kernel.engine.breakers.drain()


async def rest(kernel: Kernel) -> None:
    """Until what was asked of the store has been done."""
    for _ in range(3):
        await kernel.store.signals()
        await settle()


async def breaker(kernel: Kernel) -> dict[str, Any]:
    [found] = [one for one in await kernel.control.breakers_list() if one["breaker"] == "partner"]
    return found


async def test_runs_of_both_plugins_wait_are_explained_and_go_on_one_by_one_then_together(place: Place) -> None:
    clock = FakeClock()
    async with place.kernel(clock) as kernel:
        await fail(kernel, place)
        calls = place.calls
        runs = [await kernel.enqueue(job) for job in ("office.fetch", "shop.fetch", "office.fetch", "shop.fetch")]
        await rest(kernel)

        shown = [await kernel.control.runs_show(run=run.id) for run in runs]
        assert [(run["state"], run["attempt"]) for run in shown] == [("queued", 0)] * 4
        answer = await kernel.control.explain(subject=runs[0].id)
        assert answer["reason"] == "breaker"
        assert answer["text"] == (
            "the breaker partner is open since 2026-01-01T00:00:00+00:00, after ConnectionError: the partner does not "
            "answer; one run may begin, to try, at 2026-01-01T00:01:00+00:00"
        )
        assert answer["until"] == "2026-01-01T00:01:00+00:00"
        assert (await kernel.control.health())["breakers"] == [
            {
                "breaker": "partner",
                "state": "open",
                "until": "2026-01-01T00:01:00+00:00",
                "probe": None,
                "error": "ConnectionError: the partner does not answer",
            }
        ]
        assert place.calls == calls

        await clock.advance(60)
        assert [(await ended(kernel, run)).attempt for run in runs] == [1] * 4
        await kernel.engine.breakers.drain()
        assert (await breaker(kernel))["state"] == "closed"
        assert (await kernel.control.health())["breakers"] == []


async def test_with_skip_a_run_ends_cancelled_with_the_reason(place: Place) -> None:
    clock = FakeClock()
    async with place.kernel(clock) as kernel:
        await fail(kernel, place)
        calls = place.calls
        run = await ended(kernel, await kernel.enqueue("office.refresh"))

        assert (run.state, place.calls) == ("cancelled", calls)
        answer = await kernel.control.explain(subject=run.id)
        assert "breaker open: partner: the next call is let through at 2026-01-01T00:01:00" in answer["text"]
        await clock.advance(60)
        assert (await ended(kernel, await kernel.enqueue("office.refresh"))).state == "completed"


async def test_the_calls_of_a_job_by_ctx_count_for_the_others_too(place: Place) -> None:
    async with place.kernel(FakeClock()) as kernel:
        await fail(kernel, place, 3, "office.ask_by_hand")
        await fail(kernel, place, 2, "shop.fetch")
        run = await ended(kernel, await kernel.enqueue("shop.ask_by_hand"))

        assert run.error is not None
        assert run.error.type == "BreakerOpen"


async def test_it_is_listed_and_closed_by_hand(place: Place) -> None:
    async with place.kernel(FakeClock()) as kernel:
        await fail(kernel, place, 4)
        assert await breaker(kernel) == {
            "breaker": "partner", "state": "closed", "failures": 4, "successes": 0, "opened_at": None, "until": None,
            "probe": None, "error": None, "failure_threshold": 5, "recovery_seconds": 60.0, "success_threshold": 3,
            "jobs": ["office.fetch", "office.refresh", "shop.fetch", "shop.refresh"],
        }  # fmt: skip
        await fail(kernel, place, 1)
        found = await breaker(kernel)
        assert (found["state"], found["opened_at"], found["until"]) == (
            "open", "2026-01-01T00:00:00+00:00", "2026-01-01T00:01:00+00:00",
        )  # fmt: skip
        run = await kernel.enqueue("shop.fetch")

        await kernel.control.breakers_reset(breaker="partner")

        assert (await ended(kernel, run)).state == "completed"
        assert (await breaker(kernel))["state"] == "closed"


async def test_a_reset_forgets_failures_that_have_not_opened_it_yet(place: Place) -> None:
    async with place.kernel(FakeClock()) as kernel:
        await fail(kernel, place, 4)
        await kernel.control.breakers_reset(breaker="partner")
        await fail(kernel, place, 4)

        assert (await breaker(kernel))["state"] == "closed"


async def test_a_name_that_nobody_uses_is_refused_with_the_nearest(place: Place) -> None:
    async with place.kernel(FakeClock()) as kernel:
        with pytest.raises(UnknownNameError, match=r"no breaker named 'partnr'\. Did you mean .partner."):
            await kernel.control.breakers_reset(breaker="partnr")


@pytest.mark.parametrize("state", ["open", "half_open"])
async def test_its_state_survives_a_restart_on_disk(on_disk: Place, state: str) -> None:
    clock = FakeClock()
    async with on_disk.kernel(clock) as kernel:
        await fail(kernel, on_disk)
        if state == "half_open":
            await clock.advance(60)
            for _ in range(2):
                await ended(kernel, await kernel.enqueue("shop.fetch"))
        run = await kernel.enqueue("shop.fetch", delay="1s")

    async with on_disk.kernel(clock) as kernel:
        found = await breaker(kernel)
        assert (found["state"], found["successes"]) == (state, 2 if state == "half_open" else 0)
        await clock.advance(1)
        if state == "open":
            await rest(kernel)
            assert (await kernel.control.runs_show(run=run.id))["attempt"] == 0
            await clock.advance(60)
        assert (await ended(kernel, run)).state == "completed"
        await kernel.engine.breakers.drain()
        assert (await breaker(kernel))["state"] == ("half_open" if state == "open" else "closed")


async def test_the_probe_of_a_kernel_that_was_killed_is_free_at_the_restart(on_disk: Place) -> None:
    clock = FakeClock()
    async with on_disk.kernel(clock) as kernel:
        row = BreakerRow("partner", 1, HALF_OPEN, clock.now() - 60, clock.now(), 2, "killed", "down")
        await kernel.store.put_breaker(row)

    async with on_disk.kernel(clock) as kernel:
        assert (await ended(kernel, await kernel.enqueue("shop.fetch"))).state == "completed"
        await kernel.engine.breakers.drain()
        assert (await breaker(kernel))["state"] == CLOSED


async def test_what_another_process_writes_is_heard(on_disk: Place) -> None:
    clock = FakeClock()
    async with on_disk.kernel(clock) as kernel:
        client = await open_store(kernel.store.url)
        await client.open(None)
        try:
            await client.put_breaker(
                BreakerRow("partner", 1, OPEN, clock.now(), clock.now() + 60, 0, None, "elsewhere")
            )
            await until(lambda: bool(kernel.engine.breakers.shut()))
            run = await kernel.enqueue("shop.fetch")
            await rest(kernel)
            assert (await kernel.control.runs_show(run=run.id))["state"] == "queued"

            await client.put_breaker(BreakerRow("partner", 2, CLOSED))
            assert (await ended(kernel, run)).state == "completed"
        finally:
            await client.close()


async def test_thresholds_of_plugins_toml_hold_from_the_reload_on(place: Place) -> None:
    async with place.kernel(FakeClock()) as kernel:
        place.configure("[breakers.partner]\nfailure_threshold = 2\nrecovery_timeout = '5m'")
        assert await kernel.reload() == ("breaker partner changed",)
        await fail(kernel, place, 2)

        found = await breaker(kernel)
        assert (found["state"], found["until"]) == ("open", "2026-01-01T00:05:00+00:00")
        assert (found["failure_threshold"], found["recovery_seconds"], found["success_threshold"]) == (2, 300.0, 3)


async def test_a_bad_table_is_refused_and_nothing_changes(place: Place) -> None:
    async with place.kernel(FakeClock()) as kernel:
        place.configure("[breakers.partner]\nfailure_threshold = 'two'")
        with pytest.raises(
            ConfigError, match=r"plugins.toml:7: \[breakers.partner\] failure_threshold: 'two': expected"
        ):
            await kernel.reload()

        assert (await breaker(kernel))["failure_threshold"] == 5


async def test_the_job_announces_its_breaker(place: Place) -> None:
    async with place.kernel(FakeClock()) as kernel:
        jobs = {job["job"]: job for job in await kernel.control.jobs()}

    assert jobs["shop.refresh"]["breaker"] == {
        "name": "partner", "failure_threshold": 5, "recovery_timeout": 60.0, "success_threshold": 3, "when_open": "skip",
    }  # fmt: skip
    assert jobs["shop.ask_by_hand"]["breaker"] is None


async def test_a_job_is_told_with_the_thresholds_that_hold_after_a_reload_too(on_disk: Place) -> None:
    on_disk.configure("[breakers.partner]\nfailure_threshold = 2")
    async with on_disk.kernel(FakeClock()) as kernel:
        [first] = [job for job in await kernel.control.jobs() if job["job"] == "shop.fetch"]
        announced = [json.loads(row.info) for row in await kernel.store.announced() if row.job == "shop.fetch"]
        on_disk.configure("[breakers.partner]\nfailure_threshold = 7")
        await kernel.reload()
        again = [json.loads(row.info) for row in await kernel.store.announced() if row.job == "shop.fetch"]

    assert [one["breaker"]["failure_threshold"] for one in (first, *announced, *again)] == [2, 2, 7]
