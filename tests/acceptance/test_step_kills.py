"""kill -9 between and within steps: no step that has returned is done again, and of the others the one in flight at most."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from kernel import Client
from kernel.testing import until
from tests.acceptance.cli_program import Place
from tests.acceptance.rig.fast_kernel import Restarted

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 20
RUNS = 2 * KILLS + 2
"""A run may end before the kill that was meant for it, which then hits the next."""
STEPS = 5
CONFIG = """\
[kernel]
store = "sqlite:///var/store.db"
concurrency = 1
[plugins.shop]
"""
PLUGIN = f'''
import asyncio, os, pathlib

from kernel import Context, hookimpl, job

FILE = pathlib.Path(__file__).parents[2] / "done.txt"


def note(*words: object) -> None:
    """Survives a kill of the process as soon as it returns."""
    file = os.open(FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, (" ".join(map(str, (os.getpid(), *words))) + "\\n").encode())
    os.close(file)


async def work_on(run: str, step: int) -> int:
    note(run, step, "begun")
    await asyncio.sleep(0.02)
    return step * step


@job(retry=1)
async def five(ctx: Context) -> list[int]:
    results = []
    for step in range({STEPS}):
        results.append(await ctx.step(f"step {{step}}", work_on, ctx.run.id, step))
        note(ctx.run.id, step, "returned")
    return results


@hookimpl
def register_jobs():
    return [five]
'''


class Line(NamedTuple):
    pid: int
    run: str
    step: int
    what: str


def lines_of(folder: Path) -> list[Line]:
    file = folder / "done.txt"
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [Line(int(pid), run, int(step), what) for pid, run, step, what in lines]


async def test_steps_survive_kills_of_the_kernel(tmp_path: Path) -> None:
    chance = random.Random(11)  # noqa: S311 - spreads kills, guards nothing
    Place(tmp_path, CONFIG, PLUGIN)
    hit: set[str] = set()

    def is_at_another() -> bool:
        lines = lines_of(tmp_path)
        return bool(lines) and lines[-1].run not in hit

    with Restarted(tmp_path, speed=1) as kernel:
        await until(lambda: "up" in kernel.log, 30.0)
        async with Client(f"sqlite:///{tmp_path}/var/store.db") as client:
            runs = [run.id for run in await client.enqueue_many([("shop.five", {})] * RUNS)]
            for _ in range(KILLS):
                await until(is_at_another, 30.0)
                await asyncio.sleep(chance.random() * 0.12)
                last = lines_of(tmp_path)[-1]
                hit.add(last.run)
                os.kill(last.pid, signal.SIGKILL)
            ended = [await client.wait(run, timeout="60s") for run in runs]
            results = {run.id: run.result for run in ended}
        deaths = kernel.deaths

    assert deaths == [-9] * KILLS
    assert {run.state for run in ended} == {"completed"}
    assert [result for result in results.values() if result != [0, 1, 4, 9, 16]] == []
    lines = lines_of(tmp_path)
    assert len(assert_nothing_twice(lines)) <= KILLS
    lives = Counter(run for run, _ in {(line.run, line.pid) for line in lines})
    assert sum(count > 1 for count in lives.values()) >= KILLS // 4, "the kills came too late to mean anything"


def assert_nothing_twice(lines: list[Line]) -> list[tuple[str, int]]:
    """The steps that a kill has interrupted: of each process one at most, and only these were begun once more."""
    returned = set()
    in_flight: defaultdict[int, set[tuple[str, int]]] = defaultdict(set)
    last_to_begin: dict[tuple[str, int], int] = {}
    for line in lines:
        step = (line.run, line.step)
        if line.what == "returned":
            # Told by a later process when the kill came between the record and this line.
            returned.add(step)
            in_flight[last_to_begin[step]].discard(step)
        else:
            assert step not in returned, f"done again: {line}"
            in_flight[line.pid].add(step)
            last_to_begin[step] = line.pid
    assert max(map(len, in_flight.values())) == 1, "more than the step in flight"
    interrupted = [step for steps in in_flight.values() for step in steps]
    begun = Counter((line.run, line.step) for line in lines if line.what == "begun")
    assert begun == Counter(returned) + Counter(interrupted)
    return interrupted
