"""The metrics of a kernel that runs: on its page, by the hook, and when the store does not answer."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession

from kernel import UnknownNameError
from kernel.contracts.clock import SystemClock
from kernel.model.errors import StoreError
from kernel.testing import FakeClock, until
from plugins.metrics.page import Page
from plugins.metrics.readings import Readings
from tests.unit.plugins.metrics.metrics_kit import plugin_of, read, running, scrape, value

if TYPE_CHECKING:
    from pathlib import Path

    from kernel import Kernel

LISTEN = 'listen = "127.0.0.1:0"'


async def fetch(kernel: Kernel, path: str = "/metrics", **headers: str) -> tuple[int, str, str]:
    url = plugin_of(kernel)._page.url.removesuffix("/metrics")
    async with ClientSession() as session, session.get(url + path, headers=headers) as response:
        return response.status, response.headers["Content-Type"], await response.text()


async def test_the_page_is_prometheus_text_unless_openmetrics_is_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path, LISTEN) as kernel:
        plain = await fetch(kernel)
        asked = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        openmetrics = await fetch(kernel, Accept=asked)
        elsewhere = await fetch(kernel, "/")

    assert (plain[0], plain[1].split(";")[0], elsewhere[0]) == (200, "text/plain", 404)
    assert (openmetrics[0], openmetrics[1].split(";")[0]) == (200, "application/openmetrics-text")
    assert openmetrics[2].endswith("# EOF\n")
    read(openmetrics[2], openmetrics=True)
    same = [read(plain[2]), read(openmetrics[2], openmetrics=True)]
    assert value(same[0], "mainspring_concurrency") == value(same[1], "mainspring_concurrency") == 100


async def test_it_tells_of_runs_queues_ticks_breakers_plugins_and_the_store(tmp_path: Path) -> None:
    async with running(tmp_path) as kernel:
        nap = await kernel.enqueue("demo.nap")
        for job in ("fails", "calls", "without"):
            await kernel.enqueue(f"demo.{job}")
        late = await kernel.enqueue("demo.nap", {"seconds": 0}, delay="1h")
        metrics = plugin_of(kernel)
        await until(lambda: ("demo.without", "default") in metrics._runs._pairs)
        await until(lambda: metrics._runs._pairs["demo.without", "default"].degraded == 1)
        await until(lambda: metrics._runs._pairs["demo.calls", "default"].failed == 1)
        await until(lambda: metrics._runs._jobs["demo.fails"].retries == 1)
        await until(lambda: kernel.engine.breakers.shut() != [])
        found = await scrape(kernel)
        await kernel.control.runs_cancel(runs=[nap.id, late.id])

    def queued(queue: str, state: str) -> float | None:
        return value(found, "mainspring_queue_runs", queue=queue, state=state)

    assert (queued("naps", "running"), queued("naps", "scheduled"), queued("default", "retrying")) == (1, 1, 1)
    assert value(found, "mainspring_queue_oldest_waiting_seconds", queue="naps") == 0
    assert value(found, "mainspring_queue_paused", queue="naps") == 0
    assert value(found, "mainspring_running_attempts") == 1
    assert value(found, "mainspring_breaker_state", breaker="partner", state="open") == 1
    assert value(found, "mainspring_breaker_state", breaker="partner", state="closed") == 0
    assert value(found, "mainspring_plugin_state", plugin="demo", state="enabled") == 1
    assert value(found, "mainspring_plugin_state", plugin="fleet", state="off") == 1
    assert value(found, "mainspring_schedules") == 1
    assert value(found, "mainspring_store_batch_rows_sum", operation="enqueue") == 5
    assert value(found, "mainspring_events_dropped_total", listener="metrics") == 0
    assert value(found, "mainspring_healthy") == 1
    assert value(found, "mainspring_info", version="0.1.0") == 1
    assert value(found, "mainspring_runs_total", job_name="demo.tick", queue="default", outcome="failed") == 0


async def test_the_oldest_waiting_run_ages_and_a_paused_queue_is_told(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock=clock) as kernel:
        await kernel.control.queues_pause(queue="naps")
        await kernel.enqueue("demo.nap")
        clock.skip(90)
        found = await scrape(kernel)

    assert value(found, "mainspring_queue_oldest_waiting_seconds", queue="naps") == pytest.approx(90)
    assert value(found, "mainspring_queue_runs", queue="naps", state="queued") == 1
    assert value(found, "mainspring_queue_paused", queue="naps") == 1


async def test_ticks_are_told_by_result(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock=clock) as kernel:
        await clock.advance(11)
        await until(lambda: kernel.engine.recorder.ticks["run"] == 1)
        await kernel.schedules.pause("demo.tick")
        await clock.advance(20)
        await kernel.schedules.resume("demo.tick")
        found = await scrape(kernel)

    assert value(found, "mainspring_ticks_total", result="run") == 1
    assert value(found, "mainspring_ticks_total", result="paused") == 2


async def test_a_store_that_does_not_answer_costs_its_gauges_and_not_the_page(tmp_path: Path) -> None:
    async with running(tmp_path) as kernel:
        plugin = plugin_of(kernel)
        plugin._readings = Readings(kernel, within=0.05)

        async def never() -> list[object]:
            await asyncio.Event().wait()
            return []

        async def fails() -> list[object]:
            raise StoreError("locked")

        kernel.store.queues = never  # type: ignore[method-assign, assignment]
        kernel.store.breakers = fails  # type: ignore[method-assign, assignment]
        found = await scrape(kernel)

    assert value(found, "mainspring_reading_missing", reading="queues") == 1
    assert value(found, "mainspring_reading_missing", reading="breakers") == 1
    assert value(found, "mainspring_reading_missing", reading="health") == 0
    assert value(found, "mainspring_concurrency") == 100
    assert not any(name == "mainspring_queue_runs" for name, _ in found)


async def test_those_who_ask_together_share_one_reading_of_the_store(tmp_path: Path) -> None:
    async with running(tmp_path, LISTEN) as kernel:
        asked = 0
        queues = kernel.store.queues

        async def counted() -> object:
            nonlocal asked
            asked += 1
            return await queues()

        kernel.store.queues = counted  # type: ignore[method-assign, assignment]
        answers = await asyncio.gather(*(fetch(kernel) for _ in range(20)))

    assert {status for status, _, _ in answers} == {200}
    assert asked <= 2  # 20 pages take less than two seconds


async def test_other_plugins_get_the_page_by_asking(tmp_path: Path) -> None:
    async with running(tmp_path) as kernel:
        about = {"accept": "application/openmetrics-text;version=1.0.0"}
        [answer] = await kernel.ask("answer", question="metrics", about=about)
        by_control = await kernel.control.ask(question="metrics")
        with pytest.raises(UnknownNameError, match="no question named 'metricks'"):
            await kernel.control.ask(question="metricks")

    assert answer.value["content_type"].startswith("application/openmetrics-text")
    read(answer.value["text"], openmetrics=True)
    assert by_control["content_type"].startswith("text/plain")


async def test_an_address_that_is_taken_is_told_once_and_taken_as_soon_as_it_is_free(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        async def write(_accept: str) -> tuple[bytes, str]:
            return b"1\n", "text/plain"

        page = Page("127.0.0.1", port, write, again=0.01)
        await page.start()
        assert page.url == ""
    try:
        await until(lambda: page.url != "")
        async with ClientSession() as session, session.get(page.url) as response:
            assert await response.text() == "1\n"
    finally:
        await page.stop()

    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert f"not offered on 127.0.0.1:{port}: " in warnings[0]


async def test_a_caller_that_sends_nothing_holds_up_neither_the_others_nor_the_end(tmp_path: Path) -> None:
    async with running(tmp_path, LISTEN) as kernel:
        port = int(plugin_of(kernel)._page.url.split(":")[2].split("/")[0])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\n")
        status, _, _ = await fetch(kernel)
        began = time.monotonic()
    took = time.monotonic() - began
    writer.close()

    assert status == 200
    assert took < 5


async def test_the_lag_of_the_loop_is_measured(tmp_path: Path) -> None:
    async with running(tmp_path, clock=SystemClock()) as kernel:
        lag = plugin_of(kernel)._lag.lags
        await until(lambda: lag.count >= 1)
        time.sleep(0.6)  # noqa: ASYNC251 - the loop is to be late
        await until(lambda: sum(lag.counts[7:]) > 0)
        found = await scrape(kernel)

    below = value(found, "mainspring_loop_lag_seconds_bucket", le="0.25") or 0.0
    assert (value(found, "mainspring_loop_lag_seconds_count") or 0) - below == 1


async def test_switched_off_it_gives_its_address_back(tmp_path: Path) -> None:
    async with running(tmp_path, LISTEN) as kernel:
        url = plugin_of(kernel)._page.url
    async with ClientSession() as session:
        with pytest.raises(OSError, match="Connect call failed"):
            await session.get(url)
