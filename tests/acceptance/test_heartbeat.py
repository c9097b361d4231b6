"""A real kernel whose loop is really blocked falls silent, and is heard again afterwards."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from kernel.testing import until
from tests.acceptance.cli_program import Place
from tests.http_service import HttpService

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "c4na-ry"  # noqa: S105 - no real one
CONFIG = """\
[kernel]
store = "sqlite:///var/store.db"

[plugins.shop]

[plugins.heartbeat]
kernel = {{ url = "{url}/{secret}/kernel", dialect = "healthchecks" }}
every = "1s"

[plugins.heartbeat.watched]
"shop.greet" = {{ url = "{url}/{secret}/greet", dialect = "healthchecks" }}
"""
BLOCKED = 5.0


async def test_a_kernel_whose_loop_is_blocked_is_silent_and_heard_again_when_it_turns(tmp_path: Path) -> None:
    async with HttpService() as service:
        place = Place(tmp_path, CONFIG.format(url=service.url, secret=SECRET))
        kernel = await asyncio.to_thread(place.kernel)
        try:
            await until(lambda: len(service.asked) >= 3)
            await asyncio.to_thread(place.enqueue, "shop.block_loop", "--payload", f'{{"seconds": {BLOCKED}}}')
            await until((tmp_path / "plugins/shop/blocking").exists, 30)
            began, before = time.monotonic(), len(service.asked)
            await until(lambda: len(service.asked) >= before + 3, 30)
            first_after = next(at for at in service.asked_at if at > began + 0.3)
            run = await asyncio.to_thread(place.enqueue, "shop.greet", "--payload", '{"name": "Ada"}')
            await until(lambda: f"/{SECRET}/greet?rid={run}" in service.asked, 30)
            await asyncio.to_thread(kernel.stop)
        finally:
            await asyncio.to_thread(kernel.kill)

    assert first_after - began > BLOCKED - 1.0
    assert f"/{SECRET}/greet/start?rid={run}" in service.asked
    assert SECRET not in "".join([*kernel.out, *kernel.err])


async def test_a_kernel_that_is_killed_tells_nothing_any_more_and_a_dead_service_is_no_reason_to_fail(
    tmp_path: Path,
) -> None:
    async with HttpService() as service:
        place = Place(tmp_path, CONFIG.format(url=service.url, secret=SECRET))
        kernel = await asyncio.to_thread(place.kernel)
        await until(lambda: len(service.asked) >= 2)
        service.hangs = True
        done = await asyncio.to_thread(place.run, "enqueue", "shop.greet", "--payload", '{"name": "Ada"}', "--wait")
        health = await asyncio.to_thread(place.run, "health")
        plugins = await asyncio.to_thread(place.run, "plugins", "list")
        await asyncio.to_thread(kernel.kill)
        told = len(service.asked)
        await asyncio.sleep(2.5)  # more than two pings; nothing would wake us

    assert (done.status, health.status) == (0, 0)
    assert len(service.asked) == told
    assert SECRET not in done.out + done.err + health.out + health.err + plugins.out + "".join(kernel.err)
