"""The page of health: what is wrong on top, and breakers that are closed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.plugins.web.web_kit import running

if TYPE_CHECKING:
    from pathlib import Path

CHECKED = """
from kernel import Breaker, Check, hookimpl, job

@job(breaker=Breaker("relay", failure_threshold=1), retry=1)
async def send() -> None:
    raise ConnectionError("<img src=x onerror=alert(1)> is away")

@hookimpl
def register_jobs():
    return [send]

@hookimpl
def check_health():
    return [Check("disk <i>", "full", ok=False, text="<script>x</script>"), Check("a tape", "healthy", ok=True)]
"""
HEALTH = "[plugins.health]"


async def test_without_the_plugin_health_it_says_how_to_get_it(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        page = await web.get("/health")
        done = await web.post("/plugins/enable", {"plugin": "health"})
        after = await web.get("/health")

    assert "All is well" in page.text
    assert "Enable health" in page.text
    assert done.status == 303
    assert "Of jobs nothing is known" not in after.text
    assert '<a href="/jobs/one?name=demo.fails">demo.fails</a>' in after.text


async def test_what_is_wrong_stands_on_top_and_nothing_of_it_is_markup(tmp_path: Path) -> None:
    async with running(tmp_path, HEALTH, plugins={"own": CHECKED}) as web:
        run = await web.kernel.enqueue("demo.fails")
        await web.kernel.wait(run.id, timeout="10s")
        page = await web.get("/health")

    top = page.text.split('class="card overall bad"', 1)[1].split("<h2>", 1)[0]
    assert "2 problems" in top
    assert "no such customer" in top
    assert "&lt;script&gt;x" in top
    first = page.text.split('id="judged-1"', 1)[1].split("</tr>", 1)[0]
    assert "demo.fails" in first
    assert "failing" in first
    said = page.text.split("Plugins say</h2>", 1)[1]
    assert said.index("disk &lt;i&gt;") < said.index("a tape")
    assert "<script>x" not in page.text
    assert "disk <i>" not in page.text
    assert "this one" in page.text


async def test_an_open_breaker_is_shown_and_closed_by_its_button(tmp_path: Path) -> None:
    async with running(tmp_path, HEALTH, plugins={"own": CHECKED}) as web:
        run = await web.kernel.enqueue("own.send")
        await web.kernel.wait(run.id, timeout="10s")
        page = await web.get("/health")
        reset = await web.post("/health/reset", {"breaker": "relay"})
        after = await web.get(reset.headers["Location"])
        wrong = await web.post("/health/reset", {"breaker": "really"})

    assert '<span class="state bad">open</span>' in page.text
    assert "&lt;img src=x" in page.text
    assert "<img src=x" not in page.text
    assert "relay is closed" in after.text
    assert '<span class="state good">closed</span>' in after.text
    assert 'action="/health/reset"' not in after.text
    assert wrong.status == 404


async def test_a_reader_sees_no_buttons(tmp_path: Path) -> None:
    async with running(tmp_path, "read_only = true") as web:
        pages = [
            await web.get(path) for path in ("/health", "/plugins", "/queues", "/jobs", "/jobs/one?name=demo.greets")
        ]

    assert [page.status for page in pages] == [200] * 5
    assert [page.text.count('method="post"') for page in pages] == [0] * 5
