"""Operations on runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel import UnknownNameError

from . import api_answers as answers
from . import api_questions as questions
from .api_operation import Header, Operation, told
from .idempotency import KEY_HEADER, key_of
from .problem import Problem
from .site import WHO

if TYPE_CHECKING:
    from aiohttp import web

    from .api_operation import Asked

BULK_SECONDS = 600.0
_WAIT_SECONDS = 75.0


async def listed(asked: Asked) -> Any:
    query = asked.query
    wanted = query.given() | {"limit": query.limit + 1}
    cursor = wanted.pop("cursor", None)
    try:
        runs = await asked.control.runs_list(**wanted, before=cursor)
    except UnknownNameError as error:
        if error.kind != "run":
            raise
        text = "the run that it stands for is not kept any more, or never was; expected `next` of a page, or none"
        raise Problem(
            422, "Wrong request", f"query.cursor: {text}", errors=[{"at": "query.cursor", "text": text}]
        ) from None
    page = runs[: query.limit]
    return {"items": page, "next": page[-1]["id"] if len(runs) > len(page) else None}


async def shown(asked: Asked) -> Any:
    return await asked.control.runs_show(run=asked.name("run"))


async def tree(asked: Asked) -> Any:
    run = asked.name("run")
    await _must_be_there(asked, run)
    return await asked.control.runs_tree(run=run)


async def _must_be_there(asked: Asked, run: str) -> None:
    await asked.control.wait(run=run, timeout=0)


async def wait(asked: Asked) -> Any:
    return await asked.control.wait(run=asked.name("run"), timeout=asked.query.timeout)


async def enqueue(asked: Asked) -> web.Response:
    """With a key the answer to the same wish is the same run, whatever has happened in between."""
    key = key_of(asked.request)
    wish = asked.body.given()
    if key is None:
        run = await _enqueue(asked, wish, None)
        return _enqueued(run)
    run, is_replayed = await asked.site.idempotency.once(
        asked.request[WHO].name, key, wish, lambda run_id: _enqueue(asked, wish, run_id)
    )
    return _enqueued(run, {"Idempotency-Replayed": "true"} if is_replayed else {})


async def _enqueue(asked: Asked, wish: dict[str, Any], run_id: str | None) -> dict[str, Any]:
    options = {name: value for name, value in wish.items() if name not in {"job", "payload"}}
    run: dict[str, Any] = await asked.control.enqueue(
        job=wish["job"], payload=wish.get("payload"), options=options, run=run_id
    )
    if run["is_new"]:
        asked.acted("enqueue", run["id"], run["job"])
    return run


def _enqueued(run: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    place = {"Location": f"/api/v1/runs/{run['id']}"}
    return told(run, 201 if run["is_new"] else 200, place | (headers or {}))


async def cancel(asked: Asked) -> Any:
    run = asked.name("run")
    ended = await asked.control.runs_cancel(runs=[run], reason=asked.body.reason)
    asked.acted("runs_cancel", run, asked.body.reason)
    return {"items": ended}


async def retry(asked: Asked) -> Any:
    run = asked.name("run")
    ended = await asked.control.runs_retry(runs=[run])
    asked.acted("runs_retry", run)
    return {"items": ended}


async def cancel_many(asked: Asked) -> Any:
    body = asked.body
    if body.ids is not None:
        tally = await asked.control.runs_cancel_many(runs=body.ids, reason=body.reason)
    else:
        tally = await asked.control.runs_cancel_all(reason=body.reason, **body.filter.given())
    asked.acted("runs_cancel_many", _subject(body), f"{tally['cancelled'] + tally['told']} of {tally['runs']}")
    return tally


async def retry_many(asked: Asked) -> Any:
    body = asked.body
    if body.ids is not None:
        tally = await asked.control.runs_retry_many(runs=body.ids)
    else:
        tally = await asked.control.runs_retry_all(**body.filter.given())
    asked.acted("runs_retry_many", _subject(body), f"{tally['retried']} of {tally['runs']}")
    return tally


def _subject(body: Any) -> str:
    if body.filter is None:
        return f"{len(body.ids)} by id"
    return ", ".join(f"{name}={value}" for name, value in body.filter.given().items())


_KEY = Header(
    KEY_HEADER,
    "The same wish with the same key makes one run, within 24 hours.",
    {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
)

OPERATIONS = [
    Operation(
        "GET", "/api/v1/runs", "listRuns", "Runs that fit the filter, newest first", "runs", listed, answers.Runs,
        query=questions.RunsWanted,
    ),
    Operation(
        "POST", "/api/v1/runs", "enqueue", "Enqueue a run", "runs", enqueue, answers.EnqueuedRun, 201, also=(200,),
        body=questions.Enqueue, needs_body=True, headers=(_KEY,), problems=(409, 410),
    ),
    Operation(
        "GET", "/api/v1/runs/{run}", "showRun", "A run with its attempts, steps and log", "runs", shown,
        answers.RunRecord,
    ),
    Operation(
        "GET", "/api/v1/runs/{run}/wait", "waitForRun", "A run as soon as it has ended, or as it is", "runs", wait,
        answers.Run, query=questions.Wait, seconds=_WAIT_SECONDS,
    ),
    Operation(
        "GET", "/api/v1/runs/{run}/tree", "showTree", "What a run depends on, and what depends on it", "runs", tree,
        answers.Tree,
    ),
    Operation(
        "POST", "/api/v1/runs/{run}/cancel", "cancelRun", "Cancel a run, and what depends on it", "runs", cancel,
        answers.EndedRuns, body=questions.Why, refused=409,
    ),
    Operation(
        "POST", "/api/v1/runs/{run}/retry", "retryRun", "Queue a run that has ended badly again", "runs", retry,
        answers.EndedRuns, refused=409,
    ),
    Operation(
        "POST", "/api/v1/bulk/cancel", "cancelRuns", "Cancel runs by ids or by a filter", "runs", cancel_many,
        answers.Cancelled, body=questions.BulkCancel, needs_body=True, seconds=BULK_SECONDS,
    ),
    Operation(
        "POST", "/api/v1/bulk/retry", "retryRuns", "Retry runs by ids or by a filter", "runs", retry_many,
        answers.Retried, body=questions.BulkRetry, needs_body=True, seconds=BULK_SECONDS,
    ),
]  # fmt: skip
