"""Jobs and the kernel tell a real service that they live; what the service does costs neither of them anything."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Kernel
from kernel.config import load_config
from kernel.events import ConfigReloaded, ServiceRecovered, ServiceTroubled
from kernel.testing import FakeClock, settle, until
from tests.http_service import HttpService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from kernel.events import Event

SECRET = "c4na-ry"  # noqa: S105 - no real one
JOBS = """
import asyncio
from kernel import Retry, every, hookimpl, job

@every("5s")
async def tick(): ...

@job(retry=Retry(2, base="1s", jitter=0))
async def fails():
    raise ValueError("the secret of the house")

@job
async def work(): ...

@job(queue="paused", expires="1m")
async def expires(): ...

@hookimpl
def register_jobs():
    return [tick, fails, work, expires]
"""


@pytest.fixture
async def service() -> AsyncIterator[HttpService]:
    async with HttpService() as service:
        yield service


@asynccontextmanager
async def running(folder: Path, service: HttpService, *lines: str, clock: FakeClock) -> AsyncIterator[Kernel]:
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins" / "demo.py").write_text(JOBS, encoding="utf-8")
    text = ["[kernel]", 'store = "memory://"', "[plugins.demo]", "[plugins.heartbeat]", *lines]
    file = folder / "plugins.toml"
    file.write_text("\n".join(text).replace("URL", f"{service.url}/{SECRET}"), encoding="utf-8")
    async with Kernel(load_config(file), clock=clock) as kernel:
        yield kernel


def watched(*jobs: str) -> list[str]:
    rows = [f'"demo.{job}" = {{ url = "URL/{job}", dialect = "healthchecks" }}' for job in jobs]
    return ["[plugins.heartbeat.watched]", *rows]


def heard(kernel: Kernel, *kinds: type[Event]) -> list[Any]:
    found: list[Any] = []

    async def tell(events: Sequence[Event]) -> None:
        found.extend(events)

    kernel.bus.subscribe("test", kinds, tell)
    return found


async def test_a_job_that_is_watched_tells_start_success_and_failure_with_its_run(
    tmp_path: Path, service: HttpService
) -> None:
    clock = FakeClock()
    async with running(tmp_path, service, *watched("work", "fails"), clock=clock) as kernel:
        done = await kernel.enqueue("demo.work")
        await until(lambda: len(service.asked) == 2)
        failed = await kernel.enqueue("demo.fails")
        await until(lambda: len(service.asked) == 3)
        await clock.advance(2)
        await until(lambda: len(service.asked) == 4)
        await kernel.enqueue("demo.tick")
        await settle()

    path = f"/{SECRET}"
    assert service.asked == [
        f"{path}/work/start?rid={done.id}",
        f"{path}/work?rid={done.id}",
        f"{path}/fails/start?rid={failed.id}",
        f"{path}/fails/fail?rid={failed.id}",
    ]
    assert "house" not in str(service.asked)


async def test_a_run_that_had_not_begun_in_time_is_a_failure(tmp_path: Path, service: HttpService) -> None:
    clock = FakeClock()
    async with running(tmp_path, service, *watched("expires"), clock=clock) as kernel:
        await kernel.control.queues_pause(queue="paused")
        run = await kernel.enqueue("demo.expires")
        await clock.advance(61)
        await kernel.control.queues_resume(queue="paused")
        await until(lambda: len(service.asked) == 1)

    assert service.asked == [f"/{SECRET}/expires/fail?rid={run.id}"]


async def test_the_kernel_tells_at_its_start_and_every_minute_that_it_works(
    tmp_path: Path, service: HttpService
) -> None:
    clock = FakeClock()
    async with running(tmp_path, service, 'kernel = { url = "URL", dialect = "healthchecks" }', clock=clock) as kernel:
        for minutes in range(1, 4):
            await until(lambda minutes=minutes: len(service.asked) == minutes)  # type: ignore[misc] # bound at once
            for _ in range(12):
                await clock.advance(5)
                await until(lambda: not kernel.engine.scheduler._looking.locked())
        await until(lambda: len(service.asked) == 4)

    assert service.asked == [f"/{SECRET}"] * 4


async def test_the_kernel_is_silent_while_its_schedules_are_not_looked_at(
    tmp_path: Path, service: HttpService, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    async with running(tmp_path, service, 'kernel = { url = "URL", dialect = "healthchecks" }', clock=clock) as kernel:
        await until(lambda: len(service.asked) == 1)
        async with kernel.engine.scheduler._looking:
            await clock.advance(300)
            await settle()
            stalled = len(service.asked)
        await until(lambda: kernel.engine.scheduler.overdue_seconds(clock.now()) == 0)
        await clock.advance(60)
        await until(lambda: len(service.asked) == 2)

    said = [record.getMessage() for record in caplog.records if "withheld" in record.getMessage()]
    assert stalled == 1
    assert len(said) == 1
    assert "a tick has been due for 55 s" in said[0]


async def test_a_service_in_trouble_is_told_once_as_an_event_and_fails_no_run(
    tmp_path: Path, service: HttpService, caplog: pytest.LogCaptureFixture
) -> None:
    clock, service.status = FakeClock(), 500
    caplog.set_level(logging.DEBUG)
    async with running(tmp_path, service, *watched("work"), clock=clock) as kernel:
        told = heard(kernel, ServiceTroubled, ServiceRecovered)
        runs = [await kernel.enqueue("demo.work") for _ in range(3)]
        states = [(await kernel.wait(run.id, timeout=10)).state for run in runs]
        while len(service.asked) < 18:  # six pings, three tries of each
            await clock.advance(1)
        before = list(told)
        [in_trouble] = await kernel.ask("check_health")
        service.status = 200
        await kernel.enqueue("demo.work")
        while len(told) < 2:
            await clock.advance(1)
        [answer] = await kernel.ask("check_health")

    assert states == ["completed"] * 3
    assert [type(event) for event in before] == [ServiceTroubled]
    assert (before[0].plugin, before[0].service, before[0].problem) == (
        "heartbeat", "127.0.0.1 (heartbeat of demo.work)", "answered 500",
    )  # fmt: skip
    assert [type(event) for event in told] == [ServiceTroubled, ServiceRecovered]
    assert (in_trouble.value[0].verdict, in_trouble.value[0].ok) == ("degraded", True)
    assert (answer.value[0].verdict, answer.value[0].ok) == ("healthy", True)
    assert SECRET not in caplog.text + str(told) + str(answer.value)


async def test_a_service_that_hangs_neither_delays_a_run_nor_the_other_checks_nor_the_end(
    tmp_path: Path, service: HttpService
) -> None:
    clock, service.hangs = FakeClock(), True
    async with HttpService() as other:
        rows = [*watched("work"), f'"demo.fails" = {{ url = "{other.url}/x", dialect = "healthchecks" }}']
        async with running(tmp_path, service, *rows, clock=clock) as kernel:
            run = await kernel.enqueue("demo.work")
            ended = await kernel.wait(run.id, timeout=10)
            await kernel.enqueue("demo.fails")
            await until(lambda: len(other.asked) == 1)

    assert ended.state == "completed"
    assert len(service.asked) == 1


async def test_a_job_that_does_not_exist_is_told_with_its_line_and_the_nearest_name(
    tmp_path: Path, service: HttpService, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, service, *watched("work", "werk"), clock=FakeClock()) as kernel:
        await until(lambda: any("werk" in record.getMessage() for record in caplog.records))
        kernel.publish(ConfigReloaded(kernel.clock.now(), ("plugin shop: enabled",)))
        await kernel.enqueue("demo.work")
        await until(lambda: len(service.asked) == 2)

    said = [record.getMessage() for record in caplog.records if "werk" in record.getMessage()]
    assert len(said) == 1
    line = """plugins.toml:7: [plugins.heartbeat.watched] 'demo.werk': no job named 'demo.werk'. Did you mean "demo.work"?"""
    assert said[0].endswith(line)


async def test_health_claims_no_ping_that_was_not_taken_and_says_which_job_does_not_exist(
    tmp_path: Path, service: HttpService
) -> None:
    async with running(tmp_path, service, *watched("work", "werk"), clock=FakeClock()) as kernel:
        plugin = kernel.host._plugins["heartbeat"]._object

        def rows() -> dict[str, tuple[str, str]]:
            return {one.subject: (one.verdict, one.text) for one in plugin.check_health() if one.ok}

        await until(lambda: rows()["heartbeat of demo.werk"][0] == "degraded")
        before = rows()
        await kernel.enqueue("demo.work")
        await until(lambda: rows() != before)
        after = rows()

    missing = ("degraded", "no such job, or its plugin is off: 127.0.0.1 is told nothing")
    assert before == {
        "heartbeat of demo.work": ("healthy", "no ping yet to 127.0.0.1"),
        "heartbeat of demo.werk": missing,
    }
    assert after == {"heartbeat of demo.work": ("healthy", "127.0.0.1 is told"), "heartbeat of demo.werk": missing}
