"""Pages, cards and addresses of other plugins: where they stand, and that a bad one harms only its own box."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kernel.events import PluginFaulted
from kernel.testing import until
from plugins.web import border, extensions
from plugins.web.extensions import Extension
from tests.unit.plugins.web.web_kit import TOKEN, running

if TYPE_CHECKING:
    from tests.unit.plugins.web.web_kit import Web

BOOKS = """
    from aiohttp import web
    from kernel import RequestError, hookimpl
    from markupsafe import Markup

    written = []

    def month(query):
        return Markup("<table><caption>{}</caption></table>").format(query.get("of", "none"))

    async def plain(query):
        return "<script>alert(1)</script>"

    async def card():
        return Markup("<p>{} open</p>").format(3)

    async def entries(request):
        return {"entries": written}

    async def write(request):
        found = await request.json()
        if "name" not in found:
            raise RequestError("name: missing; expected a text")
        written.append(found["name"])
        return web.Response(status=201, text="written")

    @hookimpl
    def register_routes(app):
        app.add_page("month", "The month", month)
        app.add_page("plain", "Plain", plain)
        app.add_card("Books", card)
        app.add_route("GET", "api/entries", entries)
        app.add_route("POST", "/api/entries", write)
"""
HOSTILE = """
    import asyncio, sys, threading
    from kernel import hookimpl

    class Nasty(Exception):
        def __str__(self):
            raise SystemExit(3)

    def raises(*_): raise ValueError("no <b>books</b> here")
    def leaves(*_): sys.exit(1)
    async def leaves_loop(*_): raise SystemExit(1)
    async def interrupts(*_): raise KeyboardInterrupt
    async def cancels(*_): raise asyncio.CancelledError
    def nasty(*_): raise Nasty
    def stops(*_): raise StopIteration
    def number(*_): return 42
    def nothing(*_): return None
    def half(*_): return "\\ud800"
    def much(*_): return "x" * 2_000_000
    def bytes_(*_): return {"a": b"1"}
    def deep(*_):
        found = []
        for _ in range(3_000): found = [found]
        return found
    def hangs(*_): threading.Event().wait()
    async def waits(*_): await asyncio.Event().wait()

    @hookimpl
    def register_routes(app):
        every = [raises, leaves, leaves_loop, interrupts, cancels, nasty, stops, number, nothing, half, much, bytes_, deep]
        for one in [*every, hangs, waits]:
            name = one.__name__.replace("_", "-").strip("-")
            app.add_page(name, name.title(), one)
            app.add_card(name, one)
            app.add_route("GET", "r/" + name, one)
