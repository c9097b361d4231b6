"""Jobs of executors, in kernels that are real: what becomes of their runs, and of the kernel, whatever they do."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Kernel
from kernel.flow import worker_pool
from kernel.model.events import RunReleased
from kernel.model.job import CORES
from kernel.testing import until
from tests.acceptance.cli_program import Place, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from kernel import Run
    from kernel.model.events import Event

CRUNCH = """
import ctypes, os, re, signal, subprocess, time
from pathlib import Path
from pydantic import BaseModel
from kernel import Context, GiveUp, Retry, Snooze, hookimpl, job

HERE = Path(__file__).parent


class Settings(BaseModel):
    limit: int = 1


class Plugin:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @job(executor="process")
    def limit(self) -> list[int]:
        return [self.settings.limit, os.getpid()]

    @hookimpl
    def register_jobs(self):
        return [self.limit, square, spin, stop, crash_once, snooze_once, give_up, tell, wait, deaf]


@job(executor="process")
def square(n: int) -> int:
    return n * n

@job(executor="process", timeout="500ms", retry=Retry(2, base="10ms"))
def spin(ctx: Context) -> None:
    with (HERE / "spun").open("a") as file:
        file.write(f"{ctx.attempt}\\n")
    while True:
        pass

@job(executor="process", timeout="300ms", retry=1)
def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)

@job(executor="process", retry=Retry(3, base="10ms"))
def crash_once(ctx: Context) -> int:
    if ctx.attempt == 1:
        os._exit(9)
    if ctx.attempt == 2:
        ctypes.string_at(0)
    return ctx.attempt

@job(executor="process")
def snooze_once(ctx: Context) -> int:
    if ctx.attempt == 1:
        raise Snooze("10ms")
    return ctx.run.failures

@job(executor="process", retry=5)
def give_up() -> None:
    raise GiveUp("no use")

@job(executor="process")
def tell(ctx: Context) -> None:
    ctx.log.info("counting %d", 3)
    ctx.progress(0.5, "half")

@job(executor="process")
async def wait(ctx: Context) -> None:
    import asyncio
    (HERE / "waiting").touch()
    await asyncio.sleep(600)

@job(executor="process")
def deaf() -> None:
    child = subprocess.Popen(["sleep", "600"])
    (HERE / "pids").write_text(f"{os.getpid()} {child.pid}")
    re.match(r"(a+)+$", "a" * 60 + "b")
"""
ELSEWHERE = '''
"""Executors of a plugin's own: a thread for each attempt, and a process for each."""

import asyncio
import sys
import threading
from concurrent.futures import Future

from kernel import hookimpl

PROGRAM = "import sys; from kernel.worker import perform; print(perform(sys.stdin.read()))"


class OwnThread:
    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def attempt(self, work) -> str:
        answer = Future()
        threading.Thread(target=lambda: answer.set_result(work.here()), name=f"own-{work.job}", daemon=True).start()
        future = asyncio.wrap_future(answer)
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError:
                pass  # the job has been told; its thread cannot be ended
        return future.result()

    def kill(self, run: str) -> None: ...


class OwnProcess:
    async def start(self) -> None:
        self.by_run = {}

    async def stop(self) -> None: ...

    async def attempt(self, work) -> str:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, stdin=pipe, stdout=pipe)
        self.by_run[work.run] = process
        try:
            said, _ = await process.communicate(work.as_text().encode())
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        finally:
            del self.by_run[work.run]
        return said.decode()

    def kill(self, run: str) -> None:
        self.by_run[run].kill()


@hookimpl
def open_executor(name):
    return {"own-thread": OwnThread, "own-process": OwnProcess}.get(name, lambda: None)()
