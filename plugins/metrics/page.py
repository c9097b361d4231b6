"""``GET /metrics`` on an address of its own."""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 5.0
_STOP_SECONDS = 1.0


class Page:
    """Listens until it is stopped. An address that is taken is told once, and tried again: another kernel may be about to end."""

    def __init__(
        self,
        host: str,
        port: int,
        write: Callable[[str], Awaitable[tuple[bytes, str]]],
        *,
        again: float = _AGAIN_SECONDS,
    ) -> None:
        self._host = host
        self._port = port
        self._write = write
        self._again = again
        self._runner: Any = None
        self._task: asyncio.Task[None] | None = None
        self.url = ""
        """Where it is; empty until it listens."""

    async def start(self) -> None:
        self._web = await asyncio.to_thread(import_module, "aiohttp.web")  # slow, and the loop must not wait for it
        app = self._web.Application(client_max_size=1024)
        app.router.add_get("/metrics", self._answer)
        self._runner = self._web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=_STOP_SECONDS
        )
        await self._runner.setup()
        problem = await self._listen()
        if problem is not None:
            log.warning(
                "the metrics are not offered on %s: %s; it is tried again every %g s, and `mainspring metrics` tells them",
                self._address(self._port), problem, self._again,
            )  # fmt: skip
            self._task = asyncio.create_task(self._try_again(), name="mainspring:metrics")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._runner is not None:
            await self._runner.cleanup()

    async def _try_again(self) -> None:
        is_there = False
        while not is_there:
            await asyncio.sleep(self._again)
            is_there = await self._listen() is None

    async def _listen(self) -> str | None:
        """What is in the way."""
        try:
            await self._web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            return error.strerror or str(error)
        self.url = f"http://{self._address(self._runner.addresses[0][1])}/metrics"
        log.info("metrics: %s", self.url)
        return None

    def _address(self, port: int) -> str:
        return f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"

    async def _answer(self, request: Any) -> Any:
        body, kind = await self._write(request.headers.get("Accept", ""))
        return self._web.Response(body=body, headers={"Content-Type": kind, "Cache-Control": "no-store"})
