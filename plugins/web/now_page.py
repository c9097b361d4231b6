"""What happens now: the first thing one sees."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kernel import MainspringError

from .route import Route
from .site import Site, site_of
from .traffic import MINUTES
from .wording import epoch, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web

    from .traffic import Minute

_SECONDS = 0.5
_HEALTH_SECONDS = 1.0
"""How long the page waits for plugins to say how they are."""
_RUNNING = 12
_FAILED = 10
_COMING = 8
_QUEUES = 8
_WRONG = 20
_WAITING = ("queued", "retrying")


async def show(request: web.Request) -> web.Response:
    site = site_of(request)
    values = await site.recent.get("now", _SECONDS, lambda: _values(site))
    extensions = getattr(site, "extensions", None)
    cards = [] if extensions is None else await extensions.cards()
    return site.page(request, "now.html", cards=cards, here=request.path_qs, **values)


async def _values(site: Site) -> dict[str, Any]:
    """All of it is the same for everyone who looks."""
    control, now = site.kernel.control, site.now
    minutes = await site.traffic.minutes()
    queues = await control.queues_list()
    kernels = await control.kernels()
    running = await control.runs_list(state="running", limit=_RUNNING)
    failed = await control.runs_list(state="failed", limit=_FAILED)
    schedules = await site.recent.get("schedules", 1.0, control.schedules_list)
    jobs = await control.jobs()
    health = await health_of(site)
    oldest = min((at for queue in queues if (at := epoch(queue["oldest_due_at"])) is not None), default=None)
    coming = sorted(
        (one for one in schedules if one["next_at"] is not None), key=lambda one: epoch(one["next_at"]) or 0
    )
    waiting = sum(queue[state] for queue in queues for state in _WAITING)
    newest = running or failed or await control.runs_list(limit=1)
    return {
        "running_count": sum(queue["running"] for queue in queues),
        "concurrency": site.kernel.figures()["concurrency"] * max(sum(one["state"] == "alive" for one in kernels), 1),
        "kernels": kernels,
        "waiting": waiting,
        "oldest": oldest if oldest is not None and oldest <= now and waiting else None,
        "completed": sum(minute.completed for minute in minutes),
        "failed_count": sum(minute.failed for minute in minutes),
        "charts": charts_of(minutes),
        "running": [_going(run, now) for run in running],
        "failed": failed,
        "health": health,
        "wrong": _wrong(health, {job["job"] for job in jobs}),
        "coming": coming[:_COMING],
        "coming_count": len(coming),
        "queues": sorted((one for one in queues if _has_work(one)), key=lambda one: -one["queued"])[:_QUEUES],
        "is_new": not newest,
        "has_jobs": bool(jobs),
    }


async def health_of(site: Site) -> dict[str, Any] | None:
    """None while plugins do not say how they are; the page does not wait for them."""
    try:
        async with asyncio.timeout(_HEALTH_SECONDS):
            return await site.recent.get("health", 2.0, site.kernel.control.health)
    except (TimeoutError, MainspringError):
        return None


def charts_of(minutes: Sequence[Minute]) -> list[dict[str, Any]]:
    """Each with what a chart is drawn from and, in words, what it shows."""
    at = [minute.at for minute in minutes]
    series = [
        ("Completed", "good", [minute.completed for minute in minutes]),
        ("Failed", "bad", [minute.failed for minute in minutes]),
    ]
    return [
        {
            "title": title,
            "data": {"at": at, "series": [{"label": title, "tone": tone, "values": values, "bars": True}]},
            "total": sum(values),
            "text": _in_words(title.lower(), values),
        }
        for title, tone, values in series
    ]


def _in_words(what: str, values: Sequence[int]) -> str:
    total = sum(values)
    if not total:
        return f"No run {what} in the last hour."
    most = max(values)
    ago = len(values) - 1 - max(number for number, value in enumerate(values) if value == most)
    when = "in this minute" if ago == 0 else f"{plural(ago, 'minute')} ago"
    last = sum(values[-5:])
    return (
        f"{plural(total, 'run')} {what} in the last {MINUTES} minutes, {last:,} of them in the last five; "
        f"the most in one minute were {most:,}, {when}."
    )


def _going(run: Mapping[str, Any], now: float) -> dict[str, Any]:
    began = epoch(run["started_at"])
    return {**run, "seconds": None if began is None else max(now - began, 0.0)}


def _has_work(queue: Mapping[str, Any]) -> bool:
    return queue["paused"] or any(queue[state] for state in ("queued", "scheduled", "retrying", "blocked", "running"))


def _wrong(health: Mapping[str, Any] | None, jobs: set[str]) -> list[dict[str, Any]]:
    """What is not as it should be, each with the place where one can do something."""
    if health is None:
        return []
    checks = [check for check in health["checks"] if not check["ok"] or check["verdict"] == "degraded"]
    return [{**check, "to": _place_of(check["subject"], jobs)} for check in checks[:_WRONG]]


def _place_of(subject: str, jobs: set[str]) -> tuple[str, str]:
    """An address, and the name that goes into it as it is."""
    kind, _, name = subject.partition(" ")
    if subject in jobs:
        return "/jobs/one?name=", subject
    if kind == "run" and name:
        return "/runs/", name
    if kind == "schedule" and name:
        return "/schedules/one?name=", name
    if kind == "incident" and (job := name.partition("/")[0]) in jobs:
        return "/jobs/one?name=", job
    if kind == "plugin":
        return "/plugins", ""
    return "/health", ""


ROUTES = [Route("GET", "/", show)]
