"""A claim and an acknowledgement stay cheap whatever the planner believes: without statistics, with false ones, with a history."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from kernel.contracts.store import Claim
from kernel.model.run import IdSource, urgency_of
from plugins.postgres.address import address_of
from plugins.postgres.claim import _asked
from plugins.postgres.connecting import connect
from plugins.postgres.finish import _columns, _short_columns
from plugins.postgres.statements import Statements
from tests.postgres_server import execute
from tests.unit.plugins.postgres.postgres_samples import NO_LIMIT, ask, claimed, done, new

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncpg

    from kernel.model.run import Claimed
    from plugins.postgres.store import PostgresStore
    from tests.unit.plugins.postgres.conftest import Open

STATEMENTS = Statements("mainspring")
HISTORY = """
INSERT INTO mainspring.run (id, job, queue, priority, payload, state, enqueued, due, urgency, finished, token)
SELECT gen_random_uuid(), 'fleet.sync', 'default', 5, '{}', 6, n, n, n, n, 1 FROM generate_series(1, 30000) AS n
"""
HELD_BACK = """
INSERT INTO mainspring.run (id, job, queue, priority, payload, state, enqueued, due, urgency, concurrency_key)
SELECT gen_random_uuid(), 'fleet.wash', 'default', 5, '{}', 0, n, n, n, 'car-' || n % 3000 FROM generate_series(1, 30000) AS n
"""
OTHER_LANE = """
INSERT INTO mainspring.run (id, job, queue, priority, payload, state, enqueued, due, urgency)
SELECT gen_random_uuid(), 'fleet.wash', 'default', 0, '{}', 4, n, n, n FROM generate_series(1, 30000) AS n
"""


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """As the store makes its own."""
    connection = await connect(address_of(postgres_url))
    yield connection
    await connection.close()


async def _read(connection: asyncpg.Connection[Any], statement: str, values: Sequence[Any]) -> tuple[int, str]:
    """(pages that the statement looked at, its plan); nothing is changed."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        found = await connection.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, COSTS OFF, FORMAT JSON) {STATEMENTS[statement]}", *values
        )
    finally:
        await transaction.rollback()
    plan = json.loads(found)[0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], found


def _scans(plan: str) -> set[str]:
    return set(re.findall(r'"Index Name": "(\w+)"', plan)) | set(re.findall(r'"Node Type": "(Seq Scan)"', plan))


@pytest.mark.parametrize("statistics", ["none", "of an empty table", "of a full table"])
@pytest.mark.parametrize("others", [HISTORY, HELD_BACK, OTHER_LANE], ids=["history", "held back", "another lane"])
async def test_a_claim_of_ten_costs_the_same_whatever_else_the_table_holds(
    open_store: Open, postgres_url: str, connection: asyncpg.Connection[Any], statistics: str, others: str
) -> None:
    store = await open_store(1)
    if statistics == "of an empty table":
        execute(postgres_url, "ANALYZE mainspring.run")
    execute(postgres_url, others)
    await store.enqueue([new() for _ in range(500)], NO_LIMIT)
    if statistics == "of a full table":
        execute(postgres_url, "ANALYZE mainspring.run")

    for name in ("claim", "claim_many"):
        pages, plan = await _read(connection, name, _asked(ask(limit=10)))

        assert "Seq Scan" not in _scans(plan)
        assert pages < 400


@pytest.mark.parametrize("statistics", ["none", "of an empty table", "of a full table"])
async def test_an_acknowledgement_goes_by_the_primary_key_alone(
    open_store: Open, postgres_url: str, connection: asyncpg.Connection[Any], statistics: str
) -> None:
    store = await open_store(1)
    if statistics == "of an empty table":
        execute(postgres_url, "ANALYZE mainspring.run")
    execute(postgres_url, HISTORY)
    await store.enqueue([new() for _ in range(500)], NO_LIMIT)
    runs = await claimed(store, limit=10)
    if statistics == "of a full table":
        execute(postgres_url, "ANALYZE mainspring.run")
    changes = [done(run) for run in runs]

    plans = [
        (await _read(connection, "finish", _columns(changes)))[1],
        (await _read(connection, "finish_completed", _short_columns(changes)))[1],
    ]

    assert [_scans(plan) for plan in plans] == [{"run_pkey"}, {"run_pkey"}]


