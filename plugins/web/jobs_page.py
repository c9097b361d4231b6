"""To be made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .route import Route
from .site import site_of

if TYPE_CHECKING:
    from aiohttp import web


async def show(request: web.Request) -> web.Response:
    return site_of(request).page(request, "soon.html")


ROUTES = [Route("GET", "/jobs", show)]
