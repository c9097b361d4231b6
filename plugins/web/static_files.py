"""Files that browsers fetch: styles, scripts, icons. Only names that are in the folder when the kernel starts."""

from __future__ import annotations

import hashlib
import mimetypes
from functools import cache
from typing import NamedTuple

from aiohttp import web

from .problem import Problem
from .route import Route
from .site import FOLDER, site_of

_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class _File(NamedTuple):
    body: bytes
    content_type: str
    tag: str


@cache
def _files() -> dict[str, _File]:
    found = {}
    for path in sorted((FOLDER / "static").rglob("*")):
        if path.is_file():
            body = path.read_bytes()
            kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"
            tag = hashlib.sha256(body).hexdigest()[:20]
            found[path.relative_to(FOLDER / "static").as_posix()] = _File(body, kind, tag)
    return found


async def show(request: web.Request) -> web.Response:
    file = _files().get(request.match_info["name"])
    if file is None:
        raise Problem(404, "Not found")
    headers = {"ETag": f'"{file.tag}"', "Cache-Control": "no-cache"}
    if request.headers.get("If-None-Match") == f'"{file.tag}"':
        return web.Response(status=304, headers=headers)
    return web.Response(body=file.body, content_type=file.content_type, charset="utf-8", headers=headers)


async def follow(request: web.Request) -> web.StreamResponse:
    """The topics that have changed, for pages that are open; see live.py."""
    return await site_of(request).live.serve(request)


ROUTES = [
    Route("GET", "/static/{name:.+}", show, is_open=True),
    Route("GET", "/live", follow, seconds=None),
]
