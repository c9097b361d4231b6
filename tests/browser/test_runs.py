"""Runs are cancelled and retried by the buttons, with scripts and without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser.conftest import Opener
    from tests.browser.demo_site import DemoSite

pytestmark = pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])


async def test_a_failed_run_is_found_and_retried(site: DemoSite, open_page: Opener, *, scripts: bool) -> None:
    failed = await site.enqueue("fail", {"text": "the partner says 503"})
    await site.until(failed, "failed")
    watched = await open_page(site.web, "/runs?state=failed", java_script_enabled=scripts)

    await watched.page.locator("main table").get_by_role("link", name="demo.fail").first.click()
    await watched.page.wait_for_url(f"**/runs/{failed}")
    assert "the partner says 503" in await watched.page.locator("#error").inner_text()
    before = (await site.kernel.control.runs_show(run=failed))["attempt"]
    await watched.press("Retry")

    run = await site.until(failed, "failed")
    assert run["attempt"] == before + 1
    assert await watched.page.locator("main h1").inner_text() == "demo.fail"
    assert watched.problems == []


async def test_a_running_run_is_cancelled_after_a_question(site: DemoSite, open_page: Opener, *, scripts: bool) -> None:
    run = await site.enqueue("nap")
    await site.until(run, "running")
    watched = await open_page(site.web, f"/runs/{run}", java_script_enabled=scripts)

    await watched.press("Cancel")

    assert (await site.until(run, "cancelled"))["attempt"] == 1
    assert watched.asked == (["Cancel this run?"] if scripts else [])
    assert watched.problems == []


async def test_ticked_runs_are_cancelled_and_the_others_left_alone(
    site: DemoSite, open_page: Opener, *, scripts: bool
) -> None:
    runs = [await site.enqueue("greet", {"name": "later"}, delay="1h") for _ in range(3)]
    watched = await open_page(site.web, "/runs", java_script_enabled=scripts)

    for run in runs[:2]:
        await watched.page.locator(f'input[name="run"][value="{run}"]').check()
    await watched.press("Cancel ticked")

    assert [(await site.kernel.control.runs_show(run=run))["state"] for run in runs] == [
        "cancelled", "cancelled", "scheduled",
    ]  # fmt: skip
    assert watched.problems == []


async def test_ticked_runs_are_retried(site: DemoSite, open_page: Opener, *, scripts: bool) -> None:
    runs = [await site.enqueue("fail") for _ in range(3)]
    await site.ended(*runs)
    watched = await open_page(site.web, "/runs?state=failed", java_script_enabled=scripts)

    for run in runs[1:]:
        await watched.page.locator(f'input[name="run"][value="{run}"]').check()
    await watched.press("Retry ticked")

    await site.ended(*runs)
    assert [(await site.until(run, "failed"))["attempt"] for run in runs] == [1, 2, 2]
    assert watched.problems == []


async def test_all_that_fit_a_filter_are_retried_after_one_look_at_how_many(
    site: DemoSite, open_page: Opener, *, scripts: bool
) -> None:
    mended = [await site.enqueue("fail", {"text": "no route to the partner"}) for _ in range(3)]
    other = await site.enqueue("fail", {"text": "out of memory"})
    await site.ended(*mended, other)
    watched = await open_page(site.web, "/runs?state=failed", java_script_enabled=scripts)

    await watched.page.get_by_label("Text of the error").fill("no route")
    await watched.press("Filter")
    await watched.page.get_by_role("link", name="Retry all…").click()
    await watched.press("Retry 3 runs")

    await site.ended(*mended)
    assert [(await site.until(run, "failed"))["attempt"] for run in [*mended, other]] == [2, 2, 2, 1]
    assert watched.problems == []


async def test_filters_find_by_job_tag_and_state(site: DemoSite, open_page: Opener, *, scripts: bool) -> None:
    wanted = await site.enqueue("greet", {"name": "Ada"}, tags=["vip"])
    await site.enqueue("greet", {"name": "Bob"})
    await site.ended(wanted)
    watched = await open_page(site.web, "/runs", java_script_enabled=scripts)

    await watched.page.get_by_label("Job", exact=True).fill("demo.greet")
    await watched.press("Filter")
    await watched.page.get_by_text("More filters").click()
    await watched.page.get_by_label("Tag", exact=True).fill("vip")
    await watched.press("Filter")
    await watched.page.get_by_role("navigation", name="State").get_by_role("link", name="Completed").click()
    await watched.page.wait_for_url("**state=completed**")

    rows = await watched.page.locator("main tbody tr").count()
    assert (rows, await watched.page.locator(f'main a[href="/runs/{wanted}"]').count()) == (1, 1)
    assert watched.problems == []
