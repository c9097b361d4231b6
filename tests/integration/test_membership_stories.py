"""Kernels on one PostgreSQL: one dies, one is cut off and comes back, one's clock is an hour off."""

from __future__ import annotations

import asyncio
import platform
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kernel.cli.desk import Desk
from kernel.contracts.clock import SystemClock
from kernel.contracts.store import Claim, KernelRow, RunQuery
from kernel.kernel import Kernel
from kernel.model.events import ClockStepped, Event, OutcomeRefused, RunLost, StoreTroubled
from kernel.testing import until
from plugins.postgres.store import PostgresStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from kernel.model.run import Run

LEASE_SECONDS = 2.0
PLUGIN = """
import asyncio
from pathlib import Path
from kernel import Context, hookimpl, job, every

PLACE = Path(__file__).parent

@job(max_silence=None)
async def hold(ctx: Context) -> int:
    with (PLACE / "begun").open("a") as book:
        book.write(f"{ctx.run.id} {ctx.attempt}\\n")
    while not (PLACE / "go").exists():
        await asyncio.sleep(0.02)
    return ctx.attempt

@job
async def quick() -> None: ...

@every("1s")
@job
async def beat() -> None: ...

@hookimpl
def register_jobs():
    return [hold, quick, beat]
"""


class OffClock(SystemClock):
    """Of a machine whose wall clock is set wrong."""

    def __init__(self, ahead: float) -> None:
        self._ahead = ahead

    def now(self) -> float:
        return self._wall() if self._ahead_of_elapsed is None else super().now()

    def _wall(self) -> float:
        return time.time() + self._ahead


