"""The kernel's Unix socket as a file."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from kernel.control_socket import SocketServer, _sweep, ask, follow
from kernel.model.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_socket_is_its_owners_alone_and_the_umask_of_other_threads_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "k.sock"
    before = os.umask(0)
    try:
        monkeypatch.setattr("os.umask", lambda _mask: (_ for _ in ()).throw(AssertionError("the umask was touched")))
        server = SocketServer(path, None, None)  # type: ignore[arg-type] # nobody calls
        await server.start()
    finally:
        monkeypatch.undo()
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    await server.stop()
    assert not path.exists()


async def test_a_kernel_that_sweeps_takes_none_for_dead_that_is_just_starting(tmp_path: Path) -> None:
    is_over = threading.Event()

    def sweep() -> None:
        while not is_over.is_set():
            _sweep(tmp_path)

    sweeping = threading.Thread(target=sweep)
    sweeping.start()
    try:
        for number in range(300):
            server = SocketServer(tmp_path / f"kernel-{number}.sock", None, None)  # type: ignore[arg-type] # nobody calls
            await server.start()
            assert (tmp_path / f"kernel-{number}.sock").exists()
            await server.stop()
    finally:
        is_over.set()
        sweeping.join()
    assert await asyncio.to_thread(lambda: [*tmp_path.iterdir()]) == []


async def test_of_a_path_that_is_too_long_it_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 100) / "k.sock"

    with pytest.raises(OSError, match=r"too long for a socket.*set kernel\.run_dir to a shorter folder"):
        await ask(path, "health", {})
    with pytest.raises(OSError, match="too long for a socket"):
        await anext(follow(path))


async def test_a_kernel_killed_with_the_question_unread_has_hung_up(tmp_path: Path) -> None:
    path = tmp_path / "k.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def reset() -> None:
            connection, _ = listening.accept()
            connection.recv(1, socket.MSG_PEEK)
            connection.close()  # with bytes left unread this is a reset

        resetting = asyncio.create_task(asyncio.to_thread(reset))
        with pytest.raises(StoreError, match="hung up before it answered"):
            await ask(path, "health", {})
        await resetting

        resetting = asyncio.create_task(asyncio.to_thread(reset))
        assert await anext(follow(path), "no more events") == "no more events"
        await resetting
