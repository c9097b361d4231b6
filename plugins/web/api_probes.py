"""What machines ask: is it alive, does it do its work, and its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from kernel import MainspringError, RequestError, UnknownNameError

from . import api_answers as answers
from .api_operation import Operation, told
from .problem import Problem
from .site import WHO

if TYPE_CHECKING:
    from .api_operation import Asked


async def alive(asked: Asked) -> Any:  # noqa: ARG001 - that there is an answer is the answer
    return {"alive": True}


async def ready(asked: Asked) -> web.Response:
    """Whether the kernel does its work. What is wrong has names in it, which are for who is logged in."""
    try:
        problems = (await asked.control.health())["problems"]
    except MainspringError as error:
        problems = [str(error)]
    if asked.site.is_stopping:
        problems = ["the kernel is stopping", *problems]
    found: dict[str, Any] = {"ready": not problems, "problems": len(problems)}
    if asked.request.get(WHO) is not None:
        found["details"] = problems
    return told(found, 503 if problems else 200)


async def metrics(asked: Asked) -> web.Response:
    accept = asked.request.headers.get("Accept", "")
    try:
        found = await asked.control.ask(question="metrics", about={"accept": accept})
    except UnknownNameError:
        text = "the plugin metrics is off; expected [plugins.metrics] in plugins.toml, or `mainspring plugins enable metrics`"
        raise Problem(404, "No metrics", text) from None
    except RequestError as error:
        raise Problem(503, "No metrics", str(error)) from None
    return web.Response(
        body=found["text"].encode(), headers={"Content-Type": found["content_type"], "Cache-Control": "no-store"}
    )


OPERATIONS = [
    Operation(
        "GET", "/livez", "livez", "Whether the kernel's loop answers", "probes", alive, answers.Alive, is_open=True,
    ),
    Operation(
        "GET", "/readyz", "readyz", "Whether the kernel does its work", "probes", ready, answers.Ready, also=(503,),
        is_open=True,
    ),
    Operation(
        "GET", "/metrics", "metrics", "Metrics for Prometheus, as OpenMetrics when Accept asks for it", "probes", metrics,
        None, media="text/plain", problems=(404,),
    ),
]  # fmt: skip
