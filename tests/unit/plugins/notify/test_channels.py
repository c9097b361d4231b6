"""The channels against real servers on loopback: ones that take notices, and ones that fail, hang and lead elsewhere."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from kernel import Notice
from plugins.notify.apprise import AppriseChannel, AppriseSettings
from plugins.notify.channel import DeliveryError
from plugins.notify.log import LogChannel
from plugins.notify.mail import MailChannel, MailSettings
from plugins.notify.slack import SlackChannel, SlackSettings
from plugins.notify.webhook import WebhookChannel, WebhookSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

NOTICE = Notice(
    at=1_767_225_600.0, severity="error", kind="failed", text="no <answer> & more", job="fleet.sync", run="r1",
    attempt=2, error="PartnerError", traceback="Traceback …\nPartnerError", context={"operation": "sync", "sent": 3},
    log=("2026-01-01 info begins",), key="partner", state="failing", times=3, since=1_767_225_500.0, held_back=2,
)  # fmt: skip
LOOPBACK = frozenset({"127.0.0.1"})
SECRET = "s3cr3t-path"  # noqa: S105 - none


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    """Its URL, with a secret in the path."""
    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/{SECRET}"
    finally:
        await runner.cleanup()


def webhook(url: str, allowed: frozenset[str] = LOOPBACK, **settings: Any) -> WebhookChannel:
    return WebhookChannel(WebhookSettings.model_validate({"type": "webhook", "url": url, **settings}), allowed, 0.3)


@asynccontextmanager
async def closing(channel: Any) -> AsyncIterator[Any]:
    try:
        yield channel
    finally:
        await channel.close()


async def refusal(channel: Any) -> DeliveryError:
    async with closing(channel):
        with pytest.raises(DeliveryError) as caught:
            await channel.send(NOTICE)
    assert SECRET not in str(caught.value)
    return caught.value


def always(status: int, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={name.replace("_", "-"): text for name, text in headers.items()})

    return answer


# Webhooks


async def test_a_webhook_gets_all_of_the_notice_as_json() -> None:
    got: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        got.append((await request.json(), request.headers["X-Token"]))
        return web.Response(status=204)

    async with server(take) as url, closing(webhook(url, headers={"X-Token": "abc"})) as channel:
        await channel.send(NOTICE)

    [(body, token)] = got
    assert token == "abc"  # noqa: S105 - none
    assert body == {"title": "FAILING: partner: fleet.sync: no <answer> & more", **NOTICE.as_json()}
    assert (body["at"], body["times"], body["log"]) == ("2026-01-01T00:00:00+00:00", 3, ["2026-01-01 info begins"])


async def test_slack_gets_a_text_that_mentions_nobody() -> None:
    got: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        got.append(await request.json())
        return web.Response(text="ok")

    async with server(take) as url:
        settings = SlackSettings.model_validate({"type": "slack", "url": url})
        async with closing(SlackChannel(settings, LOOPBACK, 1.0)) as channel:
            await channel.send(NOTICE)

    [body] = got
    assert list(body) == ["text"]
    assert body["text"].startswith("*FAILING: partner: fleet.sync: no &lt;answer&gt; &amp; more*\n```")
    assert "operation: sync" in body["text"]


@pytest.mark.parametrize(("status", "is_final"), [(500, False), (503, False), (408, False), (400, True), (404, True)])
async def test_an_answer_that_is_no_yes_is_told_by_its_number(status: int, is_final: bool) -> None:
    async with server(always(status)) as url:
        error = await refusal(webhook(url))

    assert str(error) == f"127.0.0.1: answered {status}"
    assert error.is_final is is_final


@pytest.mark.parametrize(("asked", "seconds"), [("7", 7.0), ("999999", 3600.0), ("soon", None)])
async def test_who_asks_to_wait_is_heard(asked: str, seconds: float | None) -> None:
    async with server(always(429, Retry_After=asked)) as url:
        error = await refusal(webhook(url))

    assert (error.retry_after_seconds, error.is_final) == (seconds, False)


async def test_who_never_answers_is_given_up() -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with server(hang) as url:
        error = await refusal(webhook(url))

    assert str(error) == "127.0.0.1: no answer within 0.3 s"


async def test_who_is_not_there_is_said_to_refuse() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = await refusal(webhook(f"http://127.0.0.1:{taken.getsockname()[1]}/{SECRET}"))

    assert str(error) == "127.0.0.1: Connection refused"


# Where a webhook must not go


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "localhost", "LOCALHOST", "127.0.0.1.", "0.0.0.0",  # noqa: S104 - refused
    ],
)  # fmt: skip
async def test_no_form_of_this_machines_own_address_is_reached_unless_it_is_allowed(host: str) -> None:
    got: list[str] = []

    async def take(request: web.Request) -> web.Response:
        got.append(request.path)
        return web.Response()

    async with server(take) as url:
        error = await refusal(webhook(url.replace("127.0.0.1", host), frozenset()))

    assert got == []
    assert "allow_hosts" in str(error)


async def resolved(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """From here on every name has these addresses, one after the other; the names that were asked for."""
    asked: list[str] = []
    rest = [*addresses]

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = rest.pop(0) if len(rest) > 1 else rest[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1"])
async def test_a_name_that_leads_to_an_inner_address_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await resolved(monkeypatch, address)

    error = await refusal(webhook(f"http://hooks.example.com:1/{SECRET}", frozenset()))

    assert str(error).startswith(f"hooks.example.com leads to {address}, a")


async def test_a_name_that_changes_its_address_is_looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[str] = []

    async def take(request: web.Request) -> web.Response:
        got.append(request.path)
        return web.Response()

    async with server(take) as url:
        # What was checked is what is connected to: the second answer is not asked for.
        asked = await resolved(monkeypatch, "192.0.2.1", "127.0.0.1")
        port = url.split(":")[2].split("/")[0]
        channel = webhook(f"http://hooks.example.com:{port}/{SECRET}", frozenset())
        error = await refusal(channel)

    assert "192.0.2.1" in str(error)
    assert (asked, got) == (["hooks.example.com"], [])


async def test_an_allowed_host_is_reached_by_its_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[str] = []

    async def take(request: web.Request) -> web.Response:
        got.append(request.headers["Host"])
        return web.Response()

    async with server(take) as url:
        await resolved(monkeypatch, "127.0.0.1")
        for name in ("alerts.internal", "Alerts.Internal"):
            async with closing(webhook(url.replace("127.0.0.1", name), frozenset({"alerts.internal"}))) as channel:
                await channel.send(NOTICE)
        await refusal(webhook(url.replace("127.0.0.1", "other.internal"), frozenset({"alerts.internal"})))

    assert [host.split(":")[0].lower() for host in got] == ["alerts.internal"] * 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    got: list[str] = []

    async def lead_on(request: web.Request) -> web.Response:
        got.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with server(lead_on) as url:
        error = await refusal(webhook(url))

    assert got == [f"/{SECRET}"]
    assert str(error) == f"127.0.0.1: answered {status}; redirects are not followed"


# Mail


class Mailbox:
    """Takes mails, or answers what it is told to."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.answer = "250 OK"
        self.recipients: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        self.recipients = envelope.rcpt_tos
        return self.answer


