"""What running attempts write down: recorded steps, progress, and the end of their log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.contracts.store import LOG_BYTES, AttemptRow, RunLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.contracts.store import Entry

    from .database import Database

_PART_BYTES = 4096
"""A part of a log that is shorter takes what comes next, so that a log has few parts."""


def record(database: Database, entries: Sequence[Entry]) -> list[bool]:
    asked: dict[tuple[str, int], list[Any]] = {}
    for number, entry in enumerate(entries):
        asked.setdefault((entry.id, entry.token), [number, entry.id, entry.token])
    live = {(entries[number].id, entries[number].token) for number in database.list_each("live", list(asked.values()))}
    written = [entry for entry in entries if (entry.id, entry.token) in live]
    steps = [(entry.id, *entry.step) for entry in written if entry.step is not None]
    if steps:
        database.change_each("step_add", steps)
    progress = {entry.id: (entry.id, *entry.progress) for entry in written if entry.progress is not None}
    if progress:
        database.change_each("progress_put", list(progress.values()))
    logs: dict[str, list[str]] = {}
    for entry in written:
        if entry.log:
            logs.setdefault(entry.id, []).append(entry.log)
    for run, texts in logs.items():
        _add_log(database, run, "".join(texts))
    return [(entry.id, entry.token) in live for entry in entries]


def attempts(database: Database, run: str) -> list[AttemptRow]:
    return [AttemptRow(*row) for row in database.rows("attempts", run)]


def steps(database: Database, run: str) -> dict[str, str]:
    return dict(database.rows("steps", run))


def log(database: Database, run: str) -> RunLog:
    parts = database.rows("log", run)
    return RunLog("".join(text for text, _ in parts), any(is_cut for _, is_cut in parts))


def _add_log(database: Database, run: str, text: str) -> None:
    """The oldest lines go when it is too long; the first part that is left says so."""
    parts = database.rows("log_parts", run)
    size = len(text.encode())
    if parts and parts[-1][1] < _PART_BYTES:
        part, before = parts[-1]
        begun, is_cut = database.row("log_part", part)
        database.change("log_write", before + size, is_cut, begun + text, part)
    else:
        database.change("log_add", run, size, text)
    excess = sum(before for _, before in parts) + size - LOG_BYTES
    if excess > 0:
        _cut(database, run, excess)


def _cut(database: Database, run: str, excess: int) -> None:
    """Takes so many bytes away, or more, so that whole lines are left."""
    parts = database.rows("log_parts", run)
    while len(parts) > 1 and parts[0][1] <= excess:
        excess -= parts.pop(0)[1]
    first = parts[0][0]
    text, _ = database.row("log_part", first)
    data = text.encode()
    begin = data.find(b"\n", excess - 1) + 1 if excess else 0
    rest = data[begin:] if begin or not excess else b""
    database.change("log_remove", run, first)
    database.change("log_write", len(rest), True, rest.decode(), first)
