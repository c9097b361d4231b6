"""kill -9 at random under load, on the real program."""

from __future__ import annotations

import asyncio
import signal
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Client
from kernel.contracts.store import RunQuery
from kernel.model.run import WAITING, RunState
from kernel.testing import until
from tests.acceptance.rig.chance import chance_of
from tests.acceptance.rig.evidence import Evidence, text_of
from tests.acceptance.rig.program import Program, url_of, write_config

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from kernel import Run

MOST_SECONDS = 3.0
LAST_SECONDS = 90.0
"""For what was lost twice, too: tried one at a time, once the last kernel has been up for ten seconds."""
MAY_FAIL = {"chores.hopeless", "chores.stubborn"}
UNFINISHED = [*WAITING, RunState.RUNNING]


async def test_kills_at_random_lose_and_double_nothing(tmp_path: Path) -> None:
    await kill_at_random(tmp_path, 5)


@pytest.mark.torture
@pytest.mark.timeout(1800)
async def test_two_hundred_kills_at_random_lose_and_double_nothing(tmp_path: Path) -> None:
    await kill_at_random(tmp_path, 200)


@pytest.mark.torture
@pytest.mark.timeout(300)
async def test_a_kernel_that_was_killed_works_again_at_once_over_a_hundred_thousand_runs(tmp_path: Path) -> None:
    write_config(tmp_path)
    with Program(tmp_path) as program:
        await program.ready()
        async with Client(url_of(tmp_path)) as client:
            for _ in range(50):
                await client.enqueue_many([("chores.quick", {"number": 1}, {"delay": "1d"})] * 1000)
                await client.enqueue_many([("chores.quick", {"number": 1})] * 1000)
        program.kill()

    with Program(tmp_path, 1) as program:
        await until(lambda: bool(program.journal), 10.0)

        assert program.journal[0].at - program.born_at < MOST_SECONDS


async def kill_at_random(folder: Path, kills: int) -> None:
    chance = chance_of(kills)
    write_config(folder)
    evidence = Evidence(folder)
    wrong: list[str] = []
    for life in range(kills):
        with Program(folder, life) as program:
            if life == 0:
                await program.ready()
            ends_at = time.monotonic() + chance.uniform(0.2, 2.0)
            await load(folder, life, ends_at, chance)
            program.kill()
        wrong += await evidence.taken(life, program.born_at)
    with Program(folder, kills) as program:
        await all_ended(folder, evidence.accepted)
        wrong += await failed_innocents(folder)
        program.send(signal.SIGTERM)
        assert await program.ended(5.0) == 0
    wrong += await evidence.taken(kills, program.born_at)

    assert not wrong, "\n".join(wrong)
    assert len(evidence.accepted) > 10 * kills
    assert max(evidence.recoveries) < MOST_SECONDS, evidence.recoveries


async def failed_innocents(folder: Path) -> list[str]:
    """No kill from outside is held against a run until it fails; those that have failed wanted to."""
    async with Client(url_of(folder)) as client:
        assert client._store is not None
        failed = await client._store.runs(RunQuery(states=[RunState.FAILED], limit=1_000_000))
    return [f"{run.job} {run.id} has failed: {run.reason}" for run in failed if run.job not in MAY_FAIL]


async def load(folder: Path, life: int, ends_at: float, chance: random.Random) -> None:
    """Enqueues, cancels and retries from outside until ``ends_at``, and writes down what was acknowledged."""
    with (folder / f"words-{life}").open("ab", buffering=0) as words:

        def say(what: str, run: Run) -> Run:
            words.write(text_of(what, run.id, run.attempt, run.job))
            return run

        hopeless: list[Run] = []
        async with Client(url_of(folder)) as client:
            for number in count():
                if time.monotonic() > ends_at:
                    return
                job, payload, options = wish(number)
                run = say("accepted", await client.enqueue(job, payload, **options))
                if job == "chores.hopeless":
                    hopeless.append(run)
                if number % 10 == 7:
                    await client.control.runs_cancel(runs=[run.id])
                if len(hopeless) > 5:
                    run = say("retrying", hopeless.pop(0))
                    if (await client.control.runs_show(run=run.id))["state"] == "failed":
                        await client.control.runs_retry(runs=[run.id])
                await asyncio.sleep(0.01 * chance.random())


def wish(number: int) -> tuple[str, dict[str, Any] | None, dict[str, Any]]:
    """All kinds of runs in turn; the seventh of ten is to be cancelled."""
    kinds: list[tuple[str, dict[str, Any] | None, dict[str, Any]]] = [
        ("chores.quick", {"number": number}, {"priority": number % 7}),
        ("chores.quick", {"number": number}, {}),
        ("chores.thread", {"number": number}, {}),
        ("chores.flaky", None, {}),
        ("chores.sleepy", None, {"queue": "tight"}),
        ("chores.slow", None, {"unique": f"key-{number % 3}"}),
        ("chores.hopeless", None, {}),
        ("chores.slow", None, {"delay": 0.02 * (number % 3)}),
        ("chores.fleeting", None, {}),
        ("chores.quick", {"number": number}, {"delay": 0.3}),
    ]
    return kinds[number % 10]


async def all_ended(folder: Path, accepted: set[str]) -> None:
    """Waits until all these runs have ended."""
    async with Client(url_of(folder)) as client:
        assert client._store is not None
        unfinished = RunQuery(ids=sorted(accepted), states=UNFINISHED, limit=5)
        deadline = time.monotonic() + LAST_SECONDS
        while left := await client._store.runs(unfinished):
            assert time.monotonic() < deadline, f"unfinished: {left}"
            await asyncio.sleep(0.05)
