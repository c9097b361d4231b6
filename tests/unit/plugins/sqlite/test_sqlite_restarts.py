"""What a restart finds: kernels that have ended or died, runs that limits held back, rates that are used up."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from kernel.contracts.store import Claim, Entry, KernelRow, RunQuery
from kernel.model.job import Keep
from kernel.model.rate import RateLimit
from kernel.model.run import Change, Run, Terms
from plugins.sqlite.store import SqliteStore
from tests.unit.plugins.sqlite.sqlite_samples import (
    JOB,
    KERNEL,
    NOW,
    ask,
    child,
    completed,
    end,
    line_of,
    look_into,
    new,
    news,
    queued_again,
    statements_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NEXT = KernelRow("kernel-2", 102, "host", "boot", NOW + 60, NOW + 60, "/run/kernel-2.sock")


def limit(now: float = NOW, most: int = 100, **limits: Any) -> Claim:
    return Claim(KERNEL.id, now, most, {JOB: 1000}, {}, **limits)


async def opened(path: Path, kernel: KernelRow | None = NEXT) -> SqliteStore:
    store = SqliteStore(path)
    await store.open(kernel)
    return store


def all_again(_dead: KernelRow | None, runs: Sequence[Run]) -> list[Change]:
    return [queued_again(run) for run in runs]


# Kernels

KILLED = """
async def main():
    store = SqliteStore(sys.argv[1])
    await store.open(KERNEL)
    await store.enqueue(news(3), {})
    await store.claim(ask(2))
    print("ready", flush=True)
    sys.stdin.read()
