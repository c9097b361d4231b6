"""The parts of the PostgreSQL benchmark that need no peer, with a few runs: they measure, and count what they measure."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.postgres.part import Part
from benchmarks.postgres.worker import DATABASE

if TYPE_CHECKING:
    from benchmarks.postgres.bare import BareProducer

FEW = argparse.Namespace(runs=200, idle=2, history=1000, server=None)


def measured(part: str, url: str) -> subprocess.CompletedProcess[str]:
    few = ("--runs", str(FEW.runs), "--idle", str(FEW.idle), "--history", str(FEW.history))
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.postgres.part", part, *few],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, DATABASE: url},
    )


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "part", ["bare", "mainspring", "never-analyzed", "history-analyzed-empty", "history-analyzed-full"]
)
def test_a_part_measures_two_drains_two_ways_in_and_two_idle_starts(part: str, fresh_database: str) -> None:
    done = measured(part, fresh_database)

    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    rates = {key: figures[key]["runs_per_second"] for key in ("bulk_enqueue", "single_enqueue", "drain_1", "drain_2")}
    assert all(rate > 0 for rate in rates.values()), rates
    idle = {key: figures[key]["ms_p50"] for key in ("idle", "idle_from_another")}
    assert all(0 < wait < 60_000 for wait in idle.values()), idle


async def test_a_run_that_got_lost_on_its_way_in_is_noticed(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import benchmarks.postgres.bare as module  # noqa: PLC0415 - the fault is planted there

    whole = module.BareProducer.bulk

    async def lose_one(producer: BareProducer, count: int) -> None:
        await whole(producer, count - 1)

    monkeypatch.setattr(module.BareProducer, "bulk", lose_one)

    with pytest.raises(AssertionError, match="200 runs were enqueued, and 199 wait"):
        await Part("bare", fresh_database, FEW).measure()


@pytest.mark.timeout(180)
async def test_a_run_that_was_not_executed_is_noticed(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is gone from the table, and nobody has executed it: the worker would be waited for in vain."""
    import benchmarks.postgres.part as module  # noqa: PLC0415 - the limit is set there

    monkeypatch.setattr(module, "DRAIN_SECONDS", 2.0)
    part = Part("bare", fresh_database, FEW)
    settle = part._settle

    async def take_one_away() -> None:
        await settle()
        await part._connection.execute("DELETE FROM run WHERE id = (SELECT id FROM run LIMIT 1)")

    part._settle = take_one_away  # type: ignore[method-assign]

    with pytest.raises(AssertionError, match="of 200 runs 199 were executed"):
        await part.measure()
