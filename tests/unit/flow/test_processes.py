"""Workers that are real processes: what they give back, and that whatever a job does to one costs its own attempt only."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kernel.config import parse_config
from kernel.flow import processes
from kernel.flow.processes import ProcessPool
from kernel.model.errors import CrashError
from kernel.model.job import CORES
from kernel.model.run import Run, RunExtra
from kernel.plugin_copy import written
from kernel.plugin_finder import find_plugins
from kernel.testing import until
from kernel.worker.program import Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PLUGIN = """
import asyncio, contextvars, ctypes, datetime, logging, os, re, signal, subprocess, sys, time, uuid
from pathlib import Path
from pydantic import BaseModel
from kernel import Cancel, Context, GiveUp, PayloadError, Retry, RetryAfter, Snooze, hookimpl, job

HERE = Path(__file__).parent
colour = contextvars.ContextVar("colour", default="none")


class Settings(BaseModel):
    limit: int = 1
    since: datetime.datetime | None = None
    names: list[str] = []
    day: object = None


class Plugin:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @job(executor="process")
    def settings_of(self) -> object:
        return [repr(self.settings.day), self.settings.model_dump(mode="json", exclude={"day"})]

    @hookimpl
    def register_jobs(self):
        return [self.settings_of, *JOBS]

    @hookimpl
    def start(self, kernel):
        raise RuntimeError("start hooks are the kernel's")


class OddError(Exception): ...


def typed(at: datetime.datetime, ident: uuid.UUID, many: list[int], *, price: float = 1.5) -> object:
    return [type(at).__name__, str(at), type(ident).__name__, many, price]

def echo(text: str) -> str:
    return text

def pid() -> int:
    return os.getpid()

async def async_pid() -> int:
    await asyncio.sleep(0)
    return os.getpid()

def meet(name: str, others: int) -> int:
    (HERE / f"met-{name}").touch()
    while len(list(HERE.glob("met-*"))) < others:
        time.sleep(0.005)
    return os.getpid()

def nothing() -> None: ...

def not_json() -> object:
    return {1, 2}

def large() -> str:
    return "x" * 70_000

def exits(status: int) -> None:
    os._exit(status)

def leaves() -> None:
    sys.exit(3)

def segfault() -> None:
    ctypes.string_at(0)

def killed(number: int) -> None:
    os.kill(os.getpid(), number)

def raises(what: str) -> None:
    raise {"snooze": Snooze("5m"), "cancel": Cancel("why"), "give up": GiveUp("no use"), "later": RetryAfter("30s"),
           "odd": OddError("odd"), "value": ValueError("bad"), "base": KeyboardInterrupt()}[what]

raises = job(executor="process", retry=Retry(give_up_on=(OddError,)))(raises)

def watches(ctx: Context) -> str:
    (HERE / "begun").touch()
    while ctx.cancelled is None:
        time.sleep(0.005)
    return ctx.cancelled

async def waits(ctx: Context) -> None:
    (HERE / "begun").touch()
    try:
        await asyncio.sleep(600)
    finally:
        (HERE / "tidied").touch()

def deaf() -> None:
    (HERE / "begun").touch()
    re.match(r"(a+)+$", "a" * 60 + "b")

def stops() -> None:
    (HERE / "begun").touch()
    os.kill(os.getpid(), signal.SIGSTOP)

def sends(text: str, times: int = 1) -> None:
    for number in sorted(map(int, os.listdir("/proc/self/fd"))):
        try:
            is_socket = os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
        except OSError:
            continue
        if is_socket:
            for _ in range(times):
                os.write(number, text.encode("latin-1"))
    time.sleep(600)

def closes() -> None:
    os.closerange(3, 10_000)

def floods() -> str:
    for _ in range(2_000):
        print('{"kind": "answer", "text": "no", "is_last": false}')
        print("x" * 100, file=sys.stderr)
    os.write(1, bytes(range(256)) * 100)
    return "unharmed"

def tells(ctx: Context) -> str:
    ctx.log.info("counted %d", 3)
    ctx.log.debug("not asked for")
    logging.getLogger("shop").warning("by the standard way")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("shop").exception("failed")
    ctx.progress(0.25, "a quarter")
    return f"{ctx.run.id} {ctx.attempt} {ctx.tick.folded} {ctx.deadline.year} {ctx.now().year} {ctx.is_last_attempt}"

async def tells_too(ctx: Context) -> None:
    await ctx.progress(1, "done")

