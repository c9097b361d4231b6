"""Now: figures, charts, what runs, what is wrong, what failed and what comes."""

from __future__ import annotations

import asyncio
import json
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from kernel.testing import until
from plugins.web.now_page import charts_of
from plugins.web.traffic import Minute
from tests.unit.plugins.web.web_kit import Web, running

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = """
from kernel import hookimpl, job

TEXT = '"><script>alert(1)</script>\\' onmouseover=alert(1) {{ 7 * 7 }} \\u202e'

@job(retry=1)
async def bad() -> None:
    raise ValueError(TEXT)

@job
async def goes_on(ctx) -> None:
    import asyncio
    await ctx.progress(0.25, TEXT)
    await asyncio.Event().wait()

@hookimpl
def register_jobs():
    return [bad, goes_on]
"""
SLOW = """
import asyncio
from kernel import hookimpl

@hookimpl
async def check_health():
    await asyncio.sleep(60)
    return []
"""
ILL = """
from kernel import Check, hookimpl

@hookimpl
def check_health():
    return [
        Check("demo.ok", "late", ok=False, text="no success for 3 h"), Check("disk /var", "failing", ok=False, text="full"),
        Check("partner", "degraded", ok=True, text="slow today"), Check("fine", "healthy", ok=True, text="never shown"),
    ]
"""


async def ended(web: Web, job: str, state: str, payload: Any = None) -> str:
    run = await web.kernel.enqueue(job, payload or {})
    done = await web.kernel.wait(run.id, timeout="10s")
    assert done.state == state
    return run.id


async def page_of(web: Web) -> str:
    """As it is now, and not as it was half a second ago."""
    web.site.recent.forget()
    reply = await web.get("/")
    assert reply.status == 200
    return reply.text


def figures_of(text: str) -> dict[str, str]:
    found = re.findall(r'<a class="figure[^>]*><b>([^<]*)</b><span>(.*?)</span>', text)
    return {re.sub(r"<[^>]*>", "", label): value for value, label in found}


def charts_in(text: str) -> list[dict[str, Any]]:
    return [json.loads(unescape(one)) for one in re.findall(r'data-chart="([^"]*)"', text)]


