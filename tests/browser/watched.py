"""A page of the browser, and everything on it that should not have happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import ConsoleMessage, Dialog, Page, Response

WATCH = """
window.__breaches = [];
document.addEventListener("securitypolicyviolation", (event) =>
    window.__breaches.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample} (${event.sourceFile})`));
"""
LIMIT = 10_000.0
"""Milliseconds for whatever a page is waited for."""


class Watched:
    """``page`` is Playwright's; ``problems`` says in lines what its scripts and its answers did wrong."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.problems: list[str] = []
        self.asked: list[str] = []
        """The questions that the page put in a dialog; each is answered with yes."""
        page.set_default_timeout(LIMIT)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.problems.append(f"{page.url}: script failed: {error}"))
        page.on("response", self._answered)
        page.on("dialog", self._ask)

    async def open(self, path: str, *, status: int = 200) -> None:
        response = await self.page.goto(self.url + path, wait_until="load")
        if response is None or response.status != status:
            self.problems.append(f"{path}: status {response and response.status}, expected {status}")

    async def look(self, script: str, argument: Any = None) -> Any:
        return await self.page.evaluate(script, argument)

    async def press(self, name: str, within: str = "main") -> None:
        """Clicks the first button of this name and waits for the page that follows."""
        button = self.page.locator(within).get_by_role("button", name=name, exact=True).first
        async with self.page.expect_navigation(wait_until="load"):
            await button.click()

    async def breaches(self) -> list[str]:
        """What the content security policy has held back on this page."""
        return [f"{self.page.url}: held back: {one}" for one in await self.look("window.__breaches || []")]

    async def check(self) -> None:
        """AssertionError with all that went wrong since the page was made."""
        self.problems += await self.breaches()
        assert not self.problems, "\n".join(["", *self.problems])

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and "status of" not in message.text:
            self.problems.append(f"{self.page.url}: console: {message.text[:300]}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and not response.request.is_navigation_request():
            self.problems.append(f"{self.page.url}: {response.status} for {response.url}")

    async def _ask(self, dialog: Dialog) -> None:
        self.asked.append(dialog.message)
        await dialog.accept()
