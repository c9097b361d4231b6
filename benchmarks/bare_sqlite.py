"""The limit of a SQLite file: bare sqlite3 on one thread, WAL and synchronous=FULL, with no history and nothing around it."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.bare import PAYLOAD
from benchmarks.measure import Lap, percentiles
from kernel.model.run import IdSource

BATCH = 100
_TABLE = """
CREATE TABLE run (
    id TEXT PRIMARY KEY,
    state INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL,
    due REAL NOT NULL,
    payload TEXT NOT NULL
)
"""
_INDEX = "CREATE INDEX run_waiting ON run (state, priority, due)"
_INSERT = "INSERT INTO run (id, priority, due, payload) VALUES (?, ?, ?, ?)"
_CLAIM = """
UPDATE run SET state = 1
WHERE id IN (SELECT id FROM run WHERE state = 0 ORDER BY priority, due LIMIT ?)
RETURNING id, payload
"""
_FINISH = "DELETE FROM run WHERE id = ?"
_IDS = IdSource()


def measure(count: int, singles: int = 300) -> dict[str, Any]:
    """Insert, claim and finish ``count`` runs in batches of 100, a commit each; then ``singles`` one at a time."""
    with tempfile.TemporaryDirectory(prefix="mainspring-bare-") as name:
        connection = connect(Path(name) / "bare.db")
        work_off(connection, BATCH * 10, BATCH)
        with Lap(count) as lap:
            work_off(connection, count, BATCH)
        latencies = [one_at_a_time(connection) for _ in range(singles)]
        connection.close()
    return {**lap.figures(), **percentiles("latency_ms", latencies)}


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(_TABLE)
    connection.execute(_INDEX)
    return connection


def work_off(connection: sqlite3.Connection, count: int, batch: int) -> None:
    payload = json.dumps(PAYLOAD)
    for _ in range(count // batch):
        rows = [(run_id, number & 7, time.time(), payload) for number, run_id in enumerate(_IDS.next(batch))]
        insert(connection, rows)
        finish(connection, claim(connection, batch))


def one_at_a_time(connection: sqlite3.Connection) -> float:
    """Seconds from just before the insert to just after the claim of one run, on an idle store."""
    time.sleep(0.005)
    payload = json.dumps(PAYLOAD)
    began = time.perf_counter()
    insert(connection, [(_IDS.one(), 5, time.time(), payload)])
    claimed = claim(connection, 1)
    taken = time.perf_counter() - began
    finish(connection, claimed)
    return taken


def insert(connection: sqlite3.Connection, rows: list[tuple[str, int, float, str]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_INSERT, rows)
    connection.execute("COMMIT")


def claim(connection: sqlite3.Connection, limit: int) -> list[tuple[str, str]]:
    connection.execute("BEGIN IMMEDIATE")
    claimed: list[tuple[str, str]] = connection.execute(_CLAIM, (limit,)).fetchall()
    connection.execute("COMMIT")
    return claimed


def finish(connection: sqlite3.Connection, claimed: list[tuple[str, str]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_FINISH, [(run_id,) for run_id, _ in claimed])
    connection.execute("COMMIT")
