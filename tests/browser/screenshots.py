"""Draws the pictures of docs/screenshots: `make screenshots`. Two days of the demo fleet go by first."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import ClientSession
from playwright.async_api import async_playwright, expect

from kernel import Kernel
from kernel.config import load_config
from kernel.testing import FakeClock, settle
from tests.browser.conftest import ARGUMENTS, browser_program
from tests.unit.plugins.web.web_kit import plugin_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "screenshots"
DAYS = 2.0
PARTNER = 8399
CONFIG = f"""
[kernel]
store = "sqlite:///var/mainspring.db"
plugin_dirs = ["{ROOT / "plugins"}", "garage"]

[queues.car-processing]
concurrency = 5

[queues.reports]
concurrency = 2

[plugins.fleet]
partner_port = {PARTNER}

[plugins.fleet.jobs.daily_maintenance_check]
max_silence = "25h"

[plugins.garage]
[plugins.health]
[plugins.web]
listen = "127.0.0.1:0"
"""
GARAGE = '''
import asyncio

from kernel import Context, Retry, cron, hookimpl, job


@job(queue="reports", tags=["month"])
async def export_invoices(ctx: Context, month: str, *, customers: int = 1200) -> None:
    """Writes the month's invoices, one file for each customer."""
    await ctx.progress(0.62, "744 of 1,200 invoices")
    await asyncio.sleep(600)


@job(queue="reports")
async def mail_invoices(ctx: Context, month: str) -> None: ...


@job(retry=Retry(2, base="1s", jitter=0), tags=["import"])
async def import_prices(ctx: Context, supplier: str, *, dry_run: bool = False) -> int:
    """Takes the price list of a supplier over."""
    async def download() -> int:
        return 412

    ctx.log.info("fetching the price list of %s", supplier)
    count = await ctx.step("download", download)
    ctx.log.info("%d prices", count)
    ctx.log.warning("3 prices have no currency; taken as EUR")
    raise ValueError("line 207: '12,9O' is no price (expected digits and one comma)")


@cron("15 22 * * *")
async def back_up_photos(ctx: Context) -> None:
    """Copies the day's photos to the archive."""


@hookimpl
def register_jobs():
    return [export_invoices, mail_invoices, import_prices, back_up_photos]
