"""Schedules over HTTP: the week, one schedule, and what one can do with it."""

from __future__ import annotations

import asyncio
import re
import time
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from kernel.testing import START, FakeClock
from tests.unit.plugins.web.web_kit import TOKEN, Web, running

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.events import OperatorActed

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} ${x} %s",
    "javascript:alert(1)",
    "' OR 1=1 --",
    "a/../b?c=d&e#f",
    "ünïcode \u4e2d\u6587 \U0001f600",
    "x" * 100,
]
MANY = """
from kernel import cron, every, hookimpl, job

def make(number):
    @cron("0 2 * * *" if number < 14 else "* * * * *", name=f"night-{number:03}")
    @job(name=f"night-{number:03}")
    async def night() -> None: ...
    return night

@hookimpl
def register_jobs():
    return [make(number) for number in range(60)]
"""


async def add(web: Web, name: str, **options: Any) -> None:
    await web.kernel.control.schedules_add(name=name, job="demo.ok", options=options or {"every": "10m"})


async def row_of(web: Web, name: str) -> dict[str, Any]:
    return await web.kernel.control.schedules_show(schedule=name)


def told_of(text: str) -> str:
    found = re.search(r'<p class="banner good" role="status">(.*?)</p>', text)
    return "" if found is None else unescape(found[1])


