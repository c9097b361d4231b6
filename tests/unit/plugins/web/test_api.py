"""What can be asked and done over ``/api/v1``: each operation once, and what is told of a request that is wrong."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from kernel.events import OperatorActed
from kernel.testing import until
from tests.unit.plugins.web.web_kit import TOKEN, running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.plugins.web.web_kit import Reply, Web

API = "/api/v1"


def body(reply: Reply, status: int = 200) -> Any:
    assert reply.status == status, reply.text
    kind = "application/json" if status < 400 else "application/problem+json"
    assert reply.headers["Content-Type"].partition(";")[0] == kind
    return json.loads(reply.text)


def wrong(reply: Reply, at: str, *texts: str) -> None:
    """422 that names the place, and says these texts there."""
    told = {one["at"]: one["text"] for one in body(reply, 422)["errors"]}
    assert at in told, told
    assert [text for text in texts if text not in told[at]] == [], told[at]


async def ended(web: Web, job: str) -> str:
    run = await web.kernel.enqueue(job)
    await web.kernel.wait(run.id, timeout=10)
    return run.id


@pytest.fixture(params=["memory://", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    url = request.param if request.param == "memory://" else f"sqlite:///{tmp_path}/store.db"
    return f'[kernel] store = "{url}"'


async def test_a_run_is_enqueued_waited_for_and_shown(tmp_path: Path, store: str) -> None:
    async with running(tmp_path, store) as web:
        wish = {"job": "demo.greets", "payload": {"name": "Eva"}, "priority": 1, "tags": ["now"]}
        made = await web.post(f"{API}/runs", json=wish)
        run = body(made, 201)
        assert made.headers["Location"] == f"{API}/runs/{run['id']}"
        assert (run["is_new"], run["priority"], run["tags"]) == (True, 1, ["mail", "now"])

        done = body(await web.get(f"{API}/runs/{run['id']}/wait?timeout=10"))
        assert (done["state"], done["result"]) == ("completed", "hello Eva")
        shown = body(await web.get(f"{API}/runs/{run['id']}"))
        assert [one["outcome"] for one in shown["attempts"]] == ["completed"]
        assert shown["steps"] == shown["log"] == []
        assert body(await web.get(f"{API}/runs/{run['id']}/tree"))["needed_by"]["branches"] == []
        why = body(await web.get(f"{API}/explain?subject={run['id']}"))
        assert (why["run"], why["reason"]) == (run["id"], "completed")


async def test_pages_of_runs_hang_together_and_filters_hold(tmp_path: Path, store: str) -> None:
    async with running(tmp_path, store) as web:
        made = [(await web.kernel.enqueue("demo.ok", delay="1h")).id for _ in range(7)]
        other = (await web.kernel.enqueue("demo.fails", delay="1h")).id
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = body(await web.get(f"{API}/runs?job=demo.ok&limit=3{cursor and '&cursor=' + cursor}"))
            found += [run["id"] for run in page["items"]]
            cursor = page["next"]
        assert found == made[::-1]
        assert [run["id"] for run in body(await web.get(f"{API}/runs?job=demo.fails"))["items"]] == [other]
        assert body(await web.get(f"{API}/runs?until=1h"))["items"] == []
        wrong(await web.get(f"{API}/runs?cursor=gone"), "query.cursor", "not kept any more")


async def test_runs_are_cancelled_and_retried_one_or_many(tmp_path: Path, store: str) -> None:
    async with running(tmp_path, store) as web:
        failed = await ended(web, "demo.fails")
        waiting = [(await web.kernel.enqueue("demo.ok", delay="1h", tags=["late"])).id for _ in range(3)]

        one = body(await web.post(f"{API}/runs/{waiting[0]}/cancel", json={"reason": "not today"}))
        assert [(end["before"], end["after"]) for end in one["items"]] == [("scheduled", "cancelled")]
        again = body(await web.post(f"{API}/runs/{failed}/retry"))
        assert again["items"][0]["after"] == "queued"
        problem = body(await web.post(f"{API}/runs/{waiting[1]}/retry"), 409)
        assert "expected one that has failed" in problem["detail"]

        tally = body(await web.post(f"{API}/bulk/cancel", json={"filter": {"tag": "late"}}))
        assert (tally["runs"], tally["cancelled"]) == (2, 2)
        tally = body(await web.post(f"{API}/bulk/retry", json={"ids": [waiting[0], "unknown"]}))
        assert (tally["retried"], tally["left"]) == (1, 1)
        shown = body(await web.get(f"{API}/runs/{waiting[0]}"))
        assert shown["state"] in {"queued", "running", "completed"}


async def test_schedules_are_added_seen_paused_triggered_and_removed(tmp_path: Path, store: str) -> None:
    async with running(tmp_path, store) as web:
        name = "nightly {a/b} 100%"
        path = f"{API}/schedules/{quote(name, safe='')}"
        made = await web.post(f"{API}/schedules", json={"name": name, "job": "demo.ok", "cron": "0 3 * * *"})
        assert (body(made, 201)["dynamic"], made.headers["Location"]) == (True, path)
        assert body(await web.get(path))["schedule"] == name
        again = await web.post(f"{API}/schedules", json={"name": name, "job": "demo.ok", "every": "5m"})
        assert "already" in body(again, 409)["detail"]
        assert body(await web.post(f"{path}/pause"))["paused"] is True
        assert body(await web.post(f"{path}/resume"))["paused"] is False
        run = body(await web.post(f"{path}/trigger"), 201)
        assert run["schedule"] == name
        assert body(await web.get(f"{path}/ticks"))["ticks"] == []
        assert body(await web.get(f"{API}/ticks?since=1h"))["is_cut"] is False
        assert name in {one["schedule"] for one in body(await web.get(f"{API}/upcoming?until=25h"))["ticks"]}
        assert body(await web.get(f"{API}/explain?subject={quote(name, safe='')}"))["schedule"] == name
        assert {row["schedule"] for row in body(await web.get(f"{API}/schedules"))["items"]} >= {name, "demo.sweep"}

        reply = await web.ask("DELETE", path)
        assert (reply.status, reply.text) == (204, "")
        assert body(await web.get(path), 404)["title"] == "Not found"
        declared = body(await web.ask("DELETE", f"{API}/schedules/demo.sweep"), 409)
        assert "declared by the plugin demo" in declared["detail"]


async def test_queues_breakers_jobs_plugins_and_the_kernel_are_told(tmp_path: Path, store: str) -> None:
    async with running(tmp_path, store, "[breakers.partner]", "failure_threshold = 1") as web:
        jobs = body(await web.get(f"{API}/jobs"))["items"]
        assert {"demo.ok", "demo.greets"} <= {job["job"] for job in jobs}
        assert body(await web.get(f"{API}/jobs/demo.greets"))["payload"]["required"] == ["name"]
        assert "Did you mean" in body(await web.get(f"{API}/jobs/demo.greet"), 404)["detail"]

        paused = body(await web.post(f"{API}/queues/naps/pause", json={"duration": "10m"}))
        assert paused["paused"]
        assert paused["paused_until"] is not None
        assert body(await web.post(f"{API}/queues/naps/resume"))["paused"] is False
        assert "naps" in {row["queue"] for row in body(await web.get(f"{API}/queues"))["items"]}
        assert body(await web.get(f"{API}/queues/naps"))["concurrency"] is None
        assert body(await web.post(f"{API}/queues/naps/resize", json={"concurrency": 3}))["changes"]
        assert body(await web.get(f"{API}/queues/naps"))["concurrency"] == 3
        wrong(await web.post(f"{API}/queues/naps/pause", json={"duration": []}), "body.duration", "[]")
        assert "duration" in body(await web.post(f"{API}/queues/naps/pause", json={"duration": "soon"}), 422)["detail"]

        assert body(await web.get(f"{API}/breakers"))["items"] == []
        assert body(await web.post(f"{API}/breakers/partner/reset"), 404)["status"] == 404
        assert body(await web.get(f"{API}/plugins/demo"))["state"] == "enabled"
        assert "quarantined" in body(await web.post(f"{API}/plugins/demo/release"), 409)["detail"]
        assert body(await web.post(f"{API}/plugins/demo/disable"))["state"] == "off"
        assert body(await web.post(f"{API}/plugins/demo/enable"))["state"] == "enabled"
        assert "disable web" in body(await web.post(f"{API}/plugins/web/disable"), 409)["detail"]
        assert body(await web.get(f"{API}/kernels"))["items"][0]["kernel"] == web.kernel.id
        assert body(await web.get(f"{API}/health"))["healthy"] is True
        assert body(await web.post(f"{API}/reload"))["changes"] == []


@pytest.mark.parametrize(
    ("path", "at", "texts"),
    [
        ("/runs?limit=0", "query.limit", ["'0'", "greater than or equal to 1"]),
        ("/runs?limit=x", "query.limit", ["'x'", "expected a valid integer"]),
        ("/runs?limit=1&limit=2", "query.limit", ["given twice"]),
        ("/runs?stat=failed", "query.stat", ['Did you mean "state"', "Expected state, job"]),
        ("/runs?job=demo.okk", "query.job", ['Did you mean "demo.ok"']),
        ("/runs?job=", "query.job", ["at least 1 character"]),
        ("/runs?error=a%0Ab", "query.error", ["printable"]),
        ("/jobs?x=1", "query.x", ["None is expected"]),
        ("/events?kinds=RunFaild", "query.kinds", ["RunFaild"]),
        ("/runs/x/wait?timeout=61", "query.timeout", ["'61'", "less than or equal to 60"]),
    ],
)
async def test_a_wrong_parameter_is_named_with_what_was_found_and_expected(
    tmp_path: Path, path: str, at: str, texts: list[str]
) -> None:
    async with running(tmp_path) as web:
        wrong(await web.get(API + path), at, *texts)


@pytest.mark.parametrize(
    ("wish", "at", "texts"),
    [
        ({}, "body.job", ["missing"]),
        ({"job": 5}, "body.job", ["5", "expected a valid string"]),
        ({"job": "demo.okk"}, "body.job", ['Did you mean "demo.ok"']),
        ({"job": "demo.ok", "prio": 1}, "body.prio", ['Did you mean "priority"']),
        ({"job": "demo.ok", "priority": "1"}, "body.priority", ["'1'", "valid integer"]),
        ({"job": "demo.ok", "priority": 10}, "body.priority", ["less than or equal to 9"]),
        ({"job": "demo.ok", "payload": []}, "body.payload", ["valid dictionary"]),
        ({"job": "demo.ok", "delay": {}}, "body.delay", ["valid string", "valid number"]),
        ({"job": "demo.ok", "tags": ["a", 3]}, "body.tags.1", ["valid string"]),
        ({"job": "demo.greets", "payload": {"name": "a", "times": "x"}}, "body.payload.times", ["'x'"]),
        ({"job": "demo.greets", "payload": {}}, "body.payload.name", ["expected"]),
    ],
)
async def test_a_wrong_body_is_named_with_what_was_found_and_expected(
    tmp_path: Path, wish: Any, at: str, texts: list[str]
) -> None:
    async with running(tmp_path) as web:
        wrong(await web.post(f"{API}/runs", json=wish), at, *texts)
        assert body(await web.get(f"{API}/runs"))["items"] == []


async def test_wishes_that_only_the_kernel_can_refuse_are_wrong_requests_too(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        for wish, text in [
            ({"job": "demo.ok", "delay": "soon"}, "delay"),
            ({"job": "demo.ok", "delay": "1s", "at": "2030-01-01T00:00:00Z"}, "expected one of the two"),
            ({"job": "demo.ok", "depends_on": ["0199"]}, "0199"),
            ({"job": "demo.ok", "queue": "a b"}, "no name of a queue"),
        ]:
            assert text in body(await web.post(f"{API}/runs", json=wish), 422)["detail"]
        for wish, text in [
            ({"name": "n", "job": "demo.ok", "cron": "61 * * * *"}, "61"),
            ({"name": "n", "job": "demo.ok"}, "expected one of cron and every"),
            ({"name": "n", "job": "demo.ok", "every": "5m", "timezone": "Mars"}, "timezone"),
        ]:
            assert text in body(await web.post(f"{API}/schedules", json=wish), 422)["detail"]
        for wish in ({}, {"filter": {}}, {"ids": ["a"], "filter": {"job": "demo.ok"}}):
            assert "expected" in body(await web.post(f"{API}/bulk/cancel", json=wish), 422)["detail"]


@pytest.mark.parametrize(
    ("sent", "status", "text"),
    [
        (b"{", 400, "line 1, column 2"),
        (b'{"job": NaN}', 400, "NaN"),
        (b'{"job": "a", "job": "b"}', 400, "twice"),
        (b'{"job": "\\ud800"}', 400, "surrogate"),
        (b'{"job": "\xff"}', 400, "UTF-8"),
        (b"[" * 100_000, 400, "nested"),
        (b'{"job": ' + b"9" * 5_000 + b"}", 400, "digits"),
        (b"[]", 422, "expected a JSON object"),
        (b"", 422, "missing"),
        (b" " * 1_100_000, 413, "1,048,576"),
    ],
)
async def test_a_body_that_is_no_json_or_too_large_is_told_as_that(
    tmp_path: Path, sent: bytes, status: int, text: str
) -> None:
    async with running(tmp_path) as web:
        reply = await web.post(f"{API}/runs", io.BytesIO(sent), content_type="application/json")
        assert text in body(reply, status)["detail"]


async def test_content_type_method_and_address_are_told_when_they_are_wrong(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        reply = await web.post(f"{API}/runs", b"{}", content_type="text/plain")
        assert "expected Content-Type: application/json" in body(reply, 415)["detail"]
        reply = await web.ask("PUT", f"{API}/runs")
        assert body(reply, 405)["status"] == 405
        assert {"GET", "POST"} <= set(reply.headers["Allow"].split(","))
        assert body(await web.get(f"{API}/nothing"), 404)["status"] == 404
        assert body(await web.get(f"{API}/runs/a%0Ab"), 404)["status"] == 404
        assert "expected no body" in body(await web.post(f"{API}/reload", json={"a": 1}), 422)["detail"]


async def test_who_changed_what_over_the_api_is_an_event(tmp_path: Path) -> None:
    async with running(tmp_path, f'users.eva.token = "{TOKEN}"') as web:
        acted: list[OperatorActed] = []

        async def tell(batch: Any) -> None:
            acted.extend(batch)

        web.kernel.bus.subscribe("test", (OperatorActed,), tell)
        headers = {"authorization": f"Bearer {TOKEN}"}
        run = body(await web.post(f"{API}/runs", json={"job": "demo.ok", "delay": "1h"}, **headers), 201)
        await web.post(f"{API}/runs/{run['id']}/cancel", json={}, **headers)
        await web.post(f"{API}/queues/naps/pause", json={"duration": "5m"}, **headers)
        await web.post(f"{API}/schedules/demo.sweep/pause", **headers)
        await web.post(f"{API}/runs/nothing/cancel", json={}, **headers)
        await until(lambda: len(acted) >= 4)
        assert [(one.by, one.action, one.subject, one.text) for one in acted] == [
            ("eva", "enqueue", run["id"], "demo.ok"),
            ("eva", "runs_cancel", run["id"], "cancelled by hand"),
            ("eva", "queues_pause", "naps", "for 5m"),
            ("eva", "schedules_pause", "demo.sweep", ""),
        ]
        assert body(await web.get(f"{API}/runs"), 401)["title"]


async def test_a_long_wait_ends_with_the_run_as_it_is(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        run = await web.kernel.enqueue("demo.ok", delay="1h")
        async with asyncio.timeout(5):
            found = body(await web.get(f"{API}/runs/{run.id}/wait?timeout=0.05"))
        assert found["state"] == "scheduled"
