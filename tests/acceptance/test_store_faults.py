"""A store that is locked, has no room, or fails: nothing is lost, nothing is done twice, and the loop goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Client, Kernel, RequestError, StoreError
from kernel.contracts.store import RunQuery
from kernel.model.run import RunState
from kernel.testing import until
from plugins.sqlite.store import SqliteStore
from tests.acceptance.rig.chance import chance_of
from tests.acceptance.rig.evidence import Evidence, lines_of
from tests.acceptance.rig.program import Program, environment, url_of, write_config

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from pathlib import Path

    from kernel import Run

MOST_LAG_SECONDS = 0.05


@pytest.fixture(autouse=True)
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the jobs of a kernel in this process are told."""
    for name, value in environment(tmp_path, 0).items():
        monkeypatch.setenv(name, value)


class Heart:
    """Measures how late the loop is, a hundred times a second."""

    def __init__(self) -> None:
        self.lags: list[float] = []

    async def beat(self) -> None:
        while True:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            self.lags.append(time.monotonic() - due)

    def check(self) -> None:
        """A machine that is busy with something else may delay a beat now and then, a locked file delays many."""
        late = [lag for lag in self.lags if lag > MOST_LAG_SECONDS]
        assert len(late) <= len(self.lags) / 50, f"{len(late)} of {len(self.lags)}: {sorted(late)}"


# Locked

HOLDS_THE_LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""


async def test_a_file_that_another_process_holds_locked_delays_work_and_nothing_else(tmp_path: Path) -> None:
    await work_beside_a_lock(tmp_path, 1.5)


