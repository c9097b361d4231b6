"""A limit over all kernels, with two programs on one PostgreSQL: it holds, both work, and one that is killed stalls nothing."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from kernel import Client
from kernel.contracts.store import RunQuery
from kernel.testing import until
from tests.acceptance.rig.program import Program
from tests.postgres_server import execute

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CONFIG = """
[kernel]
store = "{url}"
plugin_dirs = ["."]
run_dir = "."
concurrency = 20

[queues.tight]
concurrency = 5

[plugins.works]
"""
PLUGIN = """
import asyncio
import os
import time

from kernel import Context, hookimpl, job

_file = os.open("lines", os.O_CREAT | os.O_APPEND | os.O_WRONLY)


def _write(what: str, run: str) -> None:
    os.write(_file, f"{time.monotonic()} {os.getpid()} {what} {run}\\n".encode())


@job(queue="tight")
async def work(ctx: Context, seconds: float = 0.03) -> None:
    _write("begun", ctx.run.id)
    await asyncio.sleep(seconds)
    _write("ended", ctx.run.id)


@hookimpl
def register_jobs():
    return [work]
"""
RUN_OUT = "UPDATE mainspring.kernel SET lease_until = 0 WHERE pid = {}"


class Line(NamedTuple):
    at: float
    pid: int
    what: str
    run: str


class Works:
    """A folder of which two programs are made, and what their jobs wrote down."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        (folder / "plugins.toml").write_text(CONFIG.format(url=url))
        (folder / "works").mkdir()
        (folder / "works" / "__init__.py").write_text(PLUGIN)

    def lines(self) -> list[Line]:
        path = self._folder / "lines"
        found = [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []
        return sorted(Line(float(at), int(pid), what, run) for at, pid, what, run in found)

    def most_at_once(self, killed: dict[int, float]) -> int:
        """``killed``: pid -> when; whatever it was doing has ended then."""
        ends = {(line.pid, line.run) for line in self.lines() if line.what == "ended"}
        steps = [(line.at, 1 if line.what == "begun" else -1) for line in self.lines()]
        cut_off = [line for line in self.lines() if line.what == "begun" and (line.pid, line.run) not in ends]
        steps += [(killed[line.pid], -1) for line in cut_off]
        running, most = 0, 0
        for _, step in sorted(steps):
            running += step
            most = max(most, running)
        return most

    def begun_by(self, programs: Sequence[Program]) -> list[int]:
        begun = [line.pid for line in self.lines() if line.what == "begun"]
        return [begun.count(program.process.pid) for program in programs]


async def test_two_programs_share_the_places_of_a_queue(tmp_path: Path, postgres_url: str) -> None:
    works = Works(tmp_path, postgres_url)
    with ExitStack() as stack:
        one, two = (stack.enter_context(Program(tmp_path, life)) for life in (0, 1))
        await one.ready()
        await two.ready()
        async with Client(postgres_url) as client:
            runs = await client.enqueue_many([("works.work", {"seconds": 0.03})] * 100)
            begun_at = time.monotonic()
            for run in runs:
                assert (await client.wait(run.id, timeout="30s")).state == "completed"
        took = time.monotonic() - begun_at

    assert works.most_at_once({}) == 5
    assert min(works.begun_by([one, two])) >= 20
    assert took < 10


async def test_a_program_that_is_killed_gives_its_places_to_the_other_one(tmp_path: Path, postgres_url: str) -> None:
    works = Works(tmp_path, postgres_url)
    with ExitStack() as stack:
        one = stack.enter_context(Program(tmp_path, 0))
        await one.ready()
        async with Client(postgres_url) as client:
            await client.enqueue_many([("works.work", {"seconds": 3600})] * 5)
            await until(lambda: works.begun_by([one]) == [5], limit=10)
            two = stack.enter_context(Program(tmp_path, 1))
            await two.ready()
            others = await client.enqueue_many([("works.work", {"seconds": 0.01}, {"priority": 0})] * 20)
            one.kill()
            killed = {one.process.pid: time.monotonic()}
            running = await client._store.count(RunQuery(states=["running"]))  # type: ignore[union-attr] # it is open
            execute(postgres_url, RUN_OUT.format(one.process.pid))
            for run in others:
                assert (await client.wait(run.id, timeout="30s")).state == "completed"
            await until(lambda: works.begun_by([two]) == [25], limit=10)

        assert running == {"running": 5}
        assert works.most_at_once(killed | {two.process.pid: time.monotonic()}) == 5
