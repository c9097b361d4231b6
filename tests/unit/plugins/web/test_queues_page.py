"""The page of the queues: what waits, and what is done to it by its buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.plugins.web.web_kit import TOKEN, running

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = ["[queues.naps]", "concurrency = 1", 'rate_limit = "100/1m"', "max_waiting = 50"]


async def test_a_queue_is_shown_with_what_waits_and_what_holds_it_back(tmp_path: Path) -> None:
    async with running(tmp_path, *LIMITS) as web:
        await web.kernel.enqueue("demo.slow", delay="1h")
        reply = await web.get("/queues")

    assert reply.status == 200
    assert '<a href="/runs?queue=naps&amp;state=scheduled">1</a>' in reply.text
    assert "1 at once, 100 begin in any 1 m, 50 may wait" in reply.text
    assert '<progress max="1" value="0"' in reply.text


@pytest.mark.parametrize(("given", "told"), [("10m", "for 10 m"), ("1h", "for 1 h"), ("", "until it is resumed")])
async def test_a_queue_is_paused_and_resumed_by_its_buttons(tmp_path: Path, given: str, told: str) -> None:
    async with running(tmp_path) as web:
        paused = await web.post("/queues/pause", {"queue": "naps", "for": given})
        page = await web.get(paused.headers["Location"])
        resumed = await web.post("/queues/resume", {"queue": "naps"})
        after = await web.get(resumed.headers["Location"])

    assert (paused.status, resumed.status) == (303, 303)
    assert f"naps is paused {told}." in page.text
    assert 'action="/queues/resume"' in page.text
    assert ("until" in page.text.split('class="state warn">', 1)[1].split("<", 1)[0]) == bool(given)
    assert "naps goes on." in after.text
    assert 'action="/queues/resume"' not in after.text


async def test_a_queue_is_resized_and_it_stands_in_the_file(tmp_path: Path) -> None:
    async with running(tmp_path, *LIMITS) as web:
        done = await web.post("/queues/resize", {"queue": "naps", "concurrency": " 7 "})
        page = await web.get(done.headers["Location"])
        text = (tmp_path / "plugins.toml").read_text()
        await web.post("/queues/resize", {"queue": "naps", "concurrency": ""})
        after = (tmp_path / "plugins.toml").read_text()

    assert "naps has 7 at once now" in page.text
    assert "0 of 7" in page.text
    assert "concurrency = 7" in text
    assert "concurrency" not in after


@pytest.mark.parametrize(
    ("path", "form", "status", "told"),
    [
        (
            "/queues/pause",
            {"queue": "nasp", "for": ""},
            404,
            "no queue named &#39;nasp&#39;. Did you mean &#34;naps&#34;?",
        ),
        ("/queues/pause", {"queue": "naps", "for": "ever"}, 422, "expected one of 10m, 1h"),
        ("/queues/pause", {}, 422, "&#39;&#39;"),
        ("/queues/resize", {"queue": "naps", "concurrency": "few"}, 422, "expected a whole number from 1 to 100,000"),
        ("/queues/resize", {"queue": "naps", "concurrency": "0"}, 409, "0 is no concurrency"),
        ("/queues/resize", {"queue": "naps", "concurrency": "9" * 5000}, 422, "expected a whole number"),
        ("/queues/resize", {"queue": "<script>x</script>", "concurrency": "1"}, 422, "&lt;script&gt;"),
    ],
)
async def test_a_wrong_wish_is_refused_in_words(
    tmp_path: Path, path: str, form: dict[str, str], status: int, told: str
) -> None:
    async with running(tmp_path) as web:
        reply = await web.post(path, form)

    assert reply.status == status
    assert told in reply.text
    assert "<script>x" not in reply.text


async def test_who_may_only_look_sees_no_buttons(tmp_path: Path) -> None:
    async with running(tmp_path, f'users.eve = {{ token = "{TOKEN}", role = "read" }}') as web:
        page = await web.get("/queues", authorization=f"Bearer {TOKEN}")
        refused = await web.post("/queues/pause", {"queue": "naps"}, authorization=f"Bearer {TOKEN}")

    assert page.status == 200
    assert ">naps</a>" in page.text
    assert 'action="/queues' not in page.text
    assert "Change…" not in page.text
    assert refused.status == 403


async def test_without_queues_the_page_says_where_they_come_from(tmp_path: Path) -> None:
    async with running(tmp_path, plugins={"demo": "x = 1"}) as web:
        reply = await web.get("/queues")

    assert "No queues yet" in reply.text
