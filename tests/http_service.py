"""A service on 127.0.0.1 that a test may break: it fails, hangs, answers anything, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self

from aiohttp import web

if TYPE_CHECKING:
    from types import TracebackType


class HttpService:
    """``async with HttpService() as service``. ``answers`` are given one after the other, then ``status`` for ever."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """Path and query of each request."""
        self.asked_at: list[float] = []
        self.agents: list[str] = []
        self.status = 200
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.hangs = False
        self._released = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port: int = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._released.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.raw_path)
        self.asked_at.append(time.monotonic())
        self.agents.append(request.headers.get("User-Agent", ""))
        if self.hangs:
            await self._released.wait()
        status = self.answers.pop(0) if self.answers else self.status
        return web.Response(status=status, text="said by the service", headers=self.headers)