asyncio.run(main())
"""


@pytest.fixture
def killed(path: Path) -> Path:
    """A store whose kernel was killed while two runs ran."""
    process = child(KILLED, path)
    assert line_of(process) == "ready"
    end(process)
    return path


async def test_a_kill_while_the_wal_is_brought_in_leaves_a_store_that_opens(killed: Path, tmp_path: Path) -> None:
    """The first page is written, which tells the database's new length, and those that make it so long are not yet."""
    grown, whole = tmp_path / "grown.db", tmp_path / "whole.db"
    store = await opened(killed)
    await store.enqueue(news(2_000), {})
    for copy in (grown, whole):
        shutil.copy(killed, copy)
        shutil.copy(f"{killed}-wal", f"{copy}-wal")
    await store.close()
    with closing(sqlite3.connect(whole)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert whole.stat().st_size > grown.stat().st_size
    with grown.open("r+b") as file:
        file.write(whole.read_bytes()[:4096])

    store = await opened(grown)

    assert sum((await store.count(RunQuery())).values()) == 2_003
    await store.close()


async def test_a_kernel_that_was_killed_is_named_to_nobody(killed: Path) -> None:
    client = await opened(killed, None)
    before = await client.kernels()
    store = await opened(killed)

    assert (before, await store.kernels(), await client.kernels()) == ([], [NEXT], [NEXT])
    await store.close()
    await client.close()


async def test_a_rescue_is_given_the_killed_kernels_row_and_takes_it_away(killed: Path) -> None:
    store = await opened(killed)
    given: list[tuple[KernelRow | None, int]] = []

    def decide(dead: KernelRow | None, runs: Sequence[Run]) -> list[Change]:
        given.append((dead, len(runs)))
        return all_again(dead, runs)

    rescued = await store.rescue(NEXT.id, decide)

    assert given == [(KERNEL, 2)]
    assert [(run.state, run.losses) for run in rescued] == [("queued", 1)] * 2
    assert look_into(killed, "SELECT id FROM kernel") == [(NEXT.id,)]
    assert await store.count(RunQuery()) == {"queued": 3}
    await store.close()


async def test_a_kernel_that_ends_takes_its_own_row_along_and_no_others(killed: Path) -> None:
    store = await opened(killed)

    await store.close()

    assert look_into(killed, "SELECT id FROM kernel") == [(KERNEL.id,)]


async def test_a_client_does_not_take_what_a_living_kernel_has(path: Path, store: SqliteStore) -> None:
    await store.enqueue(news(1), {})
    await store.claim(ask())
    client = await opened(path, None)

    assert await client.rescue("nobody", all_again) == []
    assert await client.count(RunQuery()) == {"running": 1}
    await client.close()


async def test_a_rescue_follows_up_what_it_ends(killed: Path) -> None:
    client = await opened(killed, None)
    parents = [run.id for run in await client.runs(RunQuery(states=["running"]))]
    dependent = new(unique="k")._replace(state="blocked", terms=Terms(depends_on=tuple(parents)))
    await client.enqueue([dependent], {})
    await client.close()
    store = await opened(killed)

    await store.rescue(
        NEXT.id,
        lambda _dead, runs: [queued_again(run)._replace(state="failed", finished=NOW, reason="lost") for run in runs],
    )

    [run] = await store.runs(RunQuery(ids=[dependent.id]))
    assert (run.state, parents[0] in (run.reason or "") or parents[1] in (run.reason or "")) == ("cancelled", True)
    await store.close()


# What was held back


@pytest.mark.parametrize("most", [2, None])
async def test_a_limit_that_was_changed_over_a_restart_holds_at_once(path: Path, most: int | None) -> None:
    store = await opened(path, KERNEL)
    await store.enqueue(news(40, concurrency_key="a"), {})
    [running] = (await store.claim(limit(key_limits={JOB: 1}))).runs
    await store.claim(limit(key_limits={JOB: 1}))
    await store.close()
    again = await opened(path)

    got = await again.claim(limit(key_limits={} if most is None else {JOB: most}))

    assert len(got.runs) == (39 if most is None else 1)
    assert running.id not in {run.id for run in got.runs}
    await again.close()


async def test_what_was_held_back_goes_when_the_dead_kernels_runs_are_rescued_and_end(path: Path) -> None:
    store = await opened(path, KERNEL)
    await store.enqueue(news(3, concurrency_key="a"), {})
    await store.claim(limit(key_limits={JOB: 1}))
    await store.claim(limit(key_limits={JOB: 1}))
    await store.close()
    again = await opened(path)
    held = await again.claim(limit(key_limits={JOB: 1}))
    await again.rescue(NEXT.id, all_again)

    ended = []
    for _ in range(3):
        [run] = (await again.claim(limit(key_limits={JOB: 1}))).runs
        await again.finish([completed(run)])
        ended.append(run.id)

    assert (held.runs, sorted(ended) == ended) == ([], True)
    await again.close()


async def test_a_limit_that_comes_while_runs_of_the_key_run_counts_them_and_is_told_of_their_end(
    store: SqliteStore,
) -> None:
    await store.enqueue(news(6, concurrency_key="a"), {})
    running = (await store.claim(limit(most=3))).runs
    held = await store.claim(limit(key_limits={JOB: 2}))

    going = []
    for run in running:
        await store.finish([completed(run)])
        going.append(len((await store.claim(limit(key_limits={JOB: 2}))).runs))

    assert (held.runs, going) == ([], [0, 1, 1])


async def test_a_rate_that_was_used_up_is_so_after_a_restart(path: Path) -> None:
    rates: dict[str, Any] = {"key_rates": {JOB: RateLimit(2, 60)}, "job_rates": {JOB: RateLimit(3, 60)}}
    store = await opened(path, KERNEL)
    await store.enqueue([*news(4, rate_key="a"), *news(4)], {})
    first = await store.claim(limit(**rates))
    await store.close()
    again = await opened(path)

    second = await again.claim(limit(NOW + 30, **rates))
    third = await again.claim(limit(second.next_due or 0.0, **rates))

    assert (len(first.runs), second.runs, len(third.runs)) == (3, [], 3)
    assert NOW + 60 < (second.next_due or 0.0) <= NOW + 61
    await again.close()


async def test_a_longer_rate_counts_what_began_under_a_shorter_one(store: SqliteStore) -> None:
    await store.enqueue(news(10), {})
    await store.claim(limit(job_rates={JOB: RateLimit(3, 10)}))

    got = await store.claim(limit(NOW + 5, job_rates={JOB: RateLimit(4, 3600)}))

    assert len(got.runs) == 1
    assert NOW + 3600 < (got.next_due or 0.0) <= NOW + 3637


async def test_a_suspect_whose_job_nobody_runs_costs_claims_some_probes_and_no_more(store: SqliteStore) -> None:
    await store.enqueue(news(2, job="fleet.gone"), {})
    lost = (await store.claim(Claim(KERNEL.id, NOW, 2, {"fleet.gone": 2}, {}))).runs
    await store.finish([completed(run)._replace(state="queued", finished=None, losses=2) for run in lost])
    await store.enqueue(news(3), {})

    statements = await statements_of(store, store.claim(limit(suspects=1)))

    assert len(statements) <= 7
    assert [text for text in statements if "-- As claim_lanes.sql, with what limits need" in text] == []
    assert await store.count(RunQuery()) == {"queued": 2, "running": 3}


# What goes with a run


async def test_a_prune_leaves_nothing_of_a_run_behind(store: SqliteStore, path: Path) -> None:
    rates: dict[str, Any] = {"key_rates": {JOB: RateLimit(9, 60)}}
    parent = new(unique="k", rate_key="a")._replace(terms=Terms(unique_until=NOW + 50))
    dependent = new()._replace(state="blocked", terms=Terms(depends_on=(parent.id,)))
    await store.enqueue([parent, dependent], {})
    for _ in range(2):
        [run] = (await store.claim(limit(**rates))).runs
        await store.record([Entry(run.id, run.token, ("load", "1"), (0.5, "half"), "a\n")])
        await store.finish([completed(run)])

    gone = await store.prune({}, Keep(0.0, 0.0, 0), NOW, NOW + 100, 100)

    assert gone == 2
    tables = ("run", "step", "progress", "log_part", "edge", "period", "rate")
    assert [look_into(path, f"SELECT count(*) FROM {table}") for table in tables] == [[(0,)]] * len(tables)  # noqa: S608 - as above


async def test_what_holds_its_unique_key_by_its_period_is_pruned_after_that(store: SqliteStore) -> None:
    runs = [new(unique=f"k{number}")._replace(terms=Terms(unique_until=NOW + 50 * number)) for number in (1, 2)]
    await store.enqueue([*runs, *news(2)], {})
    await store.finish([completed(run) for run in (await store.claim(ask())).runs])

    gone = [await store.prune({}, Keep(0.0, 0.0, 0), NOW, NOW + later, 100) for later in (10, 60, 110)]

    assert gone == [2, 1, 1]
