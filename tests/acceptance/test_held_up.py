"""The program when it is told to end and its jobs will not, and when nothing of it moves for a while."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from kernel import Client
from kernel.testing import until
from tests.acceptance.rig.evidence import Evidence
from tests.acceptance.rig.program import Program, url_of, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from kernel import Run

HOSTILE = "[plugins.hostile]"
CHORES = "[plugins.chores]"


async def begin(program: Program, job: str, **payload: float) -> Run:
    """A run of this job that has begun."""
    async with Client(url_of(program.folder)) as client:
        run = await client.enqueue(job, payload)
    await until(lambda: program.began(run.id))
    return run


async def waiting_state_of(folder: Path, run: Run) -> tuple[str, int, int]:
    """(state, attempt, failures) of a run that has not ended."""
    async with Client(url_of(folder)) as client:
        found = await client.control.runs_show(run=run.id)
    return found["state"], found["attempt"], found["failures"]


async def test_attempts_that_never_end_do_not_hold_up_the_exit(tmp_path: Path) -> None:
    write_config(tmp_path, 'shutdown_grace = "200ms"', plugins=HOSTILE)
    with Program(tmp_path) as program:
        await program.ready()
        await begin(program, "hostile.deaf")
        await begin(program, "hostile.deaf_thread")
        run = await begin(program, "hostile.patient", seconds=60)

        program.send(signal.SIGTERM)

        # The grace, 2 s to cancel, 1 s for what is left on the loop, and what it takes to close.
        assert await program.ended(0.2 + 2.0 + 2.0) == 1
    assert await waiting_state_of(tmp_path, run) == ("queued", 1, 0)


async def test_a_process_that_was_stopped_for_a_while_goes_on_without_a_burst(tmp_path: Path) -> None:
    await hold_up(tmp_path, 1.0, blocked=False)


async def test_a_loop_that_was_blocked_for_a_while_goes_on_without_a_burst(tmp_path: Path) -> None:
    await hold_up(tmp_path, 1.0, blocked=True)


@pytest.mark.torture
@pytest.mark.timeout(120)
async def test_a_process_that_was_stopped_for_a_minute_goes_on_without_a_burst(tmp_path: Path) -> None:
    await hold_up(tmp_path, 60.0, blocked=False)


@pytest.mark.torture
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seconds", [5.0, 60.0])
async def test_a_loop_that_was_blocked_for_long_goes_on_without_a_burst(seconds: float, tmp_path: Path) -> None:
    await hold_up(tmp_path, seconds, blocked=True)


async def hold_up(folder: Path, seconds: float, *, blocked: bool) -> None:
    """A kernel of which nothing moves for so long; what it does then, and that every tick has its result."""
    write_config(folder, plugins=HOSTILE + "\n" + CHORES)
    evidence = Evidence(folder)
    with Program(folder) as program:
        await program.ready()
        await until(lambda: len(program.journal) > 10)
        if blocked:
            await begin(program, "hostile.blocks", seconds=seconds)
            held_at = time.monotonic()
        else:
            program.send(signal.SIGSTOP)
            held_at = time.monotonic()
        await until(lambda: time.monotonic() - held_at > seconds, seconds + 5.0)
        program.send(signal.SIGCONT)
        goes_on_at = held_at + seconds
        await until(lambda: time.monotonic() - goes_on_at > 1.1)
        program.send(signal.SIGTERM)
        assert await program.ended(5.0) == 0

    starts = [line for line in program.journal if line.at > goes_on_at - 0.1]
    assert starts[0].at - goes_on_at < 1.0
    # The ticks of one second and a bit, the late one, and what catch_up lets come after.
    for job, most in {"skip": 7, "allow": 7, "replace": 7, "queue": 7 + 3, "finish": 12, "cron": 3}.items():
        begun = [line for line in starts if line.job == f"chores.ticks_{job}" and line.at < goes_on_at + 1.0]
        assert 1 <= len(begun) <= most, f"{job}: {len(begun)}"
    assert not await evidence.taken(0, program.born_at)