class Server(Controller):
    def factory(self) -> SMTP:
        def login(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
            return AuthResult(success=data.password == b"right", handled=False)

        return SMTP(self.handler, authenticator=login, auth_require_tls=False)


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    handler = Mailbox()
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    controller = Server(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    controller.stop()


def mail(port: int, timeout: float = 5.0, **settings: Any) -> MailChannel:
    given = {
        "type": "mail", "host": "127.0.0.1", "port": port, "encryption": "none", "sender": "kernel@example.com",
        "to": ["ops@example.com", "boss@example.com"],
    }  # fmt: skip
    return MailChannel(MailSettings.model_validate(given | settings), timeout)


async def test_a_mail_has_it_all_in_words(mailbox: tuple[Mailbox, int]) -> None:
    handler, port = mailbox

    channel = mail(port, subject="[demo]", username="me", password="right")  # noqa: S106 - none
    await channel.send(NOTICE)

    [got] = handler.mails
    assert got["Subject"] == "[demo] FAILING: partner: fleet.sync: no <answer> & more"
    assert handler.recipients == ["ops@example.com", "boss@example.com"]
    assert (got["From"], got["Auto-Submitted"]) == ("kernel@example.com", "auto-generated")
    text = got.get_content()
    for part in ("no <answer> & more", "sent: 3", "run: r1", "held back: 2", "PartnerError", "info begins"):
        assert part in text


async def test_no_text_can_add_a_header(mailbox: tuple[Mailbox, int]) -> None:
    handler, port = mailbox
    notice = Notice(at=0.0, severity="error", kind="failed", text="a\r\nBcc: all@example.com", job="x\r\ny")

    await mail(port).send(notice)

    assert handler.mails[0]["Bcc"] is None
    assert handler.mails[0]["Subject"] == "[mainspring] ERROR: x  y: a"


async def test_mails_of_one_incident_are_one_conversation(mailbox: tuple[Mailbox, int]) -> None:
    handler, port = mailbox

    await mail(port).send(NOTICE)
    await mail(port).send(NOTICE)

    assert handler.mails[0]["References"] == handler.mails[1]["References"]
    assert handler.mails[0]["Message-ID"] != handler.mails[1]["Message-ID"]


@pytest.mark.parametrize(("answer", "is_final"), [("554 no", True), ("451 later", False)])
async def test_a_server_that_refuses_is_told_by_its_number(
    mailbox: tuple[Mailbox, int], answer: str, is_final: bool
) -> None:
    handler, port = mailbox
    handler.answer = answer

    error = await refusal(mail(port))

    assert (str(error), error.is_final) == (f"127.0.0.1: answered {answer}", is_final)


async def test_a_login_that_is_refused_shows_no_password(mailbox: tuple[Mailbox, int]) -> None:
    error = await refusal(mail(mailbox[1], 30.0, username="me", password=SECRET))

    assert str(error) == "127.0.0.1: the login was refused (535)"


async def test_a_server_that_never_says_a_word_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = await refusal(mail(silent.getsockname()[1], 0.5))

    assert str(error) == "127.0.0.1: no answer within 0.5 s"


# Log and Apprise


async def test_the_log_gets_one_line_with_its_job(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        await LogChannel("log").send(NOTICE)

    [record] = caplog.records
    assert (record.levelno, record.name) == (logging.ERROR, "mainspring.notice.log")
    assert record.getMessage() == "notice: FAILING: partner: fleet.sync: no <answer> & more"
    assert vars(record)["job"] == "fleet.sync"


async def test_apprise_takes_notices_to_what_its_urls_say() -> None:
    got: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        got.append(json.loads(await request.text()))
        return web.Response()

    async with server(take) as url:
        settings = AppriseSettings.model_validate({"type": "apprise", "urls": [url.replace("http", "json", 1)]})
        await AppriseChannel(settings).send(NOTICE)

    assert got[0]["title"] == "FAILING: partner: fleet.sync: no <answer> & more"
    assert got[0]["type"] == "failure"


async def test_apprise_that_cannot_send_says_so_without_its_url() -> None:
    async with server(always(500)) as url:
        settings = AppriseSettings.model_validate({"type": "apprise", "urls": [url.replace("http", "json", 1)]})
        error = await refusal(AppriseChannel(settings))

    assert str(error) == "Apprise could not send it to its URL"
