"""Runs that take their kernel down with them: set apart, failed in the end, and harmless to the runs beside them."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Client
from kernel.contracts.store import RunQuery
from kernel.model.loss import FIRST_WAIT_SECONDS, MOST_LOSSES, NEXT_WAIT_SECONDS, SUSPECT_LOSSES
from kernel.model.run import WAITING, RunState
from kernel.testing import until
from tests.acceptance.rig.evidence import lines_of
from tests.acceptance.rig.fast_kernel import Restarted
from tests.acceptance.rig.program import Program, url_of, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from kernel import Run

SPEED = 20.0
POISON = "[plugins.poison]"
HOSTILE = "[plugins.hostile]"
UNFINISHED = [*WAITING, RunState.RUNNING]
INNOCENTS = 100


async def enqueue(folder: Path, jobs: list[str], innocents: int = INNOCENTS) -> tuple[list[Run], list[Run]]:
    """Runs of these jobs among so many innocent ones."""
    wishes: list[tuple[str, dict[str, Any]]] = [("poison.innocent", {})] * innocents
    middle = min(10, innocents)
    async with Client(url_of(folder)) as client:
        runs = await client.enqueue_many([*wishes[:middle], *((job, {}) for job in jobs), *wishes[middle:]])
    bad = [run for run in runs if run.job in jobs]
    return bad, [run for run in runs if run.job not in jobs]


async def ended(folder: Path, limit: float) -> list[Run]:
    """All runs, once none is unfinished."""
    async with Client(url_of(folder)) as client:
        assert client._store is not None
        deadline = time.monotonic() + limit
        while left := await client._store.runs(RunQuery(states=UNFINISHED, limit=5)):
            assert time.monotonic() < deadline, f"unfinished: {left}"
            await asyncio.sleep(0.1)
        return await client._store.runs(RunQuery(limit=1000))


async def shown(folder: Path, run: Run) -> dict[str, Any]:
    async with Client(url_of(folder)) as client:
        found: dict[str, Any] = await client.control.runs_show(run=run.id)
    return found


def begun(folder: Path, run: Run, lives: int = 1) -> list[float]:
    """When its attempts began."""
    return [line.at for life in range(lives) for line in lines_of(folder, "journal", life) if line.run == run.id]


async def announced(folder: Path) -> None:
    """A kernel that was here has announced its jobs."""
    with Program(folder, 999) as program:
        await program.ready()
        program.send(signal.SIGTERM)
        await program.ended(10.0)


async def test_poison_fails_after_five_losses_and_the_runs_beside_it_complete(tmp_path: Path) -> None:
    write_config(tmp_path, plugins=POISON)
    await announced(tmp_path)
    poison, innocents = await enqueue(tmp_path, ["poison.leaves", "poison.segfaults", "poison.eats_all_memory"])

    with Restarted(tmp_path, SPEED) as kernels:
        found = {run.id: run for run in await ended(tmp_path, 60.0)}

    assert {found[run.id].state for run in innocents} == {RunState.COMPLETED}
    for run in poison:
        end = found[run.id]
        assert (end.state, end.reason, end.losses) == (RunState.FAILED, "lost", MOST_LOSSES)
        assert end.error is not None
        assert "its kernel died 5 times while it ran" in end.error.message
    # Twice all together, then each of them alone.
    assert len(kernels.deaths) == 2 + 3 * (MOST_LOSSES - SUSPECT_LOSSES)
    assert set(kernels.deaths) == {9, -signal.SIGSEGV, -signal.SIGKILL}
    for run in poison:
        at = begun(tmp_path, run)[-3:]  # tried alone
        assert min(later - earlier for earlier, later in pairwise(at)) > NEXT_WAIT_SECONDS / SPEED


async def test_what_has_failed_as_lost_may_be_retried_by_hand_and_has_all_its_chances_again(tmp_path: Path) -> None:
    write_config(tmp_path, plugins=POISON)
    await announced(tmp_path)
    [run], _ = await enqueue(tmp_path, ["poison.leaves"], innocents=0)
    with Restarted(tmp_path, 10 * SPEED):
        await ended(tmp_path, 60.0)

    async with Client(url_of(tmp_path)) as client:
        await client.control.runs_retry(runs=[run.id])

    again = await shown(tmp_path, run)
    assert (again["state"], again["losses"]) == ("queued", 0)
    with Restarted(tmp_path, 10 * SPEED) as kernels:
        [found] = await ended(tmp_path, 60.0)
    assert (found.state, found.reason, len(kernels.deaths)) == (RunState.FAILED, "lost", MOST_LOSSES)


async def test_a_suspect_says_why_it_waits_and_until_when(tmp_path: Path) -> None:
    write_config(tmp_path, plugins=POISON)
    await announced(tmp_path)
    [run], _ = await enqueue(tmp_path, ["poison.leaves"], innocents=0)
    for life in range(2):
        with Program(tmp_path, life) as program:
            assert await program.ended(10.0) == 9

    with Program(tmp_path, 2) as program:
        await program.ready()
        async with Client(url_of(tmp_path)) as client:
            answer = await client.control.explain(subject=run.id)

    assert answer["reason"] == "tried alone"
    assert answer["text"].startswith("lost with its kernel twice; it is tried alone at ")
    assert answer["until"] is not None
    assert f"run {run.id} of poison.leaves: lost with its kernel twice; it is tried alone at " in program.log


async def end_of_a_life(folder: Path, life: int, *signals: signal.Signals) -> Run:
    """The life of a kernel with a run that will not end by itself, told to end by these signals."""
    with Program(folder, life) as program:
        await program.ready()
        async with Client(url_of(folder)) as client:
            run = await client.enqueue("hostile.deaf")
        await until(lambda: program.began(run.id))
        for number in signals:
            program.send(number)
            if number != signals[-1]:
                await noted_stop(folder)
        await program.ended(10.0)
    return run


async def noted_stop(folder: Path) -> None:
    """Until a kernel has written down that it was told to stop."""
    async with Client(url_of(folder)) as client:
        assert client._store is not None
        deadline = time.monotonic() + 10.0
        while not any(key.startswith("stopping ") for key in await client._store.get("kernel")):
            assert time.monotonic() < deadline, "nothing is written down"
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("signals", "losses"),
    [
        ([signal.SIGTERM], 0),
        ([signal.SIGTERM, signal.SIGINT], 0),
        ([signal.SIGTERM, signal.SIGKILL], 0),
        ([signal.SIGKILL], 1),
    ],
    ids=["told to stop", "told twice", "told to stop and then killed", "killed"],
)
async def test_only_a_kernel_that_was_not_told_to_stop_counts_as_lost(
    signals: list[signal.Signals], losses: int, tmp_path: Path
) -> None:
    write_config(tmp_path, f'shutdown_grace = "{"200ms" if len(signals) == 1 else "20s"}"', plugins=HOSTILE)
    run = await end_of_a_life(tmp_path, 0, *signals)

    with Program(tmp_path, 1) as program:
        await program.ready()
        await until(lambda: program.began(run.id))

        assert (await shown(tmp_path, run))["losses"] == losses


async def test_a_machine_that_was_restarted_costs_a_run_nothing(tmp_path: Path) -> None:
    write_config(tmp_path, plugins=HOSTILE)
    run = await end_of_a_life(tmp_path, 0, signal.SIGKILL)
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection, connection:
        assert connection.execute("UPDATE kernel SET boot = 'another'").rowcount == 1

    with Program(tmp_path, 1) as program:
        await program.ready()
        await until(lambda: program.began(run.id))

        assert (await shown(tmp_path, run))["losses"] == 0


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_poison_fails_in_the_time_that_is_promised(tmp_path: Path) -> None:
    """The program itself, by the machine's own clock."""
    write_config(tmp_path, plugins=POISON)
    await announced(tmp_path)
    [poison], innocents = await enqueue(tmp_path, ["poison.leaves"])
    for life in range(MOST_LOSSES):
        with Program(tmp_path, life) as program:
            assert await program.ended(60.0) == 9
    with Program(tmp_path, MOST_LOSSES) as program:
        await program.ready()
        found = {run.id: run for run in await ended(tmp_path, 60.0)}

    assert {found[run.id].state for run in innocents} == {RunState.COMPLETED}
    assert (found[poison.id].state, found[poison.id].reason) == (RunState.FAILED, "lost")
    at = begun(tmp_path, poison, MOST_LOSSES)
    assert at[2] - at[1] > FIRST_WAIT_SECONDS
    assert min(at[3] - at[2], at[4] - at[3]) > NEXT_WAIT_SECONDS
    delays = [run.finished - run.enqueued for run in found.values() if run.id != poison.id and run.finished is not None]
    assert max(delays) < 60.0