def wants(ctx: Context, name: str) -> None:
    getattr(ctx, name)

def reports(ctx: Context, fraction: float) -> None:
    ctx.progress(fraction)

def forks() -> str:
    child = os.fork()
    if not child:
        return "child"
    os.waitpid(child, 0)
    return "parent"

def leaves_a_child(flag: bool = False) -> int:
    child = subprocess.Popen(["sleep", "600"])
    (HERE / "child").write_text(str(child.pid))
    if flag:
        os._exit(1)
    return child.pid

def changes() -> None:
    os.chdir("/")
    colour.set("red")

def sees() -> object:
    return [os.getcwd(), colour.get(), os.environ.get("SHOP_TEST")]

async def stops_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(600)

def ignores_terminate() -> str:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        os.write(told, b".")
        time.sleep(600)
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    return str(os.waitpid(child, 0)[1])


FUNCTIONS = [typed, echo, pid, async_pid, meet, nothing, not_json, large, exits, leaves, segfault, killed, watches, waits,
             deaf, stops, sends, closes, floods, tells, tells_too, wants, reports, forks, leaves_a_child, changes, sees,
             stops_loop, ignores_terminate]
JOBS = [raises, *(job(executor="process")(function) for function in FUNCTIONS)]
"""


class Told:
    """An attempt of ``shop.<job>`` as the executors have it."""

    def __init__(self, code: str, job: str, payload: dict[str, Any], run: str) -> None:
        self.run = run
        self.job = f"shop.{job}"
        self.plugin = "shop"
        self.timeout_seconds: float | None = None
        self.code = code
        self.cancelled: str | None = None
        self.heard: list[dict[str, Any]] = []
        extra = RunExtra(tick=1e9, folded=2, tags=("a",))
        row = Run(run, self.job, "default", 5, json.dumps(payload), "running", 1e9, 1e9, 1e9, extra, 1, 2, 1)
        self._facts = {
            "run": row._asdict() | {"extra": extra._asdict()},
            "is_last_attempt": True,
            "deadline": 2e9,
            "now": 1.5e9,
            "max_result": 65536,
        }

    def as_text(self) -> str:
        return json.dumps({"code": self.code, "job": self.job, "facts": self._facts})

    def here(self) -> str:
        raise NotImplementedError

    def tell(self, line: str) -> None:
        self.hear(line)

    def hear(self, line: str) -> None:
        self.heard.append(json.loads(line))


class Shop:
    """A pool of workers, and a plugin for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "plugins" / "shop"
        self.folder.mkdir(parents=True)
        self.pool = ProcessPool()
        self._count = 0
        self.write(PLUGIN)

    def write(self, text: str) -> None:
        (self.folder / "__init__.py").write_text(dedent(text), encoding="utf-8")

    def code(self, settings: str = "") -> str:
        config = parse_config(f"[plugins.shop]\n{settings}", self.folder / "plugins.toml", {"LIMIT": "7"})
        found = find_plugins([self.folder.parent]).plugins["shop"]
        return written(found, config.plugins["shop"].settings, config.source)

    def work(self, job: str, /, settings: str = "", **payload: Any) -> Told:
        self._count += 1
        return Told(self.code(settings), job, payload, f"run-{self._count}")

    async def answer(self, job: str, /, **payload: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self.pool.attempt(self.work(job, **payload)))
        return answer

    async def result(self, job: str, /, **payload: Any) -> Any:
        answer = await self.answer(job, **payload)
        assert answer["kind"] == "completed", answer
        return None if answer["result"] is None else json.loads(answer["result"])

    async def cancelled(self, job: str, *, kill: bool) -> tuple[Told, Any]:
        """An attempt that is told to end once it has begun; its answer, or what it raises."""
        work = self.work(job)
        making = asyncio.create_task(self.pool.attempt(work))
        await until((self.folder / "begun").exists)
        work.cancelled = "enough"
        making.cancel()
        if kill:
            await asyncio.sleep(0)
            self.pool.kill(work.run)
        [end] = await asyncio.wait_for(asyncio.gather(making, return_exceptions=True), 5)
        return work, end if isinstance(end, BaseException) else json.loads(end)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    found = Shop(tmp_path)
    yield found
    await found.pool.stop()
    assert not found.pool._alive


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


# What comes back


async def test_arguments_arrive_as_their_types_and_the_result_comes_back(shop: Shop) -> None:
    ident = "12345678-1234-5678-1234-567812345678"

    found = await shop.result("typed", at="2026-01-01T12:00:00Z", ident=ident, many=[1, 2])

    assert found == ["datetime", "2026-01-01 12:00:00+00:00", "UUID", [1, 2], 1.5]
    assert await shop.result("nothing") is None


