"""Listens, and takes each request to its handler."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from aiohttp import web

from kernel import Check

from .body import MOST_BODY
from .door import SILENT_SECONDS, Door
from .guard import HEADERS, Guard, add_headers, shield
from .routes import ROUTES
from .settings import address_of, is_private
from .site import SITE, Site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel import Kernel

    from .heard import Heard
    from .settings import Settings

log = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0
_STOP_SECONDS = 1.0
_ASKED_FOR = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound by this


class Server:
    """An address that is taken is told once, and tried again: another kernel may be about to end."""

    def __init__(self, kernel: Kernel, settings: Settings, *, again: float = AGAIN_SECONDS) -> None:
        self.site = Site(kernel, settings)
        self.url = ""
        """Where it is; empty until it listens."""
        self._host, self._port = address_of(settings.listen)
        self._is_private = is_private(self._host)
        self._again = again
        self._problem = ""
        self._task: asyncio.Task[None] | None = None
        self._listening: asyncio.Server | None = None
        guard = Guard(self.site)
        app = web.Application(client_max_size=MOST_BODY, middlewares=[shield(guard)])
        app[SITE] = self.site
        app.on_response_prepare.append(add_headers)
        for route in ROUTES:
            app.router.add_route(route.method, route.path, guard.wrap(route))
            if route.method == "GET" and route.seconds is not None:
                app.router.add_route("HEAD", route.path, guard.wrap(route))
        self.app = app
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_STOP_SECONDS,
            keepalive_timeout=SILENT_SECONDS,
        )

    async def start(self) -> None:
        self._warn()
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
        if self._listening is not None:
            self._listening.close()
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

    def _warn(self) -> None:
        if not self._is_private and not self.site.settings.https:
            log.warning(
                "the web plugin: others can read tokens and cookies on their way to %s, for it is not encrypted; "
                'expected https in front of it, and `https = true`, or listen = "127.0.0.1:%d"',
                self.site.settings.listen, self._port,
            )  # fmt: skip

    async def _try_again(self) -> None:
        while self._problem:
            await asyncio.sleep(self._again)
            await self._listen()

    async def _listen(self) -> None:
        try:
            door = Door(cast("web.Server", self._runner.server), HEADERS)
            self._listening = await asyncio.get_running_loop().create_server(door, self._host, self._port)
        except OSError as error:
            self._problem = error.strerror or str(error)
            return
        self._problem = ""
        # Of all addresses one that can be asked for, and that the guard knows.
        name = _ASKED_FOR.get(self._host, self._host)
        host = f"[{name}]" if ":" in name else name
        self.url = f"http://{host}:{self._listening.sockets[0].getsockname()[1]}/"
        log.warning("the dashboard is at %s", self.url)
