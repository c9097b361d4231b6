"""Which living kernel knows which job: what each announces stands beside what the others do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from kernel.contracts.store import Announced
from kernel.testing import until
from tests.postgres_server import execute
from tests.unit.plugins.postgres.postgres_samples import requeue

if TYPE_CHECKING:
    from plugins.postgres.store import PostgresStore
    from tests.unit.plugins.postgres.conftest import Open


def job(name: str, info: str = "{}") -> Announced:
    return Announced(f"fleet.{name}", "fleet", "default", info)


async def tell(store: PostgresStore, number: int, *jobs: Announced) -> None:
    await store.announce(f"kernel-{number}", jobs, time.time())


async def names(store: PostgresStore) -> list[str]:
    return [one.job.removeprefix("fleet.") for one in await store.announced()]


async def test_a_kernel_that_starts_with_fewer_jobs_takes_none_from_those_that_know_more(open_store: Open) -> None:
    one, two = await open_store(1), await open_store(2)
    await tell(one, 1, job("sync"), job("wash"))

    await tell(two, 2, job("wash"))

    assert await names(one) == ["sync", "wash"]
    assert await one.announced_elsewhere("kernel-1") == {"fleet.wash"}
    assert await two.announced_elsewhere("kernel-2") == {"fleet.sync", "fleet.wash"}


async def test_of_a_job_that_several_announce_the_one_that_was_started_last_holds(open_store: Open) -> None:
    early, late = await open_store(1), await open_store(2)
    await tell(early, 1, job("sync", '{"old":1}'))
    await tell(late, 2, job("sync", '{"new":1}'))

    await tell(early, 1, job("sync", '{"old":1}'), job("other"))  # another plugin was switched on there

    assert await early.announced() == [job("other"), job("sync", '{"new":1}')]


async def test_what_a_kernel_says_otherwise_after_a_reload_is_the_newest(open_store: Open) -> None:
    early, late = await open_store(1), await open_store(2)
    await tell(early, 1, job("sync", '{"old":1}'))
    await tell(late, 2, job("sync", '{"new":1}'))

    await tell(early, 1, job("sync", '{"edited":1}'))

    assert await early.announced() == [job("sync", '{"edited":1}')]


async def test_what_only_a_dead_kernel_knew_is_known_to_nobody_while_another_one_lives(
    open_store: Open, postgres_url: str
) -> None:
    one, two = await open_store(1), await open_store(2)
    await tell(one, 1, job("sync"))
    await tell(two, 2, job("wash"))

    execute(postgres_url, "UPDATE mainspring.kernel SET lease_until = 0 WHERE id = 'kernel-1'")

    assert await two.announced_elsewhere("kernel-2") == set()
    assert await names(two) == ["wash"]


async def test_when_no_kernel_lives_the_last_announcements_stay(open_store: Open) -> None:
    client = await open_store(None)
    one, two = await open_store(1), await open_store(2)
    await tell(one, 1, job("sync"))
    await tell(two, 2, job("wash"))

    await one.close()
    assert await names(client) == ["wash"]
    await two.close()

    assert await names(client) == ["sync", "wash"]


async def test_a_kernel_that_starts_when_none_lives_replaces_what_was_announced(open_store: Open) -> None:
    one = await open_store(1)
    await tell(one, 1, job("gone"))
    await one.close()

    two = await open_store(2)
    assert await names(two) == ["gone"]
    await tell(two, 2)

    assert await names(two) == []


async def test_a_kernel_that_was_taken_for_dead_announces_again(open_store: Open, postgres_url: str) -> None:
    one, two = await open_store(1, renew_seconds=0.2), await open_store(2)
    await tell(one, 1, job("sync"))

    async def rescued() -> bool:
        execute(postgres_url, "UPDATE mainspring.kernel SET lease_until = 0 WHERE id = 'kernel-1'")
        await tell(two, 2, job("wash"))
        await two.rescue("kernel-2", requeue)
        return await two.announced_elsewhere("kernel-2") == set()

    async with asyncio.timeout(20):
        while not await rescued():  # it may have been renewed in between
            pass
    await until(lambda: one.lease_losses > 0)
    await one.beat("kernel-1", time.time())

    assert await two.announced_elsewhere("kernel-2") == {"fleet.sync"}
