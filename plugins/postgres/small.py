"""The small tables: queues, breakers, schedules, kernels and what they announce, the values of plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.contracts.store import Announced, BreakerRow, KernelRow, Member, Signals
from kernel.model.schedule import ScheduleRow

from .ends import lock_schedules
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


async def schedules(database: Database, names: Sequence[str] | None) -> list[ScheduleRow]:
    rows = await (database.rows("schedules") if names is None else database.rows("schedules_of", list(names)))
    return [ScheduleRow(*row) for row in rows]


async def put_schedules(database: Database, rows: Sequence[ScheduleRow], *, back: bool) -> list[bool]:
    names, definitions, dynamic, anchors, untils, paused, versions = zip(*sorted(rows), strict=True)
    await lock_schedules(database, names)
    found = await database.rows("schedule_new", names, dynamic, anchors, untils, paused, versions)
    found += await database.rows("schedule_put", names, dynamic, anchors, untils, versions, back)
    written = {row[0] for row in found}
    if written:
        texts = dict(zip(names, definitions, strict=True))
        await database.change("schedule_define", sorted(written), [texts[name] for name in sorted(written)])
        await database.signal("schedules")
    return [row.name in written for row in rows]


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


async def members(database: Database) -> list[Member]:
    return [Member(KernelRow(*row), is_alive, running) for *row, is_alive, running in await database.rows("members")]


async def beat(database: Database, kernel: str, now: float) -> None:
    await database.change("kernel_beat", kernel, now)


async def announce(database: Database, kernel: str, jobs: Sequence[Announced]) -> None:
    """By the database's clock: kernels' own may differ by more than lies between two starts."""
    last = sorted({one.job: one for one in jobs}.values())
    await database.change("announced_clear", kernel, [one.job for one in last])
    if last:
        await database.change("announce", kernel, *zip(*last, strict=True))


async def announced(database: Database) -> list[Announced]:
    return [Announced(*row) for row in await database.rows("announced")]


async def announced_elsewhere(database: Database, kernel: str) -> set[str]:
    return {row[0] for row in await database.rows("announced_elsewhere", kernel)}


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
