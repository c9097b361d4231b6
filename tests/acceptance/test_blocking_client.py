"""The blocking client in programs without asyncio: threads, forks, the end of the process, a store that does not answer."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from kernel import BlockingClient, ConfigError, RequestError, StoreError, UnknownNameError
from tests.acceptance.rig.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CONFIG = """
[kernel]
store = "{url}"
plugin_dirs = ["."]
run_dir = "."

[plugins.shop]
"""
PLUGIN = """
import asyncio

from kernel import hookimpl, job


@job
async def double(number: int = 1) -> int:
    return 2 * number


@job
async def long() -> None:
    await asyncio.sleep(3600)


@hookimpl
def register_jobs():
    return [double, long]
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def program(url: str, tmp_path: Path) -> Iterator[Program]:
    """A kernel with the jobs of the shop, on this store."""
    with _program(url, tmp_path) as program:
        yield program


@contextmanager
def _program(url: str, folder: Path) -> Iterator[Program]:
    (folder / "plugins.toml").write_text(CONFIG.format(url=url))
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").write_text(PLUGIN)
    with Program(folder) as program:
        asyncio.run(_ready(program))
        yield program


async def _ready(program: Program) -> None:
    await program.ready()


@pytest.fixture
def client(program: Program, url: str) -> Iterator[BlockingClient]:
    """As a web application keeps it: made once, and never opened by hand."""
    client = BlockingClient(url)
    yield client
    client.close()


def test_it_enqueues_waits_looks_and_cancels(client: BlockingClient) -> None:
    run = client.enqueue("shop.double", {"number": 21}, priority=1, tags=["a"])
    done = client.wait(run.id, timeout="10s")
    many = client.enqueue_many([("shop.double", {"number": n}) for n in range(3)])
    later = client.enqueue("shop.double", delay="1h", unique="one")
    again = client.enqueue("shop.double", unique="one")
    cancelled = client.cancel(later.id, "not needed")

    assert (run.is_new, done.state, done.result, done.priority, done.tags) == (True, "completed", 42, 1, ("a",))
    assert [client.wait(one.id, timeout="10s").result for one in many] == [0, 2, 4]
    assert (again.id, again.is_new) == (later.id, False)
    assert (cancelled.state, client.get(later.id).reason) == ("cancelled", "not needed")


def test_a_wrong_wish_is_the_error_that_the_other_client_raises(client: BlockingClient) -> None:
    with pytest.raises(UnknownNameError, match=r'Did you mean "shop\.double"'):
        client.enqueue("shop.doubel")
    with pytest.raises(RequestError, match="number"):
        client.enqueue_many([("shop.double", {"number": "x"})])
    with pytest.raises(UnknownNameError):
        client.get("nothing")
    with pytest.raises(UnknownNameError):
        client.wait("nothing")
    with pytest.raises(RequestError, match=r"call the SQL function `mainspring\.enqueue`"):
        client.enqueue("shop.double", connection=object())


def test_what_it_waits_for_in_vain_is_a_timeout_that_names_the_run(client: BlockingClient) -> None:
    run = client.enqueue("shop.double", delay="1h")

    with pytest.raises(TimeoutError, match=f"run {run.id} of shop.double is scheduled after 100ms"):
        client.wait(run.id, timeout="100ms")


def test_many_threads_use_one_client(client: BlockingClient) -> None:
    def work(number: int) -> int:
        run = client.enqueue("shop.double", {"number": number})
        found: int = client.wait(run.id, timeout="30s").result
        return found

    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(work, range(100)))

    assert results == [2 * number for number in range(100)]
    assert sum(thread.name == "mainspring:client" for thread in threading.enumerate()) == 1


def test_it_is_closed_with_its_block_and_opened_again_by_the_next_call(program: Program, url: str) -> None:
    with BlockingClient(url) as client:
        client.enqueue("shop.double")
    threads = [thread.name for thread in threading.enumerate()]
    run = client.enqueue("shop.double", {"number": 2})
    done = client.wait(run.id, timeout="10s")
    client.close()

    assert "mainspring:client" not in threads
    assert done.result == 4


def test_it_works_beside_a_running_loop(client: BlockingClient) -> None:
    async def view() -> int:
        run = await asyncio.to_thread(client.enqueue, "shop.double", {"number": 4})
        found: int = client.wait(run.id, timeout="10s").result
        return found

    assert asyncio.run(view()) == 8


