"""Tokens and cookies: who has one gets in, a wrong one is slowed down, and none is ever shown."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from kernel.testing import FakeClock
from plugins.web.identity import Identities
from plugins.web.problem import Problem
from plugins.web.settings import Settings
from tests.unit.plugins.web.web_kit import PAGES, TOKEN, running

if TYPE_CHECKING:
    from pathlib import Path

ADA = "ada-has-a-token-of-16"
USERS = (f'token = "{TOKEN}"', f'[plugins.web.users.ada]\ntoken = "{ADA}"')


async def test_a_token_opens_the_pages_by_a_cookie_that_scripts_and_other_sites_do_not_get(tmp_path: Path) -> None:
    async with running(tmp_path, *USERS) as web:
        entered = await web.post("/login", {"token": ADA, "next": "/runs?state=failed"})
        page = await web.get("/runs")
        left = await web.post("/logout")
        after = await web.get("/runs")

    assert (entered.status, entered.headers["Location"]) == (303, "/runs?state=failed")
    cookie = entered.headers["Set-Cookie"]
    assert {part.strip() for part in cookie.split(";")} >= {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"}
    assert ADA not in cookie
    assert page.status == 200
    assert "Logged in as ada" in page.text
    assert (left.status, after.status) == (303, 303)


@pytest.mark.parametrize(
    "to",
    ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "javascript:alert(1)", "/\n/evil", "\\evil",
     "//[", "", "/ x", "/é", "/a\r\nSet-Cookie: x=y"],
)  # fmt: skip
async def test_the_login_leads_nowhere_else(tmp_path: Path, to: str) -> None:
    async with running(tmp_path, *USERS) as web:
        reply = await web.post("/login", {"token": TOKEN, "next": to})

    assert (reply.status, reply.headers["Location"]) == (303, "/")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": f"Bearer {TOKEN}"}, 200),
        ({"authorization": f"bearer  {TOKEN} "}, 200),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"authorization": f"Bearer {TOKEN[:-1]}"}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": TOKEN}, 401),
        ({"authorization": "Bearer " + "x" * 8_000}, 401),
        ({"authorization": "Bearer " + "x" * 1_000_000}, 400),
        ({"cookie": f"mainspring={TOKEN}"}, 401),
        ({"cookie": "mainspring=..."}, 401),
        ({"cookie": f"mainspring=.9999999999.{'0' * 64}"}, 401),
        ({"cookie": f"mainspring=616461.{'9' * 400}.{'0' * 64}"}, 401),
        ({"x-token": TOKEN}, 401),
    ],
)
async def test_only_the_whole_token_in_its_header_is_taken(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    async with running(tmp_path, *USERS) as web:
        reply = await web.get("/runs", accept="application/json", **headers)
        by_query = await web.get(f"/runs?token={TOKEN}&access_token={TOKEN}", accept="application/json")

    assert reply.status == status
    assert by_query.status == 401


def identities(clock: FakeClock) -> Identities:
    settings = Settings.model_validate({"token": TOKEN, "users": {"ada": {"token": ADA}}})
    return Identities(settings, clock.elapsed)


def test_after_five_wrong_tokens_an_address_is_put_off_for_a_minute_unless_it_has_a_right_one() -> None:
    clock = FakeClock()
    known = identities(clock)

    def status(token: str, address: str) -> int:
        try:
            known.by_token(token, address)
        except Problem as problem:
            return problem.status
        return 200

    assert [status("wrong", "10.0.0.1") for _ in range(6)] == [401] * 5 + [429]
    assert status("wrong", "10.0.0.2") == 401
    assert status(TOKEN, "10.0.0.1") == 200
    assert status("wrong", "10.0.0.1") == 429
    clock.skip(61)
    assert status("wrong", "10.0.0.1") == 401


def test_addresses_with_wrong_tokens_are_not_kept_without_end() -> None:
    known = identities(FakeClock())

    for number in range(3_000):
        with pytest.raises(Problem):
            known.by_token("wrong", f"10.0.{number // 250}.{number % 250}")

    assert len(known._wrong) == 1_000


def test_a_cookie_ends_by_time_and_with_its_token_and_is_nobody_elses() -> None:
    clock = FakeClock()
    known = identities(clock)
    cookie = known.cookie_for("ada", clock.now())
    name, until, signature = cookie.split(".")
    other = Identities(Settings.model_validate({"users": {"ada": {"token": "ada-has-another-token"}}}))

    assert known.by_cookie(cookie, clock.now()) == ("ada", "operate")
    assert known.by_cookie(cookie, clock.now() + 12 * 3600 + 1) is None
    assert known.by_cookie(f"{name}.{int(until) + 1}.{signature}", clock.now()) is None
    assert known.by_cookie(f".{until}.{signature}", clock.now()) is None
    assert other.by_cookie(cookie, clock.now()) is None


async def test_no_token_is_found_in_logs_pages_answers_or_reprs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("WEB_TOKEN", TOKEN)
    monkeypatch.setenv("ADA_TOKEN", ADA)
    canaries = [TOKEN, ADA, "wrong-canary-7f3a"]
    said: list[str] = []
    lines = 'token = "${WEB_TOKEN}"', '[plugins.web.users.ada]\ntoken = "${ADA_TOKEN}"'
    async with running(tmp_path, *lines) as web:
        wrong = "wrong-canary-7f3a"
        for reply in (
            await web.post("/login", {"token": wrong}),
            await web.post("/login", {"token": wrong}, accept="application/json"),
            await web.get("/runs", authorization=f"Bearer {wrong}"),
            await web.get("/login"),
            await web.post("/login", {"token": ADA}),
            *[await web.get(page) for page in PAGES],
            await web.get("/nothing", authorization=f"Bearer {TOKEN}"),
        ):
            said += [reply.text, str(dict(reply.headers))]
        site = web.site
        said += [
            repr(site.settings),
            str(site.settings),
            repr(site.identities),
            repr(web.kernel.config),
            site.settings.model_dump_json(),
        ]
        said += [str(state) for state in web.kernel.plugin_states()]
        said.append(str(await web.kernel.control.health()))
        port = int(web.host.rpartition(":")[2])
        said.append(
            await garbage(
                port, f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nBad header {ADA}\r\n\r\n"
            )
        )
        said.append(await garbage(port, f"GET /?{TOKEN} HTTP/9.9\r\n\r\n"))
    said.append(caplog.text)

    found = [(canary, text[:300]) for canary in canaries for text in said if canary in text]
    assert found == []
    assert "wrong token" in caplog.text


async def garbage(port: int, text: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.encode())
    async with asyncio.timeout(10):
        found = await reader.read()
    writer.close()
    return found.decode()
