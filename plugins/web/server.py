"""Listens, and takes each request to its handler."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import web

from kernel import Check

from .guard import Guard, add_headers, shield
from .routes import ROUTES
from .settings import address_of
from .site import SITE, Site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel import Kernel

    from .heard import Heard
    from .settings import Settings

log = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0
MOST_BODY = 1024 * 1024
_LONGEST_LINE = 8_190
_STOP_SECONDS = 1.0


class Server:
    """An address that is taken is told once, and tried again: another kernel may be about to end."""

    def __init__(self, kernel: Kernel, settings: Settings, *, again: float = AGAIN_SECONDS) -> None:
        self.site = Site(kernel, settings)
        self.url = ""
        """Where it is; empty until it listens."""
        self._host, self._port = address_of(settings.listen)
        self._again = again
        self._problem = ""
        self._task: asyncio.Task[None] | None = None
        guard = Guard(self.site)
        app = web.Application(client_max_size=MOST_BODY, middlewares=[shield])
        app[SITE] = self.site
        app.on_response_prepare.append(add_headers)
        for route in ROUTES:
            app.router.add_route(route.method, route.path, guard.wrap(route))
        self.app = app
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_STOP_SECONDS,
            keepalive_timeout=30.0,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
        )

    async def start(self) -> None:
        await self.site.start()
        await self._runner.setup()
        await self._listen()
        if self._problem:
            log.warning(
                "the web plugin cannot listen on %s: %s; it is tried again every %g s",
                self.site.settings.listen, self._problem, self._again,
            )  # fmt: skip
            self._task = asyncio.create_task(self._try_again(), name="mainspring:web")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self.site.stop()  # its streams end, for which the runner would wait
        await self._runner.cleanup()

    def hear(self, events: Sequence[Heard]) -> None:
        self.site.hear(events)

    def checks(self) -> list[Check]:
        """That nobody can look is no reason to take the kernel for unhealthy."""
        if self._problem:
            return [
                Check("web", "degraded", ok=True, text=f"cannot listen on {self.site.settings.listen}: {self._problem}")
            ]
        return [Check("web", "healthy", ok=True, text=self.url)]

    async def _try_again(self) -> None:
        while self._problem:
            await asyncio.sleep(self._again)
            await self._listen()

    async def _listen(self) -> None:
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            self._problem = error.strerror or str(error)
            return
        self._problem = ""
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{host}:{self._runner.addresses[0][1]}/"
        log.warning("the dashboard is at %s", self.url)
