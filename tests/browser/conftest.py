"""One browser for each process of the tests, and a context of its own for each test."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from tests.browser import demo_site
from tests.browser.watched import WATCH, Watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import TypeAlias

    from playwright.async_api import Browser

    from tests.unit.plugins.web.web_kit import Web

    Opener: TypeAlias = Callable[..., Awaitable[Watched]]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", *(["--no-sandbox"] if os.geteuid() == 0 else []),
]  # fmt: skip


def browser_program() -> str | None:
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser lives on one event loop: so do all the tests that use it."""
    folder = os.path.dirname(__file__)  # noqa: PTH120 - compared as text
    for item in items:
        if str(item.path).startswith(folder) and item.get_closest_marker("without_browser") is None:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    program = browser_program()
    if program is None:
        missing = f"no browser: none of {', '.join(PROGRAMS)} is on the PATH; `make browser` installs one"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(missing)
        pytest.skip(missing)
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield started
        await started.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def filled(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[demo_site.DemoSite]:
    """A site with runs in every state, hostile names among them. Tests look at it and change nothing."""
    async with demo_site.running(tmp_path_factory.mktemp("filled")) as site:
        await site.fill()
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def site(browser: Browser, tmp_path: Any) -> AsyncIterator[demo_site.DemoSite]:
    """A site of the test's own."""
    async with demo_site.running(tmp_path) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser) -> AsyncIterator[Opener]:
    """Makes watched pages, each in a context of its own; called with a web, an address, and options of the context."""
    contexts = []

    async def opened(web: Web, path: str = "/", *, width: int = 1400, status: int = 200, **options: Any) -> Watched:
        context = await browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        await context.add_init_script(WATCH)
        watched = Watched(await context.new_page(), web.url)
        await watched.open(path, status=status)
        return watched

    yield opened
    for context in contexts:
        await context.close()
