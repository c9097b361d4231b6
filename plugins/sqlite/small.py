"""The small tables: queues, schedules, kernels and what they announce, the values of plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.contracts.store import Announced, BreakerRow, KernelRow, Signals
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


def schedules(database: Database) -> list[ScheduleRow]:
    return [
        ScheduleRow(name, definition, bool(dynamic), anchor, looked_until, None if paused is None else bool(paused))
        for name, definition, dynamic, anchor, looked_until, paused in database.rows("schedules")
    ]


def put_schedules(database: Database, rows: Sequence[ScheduleRow]) -> None:
    if rows:
        last = list({row.name: row for row in rows}.values())
        database.change_each("schedule_put", [(row.name, *row[2:]) for row in last])
        database.change_each("schedule_define", [(row.name, row.definition) for row in last])
        database.signal("schedules")


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
