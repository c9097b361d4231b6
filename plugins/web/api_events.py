"""``GET /api/v1/events``: the kernel's life as it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .api_operation import Header, Operation
from .api_questions import Follow
from .feed import KINDS, Filter
from .problem import Problem

if TYPE_CHECKING:
    from aiohttp import web

    from .api_operation import Asked


async def follow(asked: Asked) -> web.StreamResponse:
    kinds = frozenset(filter(None, (asked.query.kinds or "").split(",")))
    for kind in sorted(kinds - KINDS.keys()):
        text = f"{kind[:60]!r}: expected names of events, as RunFailed,RunCompleted"
        raise Problem(422, "Wrong request", f"query.kinds: {text}", errors=[{"at": "query.kinds", "text": text}])
    last = asked.request.headers.get("Last-Event-ID")
    return await asked.site.feed.serve(asked.request, Filter(kinds, asked.query.job), last)


OPERATIONS = [
    Operation(
        "GET", "/api/v1/events", "followEvents",
        "The kernel's life as server-sent events; `gap` comes first when some were missed, `left_out` counts those of a flood",
        "kernel", follow, None, 200, query=Follow, media="text/event-stream", seconds=None,
        headers=(Header("Last-Event-ID", "The id of the last event that was read.", {"type": "string"}),),
    ),
]  # fmt: skip
