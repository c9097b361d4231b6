"""Who gets in, and whose requests change anything: Host, Origin, login and role, of every address there is."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from kernel.events import OperatorActed
from tests.unit.plugins.web.web_kit import PAGES, TOKEN, running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.plugins.web.web_kit import Web

USERS = (
    f'token = "{TOKEN}"',
    '[plugins.web.users.ada]\ntoken = "ada-has-a-token-of-16"',
    '[plugins.web.users.rhea]\ntoken = "rhea-reads-with-this-one"\nrole = "read"',
)
BEARER = f"Bearer {TOKEN}"
SECURITY = {
    "Content-Security-Policy",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "Referrer-Policy",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "Cache-Control",
}
FORGED: dict[str, dict[str, str]] = {
    "a form of another site": {"origin": "https://evil.example"},
    "a form of a page without an origin": {"origin": "null"},
    "the same host, another port": {"origin": "http://127.0.0.1:1"},
    "an origin that only begins as ours": {"origin": "{url}.evil.example"},
    "an origin with our host as a user": {"origin": "{url}@evil.example"},
    "an origin that is no address": {"origin": "http://["},
    "a form of an old browser": {"origin": ""},
    "text/plain of an old browser": {"origin": "", "content_type": "text/plain"},
    "a beacon": {"origin": "https://evil.example", "content_type": "text/plain;charset=UTF-8"},
    "JSON of another site": {"origin": "https://evil.example", "content_type": "application/json"},
    "fetch metadata: cross-site": {"origin": "", "sec_fetch_site": "cross-site"},
    "fetch metadata: same-site": {"origin": "", "sec_fetch_site": "same-site"},
    "fetch metadata: none": {"origin": "", "sec_fetch_site": "none"},
    "fetch metadata against origin": {"origin": "{url}", "sec_fetch_site": "cross-site"},
    "a password in the link": {"origin": "", "authorization": "Basic YTpi"},
    "a name that points here": {"origin": "http://evil.example:{port}", "host": "evil.example:{port}"},
    "no host": {"origin": "", "host": " "},
}


def routes_of(web: Web, *, changing: bool) -> list[tuple[str, str]]:
    """Method and an address of every route that aiohttp knows, with something in the place of its parts."""
    found = []
    for route in web.server.app.router.routes():
        if (route.method not in {"GET", "HEAD"}) == changing:
            parts = route.resource.get_info()
            path = parts.get("formatter", parts.get("path", ""))
            names = dict.fromkeys(("id", "name", "plugin", "tail", "run", "queue", "job", "schedule", "key"), "x")
            found.append((route.method, path.format_map(_Parts(names))))
    return found


class _Parts(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "x"


async def state_of(web: Web) -> str:
    control = web.kernel.control
    return json.dumps([await control.runs_list(), await control.queues_list(), await control.schedules_list()])


def filled(headers: dict[str, str], web: Web) -> dict[str, str]:
    return {name: value.format(url=web.url, port=web.host.rpartition(":")[2]) for name, value in headers.items()}


async def listening(web: Web) -> list[OperatorActed]:
    told: list[OperatorActed] = []

    async def hear(events: Any) -> None:
        told.extend(events if isinstance(events, list) else [events])

    web.kernel.bus.subscribe("test", (OperatorActed,), hear)
    return told


@pytest.mark.parametrize("lines", [(), USERS], ids=["nobody logs in", "with a cookie"])
async def test_every_change_that_another_site_sends_is_refused_and_changes_nothing(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    async with running(tmp_path, *lines) as web:
        if lines:
            assert (await web.post("/login", {"token": TOKEN})).status == 303
        run = await web.kernel.enqueue("demo.ok", delay="1h")
        told, before = await listening(web), await state_of(web)
        routes = routes_of(web, changing=True)
        let_through = []
        for method, path in routes:
            for name, headers in FORGED.items():
                # A real thing to change, so that a request that came through would change it.
                address = path.replace("/x/", f"/{run.id}/", 1) if path.startswith("/runs/") else path
                reply = await web.ask(
                    method,
                    address,
                    form=f"run={run.id}&queue=naps&name=demo.sweep&token={TOKEN}",
                    headers=filled(headers, web),
                )
                if reply.status not in {400, 403, 421}:
                    let_through.append((method, path, name, reply.status))
        await asyncio.sleep(0)
        after = await state_of(web)

    assert len(routes) >= 7
    assert let_through == []
    assert after == before
    assert told == []


@pytest.mark.parametrize("lines", [(), ("read_only = true",)], ids=["role", "read-only"])
async def test_who_may_read_only_changes_nothing_anywhere(tmp_path: Path, lines: tuple[str, ...]) -> None:
    async with running(tmp_path, *lines, *USERS) as web:
        token = "ada-has-a-token-of-16" if lines else "rhea-reads-with-this-one"
        before = await state_of(web)
        statuses = {
            (method, path): (await web.ask(method, path, json={}, headers={"authorization": f"Bearer {token}"})).status
            for method, path in routes_of(web, changing=True)
            if path not in {"/login", "/logout"}
        }
        reading = [(await web.get(path, authorization=f"Bearer {token}")).status for path in PAGES]
        after = await state_of(web)

    assert set(statuses.values()) == {403}, statuses
    assert reading == [200] * len(PAGES)
    assert after == before


async def test_nothing_but_the_login_and_files_is_there_for_who_is_not_logged_in(tmp_path: Path) -> None:
    open_to_all = {"/login", "/logout", "/static/x", "/livez", "/readyz"}
    async with running(tmp_path, *USERS) as web:
        found = {
            (method, path): (await web.ask(method, path, headers={"accept": "application/json"})).status
            for method, path in routes_of(web, changing=False) + routes_of(web, changing=True)
            if path not in open_to_all
        }
        page = await web.get("/runs?state=failed")

    assert set(found.values()) == {401}, found
    assert len(found) >= 15
    assert (page.status, page.headers["Location"]) == (303, "/login?next=%2Fruns%3Fstate%3Dfailed")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200), ("localhost:{port}", 200), ("LOCALHOST", 200), ("[::1]:{port}", 200),
        ("jobs.example.com", 200), ("evil.example:{port}", 421), ("127.0.0.1.evil.example", 421), ("[::2]", 421),
        ("127.0.0.1:{port}:1", 421), ("@127.0.0.1", 421), ("", 421), ("[::1", 421), ("2130706433", 421),
    ],
)  # fmt: skip
async def test_it_answers_to_its_own_names_only(tmp_path: Path, host: str, status: int) -> None:
    async with running(tmp_path, 'hosts = ["jobs.example.com"]') as web:
        found = [
            (await web.get(path, host=host.format(port=web.host.rpartition(":")[2]) or " ")).status
            for path in ("/", "/static/site.css", "/nothing-here")
        ]

    assert found == ([200, 200, 404] if status == 200 else [status] * 3)


@pytest.mark.parametrize(
    "lines",
    [
        "GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: evil.example\r\nHost: {host}\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "CONNECT evil.example:80 HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /\udcff HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /runs?text=\udcc3( HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /runs?text=%00 HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : {host}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_a_target_or_host_of_another_form_is_no_way_around_the_list(tmp_path: Path, lines: str) -> None:
    async with running(tmp_path) as web:
        status, head = await raw(web, lines.format(host=web.host))

    assert status in {400, 421}, head
    assert missing_headers(head) == set()


async def raw(web: Web, text: str) -> tuple[int, str]:
    host, _, port = web.host.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(text.encode("utf-8", "surrogateescape"))
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    writer.close()
    return int(head.split()[1]), head


def missing_headers(head: str) -> set[str]:
    """Of a plain answer of aiohttp's own, before any route, Cache-Control is of no use."""
    return {name for name in SECURITY - {"Cache-Control"} if name.lower() not in head.lower()}


