"""The small tables: queues, schedules, kernels and what they announce, the values of plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.contracts.store import Announced, BreakerRow, KernelRow, Member, Signals
from kernel.model.schedule import ScheduleRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .database import Database


def signals(database: Database) -> Signals:
    return Signals(*database.row("signals"))


def pause_queue(database: Database, queue: str, until: float | None) -> None:
    if until is None:
        database.change("queue_resume", queue)
    else:
        database.change("queue_pause", queue, until)
    database.signal("queues")


def breakers(database: Database) -> list[BreakerRow]:
    return [BreakerRow(*row) for row in database.rows("breakers")]


def put_breaker(database: Database, row: BreakerRow) -> bool:
    is_written = database.change("breaker_put", **row._asdict()) > 0
    if is_written:
        database.signal("breakers")
    return is_written


def schedules(database: Database, names: Sequence[str] | None) -> list[ScheduleRow]:
    wanted = None if names is None else set(names)
    return [
        ScheduleRow(name, definition, bool(dynamic), anchor, until, None if paused is None else bool(paused), version)
        for name, definition, dynamic, anchor, until, paused, version in database.rows("schedules")
        if wanted is None or name in wanted
    ]


def put_schedules(database: Database, rows: Sequence[ScheduleRow], *, back: bool) -> list[bool]:
    if not rows:
        return []
    versions = dict(database.list_each("schedule_versions", [(row.name,) for row in rows]))
    written = [row for row in rows if row.version == versions.get(row.name, 0) + 1]
    if written:
        database.change_each("schedule_put", [(row.name, *row[2:]) for row in written])
        if back:
            database.change_each("schedule_back", [(row.name, row.looked_until) for row in written])
        database.change_each("schedule_define", [(row.name, row.definition) for row in written])
        database.signal("schedules")
    names = {row.name for row in written}
    return [row.name in names for row in rows]


def remove_schedules(database: Database, names: Sequence[str]) -> None:
    if names:
        for name in ("schedule_remove", "schedule_forget"):
            database.change_each(name, [(one,) for one in names])
        database.signal("schedules")


def pause_schedule(database: Database, name: str, paused: bool | None) -> bool:
    is_there = database.change("schedule_pause", paused, name) > 0
    if is_there:
        database.signal("schedules")
    return is_there


def kernels(database: Database) -> list[KernelRow]:
    return [KernelRow(*row) for row in database.rows("kernels")]


def members(database: Database, alive: str | None) -> list[Member]:
    return [Member(KernelRow(*row[:-1]), row[0] == alive, row[-1]) for row in database.rows("members")]


def sign_out(database: Database, kernels: Iterable[str]) -> None:
    database.change_each("kernel_remove", [(kernel,) for kernel in kernels])


def beat(database: Database, kernel: str, now: float) -> None:
    database.change("kernel_beat", now, kernel)


def announce(database: Database, jobs: Sequence[Announced], now: float) -> None:
    database.change("announced_clear")
    if jobs:
        database.change_each("announce", [(*job, now) for job in jobs])


def announced(database: Database) -> list[Announced]:
    return [Announced(*row) for row in database.rows("announced")]


def get(database: Database, plugin: str, keys: Sequence[str] | None) -> dict[str, str]:
    if keys is None:
        return dict(database.rows("plugin_get", plugin=plugin, key=None))
    return {key: value for wanted in keys for key, value in database.rows("plugin_get", plugin=plugin, key=wanted)}


def put(database: Database, plugin: str, values: Mapping[str, str | None]) -> None:
    written = [(plugin, key, value) for key, value in values.items() if value is not None]
    deleted = [(key,) for key, value in values.items() if value is None]
    if written:
        database.change_each("plugin_put", written)
    if deleted:
        database.change_each("plugin_delete", deleted, plugin)
