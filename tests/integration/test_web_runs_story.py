"""A run fails in the night; somebody finds it by what its error says, sees why, and retries it once the cause is mended."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from kernel.events import OperatorActed
from kernel.testing import until
from tests.unit.plugins.web.web_kit import running

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kernel.events import Event

JOBS = """
    from pathlib import Path
    from kernel import hookimpl, job

    @job(retry=1, tags=["nightly"])
    async def bill(customer: str, file: str) -> str:
        return f"{customer}: {Path(file).read_text()}"

    @hookimpl
    def register_jobs():
        return [bill]
"""


async def test_a_failed_run_is_found_by_its_error_retried_by_its_page_and_completes(tmp_path: Path) -> None:
    prices = tmp_path / "prices.txt"
    async with running(tmp_path, '[kernel] store = "sqlite:///web.db"', plugins={"shop": JOBS}) as web:
        heard: list[Event] = []

        async def hear(events: Sequence[Event]) -> None:
            heard.extend(events)

        web.kernel.bus.subscribe("test", (OperatorActed,), hear)
        other = await web.kernel.enqueue("demo.fails")
        run = await web.kernel.enqueue("shop.bill", {"customer": "Ada", "file": str(prices)})
        for one in (other, run):
            await web.kernel.wait(one.id, "10s")

        found = await web.get("/runs?" + urlencode({"state": "failed", "error": "prices.txt"}))
        assert re.findall(r'<tr id="run-([^"]+)"', found.text) == [run.id]
        page = await web.get(re.findall(r'class="job"[^>]*><a href="([^"]+)"', found.text)[0])
        assert "FileNotFoundError" in page.text
        prices.write_text("42 €", encoding="utf-8")
        (retry,) = re.findall(r'action="([^"]+/retry)"', page.text)
        reply = await web.post(retry)

        assert (await web.kernel.wait(run.id, "10s")).result == "Ada: 42 €"
        after = await web.get(reply.headers["Location"])
        assert "It completed" in after.text
        assert "Ada: 42 €" in after.text
        assert re.findall(r'<span class="attempt-name"><b>(\d)</b> <span class="state \w+">(\w+)<', after.text) == [
            ("1", "failed"), ("2", "completed"),
        ]  # fmt: skip
        await until(lambda: len(heard) == 1)
        acted = heard[0]
        assert isinstance(acted, OperatorActed)
        assert (acted.by, acted.action, acted.subject) == ("operator", "runs_retry", run.id)
