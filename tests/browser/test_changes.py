"""Schedules, queues, jobs and plugins are changed by the buttons, with scripts and without them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.browser.demo_site import until
from tests.browser.hostile_strings import HOSTILE

if TYPE_CHECKING:
    from playwright.async_api import Locator

    from tests.browser.conftest import Opener
    from tests.browser.demo_site import DemoSite
    from tests.browser.watched import Watched

pytestmark = pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])


async def press_in(watched: Watched, place: Locator, name: str) -> None:
    async with watched.page.expect_navigation(wait_until="load"):
        await place.get_by_role("button", name=name, exact=True).click()


@pytest.mark.parametrize("name", ["demo.hourly", HOSTILE[0]], ids=["declared", "with a hostile name"])
async def test_a_schedule_is_paused_run_and_resumed(
    site: DemoSite, open_page: Opener, name: str, *, scripts: bool
) -> None:
    if name != "demo.hourly":
        await site.schedule(name)
    watched = await open_page(site.web, f"/schedules/one?name={quote(name, safe='')}", java_script_enabled=scripts)
    control = site.kernel.control

    await watched.press("Pause")
    assert (await control.schedules_show(schedule=name))["paused"]
    await watched.press("Run now")
    [run] = await control.runs_list(job="demo.hourly")
    await site.until(run["id"], "completed")
    await watched.press("Resume")
    assert not (await control.schedules_show(schedule=name))["paused"]
    assert watched.problems == []


async def test_the_list_of_schedules_has_the_same_buttons(site: DemoSite, open_page: Opener, *, scripts: bool) -> None:
    watched = await open_page(site.web, "/schedules", java_script_enabled=scripts)
    row = watched.page.locator("main tr", has=watched.page.get_by_role("button", name="Pause")).filter(
        has_text="demo.nightly"
    )

    await press_in(watched, row, "Pause")

    assert (await site.kernel.control.schedules_show(schedule="demo.nightly"))["paused"]
    assert not (await site.kernel.control.schedules_show(schedule="demo.hourly"))["paused"]
    assert watched.problems == []


async def test_a_schedule_added_by_hand_is_removed_after_a_question(
    site: DemoSite, open_page: Opener, *, scripts: bool
) -> None:
    await site.schedule("by hand")
    watched = await open_page(site.web, "/schedules/one?name=by%20hand", java_script_enabled=scripts)

    await watched.press("Remove")

    assert "by hand" not in [one["schedule"] for one in await site.kernel.control.schedules_list()]
    assert len(watched.asked) == (1 if scripts else 0)
    assert watched.problems == []


async def test_a_queue_is_paused_resized_and_resumed(site: DemoSite, open_page: Opener, *, scripts: bool) -> None:
    async def queue() -> dict[str, Any]:
        [found] = [one for one in await site.kernel.control.queues_list() if one["queue"] == "naps"]
        return found

    async def is_resized() -> bool:
        return bool((await queue())["concurrency"] == 7)

    watched = await open_page(site.web, "/queues", java_script_enabled=scripts)
    row, sheet = watched.page.locator("#queue-naps"), watched.page.locator("#change-naps")

    await row.get_by_role("button", name="Change…").click()
    await press_in(watched, sheet, "Pause")
    assert (await queue())["paused"]

    await press_in(watched, row, "Resume")
    assert not (await queue())["paused"]

    await row.get_by_role("button", name="Change…").click()
    await sheet.get_by_label("Runs at once").fill("7")
    await press_in(watched, sheet, "Resize")
    await until(is_resized)
    assert watched.problems == []


async def test_a_run_is_enqueued_by_the_form_of_the_job(site: DemoSite, open_page: Opener, *, scripts: bool) -> None:
    watched = await open_page(site.web, "/jobs/one?name=demo.greet", java_script_enabled=scripts)
    form = watched.page.locator("#enqueue")

    await press_in(watched, form.locator(".row").last, "Enqueue")
    assert await form.locator('[aria-invalid="true"]').count() == 1
    assert await site.kernel.control.runs_list() == []

    await form.get_by_label("name").fill(HOSTILE[0])
    await form.get_by_label("times").fill("2")
    await press_in(watched, form.locator(".row").last, "Enqueue")

    [run] = await site.kernel.control.runs_list()
    assert watched.page.url.startswith(f"{site.web.url}/runs/{run['id']}")
    shown = await site.until(run["id"], "completed")
    assert (shown["payload"], shown["result"]) == ({"name": HOSTILE[0], "times": 2}, f"{HOSTILE[0]} {HOSTILE[0]}")
    assert [one for one in watched.problems if "422" not in one] == []


async def test_a_plugin_is_switched_off_and_on_again(site: DemoSite, open_page: Opener, *, scripts: bool) -> None:
    async def is_on(*, wanted: bool) -> bool:
        states = {one["plugin"]: one["state"] for one in await site.kernel.control.plugins()}
        return bool((states["demo"] == "enabled") == wanted)

    watched = await open_page(site.web, "/plugins", java_script_enabled=scripts)

    await press_in(watched, watched.page.locator("#plugin-demo"), "Disable")
    await until(lambda: is_on(wanted=False))
    await watched.open("/plugins")
    await press_in(watched, watched.page.locator("#plugin-demo"), "Enable")
    await until(lambda: is_on(wanted=True))

    assert len(watched.asked) == (1 if scripts else 0)
    assert watched.problems == []


async def test_an_open_breaker_is_reset(site: DemoSite, open_page: Opener, *, scripts: bool) -> None:
    await site.ended(await site.enqueue("call"))
    [breaker] = await site.kernel.control.breakers_list()
    assert breaker["state"] == "open"
    watched = await open_page(site.web, "/health", java_script_enabled=scripts)

    await watched.press("Reset")

    [breaker] = await site.kernel.control.breakers_list()
    assert breaker["state"] == "closed"
    assert watched.problems == []
