"""Notices for people: what fails, what is told by jobs, by log, webhook, e-mail and more.

From an event to a person: sources (what it means), incidents (what of it is told when), rules (to whom), redaction,
outbox (one a channel, tried again), and the channels: log, webhook, slack, mail, apprise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel import Check, hookimpl

from .notifier import Notifier
from .settings import Settings
from .sources import Heard  # noqa: TC001 - the annotation of a hook is read

if TYPE_CHECKING:
    from kernel import Kernel

__all__ = ["Plugin", "Settings"]


class Plugin:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._notifier: Notifier | None = None

    @hookimpl
    async def start(self, kernel: Kernel) -> None:
        self._notifier = Notifier(self._settings, kernel)
        await self._notifier.start()

    @hookimpl
    async def stop(self) -> None:
        notifier, self._notifier = self._notifier, None
        if notifier is not None:
            await notifier.stop()

    @hookimpl
    async def on_events(self, events: list[Heard]) -> None:
        if self._notifier is not None:
            self._notifier.hear(events)

    @hookimpl
    async def check_health(self) -> list[Check]:
        """What is open, and the channels: those are never a reason not to be ready, for the work goes on without notices."""
        if self._notifier is None:
            return []
        return [
            *self._notifier.open_checks(),
            *(
                Check(
                    f"notices by {name.strip()}",
                    "degraded" if box.trouble else "healthy",
                    True,
                    box.trouble,
                    box.troubled_since,
                )
                for name, box in self._notifier.deliveries.outboxes.items()
            ),
        ]