"""


async def told(web: Web) -> list[PluginFaulted]:
    found: list[PluginFaulted] = []

    async def hear(events: Any) -> None:
        found.extend(events if isinstance(events, list) else [events])

    web.kernel.bus.subscribe("test", (PluginFaulted,), hear)
    return found


async def has(web: Web, *plugins: str) -> None:
    await until(lambda: set(plugins) == {name for name, one in web.site.extensions._of.items() if one.pages})


async def test_a_plugin_adds_a_page_a_card_and_addresses(tmp_path: Path) -> None:
    async with running(tmp_path, plugins={"books": BOOKS}) as web:
        await has(web, "books")
        page = await web.get("/x/books/month?of=<b>May</b>")
        plain = await web.get("/x/books/plain")
        [card] = await web.site.extensions.cards()
        wrong = await web.post("/x/books/api/entries", json={"no": 1}, accept="application/json")
        written = await web.post("/x/books/api/entries", json={"name": "Dune"})
        entries = await web.get("/x/books/api/entries")
        elsewhere = [
            (await web.get(path)).status for path in ("/x/books/none", "/x/none/month", "/x/books/", "/x/books/month/")
        ]
        posted = await web.post("/x/books/month")

    assert (page.status, plain.status) == (200, 200)
    assert "<caption>&lt;b&gt;May&lt;/b&gt;</caption>" in page.text
    assert '<a href="/x/books/month" aria-current="page">The month</a>' in " ".join(page.text.split())
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in plain.text
    assert "<script>alert" not in plain.text
    assert (card.plugin, card.title, card.body, card.problem) == ("books", "Books", "<p>3 open</p>", "")
    assert (wrong.status, written.status) == (409, 201)
    assert "name: missing" in wrong.text
    assert json.loads(entries.text) == {"entries": ["Dune"]}
    assert elsewhere == [404] * 4
    assert (posted.status, posted.headers["Allow"]) == (405, "GET")


async def test_they_are_guarded_as_all_addresses_are(tmp_path: Path) -> None:
    async with running(tmp_path, f'token = "{TOKEN}"', plugins={"books": BOOKS}) as web:
        await has(web, "books")
        path = "/x/books/api/entries"
        unknown = await web.get(path, accept="application/json")
        forged = await web.post(
            path, json={"name": "x"}, origin="https://evil.example", authorization=f"Bearer {TOKEN}"
        )
        fine = await web.get(path, authorization=f"Bearer {TOKEN}")

    assert (unknown.status, forged.status, fine.status) == (401, 403, 200)
    assert json.loads(fine.text) == {"entries": []}
    assert "Content-Security-Policy" in fine.headers


async def test_they_come_and_go_with_their_plugin_while_it_all_runs(tmp_path: Path) -> None:
    async with running(tmp_path, plugins={"books": BOOKS}) as web:
        await has(web, "books")
        toml = tmp_path / "plugins.toml"
        text = toml.read_text()
        statuses = [(await web.get("/x/books/month")).status]
        toml.write_text(text.replace("[plugins.books]", "[plugins.books]\nenabled = false"))
        await web.kernel.reload()
        await has(web)
        statuses.append((await web.get("/x/books/month")).status)
        there = "The month" in (await web.get("/")).text
        toml.write_text(text)
        await web.kernel.reload()
        await has(web, "books")
        statuses.append((await web.get("/x/books/month")).status)

    assert statuses == [200, 404, 200]
    assert not there


async def test_a_hostile_one_harms_only_its_own_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "CARD_SECONDS", 1.0)
    monkeypatch.setattr(extensions, "PAGE_SECONDS", 1.0)
    async with running(tmp_path, plugins={"hostile": HOSTILE, "books": BOOKS}) as web:
        await has(web, "books", "hostile")
        faults = await told(web)
        names = list(web.site.extensions._of["hostile"].pages)
        pages = {name: await web.get(f"/x/hostile/{name}") for name in names}
        routes = {name: await web.get(f"/x/hostile/r/{name}", accept="application/json") for name in names}
        cards = {card.title: card for card in await web.site.extensions.cards()}
        await until(lambda: len(faults) > 30)
        count = len(faults)
        again = {card.title: card for card in await web.site.extensions.cards()}
        await web.get("/x/hostile/raises")
        now, fine = await web.get("/"), await web.get("/x/books/month")
        await asyncio.sleep(0)

    silent = {"hangs", "waits"}
    assert {name: page.status for name, page in pages.items()} == {
        name: 503 if name in silent else 200 if name == "half" else 500 for name in names
    }
    assert all("hostile" in page.text and "Traceback" not in page.text for page in pages.values())
    assert "no &lt;b&gt;books&lt;/b&gt; here" in pages["raises"].text
    assert {name: one.status for name, one in routes.items() if one.status < 500} == dict.fromkeys(
        ("number", "nothing", "half", "much"), 200
    )
    assert {name for name in names if cards[name].problem == "hostile did not answer."} == silent
    assert {name for name in names if not cards[name].problem} == {"half"}
    assert "hostile failed: ValueError: no <b>books</b> here" in cards["raises"].problem
    assert (cards["Books"].body, again["Books"].body) == ("<p>3 open</p>", "<p>3 open</p>")
    assert (now.status, fine.status) == (200, 200)
    # Told once each: an open page asks every second.
    assert len(faults) == count
    [fault] = [one for one in faults if one.hook == "register_routes: page raises"]
    assert (fault.plugin, fault.reason) == ("hostile", "ValueError: no <b>books</b> here")
    assert re.search(r"hostile\.py:9$", fault.place)


async def test_what_hangs_gets_no_more_than_a_few_threads_and_no_time_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extensions, "PAGE_SECONDS", 0.05)
    async with running(tmp_path, plugins={"hostile": HOSTILE}) as web:
        await has(web, "hostile")
        statuses = {(await web.get("/x/hostile/hangs")).status for _ in range(border.MOST_AT_ONCE + 4)}
        threads = web.site.extensions._of["hostile"].pages["hangs"][1]._threads

    assert statuses == {503}
    assert threads == border.MOST_AT_ONCE


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("app.add_page('Month!', 'x', str)", "add_page('Month!'): name: expected a-z, 0-9 and -"),
        ("app.add_page('../x', 'x', str)", "name: expected a-z"),
        ("app.add_page('m', 'x\\ny', str)", "title: expected 1 to 60 characters"),
        ("app.add_page('m', 'x', None)", "NoneType: expected a function"),
        ("app.add_page('m', 'x', str); app.add_page('m', 'y', str)", "there is one already"),
        ("app.add_route('get', 'm', str)", "method: expected one of GET, POST"),
        ("app.add_route('GET', '../m', str)", "path: expected names with /"),
        ("app.add_route('GET', '{a}', str)", "path: expected names with /"),
        ("[app.add_card(f'c{n}', str) for n in range(99)]", "one too many; expected at most 20"),
    ],
)
async def test_a_mistake_in_the_hook_is_told_with_its_place(tmp_path: Path, body: str, reason: str) -> None:
    plugin = f"from kernel import hookimpl\n@hookimpl\ndef register_routes(app):\n    {body}\n"
    async with running(tmp_path, plugins={"books": BOOKS}) as web:
        faults = await told(web)
        (tmp_path / "plugins" / "wrong.py").write_text(plugin)
        toml = tmp_path / "plugins.toml"
        toml.write_text(toml.read_text() + "\n[plugins.wrong]\n")
        await web.kernel.reload()
        await until(lambda: faults != [])
        page = await web.get("/x/books/month")

    fault = faults[0]
    assert (fault.plugin, fault.hook) == ("wrong", "register_routes")
    assert reason in fault.reason
    assert fault.place.endswith("wrong.py:4")
    assert page.status == 200


async def test_those_who_ask_for_a_card_together_share_one_answer() -> None:
    asked = 0

    async def count() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.05)
        return "x"

    one = border.Border("books", "card Books", count)

    assert await asyncio.gather(*(one.shared(5) for _ in range(50))) == ["x"] * 50
    assert asked == 1


async def test_a_card_that_hung_is_left_alone_and_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()
    asked = 0

    async def wait() -> str:
        nonlocal asked
        asked += 1
        await gate.wait()
        return "x"

    one = border.Border("books", "card Books", wait)
    for _ in range(3):
        with pytest.raises(border.NoAnswerError):
            await one.shared(0.02)
    assert asked == 1
    gate.set()
    one._rests_until = 0.0
    assert await one.shared(0.5) == "x"


def test_nothing_can_be_added_once_the_hook_has_returned() -> None:
    extension = Extension("books")
    extension.close()

    with pytest.raises(ValueError, match="came too late"):
        extension.add_card("Books", str)


async def test_the_example_of_the_docs_works(tmp_path: Path) -> None:
    section = (Path(__file__).parents[4] / "docs" / "plugins.md").read_text().split("## Pages of your own")[1]
    code = section.split("```python\n")[1].split("```")[0]
    async with running(tmp_path, plugins={"fruit": code}) as web:
        await has(web, "fruit")
        sold = await web.post("/x/fruit/sell", json={"fruit": "apples"})
        page = await web.get("/x/fruit/month?fruit=apples")
        [card] = await web.site.extensions.cards()
        wrong = await web.post("/x/fruit/sell", json={"fruit": "<pears>"}, accept="application/json")
        no_table = await web.post("/x/fruit/sell", json=[], accept="application/json")
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        no_json = await web.ask("POST", "/x/fruit/sell", form=b"{bad", headers=headers)

    assert (sold.status, json.loads(sold.text)) == (200, {"apples": 4})
    assert "<p>apples were sold: 4</p>" in page.text
    assert card.body == '<p class="text">4 sold</p>'
    assert (wrong.status, json.loads(wrong.text)["detail"]) == (409, "fruit: expected one of apples")
    assert (no_table.status, no_json.status, json.loads(no_json.text)["title"]) == (409, 400, "No JSON")
