"""What machines ask: livez, readyz, metrics."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from kernel.testing import until
from tests.unit.plugins.web.web_kit import TOKEN, running

if TYPE_CHECKING:
    from pathlib import Path

LOGIN = f'token = "{TOKEN}"'
FAILING = """
from kernel import Check, hookimpl

@hookimpl
def check_health():
    return [Check("partner-of-eva", "failing", ok=False, text="no answer")]
"""


async def test_a_kernel_that_answers_is_alive_for_anybody(tmp_path: Path) -> None:
    async with running(tmp_path, LOGIN) as web:
        reply = await web.get("/livez")
        assert (reply.status, json.loads(reply.text)) == (200, {"alive": True})
        assert (await web.ask("HEAD", "/livez")).status == 200


async def test_a_kernel_that_does_its_work_is_ready(tmp_path: Path) -> None:
    async with running(tmp_path, LOGIN) as web:
        reply = await web.get("/readyz")
        assert (reply.status, json.loads(reply.text)) == (200, {"ready": True, "problems": 0})


async def test_what_is_wrong_is_named_to_those_who_are_logged_in(tmp_path: Path) -> None:
    async with running(tmp_path, LOGIN, plugins={"partner": FAILING}) as web:
        stranger = await web.get("/readyz")
        assert (stranger.status, json.loads(stranger.text)) == (503, {"ready": False, "problems": 1})
        known = await web.get("/readyz", authorization=f"Bearer {TOKEN}")
        assert known.status == 503
        assert "partner-of-eva" in json.loads(known.text)["details"][0]


async def test_a_kernel_that_stops_is_not_ready_and_alive(tmp_path: Path) -> None:
    async with running(tmp_path, '[kernel] shutdown_grace = "10s"') as web:
        run = await web.kernel.enqueue("demo.slow")
        await until(lambda: web.kernel.figures()["running"] == 1)
        stopping = asyncio.create_task(web.kernel.stop(reason="test"))
        await until(lambda: web.site.is_stopping)
        reply = await web.get("/readyz")
        assert (reply.status, "stopping" in reply.text) == (503, True)
        assert (await web.get("/livez")).status == 200
        await web.kernel.control.runs_cancel(runs=[run.id])
        await stopping


async def test_metrics_are_those_of_the_plugin_and_need_a_login(tmp_path: Path) -> None:
    async with running(tmp_path, LOGIN, "[plugins.metrics]") as web:
        accept = {"authorization": f"Bearer {TOKEN}", "accept": "application/openmetrics-text"}
        reply = await web.get("/metrics", **accept)
        assert reply.status == 200
        assert reply.headers["Content-Type"].startswith("application/openmetrics-text")
        assert "mainspring_" in reply.text
        assert (await web.get("/metrics", accept="text/plain")).status == 401


async def test_without_the_plugin_metrics_it_is_said_what_to_do(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        reply = await web.get("/metrics", accept="text/plain")
        assert reply.status == 404
        assert "enable metrics" in json.loads(reply.text)["detail"]
