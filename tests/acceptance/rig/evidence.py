"""What is left when a kernel has died: the store as it lies on the disk, and what jobs and callers wrote down.

``Evidence.taken`` reads it after each life and says what is wrong with it, given what it was after the life before.
"""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import time
from collections import Counter, defaultdict
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from kernel.model.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUNNING, FIRST_FINAL = 5, 6
PRUNED = {"chores.fleeting"}
"""Jobs whose runs may be gone when they have ended."""
ONCE = {
    "chores.quick", "chores.thread", "chores.slow", "chores.fleeting", "chores.expiring", "chores.hopeless",
    "chores.ticks_skip", "chores.ticks_queue", "chores.ticks_allow", "chores.ticks_replace", "chores.ticks_finish",
    "chores.ticks_changed", "chores.ticks_cron", "chores.ticks_start",
}  # fmt: skip
"""Jobs that begin a second time only because of a kill, or by hand."""


class Line(NamedTuple):
    """What a job or a caller wrote down. ``at`` is of the clock that all processes of the machine share."""

    life: int
    at: float
    what: str
    run: str
    attempt: int
    job: str


class RunRow(NamedTuple):
    id: str
    job: str
    state: int
    token: int
    attempt: int
    schedule: str | None
    tick: float | None

    @property
    def is_final(self) -> bool:
        return self.state >= FIRST_FINAL


class TickRow(NamedTuple):
    schedule: str
    first: float
    count: int  # type: ignore[assignment] # hides tuple.count, which nobody asks of a row
    result: str
    run: str | None


class Left(NamedTuple):
    """The store after a life."""

    integrity: str
    runs: dict[str, RunRow]
    ticks: list[TickRow]
    schedules: list[tuple[str, Schedule, float, float]]


NOTHING = Left("ok", {}, [], [])


