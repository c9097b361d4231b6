"""Whether all runs as it should: verdicts of jobs, the kernel's own checks, those of plugins, breakers, and the kernels."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .judged import judged, worst_first
from .route import Route
from .sentence import sentence
from .site import site_of
from .typed import texts_of

if TYPE_CHECKING:
    from aiohttp import web

MOST_JOBS = 500
MOST_CHECKS = 100
MOST_PROBLEMS = 30
_STATES = ("open", "half_open", "closed")


async def show(request: web.Request) -> web.Response:
    site = site_of(request)
    control = site.kernel.control
    health, breakers, kernels = await asyncio.gather(judged(site), control.breakers_list(), control.kernels())
    jobs = worst_first([*health.jobs.values()])
    return site.page(
        request,
        "health.html",
        healthy=health.whole["healthy"],
        problems=[sentence(one, site.now, as_begun=True) for one in health.whole["problems"][:MOST_PROBLEMS]],
        problems_left_out=max(len(health.whole["problems"]) - MOST_PROBLEMS, 0),
        jobs=jobs[:MOST_JOBS],
        jobs_left_out=max(len(jobs) - MOST_JOBS, 0),
        own=worst_first(health.own)[:MOST_CHECKS],
        others={plugin: worst_first(checks)[:MOST_CHECKS] for plugin, checks in sorted(health.others.items())},
        breakers=sorted(breakers, key=lambda one: (_rank(one["state"]), one["breaker"])),
        kernels=kernels,
        store=health.whole["store"],
    )


def _rank(state: str) -> int:
    return _STATES.index(state) if state in _STATES else 0


async def reset(request: web.Request) -> web.Response:
    site = site_of(request)
    name = (await texts_of(request)).get("breaker", "")
    await site.kernel.control.breakers_reset(breaker=name)
    site.acted(request, "breakers_reset", name)
    return site.redirect("/health", told=f"{name} is closed: calls through it are made again.")


ROUTES = [
    Route("GET", "/health", show),
    Route("POST", "/health/reset", reset),
]
