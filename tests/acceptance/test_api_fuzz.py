"""Schemathesis asks a running kernel whatever its own description allows, and what it does not allow.

Nothing is answered with a 5xx, every answer is as described, and each 2xx that is described is seen.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.acceptance.cli_program import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from schemathesis.schemas import APIOperation

TOKEN = "a-token-of-the-tests-0123456789"  # noqa: S105 - of nobody
CONFIG = f"""
[kernel]
store = "sqlite:///store.db"
plugin_dirs = ["plugins"]
run_dir = "run"
[plugins.demo]
[plugins.shaky]
[plugins.metrics]
[plugins.web]
listen = "127.0.0.1:0"
token = "{TOKEN}"
"""
DEMO = """
from kernel import Context, every, hookimpl, job

@job
async def ok(ctx: Context, name: str = "nobody") -> dict:
    ctx.log.info("greeting %s", name)
    await ctx.step("count", lambda: 1)
    return {"hello": name}

@job(retry=1)
async def fails() -> None:
    raise ValueError("no luck")

@job(breaker="partner", queue="calls")
async def calls() -> None: ...

@every("1s")
async def often() -> None: ...

@hookimpl
def register_jobs():
    return [ok, fails, calls, often]
"""
SHAKY = """
from kernel import hookimpl
from kernel.events import RunStarted

@hookimpl
def on_event(event: RunStarted) -> None:
    raise ValueError("shaky")
"""
SEED = 8321
EXAMPLES = 5
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
BY_HAND_ALONE = {
    "followEvents": "it never ends",
    "disablePlugin": "what is off answers no more",
    "readyz": "with a plugin in quarantine it says 503, as it should",
}


class Api:
    """The kernel's API from outside. ``seen``: (operation, status) of all answers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {TOKEN}"
        document = self.session.get(f"{url}/api/v1/openapi.json", timeout=10).json()
        self.schema = schemathesis.openapi.from_dict(document)
        self.operations: dict[str, APIOperation[Any, Any, Any, Any]] = {}
        for found in self.schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            self.operations[operation.definition.raw["operationId"]] = operation
        self.seen: set[tuple[str, int]] = set()

    def ask(self, name: str, status: int, json: Any = None, query: str = "", **given: Any) -> Any:
        """One request by hand, held to the description as all others are. ``given``: what stands in the path, headers."""
        operation = self.operations[name]
        headers = {"Content-Type": "application/json"} | given.pop("headers", {})
        path = operation.path.format_map({key: quote(one, safe="") for key, one in given.items()})
        with self.session.request(
            operation.method,
            self.url + path + query,
            json=json,
            headers=headers,
            timeout=30,
            stream=name == "followEvents",
        ) as response:
            assert response.status_code == status, (name, response.status_code, response.text)
            self.seen.add((name, status))
            if name == "followEvents":
                return next(line for line in response.iter_lines() if line.startswith(b"id: "))
            operation.validate_response(response)
            is_json = response.headers.get("Content-Type", "").startswith("application/json")
            return response.json() if is_json else response.text

    def fuzz(self, name: str, mode: GenerationMode, path: dict[str, str] | None) -> None:
        operation = self.operations[name]
        # A wait that is over at once, or 60 requests take an hour.
        query = {"timeout": 0} if name == "waitForRun" and mode is GenerationMode.POSITIVE else None

        @seed(SEED)
        @settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(mode, path_parameters=path, query=query))
        def ask(case: Any) -> None:
            response = case.call(base_url=self.url, session=self.session, timeout=30)
            self.seen.add((name, response.status_code))
            # What is too large has been rejected too, before anybody looked what it is.
            is_too_large = response.status_code == 413
            checks = [check for check in CHECKS if not (is_too_large and check is negative_data_rejection)]
            case.validate_response(response, checks=checks)

        with suppress(Unsatisfiable):  # where nothing may be given, nothing can be given wrong
            ask()

    def described(self) -> set[tuple[str, int]]:
        """Each 2xx that the description has."""
        return {
            (name, int(status))
            for name, operation in self.operations.items()
            for status in operation.definition.raw["responses"]
            if status.startswith("2")
        }


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder: Path = tmp_path_factory.mktemp("api")
    place = Place(folder, CONFIG)
    place.write_plugin("demo", DEMO)
    place.write_plugin("shaky", SHAKY)
    with place.kernel() as kernel:
        address = re.search(r"http://[\d.:]+", kernel.wait_for("the dashboard is at "))
        assert address is not None
        yield Api(address[0])
        assert [line for line in kernel.err if "Traceback" in line or " failed" in line] == []


