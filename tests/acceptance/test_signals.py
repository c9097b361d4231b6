"""The program and the signals that a service manager, a terminal or a debugger sends to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from kernel import Client
from kernel.testing import until
from tests.acceptance.rig.evidence import Evidence
from tests.acceptance.rig.program import Program, environment, url_of, write_config

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


async def state_of(folder: Path, run: Run) -> Run:
    async with Client(url_of(folder)) as client:
        return await client.wait(run.id, "1s")


async def waiting_state_of(folder: Path, run: Run) -> tuple[str, int, int]:
    """(state, attempt, failures) of a run that has not ended."""
    async with Client(url_of(folder)) as client:
        found = await client.control.runs_show(run=run.id)
    return found["state"], found["attempt"], found["failures"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_lets_attempts_end_by_themselves(number: signal.Signals, tmp_path: Path) -> None:
    write_config(tmp_path, plugins=HOSTILE)
    with Program(tmp_path) as program:
        await program.ready()
        run = await begin(program, "hostile.patient", seconds=0.6)

        program.send(number)

        assert await program.ended(3.0) == 0
    assert (await state_of(tmp_path, run)).state == "completed"


async def test_the_second_signal_cancels_what_runs_and_costs_it_nothing(tmp_path: Path) -> None:
    write_config(tmp_path, plugins=HOSTILE)
    with Program(tmp_path) as program:
        await program.ready()
        run = await begin(program, "hostile.patient", seconds=60)
        program.send(signal.SIGTERM)
        await program.says("stopping")

        program.send(signal.SIGTERM)

        assert await program.ended(2.0) == 1
    assert await waiting_state_of(tmp_path, run) == ("queued", 1, 0)


async def test_two_signals_at_once_end_attempts_that_will_not_end_within_two_seconds(tmp_path: Path) -> None:
    write_config(tmp_path, plugins=HOSTILE)
    with Program(tmp_path) as program:
        await program.ready()
        await begin(program, "hostile.deaf")
        await begin(program, "hostile.deaf_thread")

        program.send(signal.SIGTERM)
        program.send(signal.SIGINT)

        assert await program.ended(3.0) == 1


async def test_the_third_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    write_config(tmp_path, plugins=HOSTILE)
    with Program(tmp_path) as program:
        await program.ready()
        await begin(program, "hostile.blocks", seconds=60)

        for _ in range(3):
            program.send(signal.SIGTERM)
            time.sleep(0.05)  # noqa: ASYNC251 - signals of one kind that come together are one

        assert await program.ended(0.5) == 1


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


async def test_a_signal_during_the_start_ends_it_in_order(tmp_path: Path) -> None:
    write_config(tmp_path)
    with Program(tmp_path) as program:
        await until((tmp_path / "store.db").exists)

        program.send(signal.SIGTERM)

        assert await program.ended(3.0) == 0
    assert "Traceback" not in program.log


async def test_a_good_edit_holds_after_sighup_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    write_config(tmp_path, plugins=HOSTILE)
    with Program(tmp_path) as program:
        await program.ready()

        write_config(tmp_path, 'timezone = "Nowhere"', plugins="[plugins.helth]")
        program.send(signal.SIGHUP)

        await program.says(r"SIGHUP: plugins.toml is not used")
        assert "helth" in program.log
        await begin(program, "hostile.kind")

        write_config(tmp_path, plugins=HOSTILE + "\n" + CHORES)
        program.send(signal.SIGHUP)

        await until(lambda: any(line.job == "chores.ticks_allow" for line in program.journal), 5.0)
        await begin(program, "hostile.kind")
        program.send(signal.SIGTERM)
        assert await program.ended(3.0) == 0


def test_a_bad_configuration_is_exit_status_two_without_a_traceback(tmp_path: Path) -> None:
    write_config(tmp_path, 'timezone = "Nowhere"', plugins="[plugins.helth]")

    ended = subprocess.run(
        [sys.executable, "-m", "kernel", "--config", "plugins.toml", "run"],
        cwd=tmp_path,
        env=os.environ | environment(tmp_path, 0),
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )

    assert ended.returncode == 2
    assert "helth" in ended.stderr
    assert "Nowhere" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_the_kernel_goes_on_when_nobody_reads_its_output_any_more(tmp_path: Path) -> None:
    write_config(tmp_path, plugins=HOSTILE)
    read, write = os.pipe()
    with Program(tmp_path, output=write) as program:
        os.close(write)
        await until(lambda: bool(list(tmp_path.glob("kernel-*.sock"))))

        os.close(read)

        for _ in range(3):
            await begin(program, "hostile.kind")
        program.send(signal.SIGTERM)
        assert await program.ended(3.0) == 0


async def test_sigusr1_prints_all_stacks_and_changes_nothing(tmp_path: Path) -> None:
    write_config(tmp_path, plugins=HOSTILE)
    with Program(tmp_path) as program:
        await program.ready()

        program.send(signal.SIGUSR1)

        await program.says(r"most recent call first")
        await begin(program, "hostile.kind")


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
    # The ticks of one second, the late one, and what catch_up lets come after.
    for job, most in {"skip": 6, "allow": 6, "replace": 6, "queue": 6 + 3, "finish": 11, "cron": 2}.items():
        begun = [line for line in starts if line.job == f"chores.ticks_{job}" and line.at < goes_on_at + 1.0]
        assert 1 <= len(begun) <= most, f"{job}: {len(begun)}"
    assert not await evidence.taken(0, program.born_at)