async def test_a_schedule_stands_in_the_week_and_in_the_list(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        text = (await web.get("/schedules")).text

    assert text.count("/schedules/one?name=demo.sweep") >= 3
    assert "Every 10 m" in text
    assert "Busiest minutes" not in text
    assert len(re.findall(r'<th scope="col"[^>]* class="day', text)) == 7
    assert 'aria-current="date"' in text


async def test_without_schedules_it_says_what_to_do(tmp_path: Path) -> None:
    demo = "from kernel import hookimpl, job\n@job\nasync def ok(): ...\n@hookimpl\ndef register_jobs(): return [ok]\n"
    async with running(tmp_path, plugins={"demo": demo}) as web:
        text = (await web.get("/schedules")).text

    assert "No schedules yet" in text
    assert 'href="/plugins"' in text
    assert 'class="week' not in text


async def test_what_became_of_ticks_is_shown_with_its_word(tmp_path: Path) -> None:
    clock = FakeClock(START + 43_200)
    async with running(tmp_path, clock=clock) as web:
        await add(web, "often", every="1m")
        await add(web, "bad", every="1h")
        await web.kernel.control.schedules_pause(schedule="often")
        for hours in range(1, 4):
            await clock.advance(3600)
            runs = await ended(web, "bad", hours)
        clock.skip(11)
        web.site.ledger.forget()
        page = (await web.get("/schedules")).text
        one = (await web.get("/schedules/one?name=often")).text

    assert len(runs) == 3
    assert re.search(r'aria-label="180 paused"', page)
    assert re.search(r'aria-label="3 completed, \d+ coming"', page)
    assert "180 ticks" in one
    assert "#m-paused" in one


async def ended(web: Web, schedule: str, count: int) -> list[Any]:
    """The runs of the schedule, once there are so many and all have ended: the next tick shall find none under way."""
    limit = time.monotonic() + 10.0
    while not (len(runs := await web.kernel.control.runs_list(schedule=schedule)) == count and all_ended(runs)):
        assert time.monotonic() < limit, runs
        await asyncio.sleep(0.002)
    return runs


def all_ended(runs: list[Any]) -> bool:
    return all(run["finished_at"] is not None for run in runs)


async def test_the_busiest_minutes_are_named_and_what_ticks_all_the_time_is_left_out(tmp_path: Path) -> None:
    async with running(tmp_path, plugins={"many": MANY}, clock=FakeClock(START)) as web:
        text = (await web.get("/schedules")).text

    assert re.search(r"<b>14 schedules</b> start at <time[^>]*>02:00</time>", text)
    assert text.count("schedules</b> start at") == 1


def agenda_of(text: str) -> str:
    """The card of the next 24 hours, as one reads it."""
    found = re.search(r'<section class="card flush agenda".*?</section>', text, re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", found[0])).split()) if found else ""


async def test_the_next_24_hours_are_a_list_in_order_of_time(tmp_path: Path) -> None:
    clock = FakeClock(START + 22 * 3600)
    async with running(tmp_path, plugins={"many": MANY}, clock=clock) as web:
        await add(web, "late", cron="30 23 * * *")
        await add(web, "twice", cron="5,7 3 * * *")
        await add(web, "off", cron="40 23 * * *")
        await web.kernel.control.schedules_pause(schedule="off")
        text = agenda_of((await web.get("/schedules")).text)
        some = agenda_of((await web.get("/schedules?q=twice")).text)
        paused = agenda_of((await web.get("/schedules?shown=paused")).text)

    nights = " ".join(f"many.night-{number:03}" for number in range(14))
    often, _, listed = text.partition(" more that tick often ")
    assert "many.night-014 Every minute, next at 22:01" in often
    assert often.endswith("and 32")  # of 46 nights and a sweep, 15 have a line
    tomorrow = re.search(r"Tomorrow, \w{3} \d+ \w{3}", listed)
    assert tomorrow is not None
    assert listed == (
        f"23:30 late {tomorrow[0]} 02:00 {nights.replace(' many.night-008', ' and 6 more many.night-008')} 03:05 twice 03:07 twice"
    )
    assert some.endswith(f"{tomorrow[0]} 03:05 twice 03:07 twice")
    assert "late" not in some
    assert "None of these schedules ticks" in paused


async def test_what_ticks_at_night_is_listed_though_very_much_ticks_each_second(tmp_path: Path) -> None:
    seconds = MANY.replace('"* * * * *"', '"* * * * * *"').replace("range(60)", "range(100)")
    async with running(tmp_path, plugins={"many": seconds}, clock=FakeClock(START)) as web:
        await add(web, "twice", cron="5,7 3 * * *")
        text = agenda_of((await web.get("/schedules")).text)

    assert "Every second, next at 00:00:01 and 72 more that tick often 02:00 many.night-000" in text
    assert text.endswith("03:05 twice 03:07 twice")


async def test_a_schedule_whose_plugin_is_off_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await add(web, "by-hand")
        await web.kernel.control.plugins_disable(plugin="demo")
        page, one = (await web.get("/schedules")).text, (await web.get("/schedules/one?name=by-hand")).text

    assert page.count('when <a href="/plugins/one?name=demo">demo</a> is on: it is off') == 2
    assert "unknown job" not in page
    assert 'its plugin <a href="/plugins/one?name=demo">demo</a> is off' in one


async def test_a_schedule_after_a_start_says_so_and_one_without_ticks_too(tmp_path: Path) -> None:
    job = """
    from kernel import after, hookimpl, job
    @after("5s")
    @job
    async def begins(): ...
    @hookimpl
    def register_jobs():
        return [begins]
    """
    async with running(tmp_path, plugins={"first": job}, clock=FakeClock(START)) as web:
        await web.kernel.wait(
            (await web.kernel.control.schedules_trigger(schedule="first.begins"))["id"], timeout="10s"
        )
        text = (await web.get("/schedules?q=first")).text

    assert "5 s after a start" in text
    assert "After 5 s" not in text
    assert "no tick in the last week" in text


async def test_many_schedules_come_in_pages_and_are_found_by_name(tmp_path: Path) -> None:
    async with running(tmp_path, plugins={"many": MANY}, clock=FakeClock(START)) as web:
        first, last = (await web.get("/schedules")).text, (await web.get("/schedules?page=3")).text
        beyond = (await web.get("/schedules?page=999")).text
        found = (await web.get("/schedules?q=NIGHT-05")).text
        none = (await web.get("/schedules?q=nothing-like-it")).text

    assert "Page 1 of 3" in first
    assert "Page 3 of 3" in last
    assert "Page 3 of 3" in beyond
    assert "10 schedules of 61" in " ".join(re.sub(r"<[^>]+>", "", found).split())
    assert "No schedule fits" in none
    assert len(first) < 200_000


async def test_a_week_of_minutely_ticks_is_bands_and_not_thousands_of_marks(tmp_path: Path) -> None:
    async with running(tmp_path, clock=FakeClock(START)) as web:
        await add(web, "minutely", cron="* * * * *")
        text = (await web.get("/schedules?q=minutely")).text

    assert 'aria-label="1,440 coming"' in text
    assert text.count('class="band coming"') <= 8


async def test_the_next_weeks_are_reached_by_links(tmp_path: Path) -> None:
    async with running(tmp_path, clock=FakeClock(START)) as web:
        here = (await web.get("/schedules")).text
        later = (await web.get("/schedules?week=2026-01-08")).text
        far = await web.get("/schedules?week=2999-12-31")

    assert "?week=2026-01-08" in here
    assert "5 Jan" in later
    assert 'aria-current="date"' not in later
    assert 'aria-label="144 coming"' in later
    assert far.status == 409  # further ahead than any calendar is kept


@pytest.mark.parametrize("week", ["x", "0001-01-01", "9999-12-31", "2026-13-01", "-1", "1" * 500, "%F0%9F%98%80"])
async def test_a_week_that_is_none_is_this_one(tmp_path: Path, week: str) -> None:
    async with running(tmp_path, clock=FakeClock(START)) as web:
        reply = await web.get(f"/schedules?week={week}&page={week}")

    assert reply.status == 200
    assert 'aria-current="date"' in reply.text


async def test_pause_resume_and_run_now(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        form = {"schedule": "demo.sweep", "back": "/schedules?q=sweep"}
        paused = await web.post("/schedules/pause", form)
        row = await row_of(web, "demo.sweep")
        page = (await web.get(paused.headers["Location"])).text
        resumed = await web.post("/schedules/resume", form)
        after = await row_of(web, "demo.sweep")
        begun = await web.post("/schedules/trigger", form)
        runs = await web.kernel.control.runs_list(job="demo.sweep")

    assert [reply.status for reply in (paused, resumed, begun)] == [303] * 3
    assert paused.headers["Location"].startswith("/schedules?q=sweep&told=")
    assert (row["paused"], after["paused"], len(runs)) == (True, False, 1)
    assert "demo.sweep is paused" in told_of(page)
    assert "Resume" in page


async def test_who_paused_it_is_an_event(tmp_path: Path) -> None:
    acted: list[OperatorActed] = []
    async with running(tmp_path) as web:
        web.kernel.publish = acted.append  # type: ignore[method-assign,assignment] # what the page tells
        await web.post("/schedules/pause", {"schedule": "demo.sweep"})

    assert [(one.action, one.subject) for one in acted] == [("schedules_pause", "demo.sweep")]


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "/\\evil", "/runs", "", "/schedules\r\nX: y", "/schedulesé"]
)
async def test_one_goes_back_to_schedules_whatever_was_given(tmp_path: Path, back: str) -> None:
    async with running(tmp_path) as web:
        reply = await web.post("/schedules/pause", {"schedule": "demo.sweep", "back": back})

    assert reply.status == 303
    assert reply.headers["Location"].startswith("/schedules?told=")


@pytest.mark.parametrize("action", ["pause", "resume", "trigger", "remove"])
async def test_a_schedule_that_does_not_exist_is_told_and_nothing_else(tmp_path: Path, action: str) -> None:
    async with running(tmp_path) as web:
        unknown = await web.post(f"/schedules/{action}", {"schedule": "demo.swep"})
        none = await web.post(f"/schedules/{action}", {})

    assert (unknown.status, none.status) == (404, 400)
    assert "Did you mean" in unknown.text
    assert "demo.sweep" in unknown.text


async def test_only_what_was_added_by_hand_is_removed(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await add(web, "mine")
        refused = await web.post("/schedules/remove", {"schedule": "demo.sweep"})
        gone = await web.post("/schedules/remove", {"schedule": "mine"})
        names = [row["schedule"] for row in await web.kernel.control.schedules_list()]
        of_plugin = (await web.get("/schedules/one?name=demo.sweep")).text

    assert (refused.status, gone.status) == (409, 303)
    assert "declared by the plugin demo" in refused.text
    assert names == ["demo.sweep"]
    assert "/schedules/remove" not in of_plugin


async def test_who_may_read_only_sees_no_buttons(tmp_path: Path) -> None:
    lines = ["[plugins.web.users.eve]", f'token = "{TOKEN}"', 'role = "read"']
    async with running(tmp_path, *lines) as web:
        authorization = f"Bearer {TOKEN}"
        pages = [
            await web.get(path, authorization=authorization)
            for path in ("/schedules", "/schedules/one?name=demo.sweep")
        ]
        refused = await web.post("/schedules/pause", {"schedule": "demo.sweep"}, authorization=authorization)
        row = await row_of(web, "demo.sweep")

    assert all(page.status == 200 and '<button class="button ">Pause' not in page.text for page in pages)
    assert (refused.status, row["paused"]) == (403, False)


async def test_a_schedule_tells_its_next_ticks_in_its_own_zone(tmp_path: Path) -> None:
    async with running(tmp_path, clock=FakeClock(START)) as web:
        await add(web, "berlin", cron="30 2 * * *", timezone="Europe/Berlin")
        text = (await web.get("/schedules/one?name=berlin")).text

    coming = re.findall(r"<li>(\w{3} [\d-]+ [\d:]+ \w+) ", text)
    assert coming[:2] == ["Thu 2026-01-01 02:30 CET", "Fri 2026-01-02 02:30 CET"]
    assert len(coming) == 10
    assert "Europe/Berlin" in text


async def test_the_page_explains_one_tick(tmp_path: Path) -> None:
    clock = FakeClock(START)
    async with running(tmp_path, clock=clock) as web:
        await clock.advance(600)
        [run] = await web.kernel.control.runs_list(schedule="demo.sweep")
        text = (await web.get("/schedules/one?name=demo.sweep")).text
        [address] = [unescape(one) for one in re.findall(r'href="([^"]*at=[^"]*)">Explain', text)]
        explained = await web.get(address)
        wrong = await web.get("/schedules/one?name=demo.sweep&at=yesterday")

    assert "The tick of" in explained.text
    assert f"/runs/{run['id']}" in explained.text
    assert wrong.status == 409
    assert "expected ISO 8601" in wrong.text


async def test_a_day_shows_its_own_lines(tmp_path: Path) -> None:
    clock = FakeClock(START)
    async with running(tmp_path, clock=clock) as web:
        await clock.advance(600)
        today = (await web.get("/schedules/one?name=demo.sweep&day=2026-01-01")).text
        before = (await web.get("/schedules/one?name=demo.sweep&day=2025-12-30")).text
        senseless = await web.get("/schedules/one?name=demo.sweep&day=%3Cscript%3E")

    assert ">Explain<" in today
    assert "None became due on this day" in before
    assert senseless.status == 200


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_name_is_text_and_its_page_is_reached(tmp_path: Path, name: str) -> None:
    async with running(tmp_path) as web:
        await add(web, name)
        page = await web.get("/schedules")
        [address, *_] = [
            unescape(one) for one in re.findall(r'href="(/schedules/one\?name=[^"&]*)"', page.text) if "demo" not in one
        ]
        one = await web.get(address)
        paused = await web.post("/schedules/pause", {"schedule": name, "back": address})
        told = (await web.get(paused.headers["Location"])).text
        row = await row_of(web, name)

    assert address == f"/schedules/one?name={quote(name)}".replace("%2F", "/")
    for text in (page.text, one.text, told):
        assert "<script>alert" not in text
        assert "<img src=x" not in text
    assert one.status == 200
    assert name in unescape(one.text)
    assert row["paused"] is True


async def test_a_name_that_nothing_bears_is_not_found(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        replies = [await web.get(f"/schedules/one{query}") for query in ("", "?name=", "?name=demo.swep", "?name=%01")]

    assert [reply.status for reply in replies] == [404] * 4
    assert 'Did you mean "demo.sweep"' in unescape(replies[2].text)