@pytest.mark.timeout(300)
def test_whatever_is_asked_is_answered_as_described_and_never_by_a_5xx(api: Api) -> None:
    run = api.ask("enqueue", 201, {"job": "demo.ok"})["id"]
    names = {
        "run": run,
        "schedule": "demo.often",
        "job": "demo.ok",
        "queue": "calls",
        "breaker": "partner",
        "plugin": "demo",
    }

    for name, operation in api.operations.items():
        if name in BY_HAND_ALONE:
            continue
        there = {one: names[one] for one in names if f"{{{one}}}" in operation.path}
        api.fuzz(name, GenerationMode.POSITIVE, there or None)
        api.fuzz(name, GenerationMode.NEGATIVE, None)
        if there:
            api.fuzz(name, GenerationMode.POSITIVE, None)
    by_hand(api)

    assert api.described() - api.seen == set()
    assert {one for one in api.seen if one[1] >= 500} == set()


def by_hand(api: Api) -> None:
    """What chance hardly finds: each operation so that it does its work."""
    key = {"Idempotency-Key": "order-17"}
    run = api.ask("enqueue", 201, {"job": "demo.ok", "payload": {"name": "Eva"}, "tags": ["a"]}, headers=key)["id"]
    assert (
        api.ask("enqueue", 201, {"job": "demo.ok", "payload": {"name": "Eva"}, "tags": ["a"]}, headers=key)["id"] == run
    )
    api.ask("resumeQueue", 200, queue="default")
    assert api.ask("waitForRun", 200, query="?timeout=20", run=run)["result"] == {"hello": "Eva"}
    assert api.ask("showRun", 200, run=run)["steps"] == [{"name": "count", "result": 1}]
    assert api.ask("listRuns", 200, query="?tag=a&limit=1")["items"][0]["id"] == run

    failed = api.ask("enqueue", 201, {"job": "demo.fails"})["id"]
    assert api.ask("waitForRun", 200, query="?timeout=20", run=failed)["state"] == "failed"
    api.ask("showTree", 200, run=failed)
    assert api.ask("explain", 200, query=f"?subject={failed}")["reason"] == "failed"
    api.ask("explain", 200, query="?subject=demo.often")
    api.ask("retryRun", 200, run=failed)
    later = {"job": "demo.ok", "delay": "1h", "unique": "one"}
    waiting = api.ask("enqueue", 201, later)["id"]
    assert api.ask("enqueue", 200, later)["id"] == waiting
    api.ask("enqueue", 201, {"job": "demo.ok", "depends_on": [waiting]})
    assert api.ask("showTree", 200, run=waiting)["needed_by"]["branches"]
    api.ask("cancelRun", 200, {"reason": "by hand"}, run=waiting)
    api.ask("cancelRuns", 200, {"filter": {"state": "scheduled"}})
    assert api.ask("retryRuns", 200, {"ids": [waiting]})["runs"] == 1

    api.ask("addSchedule", 201, {"name": "by hand/1", "job": "demo.ok", "cron": "0 3 * * *"})
    assert api.ask("showSchedule", 200, schedule="by hand/1")["dynamic"]
    api.ask("pauseSchedule", 200, schedule="by hand/1")
    api.ask("resumeSchedule", 200, schedule="by hand/1")
    api.ask("triggerSchedule", 201, schedule="by hand/1")
    api.ask("removeSchedule", 204, schedule="by hand/1")
    api.ask("listTicks", 200)
    api.ask("listTicksOfSchedule", 200, schedule="demo.often")
    api.ask("listUpcoming", 200, query="?until=1h")
    api.ask("resetBreaker", 200, breaker="partner")
    api.ask("pauseQueue", 200, {"duration": "1s"}, queue="calls")
    api.ask("resizeQueue", 200, {"concurrency": 2}, queue="calls")
    api.ask("releasePlugin", 200, plugin="shaky")
    api.ask("reload", 200)
    assert api.ask("followEvents", 200)
    assert "mainspring_" in api.ask("metrics", 200)
    api.ask("disablePlugin", 200, plugin="shaky")
    assert api.ask("readyz", 200) == {"ready": True, "problems": 0, "details": []}
    api.ask("disablePlugin", 200, plugin="demo")
    api.ask("enablePlugin", 200, plugin="demo")
