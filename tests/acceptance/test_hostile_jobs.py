"""Jobs that do what no job should, in the real program: the kernel goes on, and so do the runs behind them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Client
from kernel.testing import until
from tests.acceptance.rig.evidence import Evidence
from tests.acceptance.rig.kill_points import ROOT
from tests.acceptance.rig.program import Program, environment, url_of, write_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from kernel import Run

LIMIT = "5s"
RAISED = [
    "SystemExit", "KeyboardInterrupt", "GeneratorExit", "StopIteration", "StopAsyncIteration", "BaseException",
    "BaseExceptionGroup", "MemoryError", "RecursionError", "unreadable", "surrogate", "NUL", "endless",
]  # fmt: skip


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program with the hostile jobs, one for all tests: at the end it must still work, stop when told, and be sound."""
    folder = tmp_path_factory.mktemp("hostile")
    write_config(folder, 'shutdown_grace = "100ms"', plugins="[plugins.hostile]")
    with Program(folder) as program:
        asyncio.run(program.says("ready: "))
        yield program
        asyncio.run(works_and_stops(program))


async def works_and_stops(program: Program) -> None:
    async with Client(url_of(program.folder)) as client:
        assert (await ended(client, "kind")).result == "done"
    program.send(signal.SIGTERM)
    assert await program.ended(5.0) in (0, 1)
    assert not await Evidence(program.folder).taken(0, program.born_at)


@pytest.fixture
async def client(program: Program) -> AsyncIterator[Client]:
    async with Client(url_of(program.folder)) as client:
        yield client


async def ended(client: Client, job: str, **payload: Any) -> Run:
    run = await client.enqueue(f"hostile.{job}", payload)
    return await client.wait(run.id, LIMIT)


async def test_whatever_a_job_raises_is_the_end_of_its_attempt_only(client: Client) -> None:
    runs = [
        (job, what, await client.enqueue(f"hostile.{job}", {"what": what}))
        for job in ("raises", "raises_in_thread")
        for what in [*RAISED, "CancelledError"]
    ]

    for job, what, run in runs:
        found = await client.wait(run.id, LIMIT)

        assert found.state == "failed", f"{job} {what}: {found}"
        assert found.attempt == 1
        assert found.error is not None
        assert len(found.error.message) < 10_000


async def test_a_job_may_end_itself_for_reasons_that_no_file_can_hold(client: Client) -> None:
    for what in ("cancel with a surrogate", "cancel with an endless reason"):
        found = await ended(client, "raises", what=what)

        assert found.state == "cancelled", what
        assert found.reason is not None
        assert len(found.reason) < 10_000

    run = await client.enqueue("hostile.raises", {"what": "snooze for a century"})
    await until_state(client, run, "scheduled")


async def until_state(client: Client, run: Run, state: str) -> None:
    deadline = time.monotonic() + 5.0
    while (found := await client.control.runs_show(run=run.id))["state"] != state:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)


async def test_a_result_that_cannot_be_kept_is_noted_and_the_run_has_completed(client: Client) -> None:
    results = ["NaN", "bytes", "object", "surrogate", "too much", "deep", "itself", "a large number"]
    runs = [(what, await client.enqueue("hostile.returns", {"what": what})) for what in results]

    for what, run in runs:
        found = await client.wait(run.id, LIMIT)

        assert found.state == "completed", f"{what}: {found.error}"
        assert found.degraded, what
        assert found.result is None


async def test_a_job_that_exits_stops_the_loop_or_cancels_itself_stops_nothing_else(client: Client) -> None:
    assert (await ended(client, "exits")).state == "failed"
    assert (await ended(client, "cancels_itself")).state == "failed"
    for job in ("exits_behind_the_back", "stops_the_loop"):
        assert (await ended(client, job)).is_final, job
        assert (await ended(client, "kind")).state == "completed", job


async def test_attempts_that_swallow_their_cancellation_are_told_as_stuck_and_hold_up_nobody(
    client: Client, program: Program
) -> None:
    stuck = [await client.enqueue(f"hostile.{job}") for job in ("deaf", "deaf_thread") for _ in range(10)]
    await until(lambda: {run.id for run in stuck} <= {line.run for line in program.journal})

    # All twenty slots of the kernel are taken, until those attempts are given up.
    run = await client.enqueue("hostile.kind", priority=0)
    assert (await client.wait(run.id, "12s")).state == "completed"

    deadline = time.monotonic() + 5.0
    while len(problems := (await program.ask("health"))["problems"]) < len(stuck):
        assert time.monotonic() < deadline, problems
        await asyncio.sleep(0.05)
    assert all("stuck" in problem for problem in problems)


async def test_standard_files_that_a_job_closes_are_missed_by_nobody(tmp_path: Path) -> None:
    write_config(tmp_path, plugins="[plugins.hostile]")
    with Program(tmp_path) as program:
        await program.ready()
        async with Client(url_of(tmp_path)) as client:
            assert (await ended(client, "closes_files")).state == "completed"

            for _ in range(3):
                assert (await ended(client, "kind")).state == "completed"
        await works_and_stops(program)


async def test_a_flood_from_one_job_does_not_hold_up_the_others(client: Client) -> None:
    await flood(client, 15_000)


@pytest.mark.torture
@pytest.mark.timeout(300)
async def test_a_long_flood_from_one_job_does_not_hold_up_the_others(client: Client) -> None:
    await flood(client, 200_000)


async def flood(client: Client, count: int) -> None:
    flooding = await client.enqueue("hostile.floods", {"count": count})
    waits = []
    while (await client.control.runs_show(run=flooding.id))["state"] != "completed":
        began = time.monotonic()
        assert (await ended(client, "kind")).state == "completed"
        waits.append(time.monotonic() - began)

    assert max(waits) < 2.0, waits


def test_a_loop_that_ends_over_a_kernel_that_nobody_stopped_ends(tmp_path: Path) -> None:
    write_config(tmp_path, plugins="[plugins.hostile]")
    code = """
import asyncio
from kernel import Kernel

async def main():
    kernel = Kernel.from_toml("plugins.toml")
    await kernel.start()
    for _ in range(10):
        await kernel.enqueue("hostile.patient", {"seconds": 60})
    await asyncio.sleep(0.1)

asyncio.run(main())
"""

    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | environment(tmp_path, 0) | {"PYTHONPATH": str(ROOT)},
        timeout=10,
        check=True,
        capture_output=True,
    )
