"""Cancelling and retrying many runs: those that are ticked, or all that fit a filter, once somebody has seen how many."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from kernel import UnknownNameError

from .problem import Problem
from .route import Route
from .runs_filter import Filter, filter_of, for_control, in_words
from .site import WHO, site_of
from .wording import plural, query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

MOST_AT_ONCE = 10_000
"""Of all that fit; with more it is done again."""
_A_BATCH = 1_000
_SECONDS = 120.0
_MOST_JOBS = 10
_VERBS = ("cancel", "retry")
_TOLD = {
    "cancelled": "{} cancelled", "told": "{} running, told to end", "retried": "{} queued again",
    "held": "{} left alone: another run has the unique key now",
    "unready": "{} left alone: a run that must complete first has not", "left": "{} left alone: {verb} does not fit their state",
    "dependents": "{} more cancelled that depended on these",
}  # fmt: skip
_DONE = ("cancelled", "told", "retried")


async def do_ticked(request: web.Request) -> web.Response:
    site, form = site_of(request), await request.post()
    back, verb = _back(str(form.get("filter", ""))), _verb(str(form.get("action", "")))
    ids = list(dict.fromkeys(str(run) for run in form.getall("run", [])))
    if not ids:
        return site.redirect("/runs" + query(back), told="No run was ticked: nothing has changed.", tone="quiet")
    told, tone = await _carry_out(request, verb, ids)
    site.acted(request, f"runs_{verb}_many", plural(len(ids), "run") if len(ids) > 1 else ids[0], told)
    return site.redirect("/runs" + query(back), told=told, tone=tone)


async def ask(request: web.Request) -> web.Response:
    """How many there are, and of what, before anything is done."""
    site, verb, given = site_of(request), _verb(request.query.get("action", "")), filter_of(request.query)
    # Those that come while somebody reads the question are not meant by the answer.
    fixed = given if "until" in given else given | {"until": f"{site.now:.3f}"}
    try:
        runs, has_more = await _select(request, verb, given, fixed)
    except UnknownNameError:
        return site.redirect("/runs" + query(given))
    return site.page(
        request,
        "runs_all.html",
        verb=verb,
        given=given,
        chips=in_words(given),
        fixed=query(fixed),
        count=len(runs),
        has_more=has_more,
        most=MOST_AT_ONCE,
        states=Counter(run["state"] for run in runs).most_common(),
        jobs=Counter(run["job"] for run in runs).most_common(_MOST_JOBS),
        more_jobs=max(0, len({run["job"] for run in runs}) - _MOST_JOBS),
    )


async def do_all(request: web.Request) -> web.Response:
    site, form = site_of(request), await request.post()
    verb, fixed = _verb(str(form.get("action", ""))), _back(str(form.get("filter", "")))
    back = _back(str(form.get("back", "")))
    runs, has_more = await _select(request, verb, fixed, fixed)
    # The oldest first: they are due in this order.
    told, tone = await _carry_out(request, verb, [run["id"] for run in reversed(runs)])
    if has_more:
        told += " There are more: the same again does the next ones."
    site.acted(request, f"runs_{verb}_all", ", ".join(in_words(fixed).values()), told)
    return site.redirect("/runs" + query(back), told=told, tone=tone)


async def _select(request: web.Request, verb: str, given: Filter, fixed: Filter) -> tuple[list[dict[str, str]], bool]:
    """At most MOST_AT_ONCE, the newest of them, and whether there are more. Problem without any filter."""
    if not given:
        text = "expected a filter, such as a job or a state; without one all runs would be meant"
        raise Problem(400, "No filter is given", text)
    control, found = site_of(request).kernel.control, list[dict[str, str]]()
    while len(found) < MOST_AT_ONCE:
        more = {"before": found[-1]["id"]} if found else {}
        page = await control.runs_select(purpose=verb, **for_control(fixed), **more)
        found += page
        if len(page) < _A_BATCH:
            return found, False
    rest = await control.runs_select(purpose=verb, before=found[-1]["id"], **for_control(fixed))
    return found, bool(rest)


async def _carry_out(request: web.Request, verb: str, ids: Sequence[str]) -> tuple[str, str]:
    """What was done, as a sentence, and how that looks."""
    control, total = site_of(request).kernel.control, Counter[str]()
    for at in range(0, len(ids), _A_BATCH):
        batch = ids[at : at + _A_BATCH]
        if verb == "cancel":
            done = await control.runs_cancel_many(runs=batch, reason=f"cancelled by {request[WHO].name}")
        else:
            done = await control.runs_retry_many(runs=batch)
        total.update(done)
    return in_sentence(verb, total), "good" if any(total[name] for name in _DONE) else "quiet"


def in_sentence(verb: str, tally: Any) -> str:
    """How many were done, and how many left alone, and why."""
    said = [text.format(f"{tally[name]:,}", verb=verb) for name, text in _TOLD.items() if tally.get(name)]
    return (
        f"Of {plural(tally.get('runs', 0), 'run')}: {', '.join(said)}." if said else "No run fits: nothing has changed."
    )


def _verb(word: str) -> str:
    if word not in _VERBS:
        raise Problem(400, "Wrong request", f"action: expected one of {', '.join(_VERBS)}; nothing has changed")
    return word


def _back(text: str) -> Filter:
    return filter_of(dict(parse_qsl(text.removeprefix("?"), max_num_fields=50)))


ROUTES = [
    Route("POST", "/runs/ticked", do_ticked, seconds=_SECONDS),
    Route("GET", "/runs/all", ask),
    Route("POST", "/runs/all", do_all, seconds=_SECONDS),
]
