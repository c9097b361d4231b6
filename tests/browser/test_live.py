"""What happens while a page is open comes onto it by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import expect

from tests.browser import demo_site

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.browser.conftest import Opener
    from tests.browser.demo_site import DemoSite

SOON = 15_000.0


async def test_a_new_run_appears_on_the_open_page_and_what_is_typed_there_stays(
    site: DemoSite, open_page: Opener
) -> None:
    watched = await open_page(site.web, "/runs")
    await watched.look("window.__same = true")
    await watched.page.get_by_label("Text of the error").fill("half a wo")
    await expect(watched.page.locator("#live-mark")).to_be_visible(timeout=SOON)

    run = await site.enqueue("greet", {"name": "Ada"})

    await expect(watched.page.locator(f'main a[href="/runs/{run}"]')).to_have_count(1, timeout=SOON)
    assert await watched.look("window.__same") is True
    assert await watched.page.get_by_label("Text of the error").input_value() == "half a wo"
    await watched.check()


async def test_progress_moves_on_the_page_of_the_run_until_it_has_ended(site: DemoSite, open_page: Opener) -> None:
    run = await site.enqueue("walk")
    await site.until(run, "running")
    watched = await open_page(site.web, f"/runs/{run}")
    await watched.look("window.__same = true")
    await expect(watched.page.locator("#live-mark")).to_be_visible(timeout=SOON)

    for fraction, text in ((0.25, "a quarter"), (0.75, "nearly there")):
        await site.orders.put((fraction, text))
        await expect(watched.page.locator("main .progress").first).to_contain_text(text, timeout=SOON)
        assert float(await watched.page.locator("main progress").first.get_attribute("value") or 0) == fraction
    await site.orders.put(None)

    await expect(watched.page.locator("main .state").first).to_have_text("completed", timeout=SOON)
    await expect(watched.page.locator("#result")).to_contain_text("arrived", timeout=SOON)
    assert await watched.look("window.__same") is True
    await watched.check()


async def test_what_runs_shows_on_the_first_page_and_goes_from_it(site: DemoSite, open_page: Opener) -> None:
    watched = await open_page(site.web, "/")
    await expect(watched.page.locator("#live-mark")).to_be_visible(timeout=SOON)

    run = await site.enqueue("walk")
    await site.until(run, "running")
    await site.orders.put((0.5, "half of the way"))

    await expect(watched.page.locator("main")).to_contain_text("half of the way", timeout=SOON)
    await site.orders.put(None)
    await expect(watched.page.locator("main")).not_to_contain_text("half of the way", timeout=SOON)
    await watched.check()


async def test_a_page_says_when_the_kernel_is_gone_and_when_it_is_back(
    tmp_path: Path, open_page: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    async with demo_site.running(tmp_path) as site:
        watched = await open_page(site.web, "/runs")
        offline = watched.page.locator("#offline")
        await expect(watched.page.locator("#live-mark")).to_be_visible(timeout=SOON)
        await expect(offline).to_be_hidden()
        address = site.web.host

    await expect(offline).to_be_visible(timeout=SOON)
    await expect(watched.page.locator("#live-mark")).to_be_hidden()
    await watched.page.get_by_role("button", name="Filter").click()
    await watched.page.get_by_role("link", name="Queues").click()
    await expect(offline).to_contain_text("nothing was done")
    assert watched.page.url == f"{watched.url}/runs"
    async with demo_site.running(tmp_path, f'listen = "{address}"') as site:
        await expect(offline).to_be_hidden(timeout=SOON)
        run = await site.enqueue("greet", {"name": "back again"})
        await expect(watched.page.locator(f'main a[href="/runs/{run}"]')).to_have_count(1, timeout=SOON)
