"""Sixty hostile texts in every place that a run, a schedule or an address has for them: none runs, none breaks the page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from plugins.web.routes import ROUTES
from tests.browser import demo_site
from tests.browser.hostile_strings import HOSTILE, PRODUCT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.conftest import Opener
    from tests.browser.watched import Watched

SIZE = 6
GROUPS = [HOSTILE[at : at + SIZE] for at in range(0, len(HOSTILE), SIZE)]
LISTS = sorted(
    route.path
    for route in ROUTES
    if route.path in {"/", "/runs", "/schedules", "/queues", "/jobs", "/health", "/plugins"}
)
# What stands on a page that no template has written: whatever a text has made.
STRANGE = """() => [...document.querySelectorAll(
    "script:not([src^='/static/']), iframe, object, embed, base, marquee, math, image, video, template, style, " +
    "link:not([href^='/static/']), meta[http-equiv], main img, [onload], [onerror], [onfocus], [onclick], [ontoggle], " +
    "[onmouseover], [onbegin], [onstart], [srcdoc], [hx-on\\\\:\\\\:load], [hx-get^='javascript'], " +
    "[href^='javascript:' i], [href^='data:text' i], [action^='javascript:' i], [src^='javascript:' i], " +
    "a[href^='//'], [style*='animation-name']"
  )].filter((one) => !one.closest(".uplot")).map((one) => one.outerHTML.slice(0, 200))"""


async def breaches(watched: Watched, path: str) -> list[str]:
    """What a text did to the page at this address."""
    await watched.open(path)
    # Links are followed and fields are pointed at, as a reader would.
    await watched.look(
        """() => {
            for (const one of document.querySelectorAll("main *"))
                for (const kind of ["mouseover", "focus", "toggle"]) one.dispatchEvent(new Event(kind, { bubbles: false }));
            for (const one of document.querySelectorAll("details")) one.open = true;
        }"""
    )
    found = [f"{path}: made by a text: {one}" for one in await watched.look(STRANGE)]
    if await watched.look("Boolean(window.__pwned)"):
        found.append(f"{path}: a script ran")
    if PRODUCT in await watched.page.content():
        found.append(f"{path}: a text was taken for a template")
    if not await watched.look(
        "document.querySelector('main h1')?.checkVisibility() && Boolean(document.querySelector('nav a'))"
    ):
        found.append(f"{path}: the page is broken")
    return found


@pytest.mark.parametrize(
    ("group", "is_guarded"),
    # Escaping has to be enough by itself; with the policy the browser also names what it has held back.
    [*((group, False) for group in GROUPS), *((group, True) for group in GROUPS[::4])],
    ids=[f"{at * SIZE + 1} to {at * SIZE + SIZE}" for at in range(len(GROUPS))]
    + [f"{at * SIZE + 1} to {at * SIZE + SIZE} with the policy" for at in range(0, len(GROUPS), 4)],
)
async def test_no_text_becomes_code_on_any_page(
    tmp_path: Path, open_page: Opener, group: list[str], *, is_guarded: bool
) -> None:
    async with demo_site.running(tmp_path) as site:
        runs = await site.write(group)
        await site.ended(*runs)
        watched = await open_page(site.web, "/", bypass_csp=not is_guarded)
        found = []

        for path in LISTS:
            found += await breaches(watched, path)
        for run in runs:
            found += await breaches(watched, f"/runs/{run}")
        for name in [one["schedule"] for one in await site.kernel.control.schedules_list()]:
            found += await breaches(watched, f"/schedules/one?name={quote(name, safe='')}")
        for text in group:
            filters = "&".join(f"{name}={quote(text, safe='')}" for name in ("job", "queue", "tag", "error"))
            watched.problems += await breaches_of_refused(watched, f"/runs?{filters}")

        assert found == []
        assert watched.asked == []
        await watched.check()


async def breaches_of_refused(watched: Watched, path: str) -> list[str]:
    """Of a page that may say that there is no such thing."""
    told = len(watched.problems)
    found = await breaches(watched, path)
    watched.problems[told:] = [
        one for one in watched.problems[told:] if "status 404" not in one and "status 409" not in one
    ]
    return found
