"""Reminds of the cars that have gone without maintenance for too long."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kernel import Context, cron, job

from .car import Reminder
from .telling import telling

if TYPE_CHECKING:
    from datetime import timedelta

    from .car import Car
    from .fleet import Fleet


class Maintenance:
    def __init__(self, fleet: Fleet, maintenance_after: timedelta) -> None:
        self._fleet = fleet
        self._maintenance_after = maintenance_after

    async def _remind(self, ctx: Context, car: Car, due_at: datetime) -> None:
        """At most one reminder for a car and a day, however often this is tried."""
        message = f"{car.title} needs maintenance: the last was on {car.last_maintenance_at:%Y-%m-%d}"
        if await self._fleet.cars.add_reminder(Reminder(car.id, due_at.date(), datetime.now(UTC), message)):
            ctx.notify_info(message, kind="maintenance_reminder", car=car.id, title=car.title)

    @cron("0 0 * * *")
    @job(max_silence="25h")
    async def daily_maintenance_check(self, ctx: Context) -> dict[str, int]:
        # Not the time of day by the clock: after a downtime, or at a second attempt, that may be another day's.
        due_at = ctx.tick.due_at if ctx.tick else ctx.run.enqueued_at
        with telling(ctx, "daily_maintenance_check", processed=0, errors=0) as counts:
            cars = await self._fleet.cars.needing_maintenance(due_at - self._maintenance_after)
            for number, car in enumerate(cars):
                await ctx.progress(number / len(cars), car.title)
                try:
                    await self._remind(ctx, car, due_at)
                    counts["processed"] += 1
                except Exception:
                    counts["errors"] += 1
                    ctx.log.exception("no reminder for car %s", car.id)
        return counts