async def test_every_answer_has_the_headers_of_safety_and_tells_no_version(tmp_path: Path) -> None:
    addresses = [
        *PAGES,
        "/login",
        "/static/site.css",
        "/static/none",
        "/nothing",
        "/runs/none",
        "/x/none/none",
        "//",
        "/%2e%2e/",
    ]
    async with running(tmp_path, plugins={"broken_page": FAILING_PAGE}) as web:
        replies = [await web.get(address) for address in addresses]
        replies += [await web.get(address, accept="application/json") for address in addresses]
        replies += [
            await web.ask("DELETE", "/runs"),
            await web.post("/login", {"token": "x"}),
            await web.post("/nothing"),
        ]
        replies.append(await web.get("/", host="evil.example"))
        async with web.session.get(web.url + "/live") as stream:
            headers = dict(stream.headers)

    without = [(one.status, SECURITY - set(one.headers)) for one in replies if SECURITY - set(one.headers)]
    assert without == []
    assert SECURITY - set(headers) == set()
    assert {one.headers["Server"] for one in replies} == {"Mainspring"}
    assert "unsafe" not in replies[0].headers["Content-Security-Policy"]
    assert {one.status for one in replies} >= {200, 404, 405, 403, 421} - {403}


FAILING_PAGE = """
    from kernel import hookimpl

    def show(query):
        raise ValueError("no")

    @hookimpl
    def register_routes(app):
        app.add_page("page", "Page", show)
"""
TRAVERSALS = [
    f"/static/{before}{name}"
    for before in ("../", "%2e%2e/", "..%2f", "%2e%2e%2f", "....//", "..\\", "%5c..%5c", "vendor/../../", "//", "/", "./../",
                   "..;/", "%252e%252e%252f", "%c0%ae%c0%ae/", "..%00/", "..././", "%2f")
    for name in ("settings.py", "../settings.py", "etc/passwd", "../../../../../../etc/passwd", "site.py%00.css")
]  # fmt: skip


