"""A run: why it is as it is, what was tried, what it was given and gave, and what depends on what."""

from __future__ import annotations

import json
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kernel import RequestError, UnknownNameError

from .graph import draw
from .route import Route
from .sentence import sentence
from .site import WHO, site_of
from .timeline import arrange, attempts_of, failed_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiohttp import web

FINAL = frozenset({"completed", "failed", "cancelled", "expired"})
RETRYABLE = frozenset({"failed", "cancelled", "expired"})
LEVELS = {"debug": "quiet", "info": "", "warning": "warn", "error": "bad", "critical": "bad"}
MOST_STEPS = 50
MOST_IN_LINK = 3_000
"""Characters of a payload that a link may carry: a request line has an end."""


async def show(request: web.Request) -> web.Response:
    return await _page(request)


async def retry(request: web.Request) -> web.Response:
    run = request.match_info["run"]
    return await _changed(request, "runs_retry", {"runs": [run]}, "The run is queued again.")


async def cancel(request: web.Request) -> web.Response:
    run = request.match_info["run"]
    given = {"runs": [run], "reason": f"cancelled by {request[WHO].name}"}
    return await _changed(request, "runs_cancel", given, "")


async def _changed(request: web.Request, operation: str, given: dict[str, Any], told: str) -> web.Response:
    site, run = site_of(request), request.match_info["run"]
    try:
        changes = await getattr(site.kernel.control, operation)(**given)
    except UnknownNameError:
        return _missing(request)
    except RequestError as error:
        return await _page(request, refused=str(error), status=409)
    told = told or _told_of_cancel([one for one in changes if one["id"] == run], len(changes) - 1)
    site.acted(request, operation, run, told)
    is_done = any(one["before"] != one["after"] or one["before"] == "running" for one in changes)
    return site.redirect(f"/runs/{quote(run, safe='')}", told=told, tone="good" if is_done else "quiet")


def _told_of_cancel(changes: list[dict[str, Any]], others: int) -> str:
    change = changes[0] if changes else {"before": "", "after": ""}
    if change["before"] == "running":
        text = "The run is told to end."
    elif change["after"] == change["before"]:
        text = "The run had ended already: nothing has changed."
    else:
        text = "The run is cancelled."
    return f"{text} {others:,} more that depended on it are cancelled too." if others > 0 else text


async def _page(request: web.Request, *, refused: str = "", status: int = 200) -> web.Response:
    site, control = site_of(request), site_of(request).kernel.control
    try:
        run = await control.runs_show(run=request.match_info["run"])
        if run["id"] != request.match_info["run"]:  # by the end of its id
            return site.redirect(f"/runs/{quote(run['id'], safe='')}")
        why = await control.explain(subject=run["id"])
    except UnknownNameError:
        return _missing(request)
    tree = await control.runs_tree(run=run["id"])
    is_final = run["state"] in FINAL
    attempts = attempts_of(run)
    return site.page(
        request,
        "run.html",
        status=status,
        run=run,
        why=sentence(_without_error(why["text"], run["error"]), site.now),
        refused=refused,
        is_final=is_final,
        may_retry=run["state"] in RETRYABLE,
        is_live=not is_final or any(state not in FINAL for state in _states(tree)),
        again=_again(run),
        attempts=arrange(attempts, run["enqueued_at"], site.now, run["due_at"] if run["state"] == "retrying" else None),
        failed_attempts=max(failed_of(attempts), run["failures"]),
        steps=run["steps"][-MOST_STEPS:],
        steps_left_out=run["steps_left_out"] + max(0, len(run["steps"]) - MOST_STEPS),
        graph=draw(tree, run["job"], run["state"]),
        tree=tree,
        log=[(attempt, [*lines]) for attempt, lines in groupby(run["log"], key=itemgetter("attempt"))],
        levels=LEVELS,
    )


def _missing(request: web.Request) -> web.Response:
    return site_of(request).page(request, "run_missing.html", status=404, run=request.match_info["run"])


def _without_error(text: str, error: Mapping[str, str] | None) -> str:
    """The page shows the error itself below."""
    return text if error is None else text.removesuffix(f"; {error['type']}: {error['message']}")


def _again(run: Mapping[str, Any]) -> str:
    """The address of the job's form, filled with the payload where a link can carry it."""
    to = f"/jobs/one?name={quote(run['job'], safe='')}"
    payload = quote(json.dumps(run["payload"], separators=(",", ":")), safe="")
    return f"{to}&payload={payload}" if len(payload) <= MOST_IN_LINK else to


def _states(tree: Mapping[str, Any]) -> Iterator[str]:
    """Of the runs around it that are still kept."""
    waiting = [tree["depends_on"], tree["needed_by"]]
    while waiting:
        for one in waiting.pop().get("branches") or ():
            if one["state"] is not None:
                yield one["state"]
            waiting.append(one)


ROUTES = [
    Route("GET", "/runs/{run}", show),
    Route("POST", "/runs/{run}/retry", retry),
    Route("POST", "/runs/{run}/cancel", cancel),
]
