"""Operations on schedules and their ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kernel import RequestError, ScheduleExistsError

from . import api_answers as answers
from . import api_questions as questions
from .api_operation import Operation, told
from .problem import Problem

if TYPE_CHECKING:
    from aiohttp import web

    from .api_operation import Asked


async def listed(asked: Asked) -> Any:
    return {"items": await asked.control.schedules_list()}


async def shown(asked: Asked) -> Any:
    return await asked.control.schedules_show(schedule=asked.name("schedule"))


async def add(asked: Asked) -> web.Response:
    options = asked.body.given()
    name, job, payload = options.pop("name"), options.pop("job"), options.pop("payload", None)
    try:
        row = await asked.control.schedules_add(name=name, job=job, payload=payload, options=options)
    except ScheduleExistsError as error:
        raise Problem(409, "It is there already", str(error)) from None
    asked.acted("schedules_add", name, row["when"])
    return told(row, 201, {"Location": f"/api/v1/schedules/{quote(name, safe='')}"})


async def remove(asked: Asked) -> None:
    name = asked.name("schedule")
    await asked.control.schedules_remove(schedule=name)
    asked.acted("schedules_remove", name)


async def pause(asked: Asked) -> Any:
    name = asked.name("schedule")
    await asked.control.schedules_pause(schedule=name)
    asked.acted("schedules_pause", name)
    return await asked.control.schedules_show(schedule=name)


async def resume(asked: Asked) -> Any:
    name = asked.name("schedule")
    await asked.control.schedules_resume(schedule=name)
    asked.acted("schedules_resume", name)
    return await asked.control.schedules_show(schedule=name)


async def trigger(asked: Asked) -> Any:
    name = asked.name("schedule")
    run = await asked.control.schedules_trigger(schedule=name)
    asked.acted("schedules_trigger", name, f"run {run['id']}")
    return told(run, 201, {"Location": f"/api/v1/runs/{run['id']}"})


async def ticks(asked: Asked) -> Any:
    query = asked.query
    return await asked.control.schedules_ticks(
        since=query.since, until=query.until, schedule=query.schedule, limit=query.limit
    )


async def ticks_of_one(asked: Asked) -> Any:
    query, name = asked.query, asked.name("schedule")
    return await asked.control.schedules_ticks(since=query.since, until=query.until, schedule=name, limit=query.limit)


async def upcoming(asked: Asked) -> Any:
    return await asked.control.schedules_upcoming(until=asked.query.until, limit=asked.query.limit)


async def explain(asked: Asked) -> Any:
    subject, at = asked.query.subject, asked.query.at
    if len(subject) > 200:
        raise RequestError("subject: expected the id of a run, or the name of a schedule")
    return await asked.control.explain(subject=subject, at=at)


OPERATIONS = [
    Operation(
        "GET", "/api/v1/schedules", "listSchedules", "All schedules", "schedules", listed, answers.Schedules,
    ),
    Operation(
        "POST", "/api/v1/schedules", "addSchedule", "Add a schedule, kept in the store", "schedules", add,
        answers.Schedule, 201, body=questions.NewSchedule, needs_body=True, problems=(409,),
    ),
    Operation(
        "GET", "/api/v1/schedules/{schedule}", "showSchedule", "One schedule", "schedules", shown, answers.Schedule,
    ),
    Operation(
        "DELETE", "/api/v1/schedules/{schedule}", "removeSchedule", "Remove a schedule that was added", "schedules",
        remove, None, 204, refused=409,
    ),
    Operation(
        "POST", "/api/v1/schedules/{schedule}/pause", "pauseSchedule", "Its ticks make no runs until it is resumed",
        "schedules", pause, answers.Schedule, refused=409,
    ),
    Operation(
        "POST", "/api/v1/schedules/{schedule}/resume", "resumeSchedule", "Its ticks make runs again", "schedules", resume,
        answers.Schedule, refused=409,
    ),
    Operation(
        "POST", "/api/v1/schedules/{schedule}/trigger", "triggerSchedule", "Run its job now, beside its ticks",
        "schedules", trigger, answers.Run, 201, refused=409,
    ),
    Operation(
        "GET", "/api/v1/schedules/{schedule}/ticks", "listTicksOfSchedule", "What became of its ticks, newest first",
        "schedules", ticks_of_one, answers.Ticks, query=questions.SpanOfOne,
    ),
    Operation(
        "GET", "/api/v1/ticks", "listTicks", "What became of the ticks of all schedules, newest first", "schedules", ticks,
        answers.Ticks, query=questions.Span,
    ),
    Operation(
        "GET", "/api/v1/upcoming", "listUpcoming", "The ticks that come next", "schedules", upcoming, answers.ComingTicks,
        query=questions.Ahead,
    ),
    Operation(
        "GET", "/api/v1/explain", "explain", "Why a run has not run, or what became of a schedule's tick", "runs", explain,
        answers.Explained, query=questions.Explain, problems=(404,),
    ),
]  # fmt: skip
