"""The page of the plugins: the broken ones first, and switching them on and off."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from tests.unit.plugins.web.web_kit import running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.plugins.web.web_kit import Web

HOSTILE = "<script>alert('x')</script>"
BROKEN = f"""
\"\"\"Breaks. {HOSTILE}\"\"\"
raise ValueError("{HOSTILE}")
"""
FAULTY = f"""
from kernel import hookimpl, events

@hookimpl
def on_event(event: events.QueuePaused) -> None:
    raise KeyError("{HOSTILE}")
"""


def quarantined(web: Web) -> list[str]:
    return [one["plugin"] for one in web.kernel.plugin_states() if one["state"] == "quarantined"]


async def test_a_broken_plugin_comes_first_with_its_reason_and_line(tmp_path: Path) -> None:
    async with running(tmp_path, plugins={"zebra": BROKEN}) as web:
        page = await web.get("/plugins")
        one = await web.get("/plugins/one?name=zebra")

    names = re.findall(r'<tr id="plugin-(\w+)"', page.text)
    assert names[:3] == ["zebra", "demo", "web"]
    for text in (page.text, one.text):
        assert "&lt;script&gt;alert" in text
        assert "zebra.py:3" in text
        assert HOSTILE not in text


async def test_a_plugin_is_switched_off_and_on_and_it_stands_in_the_file(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        off = await web.post("/plugins/disable", {"plugin": "demo"})
        page = await web.get(off.headers["Location"])
        text = (tmp_path / "plugins.toml").read_text()
        jobs = await web.get("/jobs")
        on = await web.post("/plugins/enable", {"plugin": "demo"})
        after = await web.get(on.headers["Location"])

    assert "demo is off; it stands in plugins.toml." in page.text
    assert "[plugins.demo]\nenabled = false" in text
    assert "No jobs yet" in jobs.text
    assert "demo is on; it stands in plugins.toml." in after.text
    assert after.text.count(">enabled</span>") >= 2


async def test_a_plugin_that_breaks_when_it_is_enabled_is_shown_with_why(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        (tmp_path / "plugins" / "zebra.py").write_text(BROKEN, encoding="utf-8")
        await web.kernel.reload()
        broken = await web.post("/plugins/enable", {"plugin": "zebra"})
        page = await web.get(broken.headers["Location"])

    assert broken.headers["Location"].startswith("/plugins/one?name=zebra")
    assert '<p class="banner bad" role="status">zebra is on in plugins.toml, and broken.' in page.text
    assert "zebra.py:3" in page.text


async def test_the_page_does_not_switch_itself_off(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        reply = await web.post("/plugins/disable", {"plugin": "web"})
        page = await web.get("/plugins")

    assert reply.status == 409
    assert "mainspring plugins disable web" in reply.text
    assert 'name="plugin" value="demo"' in page.text
    assert 'name="plugin" value="web"' not in page.text


async def test_an_unknown_plugin_is_told_with_the_nearest(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        shown = await web.get("/plugins/one?name=dmeo")
        switched = await web.post("/plugins/enable", {"plugin": "dmeo"})

    assert (shown.status, switched.status) == (404, 404)
    assert "Did you mean &#34;demo&#34;?" in shown.text
    assert "Did you mean &#34;demo&#34;?" in switched.text


async def test_faults_of_hooks_are_shown_and_a_quarantined_plugin_is_released(tmp_path: Path) -> None:
    async with running(tmp_path, plugins={"faulty": FAULTY}) as web:
        for number in range(6):
            await web.kernel.control.queues_pause(queue="naps", duration=f"{number + 1}m")
        async with asyncio.timeout(10):
            while "faulty" not in quarantined(web):  # noqa: ASYNC110 - who listens to the kernel is a plugin
                await asyncio.sleep(0.01)
        page = await web.get("/plugins")
        one = await web.get("/plugins/one?name=faulty")
        released = await web.post("/plugins/release", {"plugin": "faulty"})
        after = await web.get("/plugins/one?name=faulty")

    assert 'action="/plugins/release"' in page.text
    assert "faulty.py:6" in page.text
    assert one.text.count("<code>on_event</code>") == 5
    assert HOSTILE not in page.text + one.text
    assert released.status == 303
    assert 'action="/plugins/release"' not in after.text


async def test_an_edit_that_is_not_used_is_told_with_its_problems(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        file = tmp_path / "plugins.toml"
        good = file.read_text()
        file.write_text(good + "\n[queues.naps]\n'<b>' = 3\n", encoding="utf-8")
        refused = await web.post("/queues/resize", {"queue": "naps", "concurrency": "3"})
        page = await web.get("/plugins")

    assert refused.status == 422
    assert "plugins.toml is not used as it stands" in page.text
    assert "no key of this name" in page.text
    assert "<b>&#39;" not in page.text