async def test_a_payload_that_no_longer_fits_the_code_is_told_and_not_tried_again(shop: Shop) -> None:
    answer = await shop.answer("typed", at="now", ident="x", many=[])

    assert (answer["kind"], answer["failure"][0], answer["may_retry"]) == ("failed", "PayloadError", False)


async def test_a_worker_is_kept_for_the_next_attempt_and_def_and_async_def_run_in_it(shop: Shop) -> None:
    first = await shop.result("pid")

    assert await shop.result("async_pid") == first
    assert await shop.result("pid") == first
    assert first != os.getpid()


async def test_attempts_at_once_have_workers_of_their_own(shop: Shop) -> None:
    pids = await asyncio.gather(*(shop.result("meet", name=name, others=3) for name in "abc"))

    assert len(set(pids)) == 3


async def test_large_payloads_and_results_pass_and_a_result_past_the_limit_is_a_note(shop: Shop) -> None:
    text = '\\"é\U0001f600' * 6_000

    assert await shop.result("echo", text=text) == text
    answer = await shop.answer("large")
    assert answer["result"] is None
    assert "70,002 bytes" in answer["notes"][0]
    assert "set" in (await shop.answer("not_json"))["notes"][0]


@pytest.mark.parametrize(
    ("what", "kind", "expected"),
    [
        ("snooze", "snoozed", {"wait_seconds": 300.0}),
        ("cancel", "cancelled", {"reason": "why"}),
        ("give up", "failed", {"may_retry": False}),
        ("later", "failed", {"may_retry": True, "wait_seconds": 30.0}),
        ("odd", "failed", {"may_retry": False}),
        ("value", "failed", {"may_retry": True}),
        ("base", "failed", {"may_retry": True}),
    ],
)
async def test_what_a_job_raises_means_what_it_means_in_the_kernel(
    shop: Shop, what: str, kind: str, expected: dict[str, Any]
) -> None:
    answer = await shop.answer("raises", what=what)

    assert answer["kind"] == kind
    assert {name: answer[name] for name in expected} == expected
    if kind == "failed":
        assert "in raises" in answer["failure"][2]


async def test_sys_exit_and_a_stopped_loop_are_failures_and_the_worker_goes_on(shop: Shop) -> None:
    pid = await shop.result("pid")

    assert (await shop.answer("leaves"))["failure"][0] == "SystemExit"
    assert (await shop.answer("stops_loop"))["failure"][0] == "RuntimeError"
    assert await shop.result("pid") == pid


async def test_the_plugin_has_its_settings_and_its_start_hook_is_not_called(shop: Shop) -> None:
    settings = 'limit = 3\nsince = 2026-01-01T00:00:00+01:00\nnames = ["a", "${LIMIT}", "$${b}"]\nday = 2026-02-03'

    answer = json.loads(await shop.pool.attempt(shop.work("settings_of", settings)))

    found = json.loads(answer["result"])
    assert found[0] == "datetime.date(2026, 2, 3)"
    assert found[1] == {"limit": 3, "since": "2026-01-01T00:00:00+01:00", "names": ["a", "7", "${b}"]}


# What is told meanwhile


async def test_log_and_progress_reach_the_kernel_and_ctx_knows_its_run(shop: Shop) -> None:
    work = shop.work("tells")

    answer = json.loads(await shop.pool.attempt(work))

    assert json.loads(answer["result"]) == f"{work.run} 2 2 2033 2017 True"
    lines = [(line["logger"], line["level"], line["text"].splitlines()[0], line["own"])
             for line in work.heard if line["kind"] == "log"]  # fmt: skip
    assert lines == [
        ("mainspring.job.shop.tells", logging.INFO, "counted 3", True),
        ("shop", logging.WARNING, "by the standard way", False),
        ("shop", logging.ERROR, "failed", False),
    ]
    assert "ZeroDivisionError" in work.heard[2]["text"]
    assert work.heard[3] == {"kind": "progress", "fraction": 0.25, "text": "a quarter"}


async def test_progress_is_awaited_in_async_jobs_and_its_fraction_is_checked(shop: Shop) -> None:
    work = shop.work("tells_too")

    assert json.loads(await shop.pool.attempt(work))["kind"] == "completed"
    assert work.heard == [{"kind": "progress", "fraction": 1.0, "text": "done"}]
    assert "expected a number from 0 to 1" in (await shop.answer("reports", fraction=1.5))["failure"][1]


