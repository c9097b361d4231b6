"""A rental fleet: the demo, and an example of how jobs are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from kernel import hookimpl

from .fleet import Fleet
from .maintenance import Maintenance
from .processing import Processing
from .report import Report
from .settings import Settings
from .sync import Sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel import Kernel

__all__ = ["Plugin", "Settings"]


class Plugin:
    """Hands the fleet to its jobs, and keeps it open while they may run."""

    def __init__(self, settings: Settings) -> None:
        self._fleet = Fleet(settings)
        maintenance_after = timedelta(days=settings.maintenance_after_days)
        self._maintenance = Maintenance(self._fleet, maintenance_after)
        self._sync = Sync(self._fleet)
        self._report = Report(self._fleet, maintenance_after)
        self._processing = Processing(self._fleet)

    @hookimpl
    def register_jobs(self) -> list[Callable[..., Any]]:
        return [
            self._maintenance.daily_maintenance_check,
            self._sync.sync_car_data,
            self._sync.sync_with_retry,
            self._sync.sync_with_external_api,
            self._report.generate_weekly_report,
            self._processing.initialize_cache,
            self._processing.process_car,
        ]

    @hookimpl
    async def start(self, kernel: Kernel) -> None:
        now = datetime.fromtimestamp(kernel.clock.now(), UTC)
        await self._fleet.open(kernel.config.source.folder, now)

    @hookimpl
    async def stop(self) -> None:
        await self._fleet.close()