async def test_no_file_outside_of_its_folder_is_given_out(tmp_path: Path) -> None:
    others = [
        f"/static/{'a' * 5_000}",
        "/static/",
        "/static",
        "/static/vendor",
        "/static/vendor/",
        "/static/%2fetc/passwd",
    ]
    async with running(tmp_path) as web:
        replies = [(path, await web.get(path)) for path in [*TRAVERSALS, *others]]
        by_line = [await raw(web, f"GET {path} HTTP/1.1\r\nHost: {web.host}\r\n\r\n") for path in TRAVERSALS]

    assert [(path, one.status) for path, one in replies if one.status not in {400, 404}] == []
    assert [
        (path, head) for path, (status, head) in zip(TRAVERSALS, by_line, strict=True) if status not in {400, 404}
    ] == []
    assert not any("root:" in one.text or "SecretStr" in one.text for _, one in replies)


@pytest.mark.parametrize("lines", [(), USERS])
async def test_an_address_that_is_none_is_a_page_to_a_browser_and_json_to_a_program(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    async with running(tmp_path, *lines) as web:
        page, program = await web.get("/nothing/at-all"), await web.get("/nothing/at-all", accept="*/*")
        with_token = await web.get("/nothing/at-all", authorization="Bearer wrong-one-of-16-letters")

    assert [one.status for one in (page, program, with_token)] == [404, 404, 404]
    assert "<h1>Not Found</h1>" in page.text
    assert ('href="/runs"' in page.text) == (not lines), "who is not logged in is told of no pages"
    assert json.loads(program.text)["title"] == "Not Found"


async def test_another_site_may_lead_to_a_page_and_fetch_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        link = await web.get("/", sec_fetch_site="cross-site", sec_fetch_mode="navigate")
        fetched = await web.get("/", sec_fetch_site="cross-site", sec_fetch_mode="no-cors")
        streamed = await web.get("/live", sec_fetch_site="same-site", sec_fetch_mode="cors")

    assert (link.status, fetched.status, streamed.status) == (200, 403, 403)


async def test_behind_https_an_unencrypted_page_of_the_same_name_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, "https = true", *USERS) as web:
        plain = await web.post("/login", {"token": TOKEN}, origin=f"http://{web.host}")
        safe = await web.post("/login", {"token": TOKEN}, origin=f"https://{web.host}")

    assert (plain.status, safe.status) == (403, 303)
    assert safe.headers["Strict-Transport-Security"] == "max-age=31536000"
    cookie = safe.headers["Set-Cookie"]
    assert cookie.startswith("__Host-mainspring=")
    assert {part.strip() for part in cookie.split(";")} >= {"HttpOnly", "SameSite=Strict", "Secure", "Path=/"}
    assert "Domain" not in cookie


async def test_a_head_request_is_answered_as_get_without_a_body(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        reply = await web.ask("HEAD", "/runs")
        stream = await web.ask("HEAD", "/live")

    assert (reply.status, reply.text) == (200, "")
    assert int(reply.headers["Content-Length"]) > 1_000
    assert stream.status == 405


@pytest.mark.parametrize(
    ("form", "headers", "status"),
    [
        (b"x=1&" * 6_000, {}, 413),
        (b"x" * 1_100_000, {}, 413),
        (b"x=\xff", {}, 400),
        (b"x=%00", {}, 400),
        (b"x=1", {"content_type": "multipart/form-data; boundary=x"}, 415),
        (b"x=1", {"content_type": "application/x-www-form-urlencoded; charset=utf-7"}, 415),
        (b"x=1", {"content_encoding": "gzip"}, 415),
        (b"token=%ED%A0%80", {}, 401),
    ],
)
async def test_a_body_that_is_none_is_refused_in_one_way(
    tmp_path: Path, form: bytes, headers: dict[str, str], status: int
) -> None:
    async with running(tmp_path, *USERS) as web:
        wanted = {"content_type": "application/x-www-form-urlencoded"} | headers
        reply = await web.post("/login", io.BytesIO(form), **wanted)

    assert reply.status == status
    assert "Traceback" not in reply.text
