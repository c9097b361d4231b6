"""What is left when a kernel has died: the store as it lies on the disk, and what jobs and callers wrote down.

``Evidence.taken`` reads it after each life and says what is wrong with it, given what it was after the life before.
"""

from __future__ import annotations

import math
import shutil
import sqlite3
import time
from collections import Counter, defaultdict
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from kernel.contracts.store import RunQuery
from plugins.sqlite.store import SqliteStore
from tests.acceptance.rig.promises import STEPWISE, Life, Promises

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kernel.contracts.store import BreakerRow, Edge
    from kernel.model.run import Run
    from kernel.model.schedule import ScheduleRow, Tick

_ALL = 10_000_000
PRUNED = {"chores.fleeting"}
"""Jobs whose runs may be gone when they have ended."""
ONCE = {
    "chores.quick", "chores.thread", "chores.slow", "chores.fleeting", "chores.expiring", "chores.hopeless",
    "chores.ticks_skip", "chores.ticks_queue", "chores.ticks_allow", "chores.ticks_replace", "chores.ticks_finish",
    "chores.ticks_changed", "chores.ticks_cron", "chores.ticks_start",
    "duties.stepwise", "duties.stepwise_thread", "duties.telling", "duties.asking", "duties.alone", "duties.rated",
    "duties.keyed", "duties.parent", "duties.child", "duties.counting",
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


class Left(NamedTuple):
    """The store after a life. ``steps``, ``logs``: by run, of those that have any; ``counted``: by a plugin."""

    integrity: str
    runs: dict[str, Run]
    schedules: list[ScheduleRow]
    ticks: dict[str, list[Tick]]
    steps: dict[str, dict[str, str]]
    logs: dict[str, str]
    edges: list[Edge]
    breakers: list[BreakerRow]
    counted: int


NOTHING = Left("ok", {}, [], {}, {}, {}, [], [], 0)


def lines_of(folder: Path, kind: str, life: int) -> list[Line]:
    """What was written down in this life; ``kind``: journal or deeds, of the jobs, or words, of their callers."""
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


async def read_store(path: Path, folder: Path) -> Left:
    """Reads a copy: opening the files themselves would already be the first step of a recovery."""
    if not _copied(path, folder):
        return NOTHING
    with closing(sqlite3.connect(folder / path.name)) as connection:
        [(integrity,)] = connection.execute("PRAGMA integrity_check(1)").fetchall()
    store = SqliteStore(folder / path.name)
    await store.open(None)
    runs = {run.id: run for run in await store.runs(RunQuery(limit=_ALL))}
    schedules = await store.schedules()
    names = {row.name for row in schedules} | {run.schedule for run in runs.values() if run.schedule is not None}
    ticks = {name: await store.ticks(name, -math.inf, math.inf, _ALL) for name in names}
    steps = {run.id: await store.steps(run.id) for run in runs.values() if run.job in STEPWISE}
    logs = {run.id: (await store.log(run.id)).text for run in runs.values() if run.job == "duties.telling"}
    edges = await store.edges([run.id for run in runs.values() if run.job == "duties.child"])
    count = int((await store.get("duties", ["count"])).get("count", "0"))
    breakers = await store.breakers()
    await store.close()
    shutil.rmtree(folder)
    return Left(integrity, runs, schedules, ticks, steps, logs, edges, breakers, count)


def _copied(path: Path, folder: Path) -> bool:
    """False when there is nothing yet."""
    if not path.exists():
        return False
    folder.mkdir()
    for beside in (path, path.with_name(path.name + "-wal")):
        if beside.exists():
            shutil.copy(beside, folder)
    return True


class Evidence:
    """Of the store and the lives of its kernels in one folder. ``recoveries``: from each birth to the first job."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = NOTHING
        self._words: list[Line] = []
        self._last_attempts: dict[str, int] = {}
        self._promises = Promises()
        self.recoveries: list[float] = []

    async def taken(self, life: int, born_at: float) -> list[str]:
        """What is wrong after this life, which began at this instant of ``time.monotonic``; to be asked once a life."""
        left = await read_store(self._folder / "store.db", self._folder / "copy")
        self._words += lines_of(self._folder, "words", life)
        starts = lines_of(self._folder, "journal", life)
        deeds = lines_of(self._folder, "deeds", life)
        wrong = [
            *_damaged(left),
            *_lost(left, self._words),
            *_changed_after_their_end(self._before, left, self._words),
            *_begun_wrongly(self._before, left, starts, self._words),
            *self._begun_twice(starts),
            *wrong_in_the_ledger(left),
            *self._promises.broken(Life(life, self._before, left, starts, deeds, self._words)),
        ]
        if starts:
            self.recoveries.append(min(line.at for line in starts) - born_at)
        self._before = left
        return [f"life {life}: {text}" for text in wrong]

    def _begun_twice(self, starts: list[Line]) -> Iterator[str]:
        for line in starts:
            last = self._last_attempts.get(line.run, 0)
            if line.attempt <= last:
                yield f"{line.job} {line.run} has begun attempt {line.attempt} after attempt {last}"
            self._last_attempts[line.run] = line.attempt

    def unfinished(self) -> list[str]:
        """Accepted runs that had not ended at the end of the last life."""
        accepted = self.accepted
        return [
            f"{run.job} {run.id} is still {run.state}"
            for run in self._before.runs.values()
            if run.id in accepted and not run.is_final
        ]

    @property
    def accepted(self) -> set[str]:
        """The runs of which a caller was told that they are accepted."""
        return {word.run for word in self._words if word.what == "accepted"}


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
            yield f"{old.job} {old.id} had ended, and was changed:\n{old}\n{left.runs[old.id]}"


def _begun_wrongly(before: Left, left: Left, starts: list[Line], words: list[Line]) -> Iterator[str]:
    again = _by_hand(words)
    attempts: defaultdict[str, list[int]] = defaultdict(list)
    jobs = {line.run: line.job for line in starts}
    for line in starts:
        attempts[line.run].append(line.attempt)
    for run, begun in attempts.items():
        old = before.runs.get(run)
        if old is not None and old.is_final and run not in again:
            yield f"{old.job} {run} was {old.state}, and has begun again"
        first = 1 if old is None else old.attempt + 1
        if begun != list(range(first, first + len(begun))):
            yield f"{jobs[run]} {run} has begun the attempts {begun}, after {first - 1} before"
        if len(begun) > 1 and jobs[run] in ONCE and run not in again:
            yield f"{jobs[run]} {run} has begun {len(begun)} times in one life"
        if run not in left.runs and jobs[run] not in PRUNED:
            yield f"{jobs[run]} {run} has begun and is not in the store"


def wrong_in_the_ledger(left: Left) -> Iterator[str]:
    for row in left.schedules:
        if row.schedule.kind == "every" and row.schedule.anchor == "grid":
            due = ticks_until(row.anchor, row.schedule.interval, row.looked_until)
            counted = sum(tick.count for tick in left.ticks[row.name])
            if due != counted:
                yield f"{row.name}: {due} ticks were due until {row.looked_until}, and {counted} are in the ledger"
    for name, ticks in left.ticks.items():
        made = Counter(run.tick_at for run in left.runs.values() if run.schedule == name and run.tick_at is not None)
        for at, count in made.items():
            if count > 1:
                yield f"{name}: the tick {at} made {count} runs"
        told = {tick.run for tick in ticks if tick.result == "run"}
        for missing in told - left.runs.keys():
            yield f"{name}: the ledger tells of the run {missing}, which is not there"
        for run in left.runs.values():
            if run.schedule == name and run.tick_at is not None and run.id not in told:
                yield f"{name}: the ledger does not tell of the run {run.id} of the tick {run.tick_at}"


def ticks_until(anchor: float, interval: float, until: float) -> int:
    """How many instants anchor, anchor + interval … are not after ``until``."""
    if until < anchor:
        return 0
    steps = math.floor((until - anchor) / interval)
    while anchor + (steps + 1) * interval <= until:
        steps += 1
    while steps >= 0 and anchor + steps * interval > until:
        steps -= 1
    return steps + 1
