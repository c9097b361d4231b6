"""A run's page: why it is as it is, and what can be done about it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.unit.plugins.web.web_kit import running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.plugins.web.web_kit import Web

JOBS = """
    import asyncio
    from kernel import Context, GiveUp, Retry, hookimpl, job

    is_over = asyncio.Event()

    @job(retry=Retry(3, base="50ms", jitter=0))
    async def tries(ctx: Context, until: int = 9) -> str:
        ctx.log.info("begins to try")
        if ctx.attempt < until:
            ctx.log.error("the partner says 503")
            raise ConnectionError(f"partner: 503 in attempt {ctx.attempt}")
        return "at last"

    @job(retry=1)
    async def says(ctx: Context, text: str = "", times: int = 1, wide: int = 1) -> None:
        text = text.replace("HALF", chr(0xd83d)) * wide
        for _ in range(times):
            ctx.log.warning(text)
        raise GiveUp(text * times)

    @job
    async def steps(ctx: Context, text: str = "") -> dict[str, str]:
        async def one() -> str:
            return text
        await ctx.step("read " + text[:20], one)
        return {"gave": text}

    @job
    async def part(ctx: Context, number: int = 0) -> int:
        return number

    @job
    async def waits(ctx: Context) -> None:
        await ctx.progress(0.25, "a quarter")
        ctx.log.info("waits")
        await is_over.wait()

    @hookimpl
    def register_jobs():
        return [tries, says, steps, part, waits]
