"""Connections before they are requests: how many there may be, how long one may say nothing, and what is no HTTP."""

from __future__ import annotations

import asyncio
import logging
import resource
from typing import TYPE_CHECKING, cast

from aiohttp import web

from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 1_000
SILENT_SECONDS = 10.0
"""For a request's line and headers, and until the next request on a connection that is kept open."""
LINGER_SECONDS = 5.0
"""So long a body is read on that nobody wants, so that its sender gets to read the answer."""
LONGEST_LINE = 8_190
MOST_HEADERS = 100


class Door:
    """Makes the protocol of each new connection. One too many is closed at once: the kernel needs files of its own."""

    def __init__(self, server: web.Server, headers: Mapping[str, str]) -> None:
        self._server = server
        self._headers = headers
        self._most = min(MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)

    def __call__(self) -> asyncio.Protocol:
        if len(self._server.connections) >= self._most:
            return _Closed()
        connection = _Connection(
            self._server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp's way to have none
            keepalive_timeout=SILENT_SECONDS,
            lingering_time=LINGER_SECONDS,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            max_headers=MOST_HEADERS,
            auto_decompress=False,
        )
        connection.headers = self._headers
        return connection


class _Closed(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


class _Connection(web.RequestHandler):
    __slots__ = ("headers",)
    headers: Mapping[str, str]

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it holds what was sent
    ) -> web.StreamResponse:
        """aiohttp's own writes what was sent into the log and into the answer: a token it may be."""
        if status == 500 and not isinstance(exc, ConnectionError):
            log.error("%s %s failed", request.method, request.path, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun; there can be no other one")
        text = f"expected a request of HTTP/1.1, lines of at most {LONGEST_LINE} bytes, at most {MOST_HEADERS} headers"
        problem = Problem(status, "Bad request", text) if status == 400 else Problem(status, "It failed")
        response = answer_of(problem)
        response.headers.update(self.headers)
        response.force_close()
        return response


def answer_of(problem: Problem) -> web.Response:
    """The problem as programs read it."""
    return web.json_response(
        problem.as_json(),
        status=problem.status,
        headers=problem.headers,
        content_type="application/problem+json",
    )
