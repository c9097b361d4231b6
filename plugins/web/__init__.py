"""The API and the dashboard: one HTTP server inside the kernel's process."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kernel import hookimpl

from .heard import Heard  # noqa: TC001 - its type is the subscription
from .settings import Settings

if TYPE_CHECKING:
    from kernel import Check, Kernel

    from .server import Server

__all__ = ["Plugin", "Settings"]


class Plugin:
    """Serves what ``kernel.control`` can tell and do. aiohttp and Jinja2 are imported when it is started, in a thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: Server | None = None

    @hookimpl
    async def start(self, kernel: Kernel) -> None:
        server: Any = await asyncio.to_thread(import_module, f"{__name__}.server")
        self._server = server.Server(kernel, self._settings)
        await self._server.start()

    @hookimpl
    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()
            self._server = None

    @hookimpl
    async def on_events(self, events: list[Heard]) -> None:
        if self._server is not None:
            self._server.hear(events)

    @hookimpl
    def check_health(self) -> list[Check]:
        return [] if self._server is None else self._server.checks()
