"""Many ask for one thing at one moment: a kernel and two clients in processes of their own, on one SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kernel import Client, ConfigError, Kernel, UnknownNameError
from kernel.contracts.store import RunQuery
from tests.acceptance.cli_program import Place

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
KEYS = 20
EACH = 17
PARENTS = 10_000
PLUGIN = """
from kernel import Unique, hookimpl, job


@job(unique=Unique(by="key", within="1h"))
async def once(key: str = "") -> None: ...


@job
async def plain() -> None: ...


@hookimpl
def register_jobs():
    return [once, plain]
"""
CLIENT = """
import asyncio, json, sys
from kernel import Client

async def main():
    async with Client(sys.argv[1]) as client:
        print("ready", flush=True)
        for key in range(int(sys.argv[2])):
            await asyncio.to_thread(sys.stdin.readline)
            wishes = [client.enqueue("shop.once", {"key": str(key)}) for _ in range(int(sys.argv[3]))]
            print(json.dumps([[run.id, run.is_new] for run in await asyncio.gather(*wishes)]), flush=True)

asyncio.run(main())
"""


@pytest.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[Kernel]:
    place = Place(tmp_path, plugin=PLUGIN)
    async with Kernel.from_toml(place.config) as kernel:
        yield kernel


async def test_fifty_enqueues_of_one_key_from_three_processes_make_one_run(kernel: Kernel) -> None:
    clients = [await start_client(kernel.store.url) for _ in range(2)]
    try:
        answers: list[list[tuple[str, bool]]] = []
        for key in range(KEYS):
            for client in clients:
                say(client)
            ours = await asyncio.gather(*(kernel.enqueue("shop.once", {"key": str(key)}) for _ in range(EACH)))
            theirs = [json.loads(await heard(client)) for client in clients]
            answers.append(
                [(run.id, run.is_new) for run in ours] + [(one, is_new) for many in theirs for one, is_new in many]
            )
    finally:
        for client in clients:
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
                client.kill()
            await client.wait()
    counts = await kernel.store.count(RunQuery(job="shop.once"))

    assert [len(answer) for answer in answers] == [3 * EACH] * KEYS
    assert [len({run for run, _ in answer}) for answer in answers] == [1] * KEYS
    assert [Counter(is_new for _, is_new in answer)[True] for answer in answers] == [1] * KEYS
    assert sum(counts.values()) == KEYS


async def test_a_fan_in_over_ten_thousand_runs_is_enqueued_at_once_and_begins_when_the_last_has_ended(
    kernel: Kernel,
) -> None:
    await kernel.control.queues_pause(queue="default")
    parents = await kernel.enqueue_many([("shop.plain", None)] * PARENTS)
    before = time.monotonic()
    child = await kernel.enqueue("shop.plain", depends_on=parents)
    took = time.monotonic() - before
    late = [await kernel.enqueue("shop.plain", {}, depends_on=[child]) for _ in range(2)]
    await kernel.control.queues_resume(queue="default")
    ended = [await kernel.wait(run.id, 60) for run in (child, *late)]
    last = max(
        run.finished or 0.0 for run in await kernel.store.runs(RunQuery(ids=[run.id for run in parents], limit=PARENTS))
    )
    counts = await kernel.store.count(RunQuery())

    assert child.state == "blocked"
    assert [run.state for run in ended] == ["completed"] * 3
    assert last <= (ended[0].started or 0.0)
    assert counts == {"completed": PARENTS + 3}
    assert took < 2.0


async def test_a_client_makes_no_store_where_there_is_none(tmp_path: Path) -> None:
    file = tmp_path / "wrong" / "store.db"

    with pytest.raises(ConfigError, match=rf"no store at {file}: a kernel makes it"):
        await Client(f"sqlite:///{file}").__aenter__()

    assert not file.parent.exists()


async def test_a_client_lists_runs_by_names_that_are_known_and_tells_the_nearest_to_others(kernel: Kernel) -> None:
    async with Client(kernel.store.url) as client:
        assert await client.control.runs_list(job="shop.once") == []
        with pytest.raises(UnknownNameError, match=r'no job named \'shop\.onse\'\. Did you mean "shop\.once"\?'):
            await client.control.runs_list(job="shop.onse")


async def start_client(url: str) -> Process:
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, url, str(KEYS), str(EACH),
        cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert await heard(client) == "ready"
    return client


def say(client: Process) -> None:
    assert client.stdin is not None
    client.stdin.write(b"go\n")


async def heard(client: Process) -> str:
    assert client.stdout is not None
    async with asyncio.timeout(30):
        return (await client.stdout.readline()).decode().strip()
