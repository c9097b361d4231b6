"""What Mainspring's table of runs has been through before it is measured: a long history, and what ANALYZE saw last."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.bare import PAYLOAD
from benchmarks.parts import KEPT
from kernel.model.payload import encode
from kernel.model.run import IdSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg

_COLUMNS = (
    "id", "enqueued", "due", "urgency", "started", "finished", "token", "attempt", "state", "priority", "job", "queue",
    "kernel", "result", "payload",
)  # fmt: skip
_AT_ONCE = 10_000
_AGE_SECONDS = 12 * 3600.0
_COMPLETED, _FAILED = 6, 7
# Only the benchmark says ANALYZE; VACUUM stays, as it is part of what a table costs.
_NEVER_ANALYZE = """
ALTER TABLE mainspring.run SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 2147483647)
"""


@dataclass(frozen=True)
class Past:
    """``analyze``: when ANALYZE saw the table: ``none`` for never, ``empty``, ``full``, and None for as it comes."""

    has_history: bool = False
    analyze: str | None = None

    async def begin(self, connection: asyncpg.Connection[Any], history: int) -> None:
        """On the new table."""
        if self.analyze is not None:
            await connection.execute(_NEVER_ANALYZE)
        if self.analyze == "empty":
            await connection.execute("ANALYZE mainspring.run")
        if self.has_history:
            await insert_history(connection, history)
            await connection.execute("VACUUM mainspring.run")

    async def filled(self, connection: asyncpg.Connection[Any]) -> None:
        """With the runs of a drain waiting in it."""
        if self.analyze == "full":
            await connection.execute("ANALYZE mainspring.run")


PASTS = {
    "mainspring": Past(),
    "never-analyzed": Past(analyze="none"),
    "analyzed-empty": Past(analyze="empty"),
    "analyzed-full": Past(analyze="full"),
    "history": Past(has_history=True),
    "history-never-analyzed": Past(has_history=True, analyze="none"),
    "history-analyzed-empty": Past(has_history=True, analyze="empty"),
    "history-analyzed-full": Past(has_history=True, analyze="full"),
}


async def insert_history(connection: asyncpg.Connection[Any], count: int) -> None:
    """Finished runs of the last twelve hours, two in a hundred failed; of each job as many as are kept."""
    for first in range(0, count, _AT_ONCE):
        rows = _finished_runs(first, min(_AT_ONCE, count - first), count)
        await connection.copy_records_to_table("run", schema_name="mainspring", records=rows, columns=_COLUMNS)
    found = await connection.fetchval("SELECT count(*) FROM mainspring.run WHERE state >= 6")
    if found < count:
        raise AssertionError(f"{count:,} finished runs were written, and the store has {found:,}")


_IDS = IdSource()
_PAYLOAD = encode(PAYLOAD)


def _finished_runs(first: int, count: int, total: int) -> Iterator[tuple[Any, ...]]:
    now = time.time()
    for number, run_id in enumerate(_IDS.next(count), first):
        enqueued = now - _AGE_SECONDS * (1 - number / total)
        state = _FAILED if number % 50 == 0 else _COMPLETED
        yield (
            run_id, enqueued, enqueued, enqueued + 3000, enqueued + 0.01, enqueued + 0.02, 1, 1, state, 5,
            f"history.job_{number // KEPT}", "default", "an older kernel", "null", _PAYLOAD,
        )  # fmt: skip
