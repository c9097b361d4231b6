"""The pages of jobs, and the form by which one is enqueued by hand."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.unit.plugins.web.web_kit import running

if TYPE_CHECKING:
    from pathlib import Path

TYPED = """
import datetime as dt
from typing import Annotated
from pydantic import BaseModel, Field
from kernel import hookimpl, job

class Address(BaseModel):
    street: str
    number: int = 1

@job(unique="one")
async def takes(
    address: Address, day: dt.date | None = None, name: Annotated[str, Field(description="<script>x</script>")] = "<b>"
) -> None:
    \"\"\"Takes <i>things</i>.\"\"\"

@job
async def anything(**values: int) -> None: ...

@hookimpl
def register_jobs():
    return [takes, anything]
"""
PAGE = "/jobs/one?name=demo.greets"


async def test_jobs_are_listed_with_their_schedules_and_how_they_do(tmp_path: Path) -> None:
    async with running(tmp_path, "[plugins.health]") as web:
        for job in ("demo.ok", "demo.fails"):
            await web.kernel.wait((await web.kernel.enqueue(job)).id, timeout="10s")
        page = await web.get("/jobs")
        some = await web.get("/jobs?named=swe&plugin=demo")
        none = await web.get("/jobs?named=<x>")

    ok = page.text.split(">demo.ok</a>", 1)[1].split("</tr>", 1)[0]
    fails = page.text.split(">demo.fails</a>", 1)[1].split("</tr>", 1)[0]
    assert ("100 %" in ok, "healthy" in ok) == (True, True)
    assert (">0 %" in fails, "failing" in fails) == (True, True)
    assert "every 10 m" in some.text
    assert "demo.ok" not in some.text
    assert "No job is so" in none.text
    assert "<x>" not in none.text


async def test_without_the_plugin_health_the_list_says_who_would_tell(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        page = await web.get("/jobs")

    assert "tells the plugin <code>health</code>" in page.text
    assert "Verdict" not in page.text


async def test_a_job_is_shown_with_policies_and_newest_runs(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        run = await web.kernel.wait((await web.kernel.enqueue("demo.fails")).id, timeout="10s")
        page = await web.get("/jobs/one?name=demo.fails")
        unknown = await web.get("/jobs/one?name=demo.fial")

    assert "none: one attempt" in page.text
    assert f'href="/runs/{run.id}"' in page.text
    assert "ValueError: no such customer" in page.text
    assert "demo.py:" in page.text
    assert unknown.status == 404
    assert 'Did you mean <a href="/jobs/one?name=demo.fails">' in unknown.text


async def test_a_job_whose_plugin_is_off_says_so_and_leads_to_its_runs(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await web.kernel.wait((await web.kernel.enqueue("demo.ok")).id, timeout="10s")
        await web.kernel.control.plugins_disable(plugin="demo")
        ran, never = await web.get("/jobs/one?name=demo.ok"), await web.get("/jobs/one?name=demo.slow")
        stranger = await web.get("/jobs/one?name=<b>.ok")

    assert (ran.status, never.status, stranger.status) == (404, 404, 404)
    assert 'Its plugin <a href="/plugins/one?name=demo">demo</a> is off' in ran.text
    assert 'href="/runs?job=demo.ok"' in ran.text
    assert "is off" in never.text
    assert 'href="/runs?job=' not in never.text
    assert "is off" not in stranger.text
    assert "<b>.ok" not in stranger.text


async def test_without_a_name_one_comes_to_all_jobs_and_a_wrong_form_keeps_its_name(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        reply = await web.get("/jobs/one")
        page = await web.get("/jobs/one?name=demo.greets")
        wrong = await web.post("/jobs/one?name=demo.greets", {"job": "demo.greets"})

    assert (reply.status, reply.headers["Location"]) == (303, "/jobs")
    for text in (page.text, wrong.text):
        assert '<form method="post" action="/jobs/one?name=demo.greets"' in text


async def test_as_json_each_parameter_says_what_it_takes(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        reply = await web.post("/jobs/one", {"job": "demo.greets", "p:name": "Ada", "show": "json"})

    assert (
        "Takes name (text), times (a whole number, left out: 1), "
        'tone ("kind" or "short", left out: "kind"), loud (true or false, left out: false).'
    ) in unescape(re.sub(r"</?code>", "", reply.text))


async def test_marks_of_code_in_a_docstring_are_shown_as_code(tmp_path: Path) -> None:
    about = '''
    """Whole <i>rows</i>."""
    from kernel import hookimpl, job
    @job
    async def ok(force: bool = False):
        """Cleans ``a<b``, `at once` if ``force``; 5` wide."""
    @hookimpl
    def register_jobs():
        return [ok]
    '''
    async with running(tmp_path, plugins={"rst": about.replace("Whole", "Whole ``x``")}) as web:
        texts = [(await web.get(path)).text for path in ("/jobs", "/jobs/one?name=rst.ok")]
        plugins = [(await web.get(path)).text for path in ("/plugins", "/plugins/one?name=rst")]

    for text in texts:
        assert "Cleans <code>a&lt;b</code>, <code>at once</code> if <code>force</code>; 5` wide." in text
    for text in plugins:
        assert "Whole <code>x</code> &lt;i&gt;rows" in text


