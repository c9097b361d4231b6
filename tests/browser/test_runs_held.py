"""The list of runs follows what happens, and stands still while somebody has ticked some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.browser.conftest import Opener
    from tests.browser.demo_site import DemoSite


async def test_the_list_follows_until_a_run_is_ticked_and_again_after(site: DemoSite, open_page: Opener) -> None:
    first = await site.enqueue("greet", {"name": "later"}, delay="1h")
    watched = await open_page(site.web, "/runs")
    page = watched.page
    second = await site.enqueue("greet", {"name": "later"}, delay="1h")
    await page.locator(f'tr[id="run-{second}"]').wait_for()
    box = page.locator(f'input[name="run"][value="{first}"]')

    await box.check()
    third = await site.enqueue("greet", {"name": "later"}, delay="1h")
    for _ in range(3):  # as many changes are told, and none of them draws the list anew
        await page.evaluate("document.body.dispatchEvent(new CustomEvent('live-runs'))")
        await page.wait_for_timeout(1_100)
    assert await box.is_checked()
    assert await page.locator('input[name="run"]:checked').count() == 1
    assert await page.locator(f'tr[id="run-{third}"]').count() == 0
    assert await page.get_by_text("stands still while runs are ticked").is_visible()

    await box.uncheck()
    await page.locator(f'tr[id="run-{third}"]').wait_for()
    assert watched.problems == []


async def test_what_is_open_stays_open_while_the_page_of_a_run_follows(site: DemoSite, open_page: Opener) -> None:
    run = await site.enqueue("greet", {"name": "later"}, delay="1h")
    child = await site.enqueue("greet", {"name": "child"}, depends_on=[run])
    watched = await open_page(site.web, f"/runs/{run}")
    page = watched.page

    await page.get_by_text("As a list").click()
    await site.kernel.control.runs_cancel(runs=[child])
    await page.locator("#as-list .state", has_text="cancelled").wait_for()

    assert await page.locator("#as-list").evaluate("box => box.open")
    assert watched.problems == []
