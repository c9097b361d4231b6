"""Three kernels on one PostgreSQL: one is killed, stopped, cut off from the server, or has a wrong clock.

Nothing is lost, nothing is recorded twice, and every tick is there once. How long it takes to recover is printed (-s).
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from kernel.testing import until
from plugins.postgres.lease import LEASE_SECONDS, START_SECONDS
from tests.acceptance.rig.proxy import Proxy
from tests.acceptance.rig.works import LIMIT, QUICK_LEASE, Harm, Works, at_work, stop, warnings_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Tell

FREE_SECONDS = 45.0
"""After so long nothing is held any more by a kernel that has died."""
_REFUSED = "came too late and was refused"


@pytest.mark.timeout(300)
async def test_of_three_kernels_one_is_killed_and_one_is_stopped_past_its_lease_and_goes_on(
    tmp_path: Path, postgres_url: str, tell: Tell
) -> None:
    works = Works(tmp_path, postgres_url)
    async with at_work(works.member(), works.member(), works.member()) as (killed, stopped, other):
        ids = {program.life: await works.kernel_of(program) for program in (killed, stopped)}
        await works.enqueue(1940, 0.05)
        await until(lambda: works.over() > 300, LIMIT)
        await works.have_begun_long_ones(killed, stopped)

        now = time.monotonic()
        killed.kill()
        stopped.send(signal.SIGSTOP)
        await until(lambda: stopped.stands_still, LIMIT)
        works.harmed = {one.life: Harm(now, time.monotonic()) for one in (killed, stopped)}
        free_after = await works.is_free(ids[killed.life])
        tell("free after a kill -9", free_after)
        await works.is_free(ids[stopped.life])
        tell("free after a SIGSTOP", time.monotonic() - now)
        await works.all_ended()

        stopped.send(signal.SIGCONT)
        goes_on_at = time.monotonic()
        await stopped.says(_REFUSED, LIMIT)
        await works.has_members(stopped, other)
        await works.take_part(stopped)
        tell("at work again after a SIGCONT", time.monotonic() - goes_on_at)
        await works.all_ended()
        await stop(stopped, other)

    assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()
    assert free_after < FREE_SECONDS
    assert free_after > LEASE_SECONDS / 2


@pytest.mark.timeout(300)
async def test_one_of_three_kernels_is_cut_off_from_the_server_for_longer_than_its_lease(
    tmp_path: Path, own_url: str, tell: Tell
) -> None:
    await cut_off(Works(tmp_path, own_url), tell, lease=QUICK_LEASE)


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_one_of_three_kernels_is_cut_off_for_longer_than_the_real_lease(
    tmp_path: Path, own_url: str, tell: Tell
) -> None:
    await cut_off(Works(tmp_path, own_url), tell)


async def cut_off(works: Works, tell: Tell, *, lease: float | None = None) -> None:
    """Packets are dropped: neither end is told anything. The lease runs out meanwhile, and the way is mended then."""
    async with Proxy(works.url) as proxy:
        far, *near = works.member(proxy.url, lease=lease), works.member(lease=lease), works.member(lease=lease)
        async with at_work(far, *near):
            far_id = await works.kernel_of(far)
            await works.enqueue(1940, 0.05)
            await until(lambda: works.over() > 300, LIMIT)
            await works.have_begun_long_ones(far)

            now = time.monotonic()
            proxy.cut()
            may_begin = (lease or LEASE_SECONDS) * (START_SECONDS / LEASE_SECONDS)
            works.harmed = {far.life: Harm(now, now + may_begin + 1.0)}
            await works.is_free(far_id)
            tell("free after a partition", time.monotonic() - now)
            await works.all_ended()
            mended_at = time.monotonic()
            proxy.mend()
            await works.has_members(far, *near)
            tell("a member again after the partition", time.monotonic() - mended_at)
            await works.take_part(far)
            tell("at work again after the partition", time.monotonic() - mended_at)
            await works.all_ended()
            await stop(far, *near)

    assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()
    assert _REFUSED in far.log
    assert "the kernel's lease could not be renewed in time" in far.log
    assert len(warnings_of(far, 0)) < 40, warnings_of(far, 0)


@pytest.mark.timeout(300)
async def test_the_clocks_of_two_of_three_kernels_are_an_hour_off(tmp_path: Path, postgres_url: str) -> None:
    works = Works(tmp_path, postgres_url)
    began_at = time.time()
    async with at_work(works.member(ahead=3600.0), works.member(ahead=-3600.0), works.member()) as members:
        await works.enqueue(300, 0.01)
        late = await works.enqueue(30, 0.0, delay=2.0)
        await works.all_ended()
        await works.take_part(*members)
        await works.has_members(*members)
        seen = [row["seen_seconds"] for row in await works.kernels()]
        await stop(*members)
    ended_at = time.time()

    assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()
    assert all(-1.0 < seconds < 60.0 for seconds in seen)
    for run in await works.runs():
        assert run.started is not None
        assert run.finished is not None
        assert began_at - 1.0 < run.due - 0.01 <= run.started <= run.finished < ended_at + 1.0, run
        if run.id in late:
            assert run.started - run.enqueued >= 2.0 - 0.2, run
    assert all("was set" not in member.log for member in members)
