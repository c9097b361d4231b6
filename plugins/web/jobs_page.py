"""The jobs and how they do; a job's policies, its newest runs, and the form to enqueue it by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from kernel import PayloadError, RequestError, UnknownNameError, policy_words

from .enqueue_options import OPTIONS, option_named, options_of
from .judged import judged
from .payload_form import field_at, fields_of, kind_shown, parsed_object, payload_of, strangers, taken, takes_more
from .payload_form import texts_of as texts_for
from .route import Route
from .site import site_of
from .typed import texts_of
from .unknown_job import absent_for, absent_of
from .visible import line
from .wording import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from .payload_form import Field

MOST_JOBS = 500
NEWEST = 10
_MOST_STRANGERS = 10
_PREFIX = "p:"
"""Of the names of the form's fields, so that a parameter may be called as an option is."""
Job = dict[str, Any]


class Typed(NamedTuple):
    """What stands in the form. ``raw`` is the payload as JSON, where it is given so; None where each field has its own."""

    texts: Mapping[str, str] = {}
    raw: str | None = None
    options: Mapping[str, str] = {}
    errors: Mapping[str, str] = {}
    """Field, option, or ``payload`` -> what is wrong with it."""
    told: str = ""


async def show(request: web.Request) -> web.Response:
    site = site_of(request)
    control = site.kernel.control
    jobs, schedules, health = await control.jobs(), await control.schedules_list(), await judged(site)
    wanted, plugin = request.query.get("named", "").strip()[:100], request.query.get("plugin", "")[:100]
    found = [
        one for one in jobs if wanted.casefold() in one["job"].casefold() and (not plugin or one["plugin"] == plugin)
    ]
    by_job: dict[str, list[Job]] = {}
    for schedule in schedules:
        by_job.setdefault(schedule["job"], []).append(schedule)
    return site.page(
        request,
        "jobs.html",
        jobs=[
            one
            | {"schedules": by_job.get(one["job"], []), "next_at": _next(by_job.get(one["job"], [])), "check": check}
            for one in found[:MOST_JOBS]
            for check in (health.jobs.get(one["job"]),)
        ],
        left_out=max(len(found) - MOST_JOBS, 0),
        total=len(jobs),
        named=wanted,
        plugin=plugin,
        plugins=sorted({one["plugin"] for one in jobs}),
        has_health=health.has_jobs,
    )


def _next(schedules: list[Job]) -> str | None:
    return min((one["next_at"] for one in schedules if one["next_at"] is not None), default=None)


async def show_one(request: web.Request) -> web.Response:
    name = request.query.get("name", "")
    if not name:
        return site_of(request).redirect("/jobs")
    try:
        job = await _job(request, name)
    except UnknownNameError as error:
        return await _missing(request, name, error.nearest)
    return await _page(request, job, _first(request.query.get("payload")))


async def _missing(request: web.Request, name: str, nearest: str | None) -> web.Response:
    """Its runs may be there still."""
    site = site_of(request)
    try:
        has_runs = bool(await site.kernel.control.runs_list(job=name, limit=1))
    except RequestError:
        has_runs = False
    absent = absent_for(name, None, await absent_of(site))
    return site.page(
        request, "job_missing.html", status=404, name=name, nearest=nearest, absent=absent, has_runs=has_runs
    )


def _first(payload: str | None) -> Typed:
    """What stands in the form at first: the payload that the address gives, if it is one."""
    if payload is None:
        return Typed()
    try:
        given = parsed_object(payload)
    except ValueError as error:
        return Typed(raw=payload, errors={"payload": str(error)})
    return Typed(raw=json.dumps(given, indent=2, ensure_ascii=False))


async def _job(request: web.Request, name: str) -> Job:
    jobs = {one["job"]: one for one in await site_of(request).kernel.control.jobs()}
    if name not in jobs:
        raise UnknownNameError("job", name, jobs)
    return jobs[name]


