"""What systemd is told, by a real process on a real datagram socket."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from kernel.cli.service_manager import ServiceManager
from tests.acceptance.cli_program import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def listening(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        ours.bind(path)
        ours.settimeout(20)
        yield ours


def next_with(ours: socket.socket, word: str) -> str:
    while word not in (text := ours.recv(4096).decode()):
        pass
    return text


def test_the_service_manager_hears_ready_signs_of_life_reload_and_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path)
    with listening(str(tmp_path / "notify")) as ours:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        with place.kernel() as kernel:
            assert next_with(ours, "READY=1").splitlines()[1] == "STATUS=1 plugin, 8 jobs"
            assert next_with(ours, "WATCHDOG=1")

            kernel.send(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in next_with(ours, "RELOADING=1")
            assert next_with(ours, "READY=1")

            kernel.send(signal.SIGTERM)
            assert next_with(ours, "STOPPING=1")
            assert kernel.end() == 0


@pytest.mark.parametrize("name", ["/notify", "@mainspring-test"])
async def test_a_kernel_that_does_not_work_gives_no_sign_of_life(tmp_path: Path, name: str) -> None:
    is_working = True
    address = str(tmp_path / "notify") if name.startswith("/") else "\0mainspring-test"
    environment = {
        "NOTIFY_SOCKET": str(tmp_path / "notify") if name.startswith("/") else name,
        "WATCHDOG_USEC": "20000",
    }
    with listening(address) as ours:
        manager = ServiceManager(lambda: is_working, environment)

        await manager._show_life()
        assert ours.recv(100) == b"WATCHDOG=1"

        is_working = False
        await manager._show_life()
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(100)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NOTIFY_SOCKET": "relative", "WATCHDOG_USEC": "1000000"},
        {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "many"},
        {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid() + 1)},
    ],
)
async def test_without_a_listener_nothing_happens(environment: dict[str, str]) -> None:
    manager = ServiceManager(lambda: True, environment)

    await manager.ready("ready")
    manager.stopping("bye")
    await manager.close()
