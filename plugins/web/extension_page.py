"""The pages and addresses of other plugins. aiohttp takes no route once it listens: so one for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .api_reading import read_json
from .extensions import METHODS
from .route import Route
from .site import site_of

if TYPE_CHECKING:
    from aiohttp import web
    from markupsafe import Markup


async def serve(request: web.Request) -> web.StreamResponse:
    site = site_of(request)
    if request.content_type == "application/json" and (body := await request.read()):
        read_json(body)  # what is none is the fault of who sent it, not of the plugin that reads it

    def page(title: str, content: Markup) -> web.Response:
        return site.page(request, "extension.html", title=title, body=content)

    return await site.extensions.serve(request, page)


ROUTES = [Route(method, "/x/{plugin}/{tail:.*}", serve) for method in METHODS]