async def test_what_was_typed_is_enqueued_and_its_run_shown(tmp_path: Path) -> None:
    form = {
        "job": "demo.greets", "p:name": "Ada", "p:times": "2", "p:tone": '"short"', "p:loud": "", "priority": "1",
        "tags": "by hand, a", "delay": "1h", "queue": "naps",
    }  # fmt: skip
    async with running(tmp_path) as web:
        done = await web.post("/jobs/one", form)
        run = await web.kernel.control.runs_show(run=done.headers["Location"].split("/")[2].partition("?")[0])

    assert done.status == 303
    assert run["payload"] == {"name": "Ada", "times": 2, "tone": "short"}
    assert (run["priority"], run["queue"], run["state"]) == (1, "naps", "scheduled")
    assert run["tags"] == ["mail", "by hand", "a"]


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"p:times": "x", "p:name": "Ada"}, 'id="field-2-about-wrong">expected a whole number, as 42'),
        ({"p:name": ""}, 'id="field-1-about-wrong">is required'),
        ({"p:name": "Ada", "p:tone": '"rude"'}, 'id="field-3-about-wrong">expected one of kind, short'),
        ({"p:name": "Ada", "delay": "soon"}, 'id="about-delay-wrong">delay: '),
        ({"p:name": "Ada", "priority": "11"}, 'id="about-priority-wrong">11 is no priority'),
        ({"p:name": "Ada", "queue": "<b>"}, "id=\"about-queue-wrong\">'<b>' is no name of a queue"),
        ({"raw": "{"}, 'id="raw-about-wrong">it is not JSON'),
        ({"raw": '{"name": 3}'}, 'id="raw-about-wrong">name: 3; expected text<'),
        ({"raw": '{"nmae": "x", "name": "y"}'}, "nmae"),
        (
            {"raw": '{"name": 3, "<b>": 1, "tmies": 2}'},
            "name: 3; expected text; and 2 names that it does not take: '<b>', 'tmies'<",
        ),
    ],
    ids=str,
)
async def test_wrong_input_comes_back_with_the_error_beside_it(tmp_path: Path, form: dict[str, str], told: str) -> None:
    async with running(tmp_path) as web:
        reply = await web.post("/jobs/one", {"job": "demo.greets", "p:loud": "true", **form})
        runs = await web.kernel.control.runs_list()

    assert reply.status == 422
    assert told in unescape(reply.text)
    assert 'aria-invalid="true"' in reply.text
    assert "Nothing was enqueued." in reply.text
    if "raw" not in form:
        assert '<option value="true" selected>' in reply.text
    assert runs == []