def test_who_waits_when_it_is_closed_is_told_so(client: BlockingClient) -> None:
    run = client.enqueue("shop.long")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.wait, run.id)
        while client.get(run.id).state != "running":
            pass
        client.close()

        with pytest.raises(StoreError, match="wait: the client was closed meanwhile"):
            waiting.result(10)
    client.cancel(run.id)


# A store that does not answer


async def _locked(url: str, locked: threading.Event, done: threading.Event) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("BEGIN; LOCK TABLE mainspring.run IN ACCESS EXCLUSIVE MODE")
    locked.set()
    await asyncio.to_thread(done.wait, 20)
    await connection.execute("ROLLBACK")
    await connection.close()


def test_a_store_that_does_not_answer_is_a_timeout_that_says_what_is_in_doubt(
    tmp_path: Path, postgres_url: str
) -> None:
    with _program(postgres_url, tmp_path), BlockingClient(postgres_url, timeout="700ms") as client:
        locked, done = threading.Event(), threading.Event()
        locker = threading.Thread(target=lambda: asyncio.run(_locked(postgres_url, locked, done)))
        locker.start()
        try:
            assert locked.wait(10)
            begun = time.monotonic()
            with pytest.raises(
                TimeoutError, match=r"enqueue: the store gave no answer within 0\.7 s; the run may be there"
            ):
                client.enqueue("shop.double")
            took = time.monotonic() - begun
        finally:
            done.set()
            locker.join()

        assert 0.6 < took < 3
        assert client.enqueue("shop.double").is_new


def test_a_server_that_does_not_answer_is_a_timeout_too() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = BlockingClient(f"postgresql://127.0.0.1:{silent.getsockname()[1]}/nothing", timeout="300ms")

        with pytest.raises(TimeoutError, match=r"the store could not be opened within 0\.3 s"):
            client.enqueue("shop.double")


def test_a_store_that_is_not_there_is_an_error_each_time(tmp_path: Path) -> None:
    client = BlockingClient(f"sqlite:///{tmp_path / 'nothing.db'}")

    for _ in range(2):
        with pytest.raises(ConfigError, match="no store at"):
            client.enqueue("shop.double")
    assert "mainspring:client" not in [thread.name for thread in threading.enumerate()]


# Processes

FORKED = """
import os, sys, threading, time
from kernel import BlockingClient

def open_ones():
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass  # that of the folder itself
    return [one for one in found if "store.db" in one or one.startswith("socket:")]


client = BlockingClient(sys.argv[1])
used_before = sys.argv[2] == "used"
if used_before:
    client.wait(client.enqueue("shop.double", {"number": 1}).id, timeout="10s")
    slow = client.enqueue("shop.double", {"number": 5}, delay="1s")
    ends = []
    waiter = threading.Thread(target=lambda: ends.append(client.wait(slow.id, timeout="20s").result))
    waiter.start()
    time.sleep(0.2)  # it waits for the store now
children = []
for number in (10, 20):
    pid = os.fork()
    if pid == 0:
        try:
            assert not open_ones(), open_ones()  # what two processes have is of no use to either
            run = client.enqueue("shop.double", {"number": number})
            assert client.wait(run.id, timeout="10s").result == 2 * number
            client.close()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    children.append(pid)
    assert client.wait(client.enqueue("shop.double", {"number": 3}).id, timeout="10s").result == 6
statuses = [os.waitpid(pid, 0)[1] for pid in children]
assert client.wait(client.enqueue("shop.double", {"number": 4}).id, timeout="10s").result == 8
if used_before:
    waiter.join(20)
    assert ends == [10], ends
print("children", statuses)
"""
NOT_CLOSED = """
import sys
from kernel import BlockingClient

client = BlockingClient(sys.argv[1])
print(client.enqueue("shop.double").is_new)
"""


def _run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("use", ["used", "unused"])
def test_a_process_that_is_forked_off_has_a_client_of_its_own(program: Program, url: str, use: str) -> None:
    ran = _run(FORKED, url, use)

    assert (ran.stdout, ran.stderr, ran.returncode) == ("children [0, 0]\n", "", 0)


def test_a_process_that_closes_nothing_ends_at_once_and_quietly(program: Program, url: str) -> None:
    begun = time.monotonic()

    ran = _run(NOT_CLOSED, url)

    assert (ran.stdout, ran.stderr, ran.returncode) == ("True\n", "", 0)
    assert time.monotonic() - begun < 10