async def test_runs_of_one_full_key_do_not_hold_up_the_claims_of_others(open_store: Open) -> None:
    store = await open_store(1)
    await store.enqueue([new("fleet.wash", concurrency_key="car-1", priority=0) for _ in range(6000)], NO_LIMIT)
    await store.enqueue([new() for _ in range(50)], NO_LIMIT)
    wanted = ask(limit=20, jobs=["fleet.wash", "fleet.sync"], key_limits={"fleet.wash": 1})
    got: list[Claimed] = []

    while len(got) < 51:
        claims = await store.claim(wanted._replace(now=time.time()))
        assert claims.runs or (claims.next_due is not None and claims.next_due <= time.time())
        got += claims.runs

    assert sorted(run.job for run in got) == ["fleet.sync"] * 50 + ["fleet.wash"]


async def test_what_waits_is_counted_and_listed_without_reading_the_history(
    open_store: Open, postgres_url: str, connection: asyncpg.Connection[Any]
) -> None:
    store = await open_store(1)
    execute(postgres_url, HISTORY)
    await store.enqueue([new() for _ in range(20)], NO_LIMIT)
    await claimed(store, limit=5)

    costs = {
        "waiting": (await _read(connection, "waiting", ["default", 1_000_000]))[0],
        "queues": (await _read(connection, "queues", []))[0],
        "cancels": (await _read(connection, "cancels", ["kernel-1"]))[0],
        "list_unfinished": (await _read(connection, "list_unfinished", [[4, 5], *[None] * 9, 50]))[0],
        "list_newest": (await _read(connection, "list_newest", [*[None] * 10, 50]))[0],
        "holders": (await _read(connection, "holders", ["kernel-2"]))[0],
    }

    assert {name: pages for name, pages in costs.items() if pages > 200} == {}


async def test_a_claim_over_many_lanes_is_in_order_and_full(open_store: Open) -> None:
    store = await open_store(1)
    jobs = [f"fleet.job-{n}" for n in range(40)]
    given = [new(jobs[n % 40], queue=f"q{n % 7}", priority=n * 3 % 10) for n in range(1200)]
    await store.enqueue(given, NO_LIMIT)

    got = await claimed(store, jobs=jobs, limit=500)

    assert [run.id for run in got] == [run.id for run in sorted(given, key=lambda run: (run.urgency, run.id))[:500]]


async def _bulk(store: PostgresStore, many: int) -> list[str]:
    ids, now = IdSource().next(many), time.time()
    runs = [new()._replace(id=one, due=now, urgency=urgency_of(now, 5)) for one in ids]
    return await store.enqueue(runs, {"default": 1_000_000})


async def test_twenty_thousand_runs_are_enqueued_in_one_call_and_again_without_effect(open_store: Open) -> None:
    store = await open_store(1)
    ids = await _bulk(store, 20_000)
    many = [new()._replace(id=one) for one in ids]

    again = await store.enqueue(many, {"default": 20_000})

    assert again == ids
    assert (await store.queues())[0].queued == 20_000
    assert len((await store.claim(Claim("kernel-1", time.time(), 1000, {"fleet.sync": 1000}, {}))).runs) == 1000


@pytest.mark.parametrize("statistics", ["none", "of an empty table", "of a full table"])
async def test_what_runs_under_a_limit_is_counted_without_looking_at_what_else_runs(
    open_store: Open, postgres_url: str, connection: asyncpg.Connection[Any], statistics: str
) -> None:
    store = await open_store(1)
    if statistics == "of an empty table":
        execute(postgres_url, "ANALYZE mainspring.run")
    execute(postgres_url, HISTORY)
    execute(
        postgres_url,
        "INSERT INTO mainspring.run (id, job, queue, priority, payload, state, enqueued, due, urgency, token, kernel) "
        "SELECT gen_random_uuid(), 'fleet.wash', 'default', 5, '{}', 5, n, n, n, 1, 'kernel-' || n % 3 "
        "FROM generate_series(1, 30000) AS n",
    )
    await store.enqueue([new() for _ in range(100)], NO_LIMIT)
    await claimed(store, limit=50)
    if statistics == "of a full table":
        execute(postgres_url, "ANALYZE mainspring.run")

    pages, plan = await _read(connection, "places_held", [["fleet.sync"], []])
    pages_of_lock, plan_of_lock = await _read(connection, "places_lock", [["fleet.sync"], ["default"], "places"])

    assert _scans(plan) == {"run_running"}
    assert _scans(plan_of_lock) <= {"run_lane", "run_suspect"}
    assert max(pages, pages_of_lock) < 200