async def test_what_ctx_does_not_have_there_is_told_with_what_it_has(shop: Shop) -> None:
    message = (await shop.answer("wants", name="enqueue"))["failure"][1]

    assert message.startswith("shop.wants: ctx.enqueue is not there in a job of the executor 'process'")
    assert "there are run, attempt" in message
    assert (await shop.answer("wants", name="nonsense"))["failure"][:2] == ["AttributeError", "ctx has no nonsense"]


async def test_what_a_job_prints_does_not_disturb(shop: Shop) -> None:
    assert await shop.result("floods") == "unharmed"


# Crashes


@pytest.mark.parametrize(
    ("job", "payload", "told"),
    [
        ("exits", {"status": 9}, "ended with exit status 9"),
        ("exits", {"status": 0}, "ended with exit status 0"),
        ("segfault", {}, "was killed by SIGSEGV: a fault in C code"),
        ("killed", {"number": int(signal.SIGKILL)}, "was killed by SIGKILL, by hand or for want of memory"),
        ("killed", {"number": int(signal.SIGABRT)}, "was killed by SIGABRT"),
        ("closes", {}, "was killed by SIGKILL"),
        ("sends", {"text": "\xff\x00\n"}, "which is no message, and was killed"),
        ("sends", {"text": "[1]\n"}, "wrote '[1]\\\\n' to the kernel"),
        ("sends", {"text": '{"kind": "answer"}\n'}, "which is no message"),
        ("sends", {"text": "x" * 60_000, "times": 40}, "wrote a line of more than 1,572,864 bytes"),
    ],
)
async def test_a_worker_that_dies_says_how_and_the_next_attempt_has_another(
    shop: Shop, job: str, payload: dict[str, Any], told: str
) -> None:
    with pytest.raises(CrashError, match=r"the worker process \(pid \d+\)") as caught:
        await asyncio.wait_for(shop.answer(job, **payload), 10)

    assert told in str(caught.value)
    assert await shop.result("pid") > 0


async def test_the_end_of_one_worker_does_no_harm_to_its_neighbour(shop: Shop) -> None:
    neighbour = asyncio.create_task(shop.result("meet", name="a", others=2))

    with pytest.raises(CrashError):
        await shop.answer("exits", status=1)
    await shop.result("meet", name="b", others=2)

    assert await neighbour > 0


async def test_an_idle_worker_that_is_killed_costs_no_attempt(shop: Shop) -> None:
    first = await shop.result("pid")
    os.kill(first, signal.SIGKILL)

    assert await shop.result("pid") != first


async def test_a_worker_that_was_stopped_while_idle_and_killed_in_the_attempt_costs_no_attempt(shop: Shop) -> None:
    first = await shop.result("pid")
    os.kill(first, signal.SIGSTOP)

    attempt = asyncio.create_task(shop.result("pid"))
    await until(lambda: bool(shop.pool._busy))
    os.kill(first, signal.SIGKILL)

    assert await attempt != first


async def test_a_plugin_that_does_not_load_fails_the_attempt_and_mended_it_loads(shop: Shop) -> None:
    shop.write("raise ImportError('not today')")

    answer = await shop.answer("pid")
    shop.write(PLUGIN)

    assert answer["kind"] == "unloadable"
    assert not shop.pool._idle
    assert "the plugin shop does not load in another process: import: ImportError: not today" in answer["message"]
    assert await shop.result("pid") > 0


async def test_a_job_that_the_plugin_no_longer_has_is_named(shop: Shop) -> None:
    answer = await shop.answer("gone")

    assert "the plugin has no job shop.gone, but shop.settings_of" in answer["message"]