'''


class Shot(NamedTuple):
    """``name`` of the file, the ``path`` of the page (with the run for ``RUN``), how wide, how high, and which theme."""

    name: str
    path: str
    width: int = 1400
    theme: str = "light"
    height: int = 900


SHOTS = [
    Shot("now-1400-light", "/"),
    Shot("now-360-dark", "/", 360, "dark", 780),
    Shot("runs-1400-light", "/runs"),
    Shot("run-1400-dark", "/runs/RUN", theme="dark"),
    Shot("run-360-light", "/runs/RUN", 360, height=780),
    Shot("schedules-1400-light", "/schedules"),
    Shot("jobs-1400-dark", "/jobs/one?name=garage.import_prices", theme="dark"),
    Shot("health-1400-light", "/health"),
]


@asynccontextmanager
async def kernel_in(folder: Path, clock: FakeClock | None = None) -> AsyncIterator[Kernel]:
    (folder / "garage").mkdir(exist_ok=True)
    (folder / "garage" / "garage.py").write_text(GARAGE, encoding="utf-8")
    (folder / "plugins.toml").write_text(CONFIG, encoding="utf-8")
    async with Kernel(load_config(folder / "plugins.toml"), clock=clock) as kernel:
        yield kernel


async def break_partner(mode: str) -> None:
    async with ClientSession() as session, session.put(f"http://127.0.0.1:{PARTNER}/fail", json={"mode": mode}) as told:
        told.raise_for_status()


async def live_through(folder: Path) -> None:
    """Two days of ticks, a minute at a time, a partner that fails for an hour, and a kernel that is off for a while."""
    until = time.time() // 60 * 60 - 59.0
    clock = FakeClock(until - DAYS * 86400 - 0.8)
    broken = (until - 3 * 3600) // 21600 * 21600  # when it would be asked for all news
    off_from, off_until = until - 30 * 3600, until - 26.5 * 3600
    for ends in (off_from, until):
        async with kernel_in(folder, clock) as kernel:
            if ends == off_from:
                await clock.advance(0.8)
            while (left := ends - clock.now()) > 0:
                if abs(clock.now() - broken) < 1830:
                    await break_partner("error" if abs(clock.now() - broken) < 1770 else "none")
                # What is due at the full minute, or 0.2 s after it, comes while time passes, not in the leap.
                clock.skip(min(58.5, left))
                await clock.advance(1.5)
                # Answers of the partner and of the store come in real time: so none is cut off by the next minute.
                await asyncio.sleep(0.005)
                while kernel.figures()["running"] or await kernel.control.runs_list(state="queued,running", limit=1):
                    await asyncio.sleep(0.001)
                    await settle()
        if ends == off_from:
            clock.skip(off_until - off_from)


async def seed(kernel: Kernel) -> str:
    """What has just happened and what goes on; the id of a run that has failed."""
    minute = int(time.time() // 60)
    dice = random.Random(8)  # noqa: S311 - the same traffic in each picture
    waves = [(round(dice.gauss(46 + 22 * (25 < at < 38), 5)), dice.choice([0] * 9 + [1, 2, 4])) for at in range(59)]
    await kernel.values("web").put(
        {"minutes of before": {str(minute - 59 + at): [done, failed] for at, (done, failed) in enumerate(waves)}}
    )
    export = await kernel.enqueue("garage.export_invoices", {"month": "2026-10"}, tags=["month"])
    await kernel.enqueue("garage.mail_invoices", {"month": "2026-10"}, depends_on=[export.id])
    await kernel.enqueue("garage.export_invoices", {"month": "2026-11", "customers": 1310})
    await kernel.enqueue("garage.mail_invoices", {"month": "2026-09"}, delay="3h")
    for car in range(40):
        await kernel.enqueue("fleet.process-car", {"car_id": str(car + 1)}, priority=3)
    await kernel.enqueue("fleet.process-car", {"car_id": "no-such-car"})
    failed = await kernel.enqueue(
        "garage.import_prices", {"supplier": "Nordwind Parts", "dry_run": False}, tags=["nightly"]
    )
    await kernel.control.schedules_pause(schedule="garage.back_up_photos")
    async with asyncio.timeout(30):
        while (await kernel.control.runs_show(run=failed.id))["state"] != "failed":  # noqa: ASYNC110 - asked of the store
            await asyncio.sleep(0.05)
    return failed.id


# A picture tells nothing of the machine that it was drawn on.
PLACES = """(places) => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode())
    for (const [here, there] of places) walk.currentNode.data = walk.currentNode.data.replaceAll(here, there);
}"""


async def draw(browser: Browser, url: str, shot: Shot, file: Path, places: list[list[str]]) -> None:
    theme: Any = shot.theme
    page = await browser.new_page(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme=theme,
        reduced_motion="reduce",
        bypass_csp=True,
    )
    await page.goto(url + shot.path, wait_until="load")
    await page.add_style_tag(content="html { scrollbar-gutter: auto; }")  # a picture has no scroll bar
    await page.locator("#live-mark").wait_for(state="attached")
    await expect(page.get_by_text("still being read")).to_have_count(0, timeout=60_000.0)
    await page.evaluate(PLACES, places)
    await page.screenshot(path=file, animations="disabled")
    await page.close()


async def main(folder: Path) -> None:
    """Without a folder into docs/screenshots; with one every page at three widths and in both themes goes there."""
    shots = SHOTS
    if folder != FOLDER:
        pages = {
            "now": "/", "runs": "/runs", "run": "/runs/RUN", "schedules": "/schedules", "queues": "/queues", "jobs": "/jobs",
            "schedule": "/schedules/one?name=fleet.sync_with_retry", "job": "/jobs/one?name=garage.import_prices",
            "health": "/health", "plugins": "/plugins", "bulk": "/runs/all?action=retry&state=failed",
        }  # fmt: skip
        shots = [
            Shot(f"{name}-{width}-{theme}", path, width, theme, 1400)
            for name, path in pages.items()
            for width in (360, 800, 1400)
            for theme in ("light", "dark")
        ]
    with tempfile.TemporaryDirectory() as place:
        await live_through(Path(place))
        async with kernel_in(Path(place)) as kernel, async_playwright() as playwright:
            run = await seed(kernel)
            browser = await playwright.chromium.launch(executable_path=browser_program(), args=ARGUMENTS)
            url = plugin_of(kernel)._server.url.rstrip("/")
            places = [[str(ROOT), "/opt/mainspring"], [place, "/srv/jobs"], [socket.gethostname(), "jobs-1"]]
            for drawn in shots:
                shot = drawn._replace(path=drawn.path.replace("RUN", run))
                await draw(browser, url, shot, folder / f"{shot.name}.png", places)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
