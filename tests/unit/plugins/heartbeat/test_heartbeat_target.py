"""One check of a real service that fails, hangs, answers 429 and 500: in order, with two retries, told once."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from kernel.testing import until
from plugins.heartbeat.dialects import Ping
from plugins.heartbeat.settings import Check
from plugins.heartbeat.target import Sender, Target
from tests.http_service import HttpService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SECRET = "c4na-ry"  # noqa: S105 - no real one
RUN = "01a20ac0-cfda-7625-9e59-02446e32a192"


class Desk:
    """A target with what it waited for and what it told."""

    def __init__(self, url: str, *, timeout: float = 5.0) -> None:
        self.waits: list[float] = []
        self.troubles: list[str] = []
        self.recoveries: list[float] = []
        self.elapsed = 0.0
        self.sender = Sender(timeout)
        self.target = Target(
            "demo.work",
            Check(url=SecretStr(f"{url}/{SECRET}"), dialect="healthchecks"),
            self.sender,
            sleep=self._sleep,
            elapsed=lambda: self.elapsed,
            on_trouble=lambda _target, problem: self.troubles.append(problem),
            on_recovery=lambda _target, seconds: self.recoveries.append(seconds),
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.elapsed += seconds
        await asyncio.sleep(0)

    async def tell(self, *pings: Ping) -> None:
        """Tells them, and waits until they are out."""
        for ping in pings:
            self.target.tell(ping)
        await until(lambda: self.target._task is None)

    async def close(self) -> None:
        await self.target.stop(0.0)
        await self.sender.close()


@pytest.fixture
async def service() -> AsyncIterator[HttpService]:
    async with HttpService() as service:
        yield service


@pytest.fixture
async def desk(service: HttpService) -> AsyncIterator[Desk]:
    desk = Desk(service.url)
    yield desk
    await desk.close()


async def test_pings_go_out_in_order_with_the_id_of_the_run(service: HttpService, desk: Desk) -> None:
    await desk.tell(Ping("start", RUN), Ping("success", RUN), Ping("start", RUN), Ping("failure", RUN))

    path = f"/{SECRET}"
    ends = ["/start", "", "/start", "/fail"]
    assert service.asked == [f"{path}{end}?rid={RUN}" for end in ends]
    assert desk.troubles == []
    assert set(service.agents) == {"mainspring-heartbeat"}


@pytest.mark.parametrize("status", [429, 500, 503, 408])
async def test_what_may_pass_is_tried_again_twice(service: HttpService, desk: Desk, status: int) -> None:
    service.answers = [status, status]
    await desk.tell(Ping("success"))

    assert (len(service.asked), desk.waits, desk.troubles) == (3, [1.0, 4.0], [])


async def test_a_service_that_says_how_long_to_wait_is_given_the_time_up_to_half_a_minute(
    service: HttpService, desk: Desk
) -> None:
    service.answers, service.headers = [429, 429], {"Retry-After": "7"}
    await desk.tell(Ping("success"))
    service.answers, service.headers = [429], {"Retry-After": "86400"}
    await desk.tell(Ping("success"))

    assert desk.waits == [7.0, 7.0, 30.0]


@pytest.mark.parametrize("status", [400, 404, 410, 301])
async def test_what_will_not_pass_is_not_tried_again_nor_followed(
    service: HttpService, desk: Desk, status: int
) -> None:
    service.status, service.headers = status, {"Location": "/elsewhere"}
    await desk.tell(Ping("success"))

    assert len(service.asked) == 1
    assert desk.troubles == [f"answered {status}: is its URL right?"]


async def test_trouble_is_told_once_and_its_end_with_how_long_it_was(service: HttpService, desk: Desk) -> None:
    service.status = 500
    for _ in range(3):
        await desk.tell(Ping("success"))
    service.status = 200
    await desk.tell(Ping("success"))
    await desk.tell(Ping("success"))

    assert desk.troubles == ["answered 500"]
    assert desk.recoveries == [10.0]
    assert desk.target.problem == ""


async def test_a_service_that_hangs_is_given_up_and_holds_up_nobody(service: HttpService) -> None:
    desk, service.hangs = Desk(service.url, timeout=0.05), True
    desk.target.tell(Ping("success"))  # returns at once
    await until(lambda: desk.troubles != [])
    await desk.close()

    assert desk.troubles == ["gave no answer within 0.05 s"]
    assert len(service.asked) == 3


async def test_a_service_that_is_not_there_is_trouble_without_its_url(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    desk = Desk(f"http://127.0.0.1:{port}")
    caplog.set_level(logging.DEBUG)
    await desk.tell(Ping("success"))
    await desk.close()

    [problem] = desk.troubles
    assert problem.startswith("cannot be reached: ")
    assert SECRET not in problem + caplog.text


async def test_of_too_many_the_newest_are_kept(service: HttpService) -> None:
    desk, service.hangs = Desk(service.url, timeout=30.0), True
    desk.target.tell(Ping("success"))
    await until(lambda: len(service.asked) == 1)
    for number in range(250):
        desk.target.tell(Ping("success", f"run-{number}"))
    service.hangs = False
    service._released.set()
    await until(lambda: desk.target._task is None)
    await desk.close()

    assert desk.target.left_out == 150
    assert service.asked[1:] == [f"/{SECRET}?rid=run-{number}" for number in range(150, 250)]


async def test_what_waits_at_the_end_may_go_out_for_a_moment_and_is_then_let_go(service: HttpService) -> None:
    quick = Desk(service.url)
    for _ in range(5):
        quick.target.tell(Ping("success"))
    await quick.target.stop(5.0)
    await quick.sender.close()
    service.hangs = True
    slow = Desk(service.url, timeout=30.0)
    slow.target.tell(Ping("success"))
    await slow.target.stop(0.05)
    await slow.sender.close()

    assert len(service.asked) == 6
    assert slow.target._task is None