async def test_a_fault_inside_an_object_is_told_at_its_field(tmp_path: Path) -> None:
    async with running(tmp_path, plugins={"typed": TYPED}) as web:
        page = await web.get("/jobs/one?name=typed.takes")
        reply = await web.post("/jobs/one", {"job": "typed.takes", "p:address": '{"street": "A", "number": "x"}'})

    assert 'id="field-1-about-wrong">number: ' in reply.text
    assert "&#34;number&#34;: &#34;x&#34;" in reply.text
    assert 'type="date"' in page.text
    assert "an object: street (text), number (a whole number, may be left out)" in page.text
    assert "<script>x" not in page.text
    assert "Takes &lt;i&gt;things" in page.text


@pytest.mark.parametrize(
    "payload",
    [
        {"name": "Ada", "times": 3, "loud": True},
        {"name": '"><script>x</script>', "times": 1},
        {"name": "two\nlines & </textarea>"},
    ],
)
async def test_a_payload_in_the_address_stands_in_the_fields(tmp_path: Path, payload: dict[str, Any]) -> None:
    async with running(tmp_path) as web:
        page = await web.get(f"{PAGE}&payload={quote(json.dumps(payload), safe='')}")

    assert payload["name"] in unescape(page.text)
    assert 'id="raw"' not in page.text
    assert "<script>x" not in page.text
    assert " & </textarea>" not in page.text


@pytest.mark.parametrize(
    "payload", ['{"name": ""}', '{"other": 1}', '{"name": "Ada", "times": "x"}', "{", "[1]", "</textarea>"]
)
async def test_a_payload_that_no_field_can_say_stands_there_as_json(tmp_path: Path, payload: str) -> None:
    async with running(tmp_path) as web:
        page = await web.get(f"{PAGE}&payload={quote(payload, safe='')}")

    assert page.status == 200
    raw = unescape(page.text.split('<textarea id="raw"', 1)[1].split(">\n", 1)[1].split("</textarea>", 1)[0])
    try:
        assert json.loads(raw) == json.loads(payload)
    except ValueError:
        assert raw == payload


async def test_what_was_typed_is_kept_on_the_way_to_json_and_back(tmp_path: Path) -> None:
    typed = {"job": "demo.greets", "p:name": "Ada", "p:times": "2", "delay": "10m", "show": "json"}
    async with running(tmp_path) as web:
        as_json = await web.post("/jobs/one", typed)
        raw = unescape(as_json.text.split('<textarea id="raw"', 1)[1].split(">\n", 1)[1].split("</textarea>", 1)[0])
        again = await web.post("/jobs/one", {"job": "demo.greets", "raw": raw, "delay": "10m", "show": "fields"})
        never = await web.post("/jobs/one", {"job": "demo.greets", "raw": '{"name": ""}', "show": "fields"})
        runs = await web.kernel.control.runs_list()

    assert json.loads(raw) == {"name": "Ada", "times": 2}
    assert 'value="Ada"' in again.text
    assert 'name="delay" value="10m"' in as_json.text
    assert 'name="delay" value="10m"' in again.text
    assert "the fields cannot say this" in never.text
    assert runs == []


async def test_a_run_that_has_the_key_already_is_shown_instead_of_a_new_one(tmp_path: Path) -> None:
    form = {"job": "typed.takes", "p:address": '{"street": "A"}', "delay": "1h"}
    async with running(tmp_path, plugins={"typed": TYPED}) as web:
        first = await web.post("/jobs/one", form)
        second = await web.post("/jobs/one", form)
        page = await web.get(second.headers["Location"])

    assert first.headers["Location"].partition("?")[0] == second.headers["Location"].partition("?")[0]
    assert "Nothing new was enqueued" in page.text


async def test_a_job_of_any_names_takes_them_as_json(tmp_path: Path) -> None:
    async with running(tmp_path, plugins={"typed": TYPED}) as web:
        page = await web.get("/jobs/one?name=typed.anything")
        done = await web.post("/jobs/one", {"job": "typed.anything", "raw": '{"a": 1}', "delay": "1h"})

    assert "It takes any names: give them as JSON." in page.text
    assert done.status == 303