"""
HOSTILE = {
    "a script": "<script>alert(1)</script>",
    "an image": '"><img src=x onerror=alert(1)>',
    "a template": "{{ 7 * 7 }}{% raw %}",
    "the end of the page": "</pre></div></body></html>",
    "control characters": "\x1b[2J\x07\x08\x7f\x9b",
    "marks of direction": "\u202etxt.exe\u2066\u200f",
    "half a pair": "HALF",
    "no width": "\u200b\ufeff\u2060",
}

UNSEEN = "\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff"


def running_here(folder: Path, *lines: str) -> Any:
    return running(folder, *lines, plugins={"odd": JOBS})


async def run_of(web: Web, job: str, payload: dict[str, Any] | None = None, **options: Any) -> str:
    run = (await web.kernel.enqueue(job, payload or {}, **options)).id
    if "delay" not in options:
        await web.kernel.wait(run, "20s")
    return run


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def part_of(page: str, name: str) -> str:
    """The card with this id, up to the next one."""
    found = re.search(rf'id="{name}".*?(?=<div class="card|</section>)', page, re.DOTALL)
    return found[0] if found else ""


async def test_a_failed_run_says_why_and_how_to_go_on(tmp_path: Path) -> None:
    async with running_here(tmp_path) as web:
        run = await run_of(web, "odd.tries")
        page = (await web.get(f"/runs/{run}")).text

    assert "<h1>odd.tries</h1>" in page
    assert re.search(r'class="text why">It failed <time[^>]*>[^<]*</time>, attempt 3: attempts used up</p>', page)
    error = text_of(part_of(page, "error"))
    assert "ConnectionError partner: 503 in attempt 3" in error
    assert "raise ConnectionError" in error
    assert f'action="/runs/{run}/retry"' in page
    assert "/cancel" not in page
    assert "live-runs" not in page


async def test_each_attempt_stands_on_the_line_of_time_and_in_words(tmp_path: Path) -> None:
    async with running_here(tmp_path, '[kernel] store = "sqlite:///web.db"') as web:
        run = await run_of(web, "odd.tries", {"until": 3})
        page = (await web.get(f"/runs/{run}")).text

    attempts = part_of(page, "attempts")
    assert attempts.count("<li>") == 3
    assert [text_of(one).split()[:2] for one in attempts.split("<li>")[1:]] == [
        ["1", "failed"], ["2", "failed"], ["3", "completed"],
    ]  # fmt: skip
    assert "ConnectionError: partner: 503 in attempt 1" in attempts
    bars = [
        (float(x), float(width))
        for x, width in re.findall(r'<rect class="tried \w+" x="([\d.]+)%" width="([\d.]+)%"', attempts)
    ]
    assert len(bars) == 3
    assert all(left[0] + left[1] <= right[0] + 1 for left, right in pairwise(bars))
    log = part_of(page, "log")
    assert re.findall(r"Attempt (\d)", log) == ["1", "2", "3"]
    assert log.count('<tr class="bad">') == 2


async def test_retry_queues_it_again_and_comes_back_to_the_page(tmp_path: Path) -> None:
    async with running_here(tmp_path) as web:
        run = await run_of(web, "odd.tries", {"until": 4})

        reply = await web.post(f"/runs/{run}/retry")

        assert reply.status == 303
        assert reply.headers["Location"].startswith(f"/runs/{run}?told=")
        assert (await web.kernel.wait(run, "10s")).result == "at last"
        assert "The run is queued again." in (await web.get(reply.headers["Location"])).text


async def test_the_attempts_that_failed_are_counted_before_and_after_a_retry_by_hand(tmp_path: Path) -> None:
    async with running_here(tmp_path) as web:
        run = await run_of(web, "odd.tries", {"until": 4})
        failed = text_of(part_of((await web.get(f"/runs/{run}")).text, "facts"))
        await web.post(f"/runs/{run}/retry")
        await web.kernel.wait(run, "10s")
        after = text_of(part_of((await web.get(f"/runs/{run}")).text, "facts"))

    assert "Attempts 3, 3 failed Kernel" in failed
    assert "Attempts 4, 3 failed before Kernel" in after


async def test_a_cancel_that_came_too_late_does_not_look_like_a_success(tmp_path: Path) -> None:
    async with running_here(tmp_path) as web:
        run = await run_of(web, "odd.part")
        late = await web.get((await web.post(f"/runs/{run}/cancel")).headers["Location"])
        waiting = await run_of(web, "odd.part", delay="1h")
        done = await web.get((await web.post(f"/runs/{waiting}/cancel")).headers["Location"])

    assert re.search(r'<p class="banner quiet" role="status">[^<]*nothing has changed', late.text)
    assert '<p class="banner good" role="status">The run is cancelled.' in done.text


async def test_a_retry_that_cannot_be_is_told_on_the_page(tmp_path: Path) -> None:
    async with running_here(tmp_path) as web:
        run = await run_of(web, "odd.part")

        reply = await web.post(f"/runs/{run}/retry")

        assert reply.status == 409
        assert "expected one that has failed" in re.findall(r'role="alert">([^<]*)<', reply.text)[0]
        assert "<h1>odd.part</h1>" in reply.text


async def test_a_waiting_run_is_cancelled_with_what_depends_on_it(tmp_path: Path) -> None:
    async with running_here(tmp_path) as web:
        run = await run_of(web, "odd.part", delay="1h")
        child = (await web.kernel.enqueue("odd.part", {}, depends_on=[run])).id

        reply = await web.post(f"/runs/{run}/cancel")
        page = (await web.get(reply.headers["Location"])).text

        assert "The run is cancelled. 1 more that depended on it are cancelled too." in page
        assert (await web.kernel.control.runs_show(run=child))["state"] == "cancelled"
        assert "cancelled by operator" in text_of(part_of(page, "facts"))


async def test_a_running_run_shows_its_progress_and_its_log_and_follows(tmp_path: Path) -> None:
    async with running_here(tmp_path) as web:
        run = (await web.kernel.enqueue("odd.waits")).id
        seen: list[str] = []

        async def look() -> bool:
            seen.append((await web.get(f"/runs/{run}")).text)
            return "a quarter" in seen[-1] and "so far" in seen[-1]

        for _ in range(200):
            if await look():
                break
        page = seen[-1]

        assert '<progress max="1" value="0.25"' in page
        assert f'hx-get="/runs/{run}" hx-trigger="live-runs' in page
        assert f'action="/runs/{run}/cancel" data-confirm=' in page
        assert "/retry" not in page
        reply = await web.post(f"/runs/{run}/cancel")
        assert "The run is told to end." in (await web.get(reply.headers["Location"])).text


async def test_dependencies_are_drawn_and_listed_and_linked(tmp_path: Path) -> None:
    async with running_here(tmp_path) as web:
        parents = [await run_of(web, "odd.part", {"number": n}) for n in range(3)]
        run = await run_of(web, "odd.part", delay="1h", depends_on=parents)
        for n in range(14):
            await web.kernel.enqueue("odd.part", {"number": n}, depends_on=[run])
        page = (await web.get(f"/runs/{run}")).text

    graph = part_of(page, "graph")
    drawing, listed = graph.split("<details")
    for parent in parents:
        assert f'href="/runs/{parent}"' in drawing
        assert f'href="/runs/{parent}"' in listed
    assert drawing.count("blocked</text>") == 10
    assert drawing.count("completed</text>") == 3
    assert "and 4 more" in drawing
    assert "and 4 more; all together 14 blocked" in text_of(listed)
    assert drawing.count('class="edge') == 3 + 10 + 1
    assert "style=" not in page


async def test_steps_payload_and_result_are_shown(tmp_path: Path) -> None:
    async with running_here(tmp_path) as web:
        run = await run_of(web, "odd.steps", {"text": "Grüße"})
        page = (await web.get(f"/runs/{run}")).text

    assert "read Grüße" in part_of(page, "steps")
    assert "&#34;text&#34;: &#34;Grüße&#34;" in part_of(page, "payload")
    assert "&#34;gave&#34;: &#34;Grüße&#34;" in part_of(page, "result")
    assert f"/jobs/one?name=odd.steps&amp;payload={quote(chr(123) + chr(34) + 'text' + chr(34))}" in page


async def test_a_payload_that_no_link_can_carry_is_left_out_of_the_link(tmp_path: Path) -> None:
    async with running_here(tmp_path) as web:
        run = await run_of(web, "odd.steps", {"text": "é" * 3_000})
        page = (await web.get(f"/runs/{run}")).text

    assert 'href="/jobs/one?name=odd.steps"' in page


async def test_what_others_wrote_is_text(tmp_path: Path) -> None:
    async with running_here(tmp_path) as web:
        for name, text in HOSTILE.items():
            for job in ("odd.says", "odd.steps"):
                run = await run_of(web, job, {"text": text}, tags=["<b>tag</b>"], unique=f"<i>{name}</i>")
                page = await web.get(f"/runs/{run}")
                bare = page.text.replace("&#34;&gt;&lt;img src=x onerror=alert", "").replace("\\&#34;", "")

                assert page.status == 200, name
                assert page.text.rstrip().endswith("</html>")
                assert page.text.count("</html>") == 1
                assert not re.search("<script>alert|<img src=x|<b>tag|<i>", page.text), name
                assert not re.search(f"[{UNSEEN}]", page.text), name
                assert "onerror=alert" not in bare.replace("&gt;&lt;img src=x onerror=alert", ""), name
                assert name != "a template" or "{{ 7 * 7 }}{% raw %}" in page.text


async def test_huge_texts_are_cut_and_the_page_says_so(tmp_path: Path) -> None:
    async with running_here(tmp_path) as web:
        for payload in (
            {"text": "x", "wide": 65_536}, {"text": "line\n", "times": 10_000}, {"text": "ab\u202e", "wide": 20_000},
            {"text": "\x00", "wide": 60_000}, {"text": "long payload ", "wide": 1_000},
        ):  # fmt: skip
            run = await run_of(web, "odd.says", payload)
            page = await web.get(f"/runs/{run}")

            assert page.status == 200, payload
            assert len(page.text) < 400_000, payload
            assert re.search(r"(characters|lines) are left out here", part_of(page.text, "error")), payload
            assert page.text.rstrip().endswith("</html>")
        run = await run_of(web, "odd.steps", {"text": "y" * 65_000})
        page = await web.get(f"/runs/{run}")

    for part in ("payload", "steps", "result"):
        assert "characters are left out here" in part_of(page.text, part), part


@pytest.mark.parametrize(
    "run", ["01a20b57-cc6f-73e7-b79f-2a26fc3190d5", "nope", "<script>alert(1)</script>", "x" * 2_000, "%00"]
)
async def test_an_unknown_run_says_where_to_look(tmp_path: Path, run: str) -> None:
    async with running_here(tmp_path) as web:
        page = await web.get(f"/runs/{quote(run, safe='%')}")
        changed = [await web.post(f"/runs/{quote(run, safe='%')}/{what}") for what in ("retry", "cancel")]

    assert [one.status for one in (page, *changed)] in ([404, 404, 404], [400, 400, 400])
    assert "<script>alert" not in page.text
    if page.status == 404:
        assert 'href="/runs?state=failed"' in page.text


async def test_who_may_only_look_has_no_buttons(tmp_path: Path) -> None:
    async with running_here(tmp_path, "read_only = true") as web:
        run = await run_of(web, "odd.tries")
        page = (await web.get(f"/runs/{run}")).text
        refused = await web.post(f"/runs/{run}/retry")

        assert "<form" not in page
        assert refused.status == 403
        assert (await web.kernel.control.runs_show(run=run))["state"] == "failed"