async def test_a_worker_that_cannot_be_started_is_a_failed_attempt(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")

    with pytest.raises(CrashError, match=r"no worker process could be started: .*No such file"):
        await shop.answer("pid")


# Being told to end


async def test_a_def_job_that_looks_at_cancelled_may_end_by_itself(shop: Shop) -> None:
    _, answer = await shop.cancelled("watches", kill=False)

    assert (answer["result"], answer["has_seen"]) == ('"enough"', True)


async def test_an_async_job_is_cancelled_and_tidies_up(shop: Shop) -> None:
    _, answer = await shop.cancelled("waits", kill=False)

    assert (answer["kind"], answer["reason"]) == ("interrupted", "enough")
    assert (shop.folder / "tidied").exists()


@pytest.mark.parametrize("job", ["deaf", "stops"])
async def test_a_job_that_heeds_nothing_is_killed(shop: Shop, job: str) -> None:
    _, error = await shop.cancelled(job, kill=True)

    assert isinstance(error, CrashError)
    assert await shop.result("pid") > 0


async def test_the_word_to_end_is_for_its_own_run_only(shop: Shop) -> None:
    await shop.result("pid")
    [worker] = shop.pool._idle

    worker.cancel("run-before", "late")

    assert await shop.result("async_pid") == worker._process.pid


def test_a_worker_at_work_leaves_the_word_to_another_run_alone() -> None:
    class Attempt:
        run = "run-2"
        told: ClassVar[list[str]] = []

        def cancel(self, reason: str) -> None:
            self.told.append(reason)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        program = Program(ours, b"", logging.INFO)
        program._attempt = Attempt()  # type: ignore[assignment] # all of it that is needed
        program._hear({"kind": "cancel", "run": "run-1", "reason": "late"})
        program._hear({"kind": "cancel", "run": "run-2", "reason": "enough"})

    assert Attempt.told == ["enough"]


async def test_ctrl_c_and_sigterm_are_left_to_the_kernel_and_children_heed_them(shop: Shop) -> None:
    assert await shop.result("ignores_terminate") == str(int(signal.SIGTERM))


# What a job leaves behind


async def test_a_forked_child_does_not_answer_for_its_parent(shop: Shop) -> None:
    assert await shop.result("forks") == "parent"
    assert await shop.result("echo", text="next") == "next"


@pytest.mark.parametrize("ends_by", ["crash", "stop"])
async def test_what_a_job_has_started_ends_with_its_worker(shop: Shop, ends_by: str) -> None:
    if ends_by == "crash":
        with pytest.raises(CrashError):
            await shop.answer("leaves_a_child", flag=True)
    else:
        await shop.result("leaves_a_child")
        assert is_alive(int((shop.folder / "child").read_text()))
        await shop.pool.stop()

    child = int((shop.folder / "child").read_text())
    await until(lambda: not is_alive(child))


async def test_what_a_job_changes_for_its_process_is_put_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TEST", "as the kernel's")
    await shop.result("changes")

    assert await shop.result("sees") == [str(Path.cwd()), "none", "as the kernel's"]


# Which workers there are


async def test_other_settings_have_workers_of_their_own(shop: Shop) -> None:
    first = await shop.result("pid")

    second = json.loads(json.loads(await shop.pool.attempt(shop.work("pid", "limit = 2")))["result"])

    assert second != first
    assert await shop.result("pid") == first


async def test_workers_of_a_plugin_that_is_forgotten_end(shop: Shop) -> None:
    first = await shop.result("pid")

    shop.pool.forget("shop")

    await until(lambda: not is_alive(first))
    assert await shop.result("pid") != first


async def test_a_busy_worker_of_a_plugin_that_is_forgotten_ends_after_its_attempt(shop: Shop) -> None:
    attempt = asyncio.create_task(shop.result("meet", name="a", others=2))
    await until((shop.folder / "met-a").exists)

    shop.pool.forget("shop")
    (shop.folder / "met-b").touch()

    pid = await attempt
    await until(lambda: not is_alive(pid))


async def test_a_worker_that_is_idle_for_long_ends(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "IDLE_SECONDS", 0.05)

    pid = await shop.result("pid")

    await until(lambda: not is_alive(pid) and not shop.pool._alive)


async def test_no_more_are_kept_than_there_are_cores(shop: Shop) -> None:
    count = CORES + 2

    pids = await asyncio.gather(*(shop.result("meet", name=str(at), others=count) for at in range(count)))

    await until(lambda: sum(map(is_alive, pids)) == CORES)


@pytest.mark.parametrize("state", ["idle", "busy", "stopped"])
async def test_stopping_ends_every_worker_within_a_second(shop: Shop, state: str) -> None:
    pid = await shop.result("pid")
    attempt = None
    if state == "busy":
        attempt = asyncio.create_task(shop.pool.attempt(shop.work("deaf")))
        await until((shop.folder / "begun").exists)
    if state == "stopped":
        os.kill(pid, signal.SIGSTOP)

    async with asyncio.timeout(1.5):
        await shop.pool.stop()

    assert not is_alive(pid)
    if attempt is not None:
        with pytest.raises(CrashError):
            await attempt
