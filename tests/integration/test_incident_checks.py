"""While people are told that something fails, health and metrics say so too."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Kernel
from kernel.events import HealthChanged
from kernel.testing import FakeClock
from tests.unit.plugins.metrics.metrics_kit import scrape, value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PLUGIN = """
from pathlib import Path
from kernel import Context, hookimpl, job

HERE = Path(__file__).parent

@job
async def sync(ctx: Context, secret: str = "") -> None:
    if (HERE / "down").exists():
        ctx.notify_error(ConnectionError(f"no answer from https://me:{secret}@partner.example"), incident="partner")
    else:
        ctx.notify_info("it answers", incident="partner")

@job(retry=1)
async def fetch() -> None:
    if (HERE / "down").exists():
        raise ConnectionError("no answer")

@hookimpl
def register_jobs():
    return [sync, fetch]
"""
CONFIG = """
[kernel]
store = "sqlite:///kernel.db"
[plugins.shop]
[plugins.health]
[plugins.metrics]
[plugins.notify]
"""


class Site:
    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, FakeClock()
        self._shop = folder / "plugins" / "shop"
        self._shop.mkdir(parents=True)
        (self._shop / "__init__.py").write_text(PLUGIN, encoding="utf-8")
        (folder / "plugins.toml").write_text(CONFIG, encoding="utf-8")

    def partner(self, *, is_down: bool) -> None:
        flag = self._shop / "down"
        flag.touch() if is_down else flag.unlink()

    @asynccontextmanager
    async def kernel(self) -> AsyncIterator[Kernel]:
        async with Kernel.from_toml(self.folder / "plugins.toml", clock=self.clock) as kernel:
            yield kernel


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def run(kernel: Kernel, job: str, **payload: Any) -> None:
    enqueued = await kernel.enqueue(job, payload)
    await kernel.wait(enqueued.id, timeout="10s")


async def incidents(kernel: Kernel) -> dict[str, dict[str, Any]]:
    health = await kernel.control.health()
    return {check["subject"]: check for check in health["checks"] if check["subject"].startswith("incident ")}


async def stand(site: Site, kernel: Kernel, expected: dict[str, int]) -> dict[str, dict[str, Any]]:
    """The incidents, once there are these with so many happenings each; the clock goes on, for some end by a look."""
    async with asyncio.timeout(10):
        while True:
            found = await incidents(kernel)
            if {name: one["details"]["times"] for name, one in found.items()} == expected:
                return found
            await site.clock.advance(1)


async def test_an_incident_is_a_row_that_is_not_ok_and_a_number_until_it_is_over_also_after_a_restart(
    site: Site,
) -> None:
    site.partner(is_down=True)
    async with site.kernel() as kernel:
        before = value(await scrape(kernel), "mainspring_incidents_open")
        for _ in range(2):
            await run(kernel, "shop.sync", secret="pa55-w0rd")  # noqa: S106 - no real one
        row = (await stand(site, kernel, {"incident partner": 2}))["incident partner"]
        health = await kernel.control.health()
        meanwhile = await scrape(kernel)
    async with site.kernel() as kernel:
        await stand(site, kernel, {"incident partner": 2})
        again = await kernel.control.health()
        site.partner(is_down=False)
        await run(kernel, "shop.sync")
        await stand(site, kernel, {})
        after, at_last = await scrape(kernel), await kernel.control.health()

    assert (row["plugin"], row["verdict"], row["ok"]) == ("notify", "failing", False)
    assert row["since"] is not None
    assert "×2 in " in row["text"]  # noqa: RUF001 - times, as people write it
    assert "no answer from https://***@partner.example" in row["text"]
    assert [one["verdict"] for one in health["checks"] if one["subject"] == "shop.sync"] == ["healthy"]
    assert (health["healthy"], again["healthy"], at_last["healthy"]) == (False, False, True)
    assert any(problem.startswith("incident partner is failing: ") for problem in health["problems"])
    assert (before, value(meanwhile, "mainspring_incidents_open"), value(after, "mainspring_incidents_open")) == (
        0,
        1,
        0,
    )
    assert value(meanwhile, "mainspring_healthy") == 0


async def test_an_incident_without_a_name_has_that_of_its_job_and_what_is_no_error_is_ok(site: Site) -> None:
    site.partner(is_down=True)
    async with site.kernel() as kernel:
        await run(kernel, "shop.fetch")
        kernel.publish(HealthChanged(kernel.clock.now(), "shop.sync", "long", "healthy", "takes long", 0.0))
        found = await stand(site, kernel, {"incident shop.fetch/failed": 1, "incident shop.sync/long": 1})
        site.partner(is_down=False)
        await run(kernel, "shop.fetch")
        kernel.publish(HealthChanged(kernel.clock.now(), "shop.sync", "healthy", "long", "", 0.0))
        await stand(site, kernel, {})

    assert {name: (one["verdict"], one["ok"]) for name, one in found.items()} == {
        "incident shop.fetch/failed": ("failing", False),
        "incident shop.sync/long": ("degraded", True),
    }