async def test_an_empty_store_says_what_to_do_first(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        with_jobs = await page_of(web)
    other = tmp_path / "other"
    other.mkdir()
    async with running(other, plugins={"demo": "X = 1\n"}) as web:
        without = await page_of(web)

    assert "Nothing has run yet" in with_jobs
    assert 'class="button strong" href="/jobs"' in with_jobs
    assert 'class="button strong" href="/plugins"' in without
    assert "No tick ahead" in without
    assert "Nothing is running" in without
    assert "No failures" in without


async def test_the_figures_are_those_of_the_last_hour(tmp_path: Path) -> None:
    async with running(tmp_path, "[kernel] concurrency = 7") as web:
        for _ in range(3):
            await ended(web, "demo.ok", "completed")
        await ended(web, "demo.fails", "failed")
        await web.kernel.enqueue("demo.ok", {}, queue="off", delay="1h")
        await until(lambda: sum(sum(counts) for counts in web.site.traffic._own.values()) == 4)
        text = await page_of(web)

    assert figures_of(text) == {
        "running, of 7": "0", "waiting": "0", "completed last hour": "3", "ended failed last hour": "1",
        next(label for label in figures_of(text) if "check" in label): "healthy",
    }  # fmt: skip
    assert "Nothing has run yet" not in text


async def test_charts_carry_their_numbers_and_say_them_in_words(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await ended(web, "demo.ok", "completed")
        await until(lambda: sum(sum(counts) for counts in web.site.traffic._own.values()) == 1)
        text = await page_of(web)

    completed, failed = charts_in(text)
    assert len(completed["at"]) == len(completed["series"][0]["values"]) == 60
    assert (sum(completed["series"][0]["values"]), sum(failed["series"][0]["values"])) == (1, 0)
    assert 'role="img" aria-label="1 run completed in the last 60 minutes' in text
    assert "No run failed in the last hour." in text


def test_a_chart_in_words_says_how_many_how_lately_and_when_most() -> None:
    minutes = [Minute(60.0 * number, 2 if number == 50 else 0, 1 if number == 59 else 0) for number in range(60)]

    completed, failed = charts_of(minutes)

    assert completed["text"] == (
        "2 runs completed in the last 60 minutes, 0 of them in the last five; the most in one minute were 2, 9 minutes ago."
    )
    assert failed["text"].endswith("the most in one minute were 1, in this minute.")


async def test_running_runs_show_how_far_they_are(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        run = await web.kernel.enqueue("demo.slow", {"fraction": 0.4})
        await until(lambda: web.kernel.figures()["running"] == 1)
        text = ""
        while "half of it" not in text:
            text = await page_of(web)

    assert f'href="/runs/{run.id}"' in text
    assert '<progress max="1" value="0.4"' in text
    assert "40 % · half of it" in text
    assert figures_of(text)["running, of 100"] == "1"


async def test_a_failure_shows_its_error_and_is_retried_from_here(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        run = await ended(web, "demo.fails", "failed")
        text = await page_of(web)
        [action] = re.findall(r'action="(/runs/[^"]+/retry)"', text)
        retried = await web.post(action, {})
        await until(lambda: web.kernel.figures()["running"] == 0)
        again = await web.kernel.wait(run, timeout="10s")

    assert "ValueError: no such customer" in text
    assert action == f"/runs/{run}/retry"
    assert retried.status == 303
    assert again.attempt == 2


async def test_what_is_wrong_leads_to_its_place(tmp_path: Path) -> None:
    async with running(tmp_path, plugins={"ill": ILL}) as web:
        text = await page_of(web)

    assert 'href="/jobs/one?name=demo.ok">demo.ok</a>' in text
    assert 'href="/health">disk /var</a>' in text
    assert "slow today" in text
    assert "never shown" not in text
    assert figures_of(text)["2 problems"] == "unhealthy"


async def test_the_page_does_not_wait_for_a_plugin_that_does_not_say_how_it_is(tmp_path: Path) -> None:
    async with running(tmp_path, plugins={"slow": SLOW}) as web:
        text = await page_of(web)

    assert "not told" in figures_of(text).values()


async def test_what_comes_next_and_which_queues_have_work(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await web.kernel.control.queues_pause(queue="naps")
        await web.kernel.enqueue("demo.slow")
        text = await page_of(web)

    assert 'href="/schedules/one?name=demo.sweep">demo.sweep</a>' in text
    assert 'href="/runs?queue=naps">naps</a>' in text
    assert "paused" in text
    waiting = next(label for label in figures_of(text) if label.startswith("waiting"))
    assert figures_of(text)[waiting] == "1"


async def test_hostile_errors_and_progress_are_text(tmp_path: Path) -> None:
    async with running(tmp_path, plugins={"hostile": HOSTILE}) as web:
        await ended(web, "hostile.bad", "failed")
        await web.kernel.enqueue("hostile.goes_on")
        text = ""
        while "25 %" not in text:
            text = await page_of(web)

    assert "<script>alert" not in text
    assert "\u202e" not in text
    assert text.count("{{ 7 * 7 }}") >= 2
    assert "alert(1)" in text


@pytest.mark.parametrize(
    "label", ['"><script>alert(1)</script>', "' onmouseover='alert(1)", "</div><!--", "&quot;&#34;", "\u2028"]
)
async def test_nothing_in_a_charts_numbers_can_leave_its_attribute(tmp_path: Path, label: str) -> None:
    async with running(tmp_path) as web:
        data = {"at": [1], "series": [{"label": label, "tone": "good", "values": [1]}]}
        template = web.site._templates.from_string('<div data-chart="{{ data|tojson|forceescape }}">')
        text = template.render(data=data)

    [inside] = re.findall(r'^<div data-chart="([^"<>]*)">$', text)
    assert json.loads(unescape(inside)) == data


async def test_what_many_look_at_is_asked_once(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        asked = 0
        jobs = web.kernel.control.jobs

        async def counted() -> Any:
            nonlocal asked
            asked += 1
            return await jobs()

        await page_of(web)
        web.kernel.control.jobs = counted  # type: ignore[method-assign] # counts how often it is asked
        web.site.recent.forget()
        replies = await asyncio.gather(*(web.get("/") for _ in range(30)))

    assert [reply.status for reply in replies] == [200] * 30
    assert asked <= 6