def lines_of(folder: Path, kind: str, life: int) -> list[Line]:
    """What was written down in this life; ``kind``: journal, of the jobs, or words, of their callers."""
    try:
        text = (folder / f"{kind}-{life}").read_text("utf-8")
    except FileNotFoundError:
        return []
    # A kill may tear the last line: the system writes page by page.
    return [_line_of(line.split(" "), life) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _line_of(fields: list[str], life: int) -> Line:
    at, what, run, attempt, job = fields
    return Line(life, float(at), what, run, int(attempt), job.rstrip())


def text_of(what: str, run: str, attempt: int, job: str) -> bytes:
    return f"{time.monotonic():.6f} {what} {run} {attempt} {job}\n".encode()


def read_store(path: Path, folder: Path) -> Left:
    """Reads a copy: opening the files themselves would already be the first step of a recovery."""
    if not path.exists():
        return NOTHING
    folder.mkdir()
    for suffix in ("", "-wal"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            shutil.copyfile(beside, folder / beside.name)
    with closing(sqlite3.connect(folder / path.name)) as connection:
        [(integrity,)] = connection.execute("PRAGMA integrity_check(1)").fetchall()
        runs = connection.execute("SELECT id, job, state, token, attempt, schedule, tick FROM run").fetchall()
        ticks = connection.execute("SELECT schedule, first, count, result, run FROM tick").fetchall()
        rows = connection.execute("SELECT name, definition, anchor, looked_until FROM schedule").fetchall()
    schedules = [(name, Schedule(**json.loads(text)), anchor, looked) for name, text, anchor, looked in rows]
    shutil.rmtree(folder)
    return Left(integrity, {row[0]: RunRow(*row) for row in runs}, [TickRow(*row) for row in ticks], schedules)


class Evidence:
    """Of the store and the lives of its kernels in one folder. ``recoveries``: from each birth to the first job."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = NOTHING
        self._words: list[Line] = []
        self.recoveries: list[float] = []

    def taken(self, life: int, born_at: float) -> list[str]:
        """What is wrong after this life, which began at this instant of ``time.monotonic``; to be asked once a life."""
        left = read_store(self._folder / "store.db", self._folder / "copy")
        self._words += lines_of(self._folder, "words", life)
        starts = lines_of(self._folder, "journal", life)
        wrong = [
            *_damaged(left),
            *_lost(left, self._words),
            *_changed_after_their_end(self._before, left, self._words),
            *_begun_wrongly(self._before, left, starts, self._words),
            *_wrong_in_the_ledger(left),
        ]
        if starts:
            self.recoveries.append(min(line.at for line in starts) - born_at)
        self._before = left
        return [f"life {life}: {text}" for text in wrong]

    def unfinished(self) -> list[str]:
        """Accepted runs that had not ended at the end of the last life."""
        accepted = {word.run for word in self._words if word.what == "accepted"}
        return [
            f"{run.job} {run.id} is still in state {run.state}"
            for run in self._before.runs.values()
            if run.id in accepted and not run.is_final
        ]

    @property
    def accepted(self) -> int:
        return len({word.run for word in self._words if word.what == "accepted"})


def _damaged(left: Left) -> Iterator[str]:
    if left.integrity != "ok":
        yield f"integrity_check: {left.integrity}"


def _lost(left: Left, words: list[Line]) -> Iterator[str]:
    for word in words:
        if word.what == "accepted" and word.run not in left.runs and word.job not in PRUNED:
            yield f"{word.job} {word.run} was accepted and is lost"


def _by_hand(words: list[Line]) -> set[str]:
    """Runs that somebody asked to be run again; whether it came to that, nobody may have heard."""
    return {word.run for word in words if word.what == "retrying"}


def _changed_after_their_end(before: Left, left: Left, words: list[Line]) -> Iterator[str]:
    again = _by_hand(words)
    for old in before.runs.values():
        if old.is_final and old.id not in again and old.id in left.runs and left.runs[old.id] != old:
            yield f"{old.job} {old.id} had ended, and was changed: {old} is {left.runs[old.id]}"


def _begun_wrongly(before: Left, left: Left, starts: list[Line], words: list[Line]) -> Iterator[str]:
    again = _by_hand(words)
    attempts: defaultdict[str, list[int]] = defaultdict(list)
    jobs = {line.run: line.job for line in starts}
    for line in starts:
        attempts[line.run].append(line.attempt)
    for run, begun in attempts.items():
        old = before.runs.get(run)
        if old is not None and old.is_final and run not in again:
            yield f"{old.job} {run} had ended in state {old.state}, and has begun again"
        first = 1 if old is None else old.attempt + 1
        if begun != list(range(first, first + len(begun))):
            yield f"{jobs[run]} {run} has begun the attempts {begun}, after {first - 1} before"
        if len(begun) > 1 and jobs[run] in ONCE and run not in again:
            yield f"{jobs[run]} {run} has begun {len(begun)} times in one life"
        if run not in left.runs and jobs[run] not in PRUNED:
            yield f"{jobs[run]} {run} has begun and is not in the store"


def _wrong_in_the_ledger(left: Left) -> Iterator[str]:
    counted: Counter[str] = Counter()
    for tick in left.ticks:
        counted[tick.schedule] += tick.count
        if tick.result == "run" and (tick.run is None or tick.run not in left.runs):
            yield f"the tick {tick.first} of {tick.schedule} says it made the run {tick.run}, which is not there"
    for name, schedule, anchor, looked_until in left.schedules:
        if schedule.kind == "every" and schedule.anchor == "grid":
            due = _ticks_until(anchor, schedule.interval, looked_until)
            if due != counted[name]:
                yield f"{name}: {due} ticks were due until {looked_until}, and {counted[name]} are in the ledger"
    made = Counter((run.schedule, run.tick) for run in left.runs.values() if run.tick is not None)
    kept = {(tick.schedule, tick.first): tick.run for tick in left.ticks if tick.result == "run"}
    for (owner, at), count in made.items():
        if count > 1:
            yield f"{owner}: the tick {at} made {count} runs"
    for run in left.runs.values():
        if run.tick is not None and run.schedule is not None and kept.get((run.schedule, run.tick)) != run.id:
            yield f"{run.schedule}: the ledger does not know that the tick {run.tick} made the run {run.id}"


def _ticks_until(anchor: float, interval: float, until: float) -> int:
    """How many instants anchor, anchor + interval … are not after ``until``."""
    if until < anchor:
        return 0
    steps = math.floor((until - anchor) / interval)
    while anchor + (steps + 1) * interval <= until:
        steps += 1
    while steps >= 0 and anchor + steps * interval > until:
        steps -= 1
    return steps + 1