async def _page(request: web.Request, job: Job, typed: Typed, status: int = 200) -> web.Response:
    site = site_of(request)
    control = site.kernel.control
    name = job["job"]
    fields = fields_of(job["payload"], job.get("defaults"))
    if typed.raw is not None and not typed.errors and request.method == "GET":
        typed = _in_fields(fields, typed)
    schedules = [one for one in await control.schedules_list() if one["job"] == name]
    return site.page(
        request,
        "job.html",
        status=status,
        job=job,
        policies=policy_words(job),
        schedules=schedules,
        next_at=_next(schedules),
        health=await judged(site),
        runs=await control.runs_list(job=name, limit=NEWEST),
        here=f"/jobs/one?name={quote(name, safe='')}",
        fields=fields,
        takes_more=takes_more(job["payload"]),
        kind_shown=kind_shown,
        taken=taken,
        typed=typed,
        prefix=_PREFIX,
    )


def _in_fields(fields: list[Field], typed: Typed) -> Typed:
    """The same in the fields, as far as these can say it."""
    texts = texts_for(fields, parsed_object(typed.raw or ""))
    return typed if texts is None else typed._replace(texts=texts, raw=None)


async def enqueue(request: web.Request) -> web.Response:
    """Enqueues what was typed; or, by the button for it, shows it as JSON or in fields. Nothing that was typed is lost."""
    site, form = site_of(request), await texts_of(request)
    job = await _job(request, form.get("job", ""))
    fields = fields_of(job["payload"], job.get("defaults"))
    typed = Typed(
        {field.name: form.get(_PREFIX + field.name, "") for field in fields},
        form.get("raw"),
        {name: form.get(name, "") for name in OPTIONS},
    )
    payload, errors = _payload(fields, typed)
    switch = form.get("show")
    if switch == "json":
        return await _page(request, job, typed._replace(raw=json.dumps(payload, indent=2, ensure_ascii=False)))
    if switch == "fields":
        return await _page(request, job, _switched(fields, typed, errors))
    if errors:
        return await _page(request, job, typed._replace(errors=errors, told=_counted(errors)), 422)
    try:
        run = await site.kernel.control.enqueue(job=job["job"], payload=payload, options=options_of(typed.options))
    except PayloadError as error:
        place = None if typed.raw is not None else field_at(fields, error.path)
        text = f"{error.found}; expected {error.expected}"
        inner = "" if place is None else error.path.removeprefix(f".{place}")
        at = f"{(inner or error.path).removeprefix('.')}: " if (place is None and error.path) or inner else ""
        if others := [name for name in strangers(job["payload"], payload) if name != error.path.removeprefix(".")]:
            names = ", ".join(repr(line(name, 60)) for name in others[:_MOST_STRANGERS])
            text += f"; and {plural(len(others), 'name')} that it does not take: {names}"
        return await _page(
            request, job, typed._replace(errors={place or "payload": at + text}, told="The payload does not fit."), 422
        )
    except RequestError as error:
        text = str(error).removeprefix(f"enqueue {job['job']}: ")
        option = option_named(str(error), job["job"])
        told = "" if option else text
        errors = {f"option {option}": text} if option else {}
        return await _page(request, job, typed._replace(errors=errors, told=told or "An option is wrong."), 422)
    site.acted(request, "enqueue", run["id"], job["job"])
    told = f"{job['job']} is enqueued." if run["is_new"] else "Nothing new was enqueued: this run has the key already."
    return site.redirect(
        f"/runs/{quote(run['id'], safe='')}", told=" ".join([told, *([run["note"]] if run["note"] else [])])
    )


def _payload(fields: list[Field], typed: Typed) -> tuple[dict[str, Any], dict[str, str]]:
    if typed.raw is None:
        return payload_of(fields, typed.texts)
    try:
        return parsed_object(typed.raw), {}
    except ValueError as error:
        return {}, {"payload": str(error)}


def _switched(fields: list[Field], typed: Typed, errors: Mapping[str, str]) -> Typed:
    if errors:
        return typed._replace(errors=errors)
    shown = _in_fields(fields, typed)
    if shown.raw is not None:
        return shown._replace(errors={"payload": "the fields cannot say this; it stays as JSON"})
    return shown


def _counted(errors: Mapping[str, str]) -> str:
    return "One value is not right." if len(errors) == 1 else f"{len(errors)} values are not right."


ROUTES = [
    Route("GET", "/jobs", show),
    Route("GET", "/jobs/one", show_one),
    Route("POST", "/jobs/one", enqueue),
]
