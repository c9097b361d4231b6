"""What a claim costs does not grow with what waits or has ended; counted in instructions of SQLite, not in time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kernel.contracts.store import Claim
from kernel.model.errors import StoreFullError
from plugins import sqlite
from plugins.sqlite.statements import statement, statement_for
from plugins.sqlite.store import SqliteStore
from tests.unit.plugins.sqlite.sqlite_samples import KERNEL, NOW, ask, completed, new, news, vm_steps

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator


MANY = 20_000
FOLDER = Path(sqlite.__file__).with_name("sql")
COUNTING = {"count", "count_all", "list_scan"}
"""All there is must be read, in whichever order: to be counted, or for few runs that no index knows."""
READING = {*COUNTING, "count_job", "is_job_large", "list_job", "list_unfinished", "prune_jobs"}
"""Read beside what is written, and as well one way as the other."""


@pytest.fixture
async def full(path: Path) -> AsyncIterator[SqliteStore]:
    """Many runs wait in a lane that is paused, many have ended, and ten wait in a lane that is open."""
    store = SqliteStore(path)
    await store.open(KERNEL)
    await store.enqueue(news(MANY, queue="paused", job="fleet.blocked"), {})
    for _ in range(MANY // 1000):
        await store.enqueue(news(1000), {})
        await store.finish([completed(run) for run in (await store.claim(ask())).runs])
    await store.enqueue(news(10), {})
    yield store
    await store.close()


async def test_looking_for_lanes_leaps_over_what_waits_in_them(full: SqliteStore) -> None:
    assert vm_steps(full, statement("claim_facts")) < 500


async def test_the_runs_of_a_lane_are_read_without_those_of_others(full: SqliteStore) -> None:
    wanted = ("paused", "fleet.blocked", float("inf"), 10)

    assert vm_steps(full, statement("claim_lane"), *wanted) < 2_000


async def test_a_lane_that_may_not_be_claimed_holds_up_no_other(full: SqliteStore) -> None:
    claims = await full.claim(Claim(KERNEL.id, NOW, 100, {"fleet.blocked": 100, "fleet.sync": 100}, {"paused": 0}))

    assert len(claims.runs) == 10


async def test_a_finish_finds_its_runs_by_their_place(full: SqliteStore) -> None:
    rows = [None] * 5 * 8

    assert vm_steps(full, statement_for("finish_completed", 8), *rows) < 1_000


async def test_plans_do_not_follow_statistics_that_somebody_has_gathered(full: SqliteStore, path: Path) -> None:
    texts = {name: text for name, text in every_statement().items() if name not in READING}
    before = await plans(full, list(texts.values()))

    await execute(full, "ANALYZE")
    await full.close()
    await full.open(KERNEL)

    after = await plans(full, list(texts.values()))
    assert [name for name, old, new in zip(texts, before, after, strict=True) if old != new] == []


async def test_no_statement_reads_a_table_that_may_be_long_from_end_to_end(store: SqliteStore) -> None:
    texts = {name: text for name, text in every_statement().items() if name not in COUNTING}

    found = await plans(store, list(texts.values()))

    long = re.compile(
        r"SCAN (run|edge|period|step|progress|log_part|rate|rate_wait|tick|parent|other|own)( USING COVERING.*)?$"
    )
    assert {name: plan for name, plan in zip(texts, found, strict=True) if any(map(long.match, plan))} == {}


async def test_limits_find_their_runs_by_the_whole_key(store: SqliteStore) -> None:
    texts = [text for name, text in every_statement().items() if name.startswith("limit_")]

    found = [line for plan in await plans(store, texts) for line in plan if "run_key" in line or "run_rate" in line]

    assert found
    assert [line for line in found if "state=?" not in line or "state<?" in line] == []


def every_statement() -> dict[str, str]:
    """Those with a line for each row with four of them."""
    texts = {}
    for path in sorted(FOLDER.glob("*.sql")):
        is_each = "-- each\n" in path.read_text("utf-8")
        texts[path.stem] = statement_for(path.stem, 4) if is_each else statement(path.stem)
    return texts


async def plans(store: SqliteStore, texts: list[str]) -> list[list[str]]:
    assert store._writer is not None
    return await store._writer.call(lambda database: [plan_of(database.connection, text) for text in texts])


def plan_of(connection: sqlite3.Connection, text: str) -> list[str]:
    names = set(re.findall(r":(\w+)", text))
    values = dict.fromkeys(names) if names else [None] * text.count("?")
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]


async def execute(store: SqliteStore, sql: str) -> None:
    assert store._writer is not None
    await store._writer.call(lambda database: database.connection.execute(sql).fetchall())


async def test_a_room_is_counted_only_when_it_may_matter(store: SqliteStore) -> None:
    counted = await counts_of(store, [({"default": 100}, 10)] * 9)

    assert counted == 1


async def test_a_room_that_may_be_used_up_is_counted_exactly(store: SqliteStore) -> None:
    await store.enqueue(news(50), {"default": 60})
    await store.claim(ask(45))

    assert len(await store.enqueue(news(55), {"default": 60})) == 55


async def test_what_another_process_enqueues_takes_room_too(store: SqliteStore, client: SqliteStore) -> None:
    await store.enqueue(news(1), {"default": 10})
    await client.enqueue(news(9), {"default": 10})

    with pytest.raises(StoreFullError, match="is full: 10 runs wait and 10 may"):
        await client.enqueue(news(1), {"default": 10})


async def counts_of(store: SqliteStore, calls: list[tuple[dict[str, int], int]]) -> int:
    """How often the waiting runs were counted."""
    assert store._writer is not None
    counting = statement("waiting").strip().splitlines()[0]
    seen = 0

    def note(text: str) -> None:
        nonlocal seen
        seen += text.strip().startswith(counting) and "run_lane" in text and "run_later" in text

    store._writer.files.opened().writer.connection.set_trace_callback(note)
    for room, count in calls:
        await store.enqueue([new() for _ in range(count)], room)
    return seen
