"""The server of three kernels is restarted, is away for a while, or stands still: nothing is lost, and nothing done again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from kernel.testing import until
from tests.acceptance.cli_program import CONFIG, Place
from tests.acceptance.rig.works import LIMIT, QUICK_LEASE, Works, at_work, stop, warnings_of
from tests.postgres_server import processes_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Tell
    from tests.postgres_server import Server

BACK_SECONDS = 15.0
"""After so long a server that is back is used again, on a machine that has other things to do as well."""


@pytest.mark.timeout(300)
async def test_the_server_is_restarted_and_is_away_for_a_while(
    tmp_path: Path, own_server: Server, own_url: str, tell: Tell
) -> None:
    await restart_twice(Works(tmp_path, own_url), own_server, tell, away=6.0)


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_the_server_is_away_for_25_seconds(tmp_path: Path, own_server: Server, own_url: str, tell: Tell) -> None:
    await restart_twice(Works(tmp_path, own_url), own_server, tell, away=25.0)


async def restart_twice(works: Works, server: Server, tell: Tell, *, away: float) -> None:
    async with at_work(works.member(), works.member(), works.member()) as members:
        await works.enqueue(2000, 0.05)
        await until(lambda: works.over() > 200, LIMIT)

        await asyncio.to_thread(server.stop, signal.SIGINT)
        await asyncio.to_thread(server.start)
        tell("at work again after a fast restart", await works.take_part(*members))
        said = {member: len(member.log) for member in members}
        stopped_at = time.monotonic()
        await asyncio.to_thread(server.stop, signal.SIGQUIT)
        await until(lambda: time.monotonic() - stopped_at > away, away + LIMIT)
        while_away = [warnings_of(member, said[member]) for member in members]
        await asyncio.to_thread(server.start)
        took = await works.take_part(*members)
        tell("at work again after an immediate restart", took)
        await works.all_ended()
        await works.has_members(*members)
        await stop(*members)

    assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()
    assert took < BACK_SECONDS
    for lines in while_away:
        assert 1 <= len(lines) <= away / 10 + 4, lines


@pytest.mark.timeout(300)
async def test_the_server_stands_still_for_longer_than_a_lease(
    tmp_path: Path, own_server: Server, own_url: str, tell: Tell
) -> None:
    await pause(Works(tmp_path, own_url), own_server, tell, seconds=11.0, lease=QUICK_LEASE)


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_the_server_stands_still_for_a_minute(
    tmp_path: Path, own_server: Server, own_url: str, tell: Tell
) -> None:
    await pause(Works(tmp_path, own_url), own_server, tell, seconds=60.0)


async def pause(works: Works, server: Server, tell: Tell, *, seconds: float, lease: float | None = None) -> None:
    """Longer than a lease, and than anything is waited for."""
    async with at_work(*(works.member(lease=lease) for _ in range(3))) as members:
        await works.enqueue(2000, 0.05)
        await until(lambda: works.over() > 200, LIMIT)

        stopped = processes_of(server)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        stopped_at = time.monotonic()
        try:
            await until(lambda: time.monotonic() - stopped_at > seconds, seconds + LIMIT)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        took = await works.take_part(*members)
        tell(f"at work again after the server stood still for {seconds:.0f} s", took)
        await works.all_ended()
        await works.has_members(*members)
        await stop(*members)

    assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()
    assert took < BACK_SECONDS


def test_health_is_told_while_the_server_is_away(tmp_path: Path, own_server: Server, own_url: str) -> None:
    place = Place(tmp_path, CONFIG.replace("sqlite:///var/store.db", own_url))
    kernel = place.kernel()
    try:
        own_server.stop(signal.SIGQUIT)
        health, plugins, runs = place.run("health"), place.run("plugins", "list"), place.run("runs", "list")
    finally:
        kernel.kill()
    dead = place.run("health")
    own_server.start()

    assert (health.status, plugins.status) == (1, 0)
    assert "unhealthy  kernel" in health.out
    assert "enabled" in plugins.out
    assert (runs.status, runs.out) == (2, "")
    # And with no kernel that could say it, it is the server of which the command tells.
    assert (dead.status, dead.out, dead.err) == (2, "", runs.err)
