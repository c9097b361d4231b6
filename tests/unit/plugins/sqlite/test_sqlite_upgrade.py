"""A store of schema 1, with runs in every state, becomes one of today's schema: nothing is lost, nothing is different."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from kernel.contracts.store import Claim, KernelRow, RunQuery
from kernel.model.run import Change, Run, RunExtra
from plugins.sqlite import schema
from plugins.sqlite.schema import migrations
from plugins.sqlite.store import SqliteStore
from tests.unit.plugins.sqlite.sqlite_samples import KERNEL, NOW, look_into, new, queued_again

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FIRST = "438d73d4a70782621fc74c080880b20f"
STATES = [
    "scheduled", "retrying", "blocked", "queued", "running", "completed", "failed", "cancelled", "expired",
]  # fmt: skip
OTHER = KernelRow("kernel-0", 100, "host", "boot", NOW - 9, NOW - 9, "/run/kernel-0.sock")


@pytest.fixture
def first(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Made by the first file alone, with two runs in each state: one plain, one that has all there was to have."""
    known = migrations()[:1]
    path.parent.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(schema, "migrations", lambda: known)
        schema.create(path)
    connection = sqlite3.connect(path)
    with connection:
        for code in range(1, 10):
            _insert(connection, id=f"plain-{code}", state=code, payload="{}")
            _insert(
                connection, id=f"whole-{code}", state=code, token=3, attempt=2, failures=1, stuck=1, kernel=OTHER.id,
                started=NOW + 1, finished=NOW + 2, expires=NOW + 9000, unique_key=f"key-{code}", schedule=f"every-{code}",
                tick=NOW + 0.1, folded=4, tags='["a","b"]', cancel_reason="wish", reason="why", notes='["n"]',
                result='{"r":1}', error='{"type":"E"}', payload='{"p":"ä"}',
            )  # fmt: skip
        connection.execute("INSERT INTO kernel VALUES (?, ?, ?, ?, ?, ?, ?)", OTHER)
        connection.execute("UPDATE signal SET count = 7 WHERE name = 'cancels'")
    connection.close()
    return path


def _insert(connection: sqlite3.Connection, **columns: Any) -> None:
    given = {
        "job": "fleet.sync",
        "queue": "default",
        "priority": 5,
        "enqueued": NOW,
        "due": NOW,
        "urgency": NOW,
        **columns,
    }
    text = f"INSERT INTO run ({','.join(given)}) VALUES ({','.join('?' * len(given))})"  # noqa: S608 - this file's own names
    connection.execute(text, list(given.values()))


def _run(run_id: str, state: str) -> Run:
    code = STATES.index(state) + 1
    if run_id.startswith("plain"):
        return Run(run_id, "fleet.sync", "default", 5, "{}", state, NOW, NOW, NOW)
    extra = RunExtra(NOW + 9000, f"key-{code}", ("a", "b"), f"every-{code}", NOW + 0.1, 4)
    return Run(
        run_id, "fleet.sync", "default", 5, '{"p":"ä"}', state, NOW, NOW, NOW, extra, 3, 2, 1, OTHER.id, NOW + 1,
        NOW + 2, '{"r":1}', '{"type":"E"}', "why", '["n"]', "wish", stuck=True,
    )  # fmt: skip


def _shape(path: Path) -> list[tuple[Any, ...]]:
    """Everything that makes a schema; how a table came to its name is left out."""
    rows = look_into(path, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")
    return [(*row[:3], (row[3] or "").replace('"run"', "run")) for row in rows]


def test_the_first_file_stays_as_it_is() -> None:
    assert migrations()[0].checksum.startswith(FIRST)


async def test_every_run_is_as_it_was(first: Path) -> None:
    store = SqliteStore(first)
    await store.open(KERNEL)

    found = {run.id: run for run in await store.runs(RunQuery(limit=100))}

    assert found == {
        f"{kind}-{code}": _run(f"{kind}-{code}", state)
        for code, state in enumerate(STATES, start=1)
        for kind in ("plain", "whole")
    }
    assert await store.count(RunQuery()) == dict.fromkeys(STATES, 2)
    assert await store.signals() == (0, 0, 7, 0)
    await store.close()


async def test_the_schema_is_that_of_a_new_store(first: Path, tmp_path: Path) -> None:
    await SqliteStore(first).upgrade()
    fresh = SqliteStore(tmp_path / "fresh.db")
    await fresh.open(None)
    await fresh.close()

    assert _shape(first) == _shape(tmp_path / "fresh.db")


async def test_what_waits_is_claimed_and_what_ran_is_rescued(first: Path) -> None:
    store = SqliteStore(first)
    await store.open(KERNEL)
    dead: list[KernelRow | None] = []

    def decide(row: KernelRow | None, runs: Sequence[Run]) -> list[Change]:
        dead.append(row)
        return [queued_again(run) for run in runs]

    rescued = await store.rescue(KERNEL.id, decide)
    claims = await store.claim(Claim(KERNEL.id, NOW, 100, {"fleet.sync": 100}, {}))

    assert dead == [None, OTHER]
    assert sorted(run.id for run in rescued) == ["plain-5", "whole-5"]
    waited = {f"{kind}-{code}" for kind in ("plain", "whole") for code in (1, 2, 4, 5)}
    assert {run.id for run in claims.runs} == waited
    await store.close()


async def test_unique_keys_hold_over_the_upgrade(first: Path) -> None:
    store = SqliteStore(first)
    await store.open(KERNEL)

    answer = await store.enqueue([new("fresh", unique="key-4"), new("other", unique="key-6")], {})

    assert answer == ["whole-4", "other"]
    await store.close()


async def test_a_store_that_cannot_be_upgraded_stays_one_of_the_first_schema(first: Path) -> None:
    connection = sqlite3.connect(first)
    with connection:  # something that a person has put there stands in the way
        connection.execute("CREATE TABLE new_run (id)")
    connection.close()

    with pytest.raises(Exception, match=r"mainspring\.db"):
        await SqliteStore(first).open(KERNEL)

    assert look_into(first, "SELECT max(version) FROM mainspring_schema") == [(1,)]
    assert look_into(first, "SELECT count(*) FROM run") == [(18,)]
