"""The small tables: queues, breakers, schedules, kernels and what they announce, the values of plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.contracts.store import Announced, BreakerRow, KernelRow, Signals
from kernel.model.schedule import ScheduleRow

from .rows import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .database import Database


async def signals(database: Database) -> Signals:
    return Signals(*await database.row("signals"))


async def pause_queue(database: Database, queue: str, until: float | None) -> None:
    await database.change("queue_pause", queue, until)
    await database.signal("queues")


async def breakers(database: Database) -> list[BreakerRow]:
    return [BreakerRow(*row) for row in await database.rows("breakers")]


async def put_breaker(database: Database, row: BreakerRow) -> bool:
    is_first = await database.change("breaker_put", *row[:-1], clean(row.error)) > 0
    if is_first:
        await database.signal("breakers")
    return is_first


async def schedules(database: Database) -> list[ScheduleRow]:
    return [ScheduleRow(*row) for row in await database.rows("schedules")]


async def put_schedules(database: Database, rows: Sequence[ScheduleRow]) -> None:
    if rows:
        last = sorted({row.name: row for row in rows}.values())
        names, definitions, *columns = zip(*last, strict=True)
        await database.change("schedule_put", names, *columns)
        await database.change("schedule_define", names, definitions)
        await database.signal("schedules")


async def remove_schedules(database: Database, names: Sequence[str]) -> None:
    if names:
        for name in ("schedule_remove", "schedule_forget"):
            await database.change(name, sorted(names))
        await database.signal("schedules")


async def pause_schedule(database: Database, name: str, paused: bool | None) -> bool:
    is_there = await database.change("schedule_pause", name, paused) > 0
    if is_there:
        await database.signal("schedules")
    return is_there


async def kernels(database: Database) -> list[KernelRow]:
    return [KernelRow(*row) for row in await database.rows("kernels")]


async def beat(database: Database, kernel: str, now: float) -> None:
    await database.change("kernel_beat", kernel, now)


async def announce(database: Database, kernel: str, jobs: Sequence[Announced], now: float) -> None:
    """Of several kernels what the one that was started last announces holds."""
    if await database.value("announced_by_newer", kernel):
        return
    await database.change("announced_clear")
    if jobs:
        last = sorted({one.job: one for one in jobs}.values())
        await database.change("announce", *zip(*last, strict=True), kernel, now)


async def announced(database: Database) -> list[Announced]:
    return [Announced(*row) for row in await database.rows("announced")]


async def get(database: Database, plugin: str, keys: Sequence[str] | None) -> dict[str, str]:
    return dict(await database.rows("plugin_get", plugin, keys))


async def put(database: Database, plugin: str, values: Mapping[str, str | None]) -> None:
    written = sorted((key, value) for key, value in values.items() if value is not None)
    deleted = sorted(key for key, value in values.items() if value is None)
    if written:
        await database.change("plugin_put", plugin, *zip(*written, strict=True))
    if deleted:
        await database.change("plugin_delete", plugin, deleted)


async def sign_out(database: Database, kernel: str) -> None:
    await database.change("kernel_remove", kernel)