class Site:
    """A folder with plugins.toml, the kernels that are started there, and what they tell."""

    def __init__(self, folder: Path, url: str, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.config = folder / "plugins.toml"
        self._url = url
        self._stack = stack
        self._options: dict[str, Any] = {}
        self._plugin = folder / "plugins" / "site"
        self._plugin.mkdir(parents=True)
        (self._plugin / "__init__.py").write_text(PLUGIN, "utf-8")
        self.config.write_text(
            f"[kernel]\nstore = '{url}'\nplugin_dirs = ['plugins']\nconcurrency = 2\nrun_dir = 'run'\n[plugins.site]\n",
            "utf-8",
        )
        monkeypatch.setattr("kernel.kernel.open_store", self._open_store)
        monkeypatch.setattr("kernel.flow.membership.RESCUE_SECONDS", 0.3)
        monkeypatch.setattr("kernel.flow.membership.LEASE_LOOK_SECONDS", 0.1)

    async def _open_store(self, url: str, *_: object) -> PostgresStore:
        return PostgresStore(url, **({"lease_seconds": LEASE_SECONDS, "renew_seconds": 0.2} | self._options))

    async def kernel(self, *, ahead: float = 0.0, **options: Any) -> Kernel:
        """``ahead``: by how much its machine's clock is."""
        self._options = options | ({"wall": lambda: time.time() + ahead} if ahead else {})
        kernel = Kernel.from_toml(self.config, clock=OffClock(ahead))
        await self._stack.enter_async_context(_running(kernel))
        return kernel

    async def bare(self, kernel: str) -> PostgresStore:
        """A store that is open as a kernel of which there is nothing else."""
        store = PostgresStore(self._url, lease_seconds=LEASE_SECONDS, renew_seconds=0.2)
        now = time.time()
        await store.open(KernelRow(kernel, 1, "elsewhere", "boot", now, now, ""))
        self._stack.push_async_callback(store.close)
        return store

    def begun(self) -> list[str]:
        book = self._plugin / "begun"
        return book.read_text("utf-8").splitlines() if book.exists() else []

    def go(self) -> None:
        """Whatever holds ends now."""
        (self._plugin / "go").touch()


@asynccontextmanager
async def _running(kernel: Kernel) -> AsyncIterator[None]:
    await kernel.start()
    try:
        yield
    finally:
        await kernel.stop(grace=1.0)


@pytest.fixture
async def site(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        yield Site(tmp_path, postgres_url, stack, monkeypatch)


def listen(kernel: Kernel) -> list[Event]:
    """All that it tells from now on."""
    told: list[Event] = []

    async def hear(events: Sequence[Event]) -> None:
        told.extend(events)

    kernel.bus.subscribe("test", (Event,), hear)
    return told


def kinds(told: list[Event], kind: type[Event]) -> list[Any]:
    return [event for event in told if isinstance(event, kind)]


async def come_about(ask: Callable[[], Any], limit: float = 20.0) -> None:
    """Waits until the awaited answer is true."""
    async with asyncio.timeout(limit):
        while not await ask():  # noqa: ASYNC110 - it is asked of the server
            await asyncio.sleep(0.02)


async def run_of(kernel: Kernel, run: str) -> Run:
    [found] = await kernel.store.runs(RunQuery(ids=[run]))
    return found


async def members(kernel: Kernel) -> dict[str, tuple[str, int]]:
    return {one["kernel"]: (one["state"], one["running"]) for one in await kernel.control.kernels()}


def cut_off(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Its lease is renewed no more, as when its process is stopped or its way to the server is gone. To let it go on."""
    store = kernel.store
    assert isinstance(store, PostgresStore)
    lease = store._lease
    assert lease is not None
    renew = lease._renew
    is_cut_off = True

    async def fail() -> None:
        if is_cut_off:
            raise OSError("cut off")
        await renew()

    def go_on() -> None:
        nonlocal is_cut_off
        is_cut_off = False

    monkeypatch.setattr(lease, "_renew", fail)
    return go_on


async def test_what_a_dead_kernel_had_claimed_runs_again_at_another_that_has_been_running_all_the_while(
    site: Site,
) -> None:
    kernel = await site.kernel()
    told = listen(kernel)
    dying = await site.bare("dying")
    kernel.engine.claimer.pause({"default": float("inf")})
    await dying.pause_queue("default", float("inf"))
    runs = [(await kernel.enqueue("site.quick")).id for _ in range(3)]
    claims = await dying.claim(Claim("dying", time.time(), 2, {"site.quick": 2}, {}))
    await dying.pause_queue("default", None)
    lease = dying._lease
    assert lease is not None

    await lease.end()  # and nobody removes the row: as when it was killed
    lost = [run.id for run in claims.runs]
    await come_about(lambda: _all_completed(kernel, runs))

    assert sorted(lost) == sorted(event.run for event in kinds(told, RunLost))
    assert {event.losses for event in kinds(told, RunLost)} == {1}
    assert [(await run_of(kernel, run)).kernel for run in lost] == [kernel.id] * len(lost)
    assert await members(kernel) == {kernel.id: ("alive", 0)}


async def _all_completed(kernel: Kernel, runs: Sequence[str]) -> bool:
    found = await kernel.store.runs(RunQuery(ids=runs, limit=len(runs)))
    return all(run.state == "completed" for run in found)


async def test_a_kernel_that_was_cut_off_begins_nothing_loses_its_runs_and_comes_back_as_a_member(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = await site.kernel()
    told = listen(one)
    runs = [(await one.enqueue("site.hold")).id for _ in range(4)]
    await until(lambda: len(site.begun()) == 2 and len(one.engine.ready) == 2)
    first = {line.split()[0] for line in site.begun()}
    other = await site.kernel()
    await until(lambda: not len(other.engine.ready))

    go_on = cut_off(one, monkeypatch)
    await until(lambda: not one.store.may_start)
    await until(lambda: not len(one.engine.ready))
    health = await one.control.health()
    await come_about(lambda: _is_held_by(one, first, other.id))
    is_lost = await members(other)
    go_on()
    await until(lambda: one.store.lease_losses == 1)
    await until(lambda: len(kinds(told, OutcomeRefused)) == 2)

    assert any("lease could not be renewed" in problem for problem in health["problems"])
    assert set(is_lost) == {other.id}
    assert {event.run for event in kinds(told, OutcomeRefused)} == first
    both = await members(other)
    assert {state for state, _ in both.values()} == {"alive"}
    assert set(both) == {one.id, other.id}
    site.go()
    await come_about(lambda: _all_completed(one, runs))
    again = await one.enqueue("site.quick")
    await come_about(lambda: _all_completed(one, [again.id]))
    found = [await run_of(one, run) for run in runs]
    assert {run.id: run.result for run in found} == {run.id: run.attempt for run in found}
    assert {run.losses for run in found} == {0}
    assert len(kinds(told, StoreTroubled)) <= 1


async def _is_held_by(kernel: Kernel, runs: set[str], holder: str) -> bool:
    found = await kernel.store.runs(RunQuery(ids=list(runs), limit=len(runs)))
    return {run.kernel for run in found if run.state == "running"} == {holder} and len(found) == len(runs)


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
async def test_a_kernel_whose_clock_is_an_hour_off_goes_by_the_databases(site: Site, ahead: float) -> None:
    wrong = await site.kernel(ahead=ahead)
    told = listen(wrong)

    assert wrong.clock.now() == pytest.approx(time.time(), abs=0.5)
    began = time.time()
    await come_about(lambda: _has_ticked(wrong, 2))
    delayed = await wrong.enqueue("site.quick", delay="0.5s")
    await come_about(lambda: _all_completed(wrong, [delayed.id]))
    right = await site.kernel()
    await come_about(lambda: _has_ticked(wrong, 5))
    ended = time.time()

    lines = [tick for tick in await right.store.ticks("site.beat", 0.0, 1e12, 100) if tick.run is not None]
    assert len(lines) == len({tick.first for tick in lines}) >= 5
    assert all(began - 1.5 < tick.first < ended for tick in lines)
    runs = {run.id: run for run in await right.store.runs(RunQuery(schedule="site.beat", limit=100))}
    assert sorted(runs) == sorted(str(tick.run) for tick in lines)
    assert all(0.0 <= run.started - run.due < 1.0 for run in runs.values() if run.started is not None)
    found = await run_of(right, delayed.id)
    assert (found.started or 0.0) - found.enqueued == pytest.approx(0.5, abs=0.4)
    rows = await right.control.kernels()
    assert [row["kernel"] for row in rows] == [wrong.id, right.id]
    assert all(row["seen_seconds"] < 20 for row in rows)
    assert kinds(told, ClockStepped) == []


async def _has_ticked(kernel: Kernel, times: int) -> bool:
    return len(await kernel.store.runs(RunQuery(schedule="site.beat", states=["completed"], limit=100))) >= times


async def test_commands_ask_kernels_of_this_machine_and_list_all_of_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel.flow.membership.RESCUE_SECONDS", 1000.0)
    kernel = await site.kernel()
    elsewhere = await site.bare("elsewhere")
    kernel.engine.claimer.pause({"default": float("inf")})
    run = await kernel.enqueue("site.quick")
    assert len((await elsewhere.claim(Claim("elsewhere", time.time(), 1, {"site.quick": 1}, {}))).runs) == 1

    async with Desk(site.config) as desk:
        sockets = await desk.sockets()
        both = {one["kernel"]: (one["state"], one["host"], one["running"]) for one in await desk.call("kernels")}
        lease = elsewhere._lease
        assert lease is not None
        await lease.end()
        await come_about(lambda: _is_lost(desk, "elsewhere"))
        answer = await desk.call("explain", subject=run.id)

    assert [path.name for path in sockets] == [f"kernel-{kernel.id[:8]}.sock"]
    assert both == {kernel.id: ("alive", platform.node(), 0), "elsewhere": ("alive", "elsewhere", 1)}
    assert answer["text"].endswith("which is not alive: another kernel queues it again")


async def _is_lost(desk: Desk, kernel: str) -> bool:
    return any(one["kernel"] == kernel and one["state"] == "lost" for one in await desk.call("kernels"))
