"""The weekly report on the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel import Context, cron

from .telling import telling

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from .fleet import Fleet


class Report:
    def __init__(self, fleet: Fleet, maintenance_after: timedelta) -> None:
        self._fleet = fleet
        self._maintenance_after = maintenance_after

    async def _car_counts(self) -> dict[str, int]:
        cars = self._fleet.cars
        return {"car_count": await cars.count(), "available_count": await cars.count_available()}

    async def _maintenance_alerts(self, due_at: datetime) -> list[str]:
        """The titles of the cars that need maintenance, the longest waiting first."""
        cars = await self._fleet.cars.maintenance_alerts(due_at - self._maintenance_after)
        return [car.title for car in cars]

    @cron("0 6 * * 1")
    async def generate_weekly_report(self, ctx: Context) -> dict[str, Any]:
        """Without the counts there is no report; where the rest fails it has a gap, and a note that says so."""
        due_at = ctx.tick.due_at if ctx.tick else ctx.run.enqueued_at
        gaps: list[str] = []
        with telling(ctx, "generate_weekly_report", section="critical_data", gaps=gaps) as facts:
            counts = await self._car_counts()
            facts["section"] = "all"
            alerts = await ctx.optional("maintenance alerts", self._maintenance_alerts, due_at, fallback=[])
            revenue = await ctx.optional("revenue", self._fleet.partner.fetch_revenue)
            # Each note is the label, and the error, which the readers of the report need not see.
            gaps += [note.partition(":")[0] for note in ctx.notes]
        report = {
            "day": due_at.date().isoformat(),
            **counts,
            "maintenance_alerts": alerts,
            "revenue": revenue,
            "notes": f"Some data is missing: {', '.join(gaps)}" if gaps else "",
        }
        ctx.notify_info(_in_words(report), kind="weekly_report", **report)
        return report


def _in_words(report: dict[str, Any]) -> str:
    """The report as a person reads it in a mail; the facts stand below it there."""
    lines = [
        f"Weekly report of the fleet, {report['day']}: {report['car_count']} cars, {report['available_count']} of them available",
        f"{len(report['maintenance_alerts'])} cars need maintenance",
    ]
    if report["revenue"] is not None:
        lines.append(f"revenue: {sum(report['revenue'].values()) / 100:,.2f}")
    return "\n".join(lines + [report["notes"]] * bool(report["notes"]))
