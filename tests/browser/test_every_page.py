"""Every page, in both themes, on a phone and on a wide screen: it answers, nothing fails, and it can be read and used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from plugins.web.routes import ROUTES
from tests.browser.hostile_strings import HOSTILE

if TYPE_CHECKING:
    from tests.browser.conftest import Opener
    from tests.browser.demo_site import DemoSite

RULES = Path(__file__).with_name("page_rules.js").read_text(encoding="utf-8")
WIDTHS = (360, 800, 1400)
NO_PAGES = ("/static/", "/live", "/api/", "/livez", "/readyz", "/metrics")
"""Beginnings of addresses where no page is; each has tests of its own."""
PAGES = sorted(route.path for route in ROUTES if route.method == "GET" and not route.path.startswith(NO_PAGES))
FOCUS = """() => {
  const one = document.activeElement;
  if (one === document.body || one === document.querySelector("main")) return null;
  const style = getComputedStyle(one);
  const isSeen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1 || one.matches(".skip");
  return { text: (one.textContent || one.value || one.name || "").trim().slice(0, 60), tag: one.tagName,
           at: one.getAttribute("href") || one.getAttribute("name") || "", isSeen };
}"""


async def addresses(site: DemoSite, path: str) -> list[str]:
    """Where to see what this route shows; KeyError for a route that nobody walks yet."""
    if "{" not in path and not path.endswith(("/one", "/all")):
        return [path]
    runs = await site.kernel.control.runs_list(limit=100)
    one_of_each = {(run["state"], run["job"]): run["id"] for run in runs}
    known = {
        "/runs/{run}": [f"/runs/{run}" for run in one_of_each.values()],
        "/runs/all": ["/runs/all?action=retry&state=failed", "/runs/all?action=cancel&job=demo.nap"],
        "/jobs/one": [f"/jobs/one?name={job}" for job in ("demo.greet", "demo.fail", "demo.nap", "demo.hourly")],
        "/schedules/one": [
            f"/schedules/one?name={quote(name)}" for name in ("demo.hourly", "demo.nightly", HOSTILE[0])
        ],
        "/x/{plugin}/{tail:.*}": ["/x/demo/greetings"],
        "/plugins/one": ["/plugins/one?name=demo", "/plugins/one?name=broken"],
    }
    return known[path]


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_answers_and_can_be_read_and_used_at_each_width(
    filled: DemoSite, open_page: Opener, path: str
) -> None:
    shown = await addresses(filled, path)
    watched = await open_page(filled.web, shown[0])

    for address in shown:
        for width in WIDTHS:
            await watched.page.set_viewport_size({"width": width, "height": 900})
            await watched.open(address)
            for theme in ("light", "dark") if width != 800 else ("light",):
                await watched.page.emulate_media(color_scheme=theme)
                watched.problems += [f"{address} at {width}, {theme}: {breach}" for breach in await watched.look(RULES)]
            watched.problems += await watched.breaches()

    await watched.check()


@pytest.mark.parametrize("path", [path for path in PAGES if path != "/login"])
async def test_the_tabulator_reaches_links_and_buttons_and_one_sees_where_it_is(
    filled: DemoSite, open_page: Opener, path: str
) -> None:
    watched = await open_page(filled.web, (await addresses(filled, path))[0])

    reached: list[dict[str, Any]] = []
    for _ in range(400):
        await watched.page.keyboard.press("Tab")
        focus = await watched.look(FOCUS)
        if focus is None or (reached and focus == reached[0]):
            break
        reached.append(focus)

    assert [one for one in reached if not one["isSeen"]] == []
    assert reached[0]["at"] == "#main"
    within = await watched.look(
        "[...document.querySelectorAll('main button:not(:disabled), main input[type=search]')]"
        ".filter((one) => one.checkVisibility()).length"
    )
    assert len([one for one in reached if one["tag"] in {"BUTTON", "INPUT"}]) >= min(within, 1)
    await watched.check()


async def test_a_page_that_is_not_there_says_so(filled: DemoSite, open_page: Opener) -> None:
    watched = await open_page(filled.web, "/runs/nothing-of-this-name", status=404)

    assert await watched.look("document.querySelector('h1').textContent") == "No run has this id"
    assert await watched.look(RULES) == []
    await watched.check()


async def test_dark_and_light_are_chosen_by_a_button_and_kept(filled: DemoSite, open_page: Opener) -> None:
    watched = await open_page(filled.web, "/queues", color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = await watched.look(ground)

    await watched.page.get_by_role("button", name="Dark or light").click()
    dark = await watched.look(ground)
    await watched.open("/health")

    assert dark != light
    assert await watched.look(ground) == dark
    await watched.check()
