"""A person hears once of what is out of order, and once that it is over: real processes, a real receiver, the demo fleet."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.acceptance.cli_program import LIMIT, Place, _environment, wait_until
from tests.acceptance.webhook_receiver import WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTNER = """\
import asyncio, sys
from datetime import UTC, datetime
from plugins.fleet.demo import demo_cars
from plugins.fleet.partner_api import PartnerApi

async def main():
    await PartnerApi(demo_cars(datetime.now(UTC)), port=int(sys.argv[1])).start()
    print("answers", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
CONFIG = """\
[kernel]
store = "sqlite:///var/store.db"

[plugins.fleet]
partner_url = "http://127.0.0.1:{port}"

[plugins.fleet.schedules.sync_car_data]
every = "500ms"

[plugins.health]

[plugins.notify]
allow_hosts = ["127.0.0.1"]

[plugins.notify.channels.ops]
type = "webhook"
url = "{url}"
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def partner(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """The partner's API as a process of its own, which answers."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARTNER, str(port)],
        cwd=folder, env=_environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "answers\n"
        yield process
    finally:
        process.kill()
        process.wait(LIMIT)
        process.stdout.close()


def completed(place: Place, job: str) -> int:
    return len(place.good("runs", "list", "--job", job, "--state", "completed", "--json").json)


def test_who_stops_the_partner_gets_one_notice_and_one_more_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    with WebhookReceiver() as receiver:
        place = Place(tmp_path, CONFIG.format(port=port, url=receiver.url))
        with partner(tmp_path, port) as first, place.kernel() as kernel:
            wait_until(lambda: completed(place, "fleet.sync_car_data") >= 2)

            first.kill()
            wait_until(lambda: receiver.got)
            # All that speak to the partner fail now: one at each of its attempts, one until its breaker opens.
            place.good("schedules", "trigger", "fleet.sync_with_retry")
            for _ in range(5):
                place.good("schedules", "trigger", "fleet.sync_with_external_api")
            wait_until(lambda: place.good("runs", "list", "--state", "failed", "--json").json)
            wait_until(lambda: "open" in place.good("breakers", "list").out)
            [failing] = receiver.got

            with partner(tmp_path, port):
                wait_until(lambda: len(receiver.got) > 1)
                before = completed(place, "fleet.sync_car_data")
                wait_until(lambda: completed(place, "fleet.sync_car_data") >= before + 3)
            kernel.stop()

    assert (failing["state"], failing["severity"], failing["job"]) == ("failing", "error", "fleet.sync_car_data")
    assert "PartnerError: partner: " in failing["text"]
    assert "PartnerError" in failing["traceback"]
    assert failing["context"]["operation"] == "sync_car_data"
    assert [one["state"] for one in receiver.got] == ["failing", "recovered"]
    assert receiver.got[1]["text"].startswith("recovered after ")
    assert receiver.got[1]["key"] == failing["key"] == "partner"


def test_a_kernel_that_starts_again_repeats_no_notice_and_still_tells_that_it_is_over(tmp_path: Path) -> None:
    port = free_port()
    with WebhookReceiver() as receiver:
        place = Place(tmp_path, CONFIG.format(port=port, url=receiver.url))
        with place.kernel() as kernel:
            wait_until(lambda: receiver.got)
            # A notice that is on its way when the kernel dies may come a second time: this one has arrived.
            before = completed(place, "fleet.sync_car_data")
            wait_until(lambda: completed(place, "fleet.sync_car_data") > before)
            kernel.kill()
        with place.kernel() as kernel:
            before = completed(place, "fleet.sync_car_data")
            wait_until(lambda: completed(place, "fleet.sync_car_data") >= before + 3)
            assert [one["state"] for one in receiver.got] == ["failing"]

            with partner(tmp_path, port):
                wait_until(lambda: len(receiver.got) > 1)
            kernel.stop()

    assert [one["state"] for one in receiver.got] == ["failing", "recovered"]
