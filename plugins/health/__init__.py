"""Health of jobs: when each last succeeded, how long it takes, and whether it is late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel import Check, Keep, Periodic, StoreError, every, hookimpl, job

from .checker import Checker
from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel import Kernel
    from kernel.events import EventsDropped, RunFailed, RunsCompleted

__all__ = ["Plugin", "Settings"]

WRITE_SECONDS = 5.0


class Plugin:
    """Hears how runs end, writes that down now and then, and judges by it when it is asked and on a timer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._checker: Checker | None = None
        self._writing: Periodic | None = None

    @every("1m")
    @job(queue="health", priority=0, retry=1, timeout="1m", keep=Keep(completed="1h", count=100))
    async def check_job_health(self) -> dict[str, int]:
        """Judges every job, and tells which verdicts have changed."""
        return await self._here().check()

    @hookimpl
    def register_jobs(self) -> list[Callable[..., Any]]:
        return [self.check_job_health]

    @hookimpl
    async def start(self, kernel: Kernel) -> None:
        self._checker = Checker(kernel, self._settings)
        self._writing = Periodic("health", WRITE_SECONDS, self._checker.write, kernel.clock)
        await self._writing.start()

    @hookimpl
    async def stop(self) -> None:
        if self._writing is not None:
            await self._writing.stop()
        if self._checker is not None:
            await self._checker.close()
        self._writing = self._checker = None

    @hookimpl
    async def on_events(self, events: list[RunsCompleted | RunFailed | EventsDropped]) -> None:
        if self._checker is not None:
            self._checker.hear(events)

    @hookimpl
    async def check_health(self) -> list[Check]:
        if self._checker is None:
            return []
        return await self._checker.checks()

    def _here(self) -> Checker:
        if self._checker is None:
            raise StoreError("the health plugin is not started")
        return self._checker
