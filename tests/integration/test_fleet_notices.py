"""What the fleet tells people: its weekly report by e-mail, with its notes, and its reminders, to a real mail server."""

from __future__ import annotations

import socket
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession
from aiosmtpd.controller import Controller

from kernel import Kernel
from kernel.config import load_config
from kernel.testing import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[list[Any], int]]:
    handler = Mailbox()
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler.mails, port
    controller.stop()


async def test_the_weekly_report_with_its_notes_and_the_reminders_go_out_by_mail(
    tmp_path: Path, mailbox: tuple[list[Any], int]
) -> None:
    mails, port = mailbox
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        partner_port = found.getsockname()[1]
    (tmp_path / "plugins.toml").write_text(f"""
[kernel]
store = "sqlite:///kernel.db"
[plugins.fleet]
database = "fleet.db"
partner_port = {partner_port}
[plugins.notify.channels.office]
type = "mail"
host = "127.0.0.1"
port = {port}
encryption = "none"
sender = "fleet@example.com"
to = ["office@example.com"]
[[plugins.notify.rules]]
to = ["office"]
kinds = ["weekly_report", "maintenance_reminder"]
""")

    async with Kernel(load_config(tmp_path / "plugins.toml")) as kernel:
        async with ClientSession() as http:
            await http.put(f"http://127.0.0.1:{partner_port}/fail", json={"mode": "error"})
        for job in ("generate_weekly_report", "daily_maintenance_check"):
            run = await kernel.schedules.trigger(f"fleet.{job}")
            await kernel.wait(run["id"], timeout="20s")
        await until(lambda: len(mails) == 2)
        reminders = (await kernel.wait(run["id"])).result["processed"]

    texts = [mail.get_content().replace("\r\n", "\n") for mail in mails]
    report, check = sorted(texts, key=lambda text: "Weekly report" not in text)
    assert report.startswith("Weekly report of the fleet, 20")
    assert "406 cars" in report
    assert "Some data is missing: revenue" in report
    assert "kind: weekly_report" in report
    assert check.startswith(f"{reminders} notices:\n")
    assert "needs maintenance: the last was on" in check
    assert "kind: maintenance_reminder" in check
    assert len(check.splitlines()) > reminders
