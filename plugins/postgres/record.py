"""What running attempts write down: steps, progress, log lines; each fenced by the attempt's token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.contracts.store import LOG_BYTES

from .ids import known_id
from .rows import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.contracts.store import Entry

    from .database import Database


async def record(database: Database, entries: Sequence[Entry]) -> list[bool]:
    attempts = sorted({(one.id, one.token) for one in entries if known_id(one.id) is not None})
    if not attempts:
        return [False] * len(entries)
    rows = await database.rows("attempts_running", *zip(*attempts, strict=True))
    running = {attempts[row[0] - 1] for row in rows}
    written = [one for one in entries if (one.id, one.token) in running]
    await _write_steps(database, written)
    progress = {one.id: one.progress for one in written if one.progress is not None}
    if progress:
        fractions, texts = zip(*progress.values(), strict=True)
        await database.change("progress_put", list(progress), fractions, [clean(text) for text in texts])
    await _write_logs(database, written)
    return [(one.id, one.token) in running for one in entries]


async def _write_steps(database: Database, entries: Sequence[Entry]) -> None:
    steps = [(one.id, clean(one.step[0]), clean(one.step[1])) for one in entries if one.step is not None]
    if steps:
        await database.change("step_put", *zip(*steps, strict=True))


async def _write_logs(database: Database, entries: Sequence[Entry]) -> None:
    lines: dict[str, str] = {}
    for one in entries:
        if one.log:
            lines[one.id] = lines.get(one.id, "") + (clean(one.log) or "")
    if not lines:
        return
    ids = sorted(lines)
    too_long = await database.rows("log_add", ids, [lines[run] for run in ids], LOG_BYTES)
    if too_long:
        await database.change("log_cut", [run for run, _ in too_long], [_newest_lines(text) for _, text in too_long])


def _newest_lines(text: str) -> str:
    """The last whole lines of a log that is too long, up to what is kept."""
    kept = text.encode()[-LOG_BYTES:]
    begin = kept.find(b"\n") + 1
    return kept[begin:].decode("utf-8", "ignore")
