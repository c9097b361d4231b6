"""In with a token and out again, and what those see who may only look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser import demo_site
from tests.browser.hostile_strings import HOSTILE
from tests.unit.plugins.web.web_kit import TOKEN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.conftest import Opener

SOON = 15_000.0
LOOKER = "another-token-of-the-tests-0123"
USERS = [f'token = "{TOKEN}"', "[plugins.web.users.wallboard]", f'token = "{LOOKER}"', 'role = "read"']


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
async def test_who_logs_in_gets_where_they_wanted_to_go_and_logs_out_again(
    tmp_path: Path, open_page: Opener, *, scripts: bool
) -> None:
    async with demo_site.running(tmp_path, *USERS) as site:
        watched = await open_page(site.web, "/queues", java_script_enabled=scripts)
        page = watched.page
        assert page.url.endswith("/login?next=%2Fqueues")

        await page.get_by_label("Token").fill("a-wrong-token-0123456789")
        await watched.press("Log in")
        assert await page.get_by_role("alert").first.inner_text() == "This token is not known here."

        await page.get_by_label("Token").fill(TOKEN)
        await watched.press("Log in")
        assert page.url == f"{site.web.url}/queues"

        await watched.press("Log out", within="header")
        assert page.url.endswith("/login")
        await watched.open("/runs")
        assert page.url.endswith("/login?next=%2Fruns")
        assert watched.problems == []


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(tmp_path: Path, open_page: Opener) -> None:
    async with demo_site.running(tmp_path, *USERS) as site:
        watched = await open_page(site.web, "/login")
        await watched.page.get_by_label("Token").fill(TOKEN)
        await watched.press("Log in")

        [cookie] = await watched.page.context.cookies()

        assert (cookie["httpOnly"], cookie["sameSite"], TOKEN in cookie["value"]) == (True, "Strict", False)
        assert await watched.look("document.cookie") == ""
        await watched.check()


async def test_an_open_page_whose_login_has_ended_says_so_and_leads_to_another(
    tmp_path: Path, open_page: Opener
) -> None:
    async with demo_site.running(tmp_path, *USERS) as site:
        watched = await open_page(site.web, "/login?next=/queues")
        await watched.page.get_by_label("Token").fill(TOKEN)
        await watched.press("Log in")
        await expect(watched.page.locator("#live-mark")).to_be_visible(timeout=SOON)

        await watched.page.context.clear_cookies()
        site.web.site.live.streams.close()

        refused = watched.page.locator("#refused")
        await expect(refused).to_be_visible(timeout=SOON)
        await expect(watched.page.locator("#offline")).to_be_hidden()
        await refused.get_by_role("link").click()
        await watched.page.wait_for_url(f"{site.web.url}/login?next=/queues")


async def test_who_may_only_look_sees_every_page_without_a_button_that_changes_anything(
    tmp_path: Path, open_page: Opener
) -> None:
    async with demo_site.running(tmp_path, *USERS) as site:
        await site.fill()
        run = (await site.kernel.control.runs_list(state="failed", limit=1))[0]["id"]
        watched = await open_page(site.web, "/login")
        await watched.page.get_by_label("Token").fill(LOOKER)
        await watched.press("Log in")

        for path in (
            "/", "/runs", f"/runs/{run}", "/schedules", "/schedules/one?name=demo.hourly", "/queues", "/jobs",
            "/jobs/one?name=demo.greet", "/health", "/plugins",
        ):  # fmt: skip
            await watched.open(path)
            told = await watched.page.get_by_role("note").first.inner_text()
            assert told == "You may look, and change nothing here."
            forms = await watched.look(
                "[...document.querySelectorAll('main form[method=post] button:not(:disabled)')].map(one => one.outerHTML)"
            )
            assert forms == [], path

        await watched.check()


async def test_a_foreign_page_changes_nothing(tmp_path: Path, open_page: Opener) -> None:
    async with demo_site.running(tmp_path) as site, demo_site.running(tmp_path / "other") as other:
        await site.schedule(HOSTILE[0])
        watched = await open_page(other.web, "/", bypass_csp=True)

        async with watched.page.expect_navigation() as answered:
            await watched.look(
                """(to) => {
                    const form = Object.assign(document.createElement("form"), { method: "post", action: to });
                    form.append(Object.assign(document.createElement("input"), { name: "schedule", value: "demo.hourly" }));
                    document.body.append(form);
                    form.submit();
                }""",
                f"{site.web.url}/schedules/pause",
            )

        assert (await answered.value).status in {403, 404}
        assert not (await site.kernel.control.schedules_show(schedule="demo.hourly"))["paused"]
