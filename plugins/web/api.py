"""``/api/v1``: all operations, and the description of them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from aiohttp import web

from . import api_events, api_probes, api_runs, api_schedules, api_work
from .api_answers import Described
from .api_document import as_text
from .api_operation import Operation

if TYPE_CHECKING:
    from .api_operation import Asked


async def describe(_asked: Asked) -> web.Response:
    return web.Response(text=_text(), content_type="application/json", headers={"Cache-Control": "no-cache"})


@cache
def _text() -> str:
    return as_text(OPERATIONS)


OPERATIONS = [
    *api_runs.OPERATIONS,
    *api_schedules.OPERATIONS,
    *api_work.OPERATIONS,
    *api_events.OPERATIONS,
    *api_probes.OPERATIONS,
    Operation("GET", "/api/v1/openapi.json", "describe", "This description", "kernel", describe, Described),
]
ROUTES = [one.route() for one in OPERATIONS]
