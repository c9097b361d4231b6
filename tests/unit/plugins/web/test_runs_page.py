"""The list of runs: pages, filters, and what is done to many at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from kernel.events import OperatorActed
from kernel.testing import until
from tests.unit.plugins.web.web_kit import running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.plugins.web.web_kit import Web

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; DROP TABLE run; --",
    "{{ 7 * 7 }}",
    "\u202eevil",
]


def shown(page: str) -> list[str]:
    """The ids of the rows."""
    return re.findall(r'<tr id="run-([^"]+)"', page)


async def enqueue(web: Web, job: str, count: int = 1, **options: Any) -> list[str]:
    return [(await web.kernel.enqueue(job, **options)).id for _ in range(count)]


async def ended(web: Web, runs: list[str]) -> None:
    for run in runs:
        await web.kernel.wait(run, "10s")


async def states(web: Web, runs: list[str]) -> list[str]:
    return [(await web.kernel.control.runs_show(run=run))["state"] for run in runs]


def link(page: str, label: str) -> str:
    found = re.search(rf'href="([^"]+)"[^>]*>{re.escape(label)}<', page)
    assert found is not None, label
    return found[1].replace("&amp;", "&")


async def told(web: Web, reply: Any) -> str:
    """What the page says to which a change redirects."""
    assert reply.status == 303, reply.text
    page = (await web.get(reply.headers["Location"])).text
    found = re.search(r'role="status">([^<]*)<', page)
    return found[1] if found else ""


async def test_an_empty_list_says_what_to_do(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        page = await web.get("/runs")
        nothing = await web.get("/runs?state=failed")

    assert (page.status, "No runs yet" in page.text, 'href="/jobs"' in page.text) == (200, True, True)
    assert (nothing.status, "No run fits" in nothing.text) == (200, True)


async def test_runs_come_newest_first_fifty_a_page(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        runs = await enqueue(web, "demo.ok", 120)
        first = await web.get("/runs")
        second = await web.get(link(first.text, "Older"))
        third = await web.get(link(second.text, "Older"))

        pages = [shown(page.text) for page in (first, second, third)]
        assert [len(page) for page in pages] == [50, 50, 20]
        assert [*pages[0], *pages[1], *pages[2]] == runs[::-1]
        assert "Older" not in third.text
        assert link(third.text, "Newest") == "/runs?"
        # Only the newest page changes under the eye.
        assert ["live-runs" in page.text for page in (first, second, third)] == [True, False, False]


async def test_filters_choose_by_job_queue_tag_state_schedule_and_error(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        ok = await enqueue(web, "demo.ok", tags=["blue"])
        failed = await enqueue(web, "demo.fails")
        later = await enqueue(web, "demo.ok", delay="1h")
        slow = await enqueue(web, "demo.slow")
        await ended(web, ok + failed)
        swept = [(await web.kernel.control.schedules_trigger(schedule="demo.sweep"))["id"]]
        await ended(web, swept)

        for question, wanted in [
            ("job=demo.fails", failed), ("queue=naps", slow), ("tag=blue", ok), ("state=failed", failed),
            ("state=waiting", later), ("schedule=demo.sweep", swept), ("error=NO+such+CUSTOMER", failed),
            ("error=nothing+like+that", []), ("job=demo.ok&state=completed", ok), ("since=1h&job=demo.fails", failed),
            ("until=1h", []), ("from=2000-01-01&job=demo.fails", failed), ("since=1h&from=2999-01-01", []),
        ]:  # fmt: skip
            page = await web.get(f"/runs?{question}")
            assert (page.status, shown(page.text)) == (200, wanted), question


async def test_each_filter_is_shown_and_can_be_taken_away(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await ended(web, await enqueue(web, "demo.fails"))
        page = await web.get("/runs?state=failed&job=demo.fails&error=customer&since=1d")

    chips = dict(re.findall(r'class="chip" href="([^"]+)" aria-label="Remove the filter ([^"]+)"', page.text))
    assert {text: address.count("=") for address, text in chips.items()} == {
        "state failed": 3, "job demo.fails": 3, "last day": 3, "error “customer”": 3,
    }  # fmt: skip
    without_job = next(address for address, text in chips.items() if text == "job demo.fails")
    assert set(without_job.removeprefix("/runs?").split("&amp;")) == {"state=failed", "since=1d", "error=customer"}


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("job=demo.fials", "job=demo.fails"),
        ("queue=nap", "queue=naps"),
        ("schedule=demo.sweeep", "schedule=demo.sweep"),
    ],
)
async def test_an_unknown_name_is_answered_by_the_nearest_one(tmp_path: Path, question: str, meant: str) -> None:
    async with running(tmp_path) as web:
        await enqueue(web, "demo.ok")
        page = await web.get(f"/runs?{question}")

    assert page.status == 200
    assert link(page.text, "Runs with that name") == f"/runs?{meant}"


@pytest.mark.parametrize(
    "question", ["since=soon", "state=degraded", "state=nonsense", "error=" + "x" * 600, "until=-5"]
)
async def test_a_filter_that_cannot_be_used_is_told_beside_the_form(tmp_path: Path, question: str) -> None:
    async with running(tmp_path) as web:
        page = await web.get(f"/runs?{question}")

    assert page.status == 400
    assert 'role="alert"' in page.text
    assert 'role="search"' in page.text


async def test_a_page_that_began_at_a_run_which_is_gone_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await enqueue(web, "demo.ok")
        page = await web.get("/runs?before=01a20b57-cc6f-73e7-b79f-2a26fc3190d5")

    assert page.status == 200
    assert "no run named" in page.text


async def test_hostile_filters_are_text(tmp_path: Path) -> None:
    names = ("job", "state", "queue", "tag", "schedule", "error", "since", "from", "until", "before", "told")
    async with running(tmp_path) as web:
        for name in names:
            for text in HOSTILE:
                page = await web.get(f"/runs?{name}={quote(text)}")

                assert page.status in {200, 400}, (name, text)
                assert "<script>alert" not in page.text
                assert "<img src=x" not in page.text
                assert "49" not in re.findall(r'value="([^"]*)"', page.text)


async def test_hostile_errors_results_and_progress_are_text_and_one_line(tmp_path: Path) -> None:
    jobs = """
        from kernel import GiveUp, hookimpl, job

        @job
        async def gives(text: str) -> str:
            return text * 5000

        @job
        async def refuses(text: str) -> None:
            raise GiveUp(text * 5000)

        @hookimpl
        def register_jobs():
            return [gives, refuses]
    """
    async with running(tmp_path, plugins={"odd": jobs}) as web:
        runs = [
            (await web.kernel.enqueue(f"odd.{job}", {"text": text})).id
            for job in ("gives", "refuses") for text in (*HOSTILE, "\x1b[0m\x00 ")
        ]  # fmt: skip
        await ended(web, runs)
        page = await web.get("/runs")

    assert page.status == 200
    assert len(shown(page.text)) == len(runs)
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert not re.search("[\x00\x1b\u202e]", page.text)
    assert len(page.text) < 60_000


async def test_ticked_runs_are_retried_and_those_that_cannot_be_are_counted(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        heard: list[OperatorActed] = []

        async def hear(events: Any) -> None:
            heard.extend(events)

        web.kernel.bus.subscribe("test", (OperatorActed,), hear)
        failed = await enqueue(web, "demo.fails", 3)
        done = await enqueue(web, "demo.ok")
        await ended(web, failed + done)

        reply = await web.post(
            "/runs/ticked",
            [("filter", "?state=failed"), ("action", "retry"), *(("run", run) for run in (*failed[:2], *done))],
        )

        assert reply.headers["Location"].startswith("/runs?state=failed&told=")
        assert await told(web, reply) == "Of 3 runs: 2 queued again, 1 left alone: retry does not fit their state."
        await ended(web, failed)
        assert [(await web.kernel.control.runs_show(run=run))["attempt"] for run in failed] == [2, 2, 1]
        await until(lambda: len(heard) == 1)
        assert (heard[0].by, heard[0].action, heard[0].subject) == ("operator", "runs_retry_many", "3 runs")


async def test_ticked_runs_are_cancelled(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        later = await enqueue(web, "demo.ok", 3, delay="1h")

        reply = await web.post("/runs/ticked", [("action", "cancel"), *(("run", run) for run in later[:2])])

        assert await told(web, reply) == "Of 2 runs: 2 cancelled."
        assert await states(web, later) == ["cancelled", "cancelled", "scheduled"]
        assert (await web.kernel.control.runs_show(run=later[0]))["reason"] == "cancelled by operator"


async def test_what_was_done_looks_like_a_success_and_what_was_not_does_not(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        done, later = await enqueue(web, "demo.ok"), await enqueue(web, "demo.ok", delay="1h")
        await ended(web, done)
        replies = [
            await web.post("/runs/ticked", [("action", "cancel"), *(("run", run) for run in runs)])
            for runs in (done, done + later, [])
        ]
        replies.append(await web.post("/runs/all", {"action": "cancel", "filter": "?job=demo.slow"}))
        pages = [(await web.get(reply.headers["Location"])).text for reply in replies]

    assert [re.findall(r'<p class="banner (\w+)" role="status">', page) for page in pages] == [
        ["quiet"], ["good"], ["quiet"], ["quiet"],
    ]  # fmt: skip
    assert "Of 1 run: 1 left alone: cancel does not fit their state." in pages[0]


async def test_a_run_that_waits_says_that_its_queue_is_paused(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await web.kernel.control.queues_pause(queue="naps")
        await enqueue(web, "demo.slow")
        later = await enqueue(web, "demo.slow", delay="1h")
        paused = (await web.get("/runs")).text
        await web.kernel.control.runs_cancel(runs=later)

    assert paused.count(">waits in naps, which is paused</span>") == 1
    assert paused.count(">goes to naps</span>") == 1


async def test_nothing_ticked_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        reply = await web.post("/runs/ticked", {"action": "cancel"})

        assert "nothing has changed" in await told(web, reply)


async def test_all_that_fit_are_counted_before_and_done_after(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        later = await enqueue(web, "demo.ok", 7, delay="1h")
        others = await enqueue(web, "demo.greets", delay="1h", payload={"name": "Ada"})
        page = await web.get(link((await web.get("/runs?job=demo.ok")).text, "Cancel all…"))
        newcomer = await enqueue(web, "demo.ok", delay="1h")
        fields = dict(re.findall(r'name="(action|filter|back)" value="([^"]*)"', page.text))

        reply = await web.post("/runs/all", {name: value.replace("&amp;", "&") for name, value in fields.items()})

        assert "Cancel 7 runs?" in page.text
        assert "7 of demo.ok" in page.text
        assert await told(web, reply) == "Of 7 runs: 7 cancelled."
        assert reply.headers["Location"].startswith("/runs?job=demo.ok&told=")
        assert await states(web, later + others + newcomer) == ["cancelled"] * 7 + ["scheduled"] * 2


async def test_without_a_filter_all_runs_are_never_meant(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        later = await enqueue(web, "demo.ok", delay="1h")
        page = await web.get("/runs")
        asked = await web.get("/runs/all?action=cancel")
        done = await web.post("/runs/all", {"action": "cancel", "filter": ""})

        assert "Cancel all" not in page.text
        assert (asked.status, done.status) == (400, 400)
        assert await states(web, later) == ["scheduled"]


@pytest.mark.parametrize("action", ["", "delete", "<script>"])
async def test_another_action_changes_nothing(tmp_path: Path, action: str) -> None:
    async with running(tmp_path) as web:
        replies = [
            await web.get(f"/runs/all?action={quote(action)}&job=demo.ok"),
            await web.post("/runs/all", {"action": action, "filter": "?job=demo.ok"}),
            await web.post("/runs/ticked", {"action": action, "run": "x"}),
        ]

    assert [reply.status for reply in replies] == [400, 400, 400]


async def test_a_filter_that_is_sent_back_leads_nowhere_else(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        reply = await web.post("/runs/ticked", {"action": "cancel", "filter": "//evil.example/?a=b&job=demo.ok"})

    assert reply.status == 303
    assert reply.headers["Location"].startswith("/runs?job=demo.ok&told=")


async def test_who_may_only_look_gets_no_ticks_and_no_buttons(tmp_path: Path) -> None:
    lines = ("read_only = true",)
    async with running(tmp_path, *lines) as web:
        later = await enqueue(web, "demo.ok", delay="1h")
        page = await web.get("/runs?job=demo.ok")
        refused = await web.post("/runs/ticked", {"action": "cancel", "run": later[0]})

        assert shown(page.text) == later
        assert 'type="checkbox"' not in page.text
        assert refused.status == 403
        assert await states(web, later) == ["scheduled"]
