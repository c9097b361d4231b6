"""How many runs wait where, what holds them back; and pausing, resuming and resizing queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel import words

from .problem import Problem
from .route import Route
from .schema_sentence import often
from .site import site_of
from .typed import texts_of

if TYPE_CHECKING:
    from aiohttp import web

MOST_QUEUES = 300
PAUSES = {"10m": "for 10 minutes", "1h": "for an hour", "": "until it is resumed"}
_WAITING_BY_DEFAULT = 1_000_000


async def show(request: web.Request) -> web.Response:
    site = site_of(request)
    queues = await site.kernel.control.queues_list()
    wanted = request.query.get("named", "").strip()[:100]
    found = [one for one in queues if wanted.casefold() in one["queue"].casefold()]
    return site.page(
        request,
        "queues.html",
        queues=[one | {"limits": _limits(one), "waiting": _waiting(one)} for one in found[:MOST_QUEUES]],
        left_out=max(len(found) - MOST_QUEUES, 0),
        total=len(queues),
        named=wanted,
        pauses=PAUSES,
        sums={name: sum(one[name] for one in queues) for name in ("running", "queued", "retrying", "scheduled")},
        file=(await site.kernel.control.config())["path"],
    )


def _waiting(queue: dict[str, Any]) -> int:
    return int(queue["queued"] + queue["retrying"] + queue["scheduled"] + queue["blocked"])


def _limits(queue: dict[str, Any]) -> list[str]:
    """In words; none that does not bite."""
    found = []
    if queue["concurrency"] is not None:
        where = " in each kernel" if queue["concurrency_scope"] == "kernel" else ""
        found.append(f"{queue['concurrency']:,} at once{where}")
    if queue["rate_limit"] is not None:
        found.append(often(queue["rate_limit"]))
    if queue["max_waiting"] not in (None, _WAITING_BY_DEFAULT):
        found.append(f"{queue['max_waiting']:,} may wait")
    return found


async def pause(request: web.Request) -> web.Response:
    site, form = site_of(request), await texts_of(request)
    queue, given = form.get("queue", ""), form.get("for", "")
    if given not in PAUSES:
        raise Problem(422, "Wrong wish", "for: expected one of 10m, 1h, or nothing: until it is resumed")
    await site.kernel.control.queues_pause(queue=queue, duration=given or None)
    length = f" for {words(600.0 if given == '10m' else 3600.0)}" if given else " until it is resumed"
    site.acted(request, "queues_pause", queue, length.strip())
    return site.redirect("/queues", told=f"{queue} is paused{length}. What runs already goes on.")


async def resume(request: web.Request) -> web.Response:
    site, form = site_of(request), await texts_of(request)
    queue = form.get("queue", "")
    await site.kernel.control.queues_resume(queue=queue)
    site.acted(request, "queues_resume", queue)
    return site.redirect("/queues", told=f"{queue} goes on.")


async def resize(request: web.Request) -> web.Response:
    site, form = site_of(request), await texts_of(request)
    queue, text = form.get("queue", ""), form.get("concurrency", "").strip()
    if text and not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Problem(
            422, "Wrong size", "concurrency: expected a whole number from 1 to 100,000, or nothing for no limit"
        )
    limit = int(text) if text else None
    await site.kernel.control.queues_resize(queue=queue, concurrency=limit)
    told = "no limit" if limit is None else f"{limit:,} at once"
    site.acted(request, "queues_resize", queue, told)
    return site.redirect("/queues", told=f"{queue} has {told} now; it stands in plugins.toml.")


ROUTES = [
    Route("GET", "/queues", show),
    Route("POST", "/queues/pause", pause),
    Route("POST", "/queues/resume", resume),
    Route("POST", "/queues/resize", resize),
]
