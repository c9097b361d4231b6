"""Looks of schedules: what holds is decided and written in the transaction that moves ``looked_until``."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from kernel.contracts.store import Look, Looked, Unfinished
from kernel.model.errors import StoreError
from kernel.model.schedule import Tick

from .control import Found, end, find, parents_of
from .ends import after_ends, lock_schedules
from .enqueue import insert
from .rows import state_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .database import Database

_AHEAD_SECONDS = 1.0
"""How far a kernel's instants may be ahead of the database's clock: more than what is left when they are corrected."""


async def look(
    database: Database, looks: Sequence[Look], decide: Callable[[Look, Sequence[Unfinished]], Looked]
) -> list[Looked | None]:
    """Looks of one schedule go one after another, all others together."""
    await _check_clock(database, max(one.until for one in looks))
    answers: list[Looked | None] = [None] * len(looks)
    await lock_schedules(database, (one.schedule for one in looks))
    for together in _rounds(looks):
        names = sorted({looks[number].schedule for number in together})
        rows = {row[0]: (row[1], row[2]) for row in await database.rows("schedule_rows", names)}
        holding = [
            number
            for number in together
            if rows.get(looks[number].schedule) == (looks[number].expected, looks[number].version)
        ]
        if not holding:
            continue
        unfinished: defaultdict[str, list[Unfinished]] = defaultdict(list)
        for schedule, run, state in await database.rows(
            "unfinished_of", sorted(looks[number].schedule for number in holding)
        ):
            unfinished[schedule].append(Unfinished(run, state_name(state)))
        held: list[tuple[Look, Looked]] = []
        for number in holding:
            looked = answers[number] = decide(looks[number], unfinished[looks[number].schedule])
            held.append((looks[number], looked))
        await _write(database, held)
    return answers


async def _check_clock(database: Database, until: float) -> None:
    now: float = await database.value("clock")
    if until > now + _AHEAD_SECONDS:
        raise StoreError(
            f"a look at ticks up to {until - now:.1f} s ahead of the database's clock is refused: "
            "set this machine's clock right, or wait until the kernel has measured by how much it is off"
        )


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


async def _write(database: Database, held: list[tuple[Look, Looked]]) -> None:
    """Cancels first, so that a new run may take a unique key; lets blocked runs go last, the new ones among them."""
    await database.change("look_until", [one.schedule for one, _ in held], [one.until for one, _ in held])
    ended = await _cancel(database, held)
    runs = [run for _, looked in held for run in looked.runs]
    if runs:
        _, added = await insert(database, runs)
        database.known.room.add(added)
        database.has_news = True
    for until, found in ended.items():
        await after_ends(database, parents_of(found), {run.schedule for run in found}, until)
    await _write_ticks(database, [tick for _, looked in held for tick in looked.ticks])


async def _cancel(database: Database, held: list[tuple[Look, Looked]]) -> dict[float, list[Found]]:
    """until -> the waiting runs that were cancelled."""
    wanted: defaultdict[tuple[str, float], list[str]] = defaultdict(list)
    for one, looked in held:
        if looked.cancel:
            wanted[looked.cancel_reason, one.until] += looked.cancel
    ended: defaultdict[float, list[Found]] = defaultdict(list)
    for (reason, until), ids in wanted.items():
        ended[until] += await end(database, await find(database, list(dict.fromkeys(ids)), locked=True), reason, until)
    return ended


async def _write_ticks(database: Database, ticks: Sequence[Tick]) -> None:
    """A line that goes on where its schedule's last one ended, in the same way, makes that one longer."""
    names = sorted({tick.schedule for tick in ticks if not _is_run(tick)})
    last = {row[0]: Tick(*row) for row in await database.rows("tick_lasts", names)} if names else {}
    lines: dict[tuple[str, float], Tick] = {}
    for tick in ticks:
        before = last.get(tick.schedule)
        line = tick
        if before is not None and _goes_on(before, tick):
            line = before._replace(last=tick.last, count=before.count + tick.count)
        last[tick.schedule] = lines[line.schedule, line.first] = line
    if lines:
        await database.change("tick_write", *zip(*lines.values(), strict=True))


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
