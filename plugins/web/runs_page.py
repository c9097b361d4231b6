"""Runs, newest first: those that fit a filter, a page at a time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kernel import RequestError, UnknownNameError

from .route import Route
from .runs_filter import NAMES, SPANS, TABS, filter_of, for_control, in_words, may_fit
from .site import Site, site_of
from .visible import line
from .wording import epoch, query

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from aiohttp import web

A_PAGE = 50
_MOST_NAMES = 500
_MOST_TEXT = 160
_WAITS = {"blocked": "waits for runs it depends on", "queued": "waits in {queue}", "scheduled": "goes to {queue}"}


async def show(request: web.Request) -> web.Response:
    site = site_of(request)
    given, before = filter_of(request.query), request.query.get("before", "")
    found: list[dict[str, Any]] = []
    refused: RequestError | None = None
    try:
        more = {"before": before} if before else {}
        found = await site.kernel.control.runs_list(limit=A_PAGE + 1, **for_control(given), **more)
    except RequestError as error:
        refused = error
    jobs = await site.kernel.control.jobs()
    shown = found[:A_PAGE]
    paused = await _paused(site) if any(run["state"] == "queued" for run in shown) else set[str]()
    return site.page(
        request,
        "runs.html",
        status=400 if refused and not isinstance(refused, UnknownNameError) else 200,
        given=given,
        fields={name: given.get(name, "") for name in NAMES},
        chips=in_words(given),
        before=before,
        here="/runs" + query(given),
        rows=[_row(run, site.now, paused) for run in shown],
        older=shown[-1]["id"] if len(found) > A_PAGE else None,
        refused="" if refused is None else str(refused),
        nearest=_nearest(given, refused),
        tabs=TABS,
        spans=SPANS,
        purposes=[one for one in ("retry", "cancel") if given and shown and may_fit(one, given.get("state", ""))],
        jobs=[job["job"] for job in jobs][:_MOST_NAMES],
        queues=sorted({job["queue"] for job in jobs})[:_MOST_NAMES],
        has_more={"queue", "tag", "schedule", "until"} & given.keys() or given.get("since", "1h") not in SPANS,
    )


def _nearest(given: dict[str, str], refused: RequestError | None) -> dict[str, str] | None:
    """The filter with the name that may have been meant."""
    if isinstance(refused, UnknownNameError) and refused.kind in given and refused.nearest:
        return given | {refused.kind: refused.nearest}
    return None


async def _paused(site: Site) -> set[str]:
    queues = await site.recent.get("queues", 1.0, site.kernel.control.queues_list)
    return {one["queue"] for one in queues if one["paused"]}


def _row(run: Mapping[str, Any], now: float, paused: AbstractSet[str]) -> dict[str, Any]:
    began, ended = epoch(run["started_at"]), epoch(run["finished_at"])
    until = now if run["state"] == "running" else ended
    return {
        **run,
        "seconds": None if began is None or until is None or not run["attempt"] else max(until - began, 0.0),
        "says": _says(run, paused),
        "is_faint": run["state"] in _WAITS,
        "is_error": run["state"] in {"failed", "retrying"} and bool(run["error"]),
    }


def _says(run: Mapping[str, Any], paused: AbstractSet[str]) -> str:
    """What a person wants to know next: why it failed, what it gave, what it waits for."""
    error = run["error"]
    if error and run["state"] not in {"completed", "cancelled", "expired"}:
        return line(f"{error['type']}: {error['message']}", _MOST_TEXT)
    if run["state"] == "completed" and not run["notes"]:
        return "" if run["result"] is None else line(json.dumps(run["result"], ensure_ascii=False), _MOST_TEXT)
    if run["state"] in _WAITS and not run["reason"]:
        is_held = run["state"] == "queued" and run["queue"] in paused
        return _WAITS[run["state"]].format(queue=run["queue"]) + (", which is paused" if is_held else "")
    return line(run["reason"] or "; ".join(map(str, run["notes"])), _MOST_TEXT)


ROUTES = [Route("GET", "/runs", show)]
