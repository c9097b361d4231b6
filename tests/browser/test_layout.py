"""Where things stand: the cards of Now, names in narrow columns, and what there is without scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser.conftest import Opener
    from tests.browser.demo_site import DemoSite

NARROWEST = 22 * 16
CARDS = "[...document.querySelectorAll('.now-lists .card')].map((one) => one.getBoundingClientRect().toJSON())"
TITLES = (
    "[...document.querySelectorAll('.now-lists .card')].sort((one, other) => one.getBoundingClientRect().y -"
    " other.getBoundingClientRect().y).map((one) => one.querySelector('h2').firstChild.data.trim())"
)
BROKEN = r"""() => [...document.querySelectorAll("main a")]
  .filter((link) => /^\w+([._]\w+)+$/.test(link.textContent)).flatMap((link) =>
  [...link.childNodes].filter((part) => {
    const range = document.createRange();
    range.selectNodeContents(part);
    return part.nodeType === Node.TEXT_NODE && new Set([...range.getClientRects()].map((box) => box.y)).size > 1;
  }).map((part) => part.data))"""


@pytest.mark.parametrize("width", [800, 1280, 1600])
async def test_the_cards_of_now_stand_in_two_columns_that_are_wide_enough(
    filled: DemoSite, open_page: Opener, width: int
) -> None:
    watched = await open_page(filled.web, "/")
    await watched.page.set_viewport_size({"width": width, "height": 900})

    cards = await watched.look(CARDS)

    assert len({round(one["x"]) for one in cards}) == 2
    assert min(one["width"] for one in cards) >= NARROWEST
    await watched.check()


async def test_on_a_phone_the_cards_of_plugins_come_last(filled: DemoSite, open_page: Opener) -> None:
    watched = await open_page(filled.web, "/")
    await watched.page.set_viewport_size({"width": 360, "height": 900})

    assert (await watched.look(TITLES))[:3] == ["Running", "What comes next", "Newest failures"]
    await watched.check()


@pytest.mark.parametrize("path", ["/schedules", "/jobs"])
async def test_a_name_is_broken_between_its_words(site: DemoSite, open_page: Opener, path: str) -> None:
    await site.kernel.control.schedules_add(
        name="reports_of_the_week.for_all_of_them",
        job="demo.greet",
        options={"cron": "0 3 * * *"},
        payload={"name": "x"},
    )
    watched = await open_page(site.web, path)
    for width in (360, 1280):
        await watched.page.set_viewport_size({"width": width, "height": 900})

        assert await watched.look(BROKEN) == []
    await watched.check()


@pytest.mark.parametrize("scripts", [True, False])
async def test_what_works_by_scripts_only_is_shown_only_with_them(
    filled: DemoSite, open_page: Opener, *, scripts: bool
) -> None:
    watched = await open_page(filled.web, "/", java_script_enabled=scripts)

    assert await watched.page.locator("#theme").is_visible() is scripts
    assert await watched.page.locator(".chart").first.is_visible() is scripts
    assert await watched.page.get_by_text("in the last 60 minutes").first.is_visible()