@pytest.mark.torture
@pytest.mark.timeout(180)
@pytest.mark.parametrize("seconds", [10.0, 60.0])
async def test_a_file_that_is_locked_for_long_loses_nothing(
    seconds: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await work_beside_a_lock(tmp_path, seconds)

    assert sum("does not take" in record.getMessage() for record in caplog.records) == 1


async def work_beside_a_lock(folder: Path, seconds: float) -> None:
    heart = Heart()
    accepted: list[str] = []
    refused = 0

    async def enqueue(number: int) -> None:
        nonlocal refused
        try:
            accepted.append((await kernel.enqueue("chores.quick", {"number": number})).id)
        except StoreError:
            refused += 1

    async with Kernel.from_toml(write_config(folder)) as kernel:
        await enqueue(0)
        beating = asyncio.create_task(heart.beat())
        with holder_of(folder / "store.db", seconds) as holder:
            assert holder.stdout is not None
            assert await asyncio.to_thread(holder.stdout.readline) == b"held\n"
            waiting: list[asyncio.Task[None]] = []
            while holder.poll() is None:
                waiting.append(asyncio.create_task(enqueue(len(waiting) + 1)))
                await asyncio.sleep(0.05)
        released_at = time.monotonic()
        await asyncio.wait(waiting)
        await all_ended(kernel, accepted, 2.0 - (time.monotonic() - released_at))
        beating.cancel()

    heart.check()
    assert len(accepted) + refused == len(waiting) + 1
    assert refused == 0 or seconds > 9.0
    assert len({line.run for line in begun(folder, accepted)}) == len(begun(folder, accepted)) == len(accepted)
    assert not await Evidence(folder).taken(0, released_at)


def holder_of(path: Path, seconds: float) -> subprocess.Popen[bytes]:
    """Another process, which says "held" when it holds the file locked."""
    return subprocess.Popen([sys.executable, "-c", HOLDS_THE_LOCK, path, str(seconds)], stdout=subprocess.PIPE)


async def all_ended(kernel: Kernel, ids: Iterable[str], limit: float) -> None:
    """Waits until these runs have ended."""
    query = RunQuery(ids=list(ids))
    deadline = time.monotonic() + limit
    while not all(RunState(state).is_final for state in await kernel.store.count(query)):
        assert time.monotonic() < deadline, await kernel.store.count(query)
        await asyncio.sleep(0.02)


def begun(folder: Path, ids: Iterable[str]) -> list[Any]:
    wanted = set(ids)
    return [line for line in lines_of(folder, "journal", 0) if line.run in wanted]


# No room

ENOUGH = 300_000
"""Bytes: more than a small store, its journal and its log take."""


@contextlib.contextmanager
def no_room(program: Program) -> Iterator[None]:
    """The process can write to no file past ``ENOUGH``."""
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (ENOUGH, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def test_without_room_on_the_disk_enqueue_is_an_error_and_outcomes_wait(tmp_path: Path) -> None:
    write_config(tmp_path, plugins="[plugins.hostile]")
    with Program(tmp_path) as program:
        await program.ready()
        async with Client(url_of(tmp_path)) as client:
            run = await client.enqueue("hostile.patient", {"seconds": 0.7})
            await until(lambda: program.began(run.id))
            # The WAL is longer than the limit from here on, so that the kernel can add nothing to it.
            await client.enqueue_many([("hostile.kind", {"filling": "x" * 60_000}, {"delay": "1h"})] * 6)
            with no_room(program):
                with pytest.raises(StoreError, match=r"enqueue|disk|I/O"):
                    await program.ask("enqueue", job="hostile.kind")
                health = await program.ask("health")
                while not health["outcomes_unwritten"]:
                    await asyncio.sleep(0.05)
                    health = await program.ask("health")
                assert not health["healthy"]
                await program.says("does not take")
                assert (await client.control.runs_show(run=run.id))["state"] == "running"
            restored_at = time.monotonic()

            ended = await client.wait(run.id, "5s")

            assert ended.state == "completed"
            assert time.monotonic() - restored_at < 5.0
            assert sum(line.run == run.id for line in program.journal) == 1
            accepted = await program.ask("enqueue", job="hostile.kind")
            assert (await client.wait(accepted["id"], "5s")).state == "completed"
    assert not await Evidence(tmp_path).taken(0, program.born_at)


@pytest.mark.torture
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
async def test_a_full_disk_is_an_error_at_enqueue_and_costs_no_run(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if not mount(disk):
        pytest.skip("this machine lets nobody mount a disk")
    try:
        write_config(tmp_path, plugins="[plugins.hostile]")
        config = tmp_path / "plugins.toml"
        config.write_text(config.read_text().replace("sqlite:///store.db", "sqlite:///disk/store.db"))
        with Program(tmp_path) as program:
            await program.ready()
            await fill_and_make_room(program, disk)
    finally:
        unmount(disk)


def mount(disk: Path) -> bool:
    return not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=False).returncode


def unmount(disk: Path) -> None:
    subprocess.run(["umount", disk], check=True)


async def fill_and_make_room(program: Program, disk: Path) -> None:
    async with Client(url_of(disk)) as client:
        run = await client.enqueue("hostile.patient", {"seconds": 0.5})
        await until(lambda: program.began(run.id))
        with contextlib.suppress(OSError), (disk / "filling").open("wb", buffering=0) as filling:
            while True:
                filling.write(b"x" * 4096)
        too_much = [("hostile.kind", {"filling": "x" * 60_000}, {"delay": "1h"})] * 100
        with pytest.raises(StoreError, match="full"):
            await client.enqueue_many(too_much)
        await program.says("does not take")
        (disk / "filling").unlink()
        restored_at = time.monotonic()
        assert (await client.wait(run.id, "5s")).state == "completed"
        assert time.monotonic() - restored_at < 5.0
        assert sum(line.run == run.id for line in program.journal) == 1
        again = await client.enqueue("hostile.kind")
        assert (await client.wait(again.id, "5s")).state == "completed"


# Each call in turn


class Failing:
    """A store of which the ``nth`` call of all is not made, but fails. It counts them."""

    def __init__(self, store: SqliteStore, nth: int) -> None:
        self._store = store
        self._nth = nth
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found) or name == "on_change":
            return found

        async def call(*arguments: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) == self._nth:
                raise StoreError(f"the call {self._nth}, {name}, was meant to fail")
            return await found(*arguments)

        return call


async def test_any_one_call_of_the_store_may_fail_and_nothing_is_lost_or_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = chance_of("calls")

    await fail_each_in_turn(tmp_path, monkeypatch, lambda calls: sorted(chance.sample(range(1, calls + 1), 12)))


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_each_call_of_the_store_may_fail_and_nothing_is_lost_or_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fail_each_in_turn(tmp_path, monkeypatch, lambda calls: range(1, calls + 1))


async def fail_each_in_turn(
    folder: Path, monkeypatch: pytest.MonkeyPatch, choose: Callable[[int], Iterable[int]]
) -> None:
    opened: dict[str, Failing] = {}

    async def open_store(url: str, *_: object) -> Failing:
        return opened[url]

    async def tell(nth: int) -> int:
        place = folder / str(nth)
        place.mkdir()
        config = write_config(place)
        url = url_of(place)
        opened[url] = Failing(SqliteStore(place / "store.db"), nth)
        accepted = await story(lambda: Kernel.from_toml(config))
        calls = opened[url].calls
        await opened[url]._store.close()  # if that was the call that failed
        opened[url] = Failing(SqliteStore(place / "store.db"), 0)
        failed = f"call {nth}: {calls[nth - 1] if 0 < nth <= len(calls) else None}"
        async with Kernel.from_toml(config) as kernel:
            states = {run.id: run.state for run in await kernel.store.runs(RunQuery(ids=list(accepted), limit=1000))}
            assert {state.is_final for state in map(RunState, states.values())} <= {True}, failed
            assert states.keys() == accepted, failed
            starts = [line for line in begun(folder, accepted) if line.job in {"chores.quick", "chores.slow"}]
            assert len({line.run for line in starts}) == len(starts), failed
        assert not await Evidence(place).taken(0, 0.0), failed
        return len(calls)

    monkeypatch.setattr("kernel.kernel.open_store", open_store)
    calls = await tell(0)
    queue = asyncio.Queue[int]()
    for nth in choose(calls):
        queue.put_nowait(nth)

    async def tell_all() -> None:
        while not queue.empty():
            await tell(queue.get_nowait())

    await asyncio.gather(*(tell_all() for _ in range(5)))


async def story(make: Callable[[], Kernel]) -> set[str]:
    """The life of a kernel with something of everything; the runs that were accepted, which have all ended."""
    accepted: set[str] = set()

    async def wish(asked: Awaitable[Run]) -> Run | None:
        try:
            run = await asked
        except StoreError:
            return None
        accepted.add(run.id)
        return run

    async def by_hand(asked: Awaitable[Any]) -> None:
        with contextlib.suppress(StoreError, RequestError):  # a run that nobody waited for cannot be retried
            await asked

    kernel = make()
    try:
        await kernel.start()
    except StoreError:
        kernel = make()
        await kernel.start()
    for number in range(3):
        await wish(kernel.enqueue("chores.quick", {"number": number}))
    await wish(kernel.enqueue("chores.flaky"))
    await wish(kernel.enqueue("chores.slow", delay="50ms"))
    if run := await wish(kernel.enqueue("chores.quick", {"number": 4}, delay="2s")):
        await by_hand(kernel.control.runs_cancel(runs=[run.id]))
    if run := await wish(kernel.enqueue("chores.hopeless")):
        await by_hand(kernel.wait(run.id, "3s"))
        await by_hand(kernel.control.runs_retry(runs=[run.id]))
    await by_hand(kernel.control.queues_pause(queue="parked"))
    await by_hand(kernel.control.queues_resume(queue="parked"))
    await by_hand(kernel.schedules.pause("chores.ticks_skip"))
    await by_hand(kernel.schedules.resume("chores.ticks_skip"))
    await asyncio.sleep(0.3)
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        with contextlib.suppress(StoreError):
            states = await kernel.store.count(RunQuery(ids=sorted(accepted)))
            if all(RunState(state).is_final for state in states):
                break
        await asyncio.sleep(0.05)
    await by_hand(kernel.stop(grace=1.0))
    return accepted
