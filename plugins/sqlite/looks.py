"""Looks of schedules: what holds is decided and written in the transaction that moves ``looked_until``."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from kernel.contracts.store import Look, Looked, Unfinished
from kernel.model.schedule import Tick

from .control import end
from .enqueue import insert
from .found import find_ids
from .rows import STATE_OF, nested
from .unblock import unblock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .database import Database


def look(
    database: Database, looks: Sequence[Look], decide: Callable[[Look, Sequence[Unfinished]], Looked]
) -> list[Looked | None]:
    """Looks of one schedule go one after another, all others together."""
    answers: list[Looked | None] = [None] * len(looks)
    for together in _rounds(looks):
        rows = [(number, looks[number].schedule, looks[number].expected, looks[number].version) for number in together]
        held: list[tuple[Look, Looked]] = []
        for number, unfinished in database.list_each("look_facts", rows):
            looked = decide(looks[number], [Unfinished(run, str(STATE_OF[state])) for run, state in nested(unfinished)])
            answers[number] = looked
            held.append((looks[number], looked))
        if held:
            _write(database, held)
    return answers


def _rounds(looks: Sequence[Look]) -> Iterator[list[int]]:
    """The numbers of the looks, in groups in which each schedule stands once."""
    names: set[str] = set()
    together: list[int] = []
    for number, one in enumerate(looks):
        if one.schedule in names:
            yield together
            names, together = set(), []
        names.add(one.schedule)
        together.append(number)
    if together:
        yield together


def _write(database: Database, held: list[tuple[Look, Looked]]) -> None:
    """Cancels first, so that a new run may take a unique key; lets blocked runs go last, the new ones among them."""
    database.change_each("look_until", [(one.schedule, one.until) for one, _ in held])
    cancelled: defaultdict[tuple[str, float], list[str]] = defaultdict(list)
    for one, looked in held:
        if looked.cancel:
            cancelled[looked.cancel_reason, one.until] += looked.cancel
    ended = [
        (end(database, find_ids(database, ids), reason, until)[0], until) for (reason, until), ids in cancelled.items()
    ]
    runs = [run for _, looked in held for run in looked.runs]
    if runs:
        insert(database, runs)
        for run in runs:
            database.room.came_back(run.queue, 1)
    for schedules, until in ended:
        unblock(database, schedules, until)
    _write_ticks(database, [tick for _, looked in held for tick in looked.ticks])


def _write_ticks(database: Database, ticks: Sequence[Tick]) -> None:
    """A line that goes on where its schedule's last one ended, in the same way, makes that one longer."""
    last = _last_lines(database, {tick.schedule for tick in ticks if not _is_run(tick)})
    lines: dict[tuple[str, float], Tick] = {}
    for tick in ticks:
        before = last.get(tick.schedule)
        line = tick
        if before is not None and _goes_on(before, tick):
            line = before._replace(last=tick.last, count=before.count + tick.count)
        last[tick.schedule] = lines[line.schedule, line.first] = line
    if lines:
        database.change_each("tick_write", list(lines.values()))


def _last_lines(database: Database, schedules: Iterable[str]) -> dict[str, Tick]:
    names = [(name,) for name in schedules]
    rows = database.list_each("tick_lasts", names) if names else []
    return {
        schedule: Tick(schedule, float(first), float(last), count, result, reason, run)
        for schedule, first, last, count, result, reason, run in rows
    }


def _is_run(tick: Tick) -> bool:
    return tick.run is not None or tick.result == "run"


def _goes_on(before: Tick, tick: Tick) -> bool:
    return (
        not _is_run(before)
        and not _is_run(tick)
        and before.result == tick.result
        and before.reason == tick.reason
        and tick.first > before.last
    )