'''
SHOP = """
import asyncio, os, threading, time
from kernel import Context, hookimpl, job

@job(executor="own-thread")
def where(ctx: Context) -> str:
    ctx.log.info("from there")
    ctx.progress(0.75)
    return threading.current_thread().name

@job(executor="own-thread")
async def where_async() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name

@job(executor="own-thread", timeout="100ms", retry=1)
async def waits() -> None:
    await asyncio.sleep(600)

@job(executor="own-thread")
def watches(ctx: Context) -> None:
    while ctx.cancelled is None:
        time.sleep(0.005)

@job(executor="own-process")
def elsewhere(n: int) -> list[int]:
    return [n + 1, os.getpid()]

@job(executor="own-process", timeout="1s", retry=1)
def spins() -> None:
    while True:
        pass

@job(executor="own-thread", retry=1)
def fails() -> None:
    raise ValueError("bad")

@hookimpl
def register_jobs():
    return [where, where_async, waits, watches, elsewhere, spins, fails]
"""


class House:
    """A folder with plugins, and a kernel in it."""

    def __init__(self, folder: Path, **plugins: str) -> None:
        self.folder = folder
        self.config = folder / "plugins.toml"
        for name, text in plugins.items():
            self.write(name, text)
        self.configure("".join(f"[plugins.{name}]\n" for name in plugins))
        self.kernel: Kernel

    def write(self, name: str, text: str) -> None:
        package = self.folder / "plugins" / name
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(dedent(text), encoding="utf-8")

    def configure(self, text: str) -> None:
        self.config.write_text(f'[kernel]\nstore = "memory://"\nshutdown_grace = "100ms"\n{text}', encoding="utf-8")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Kernel]:
        async with Kernel.from_toml(self.config) as self.kernel:
            yield self.kernel

    async def ended(self, job: str, /, **payload: Any) -> Run:
        run = await self.kernel.enqueue(job, payload)
        return await self.kernel.wait(run.id, "20s")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, crunch=CRUNCH)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The grace after a timeout is shorter."""
    monkeypatch.setattr(worker_pool, "GRACE_SECONDS", 0.3)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def released_by_stop(kernel: Kernel) -> list[str]:
    """Stops the kernel; the ids of the runs that it gave back to the queue by it."""
    released: list[str] = []

    async def hear(events: Sequence[Event]) -> None:
        released.extend(event.run for event in events if isinstance(event, RunReleased))

    kernel.bus.subscribe("test", (RunReleased,), hear)
    await kernel.stop()
    return released


# Processes


async def test_twenty_runs_in_processes_have_their_own_results(house: House) -> None:
    async with house.running():
        runs = await asyncio.gather(*(house.ended("crunch.square", n=n) for n in range(20)))

    assert [run.result for run in runs] == [n * n for n in range(20)]


async def test_a_process_job_that_says_no_concurrency_takes_as_many_slots_as_there_are_cores(house: House) -> None:
    async with house.running() as kernel:
        runs = [await kernel.enqueue("crunch.wait") for _ in range(CORES + 2)]
        await until(lambda: len(kernel.engine.pool.busy) >= CORES)
        await kernel.control.runs_cancel(runs=[run.id for run in runs[CORES:]])
        waiting = [await kernel.wait(run.id, "5s") for run in runs[CORES:]]

        assert len(kernel.engine.pool.busy) == CORES
        assert [(run.state, run.attempt) for run in waiting] == [("cancelled", 0)] * 2


@pytest.mark.usefixtures("quick")
async def test_a_job_that_never_ends_is_killed_at_its_timeout_and_retried_and_its_slot_comes_back(house: House) -> None:
    async with house.running() as kernel:
        await house.ended("crunch.square", n=1)  # a worker is there
        run = await house.ended("crunch.spin")

        assert (run.state, run.failures) == ("failed", 2)
        assert run.error is not None
        assert (run.error.type, run.error.message) == ("TimeoutError", "took longer than its timeout of 500 ms")
        assert (house.folder / "plugins/crunch/spun").read_text().startswith("1\n")
        assert not kernel.engine.pool.stuck
        assert kernel.engine.pool.free_slots == 100


@pytest.mark.usefixtures("quick")
async def test_a_worker_that_is_stopped_is_killed_at_its_timeout_too(house: House) -> None:
    async with house.running() as kernel:
        run = await house.ended("crunch.stop")

        assert (run.state, run.error and run.error.type) == ("failed", "TimeoutError")
        assert not kernel.engine.pool.stuck


async def test_a_crash_costs_one_attempt_and_the_run_is_retried(house: House) -> None:
    async with house.running():
        run = await house.ended("crunch.crash_once")

    assert (run.state, run.result, run.failures) == ("completed", 3, 2)
    assert run.error is not None
    assert run.error.type == "CrashError"
    assert "was killed by SIGSEGV" in run.error.message


async def test_snooze_and_give_up_keep_their_meaning(house: House) -> None:
    async with house.running():
        snoozed = await house.ended("crunch.snooze_once")
        given_up = await house.ended("crunch.give_up")

    assert (snoozed.state, snoozed.result, snoozed.attempt) == ("completed", 0, 2)
    assert (given_up.state, given_up.attempt, given_up.reason) == ("failed", 1, "given up")


async def test_the_log_and_the_progress_of_a_process_job_are_kept_with_its_run(house: House) -> None:
    async with house.running() as kernel:
        run = await house.ended("crunch.tell")
        log = await kernel.store.log(run.id)

    assert (run.progress, run.progress_text) == (0.5, "half")
    assert [(line["level"], line["text"]) for line in map(json.loads, log.text.splitlines())] == [
        ("info", "counting 3")
    ]


async def test_a_process_job_is_cancelled_by_hand(house: House) -> None:
    async with house.running() as kernel:
        run = await kernel.enqueue("crunch.wait")
        await until((house.folder / "plugins/crunch/waiting").exists)

        await kernel.control.runs_cancel(runs=[run.id])
        done = await kernel.wait(run.id, "5s")

    assert done.state == "cancelled"


async def test_a_job_that_heeds_nothing_does_not_hold_up_the_end_of_its_kernel(house: House) -> None:
    pids = house.folder / "plugins/crunch/pids"
    async with house.running() as kernel:
        run = await kernel.enqueue("crunch.deaf")
        await until(lambda: pids.exists() and " " in pids.read_text())
        began = time.monotonic()
        released = await released_by_stop(kernel)

    assert time.monotonic() - began < 3.5
    assert released == [run.id]
    assert not any(is_alive(int(pid)) for pid in pids.read_text().split())


async def test_new_settings_reach_the_next_run_by_a_new_worker(house: House) -> None:
    async with house.running() as kernel:
        before = (await house.ended("crunch.limit")).result
        house.configure("[plugins.crunch]\nlimit = 2\n")
        await kernel.reload()
        after = (await house.ended("crunch.limit")).result

        assert (before[0], after[0]) == (1, 2)
        await until(lambda: not is_alive(before[1]))

        house.configure("[plugins.crunch]\nenabled = false\n")
        await kernel.reload()
        await until(lambda: not is_alive(after[1]))


def test_no_worker_outlives_a_killed_kernel_even_one_that_is_busy_in_c_code(tmp_path: Path) -> None:
    text = CRUNCH.replace('@job(executor="process")\ndef deaf', '@after("1ms")\n@job(executor="process")\ndef deaf')
    place = Place(tmp_path, '[kernel]\nstore = "memory://"\n[plugins.crunch]\n')
    place.write_plugin("crunch", text.replace("import Context", "import after, Context"))
    pids = tmp_path / "plugins/crunch/pids"
    with place.kernel() as kernel:
        wait_until(lambda: pids.exists() and " " in pids.read_text())
        alive = [int(pid) for pid in pids.read_text().split()]
        assert all(map(is_alive, alive))

        kernel.kill()

        wait_until(lambda: not any(map(is_alive, alive)), 2.0)


# Executors of plugins


async def test_a_plugin_s_executor_makes_the_attempts_of_the_jobs_that_name_it(tmp_path: Path) -> None:
    house = House(tmp_path, elsewhere=ELSEWHERE, shop=SHOP)
    async with house.running() as kernel:
        where = await house.ended("shop.where")
        log = await kernel.store.log(where.id)
        where_async = await house.ended("shop.where_async")
        elsewhere = await house.ended("shop.elsewhere", n=41)
        fails = await house.ended("shop.fails")

    assert (where.result, where.progress) == ("own-shop.where", 0.75)
    assert "from there" in log.text
    assert where_async.result == "own-shop.where_async"
    assert elsewhere.result[0] == 42
    assert elsewhere.result[1] != os.getpid()
    assert (fails.state, fails.error and fails.error.message) == ("failed", "bad")


async def test_attempts_of_a_plugin_s_executor_end_at_their_timeout_and_with_the_kernel(tmp_path: Path) -> None:
    house = House(tmp_path, elsewhere=ELSEWHERE, shop=SHOP)
    async with house.running() as kernel:
        waits, spins = await asyncio.gather(house.ended("shop.waits"), house.ended("shop.spins"))
        assert [run.error and run.error.type for run in (waits, spins)] == ["TimeoutError", "TimeoutError"]

        watches = await kernel.enqueue("shop.watches")
        await until(lambda: bool(kernel.engine.executors._made_by))
        began = time.monotonic()
        released = await released_by_stop(kernel)

    assert time.monotonic() - began < 2.0
    assert released == [watches.id]  # it has seen that it was to end, so its result does not count


HOSTILE = """
from kernel import hookimpl

class Hostile:
    def __init__(self, name):
        self.name = name
        self.killed = None

    async def start(self):
        if self.name == "unstartable":
            raise OSError("no route")

    async def stop(self): ...

    async def attempt(self, work):
        import asyncio
        if self.name == "raises":
            raise OSError("no route")
        if self.name == "exits":
            raise SystemExit(3)
        if self.name == "deaf":
            self.killed = asyncio.Event()
            while not self.killed.is_set():
                try:
                    await self.killed.wait()
                except asyncio.CancelledError:
                    pass
            raise RuntimeError("killed")
        return {"number": 5, "nonsense": "x", "nothing": None, "wrong": '{"kind": "completed"}',
                "nan": '{"kind": "completed", "result": "NaN", "notes": []}',
                "large": '{"kind": "completed", "result": "[' + "1," * 40_000 + '1]", "notes": []}',
                "deep": "[" * 100_000,
                "surrogate": '{"kind": "cancelled", "reason": "\\\\ud800"}'}[self.name]

    def kill(self, run):
        if self.killed is not None:
            self.killed.set()
        raise RuntimeError("kill fails too")

NAMES = ["raises", "exits", "deaf", "unstartable", "number", "nonsense", "nothing", "wrong", "nan", "large", "deep",
         "surrogate"]

@hookimpl
def open_executor(name):
    return Hostile(name) if name in NAMES else None
"""


def victim(executor: str) -> str:
    return f"""
        from kernel import hookimpl, job

        @job(executor="{executor}", retry=1, timeout="100ms")
        def work() -> None: ...

        @job
        async def fine() -> str:
            return "fine"

        @hookimpl
        def register_jobs():
            return [work, fine]
    """


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("executor", "kind", "told"),
    [
        ("raises", "OSError", "no route"),
        ("exits", "SystemExit", "3"),
        ("deaf", "TimeoutError", "took longer"),
        ("number", "AnswerError", "the executor's answer 5 is none"),
        ("nothing", "AnswerError", "answer None is none"),
        ("nonsense", "AnswerError", "it is no JSON"),
        ("wrong", "AnswerError", "it has another form"),
        ("nan", "AnswerError", "its result is wrong"),
        ("large", "AnswerError", "expected at most 65,536 bytes"),
        ("deep", "AnswerError", "it is no JSON"),
    ],
)
async def test_whatever_an_executor_does_is_the_end_of_one_attempt(
    tmp_path: Path, executor: str, kind: str, told: str
) -> None:
    house = House(tmp_path, hostile=HOSTILE, shop=victim(executor))
    async with house.running() as kernel:
        run = await house.ended("shop.work")

        assert (run.state, run.error and run.error.type) == ("failed", kind)
        assert told in (run.error.message if run.error else "")
        assert (await house.ended("shop.fine")).result == "fine"
        assert not kernel.engine.pool.stuck


async def test_an_attempt_that_its_executor_can_kill_does_not_hold_up_the_end_of_the_kernel(tmp_path: Path) -> None:
    house = House(tmp_path, hostile=HOSTILE, shop=victim("deaf").replace("100ms", "1h"))
    async with house.running() as kernel:
        run = await kernel.enqueue("shop.work")
        await until(lambda: bool(kernel.engine.executors._made_by))
        released = await released_by_stop(kernel)

    assert released == [run.id]


async def test_a_reason_that_no_file_can_hold_is_made_readable(tmp_path: Path) -> None:
    house = House(tmp_path, hostile=HOSTILE, shop=victim("surrogate"))
    async with house.running():
        run = await house.ended("shop.work")

    assert (run.state, run.reason) == ("cancelled", "\\ud800")


async def test_an_executor_that_does_not_start_breaks_its_plugin_and_fails_the_attempts(tmp_path: Path) -> None:
    house = House(tmp_path, hostile=HOSTILE, shop=victim("unstartable"))
    async with house.running() as kernel:
        run = await house.ended("shop.work")
        [state] = [state for state in kernel.plugin_states() if state["plugin"] == "hostile"]

    assert state["state"] == "broken"
    assert "executor 'unstartable': start: OSError: no route" in state["reason"]
    assert 'the executor "unstartable" of shop.work is not there' in (run.error.message if run.error else "")


EXCHANGED = """
import asyncio
from kernel import hookimpl
from pydantic import BaseModel

class Settings(BaseModel):
    size: int = 1

class Frail:
    is_running = False

    async def start(self):
        self.is_running = True

    async def stop(self):
        self.is_running = False

    async def attempt(self, work):
        if not self.is_running:
            raise RuntimeError("not running")
        return await asyncio.to_thread(work.here)

    def kill(self, run): ...

class Plugin:
    def __init__(self, settings): ...

    @hookimpl
    def open_executor(self, name):
        return Frail() if name == "own-thread" else None

    @hookimpl
    async def stop(self, kernel):
        await asyncio.sleep(0.2)
"""


async def test_runs_wait_while_the_plugin_of_their_executor_is_exchanged(tmp_path: Path) -> None:
    house = House(tmp_path, crew=EXCHANGED, elsewhere=ELSEWHERE, shop=SHOP)
    async with house.running() as kernel:
        watching = await kernel.enqueue("shop.watches")
        await until(lambda: bool(kernel.engine.pool.busy))
        house.configure("[plugins.crew]\nsize = 2\n[plugins.elsewhere]\n[plugins.shop]\n")

        reloading = asyncio.create_task(kernel.reload())
        runs = []
        while not reloading.done():
            runs.append(await kernel.enqueue("shop.where"))
            await asyncio.sleep(0.01)
        await reloading
        ended = [await kernel.wait(run.id, "5s") for run in runs]
        [first] = [run for run in await kernel.control.runs_list(limit=1000) if run["id"] == watching.id]

        assert {(run.state, run.failures) for run in ended} == {("completed", 0)}
        assert first["state"] in {"queued", "running"}
        assert first["failures"] == 0


async def test_jobs_whose_executor_is_switched_off_are_broken_and_say_why(tmp_path: Path) -> None:
    house = House(tmp_path, elsewhere=ELSEWHERE, shop=SHOP)
    async with house.running() as kernel:
        house.configure("[plugins.elsewhere]\nenabled = false\n[plugins.shop]\n")
        await kernel.reload()
        states = {state["plugin"]: state for state in kernel.plugin_states()}

    assert states["shop"]["state"] == "broken"
    assert "job where: executor: 'own-thread': no executor of this name" in states["shop"]["reason"]
