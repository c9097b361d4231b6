"""Leases: a kernel that lives keeps its runs, one that does not loses them, and the database's clock decides."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from kernel.contracts.store import Look, Looked
from kernel.model.errors import StoreError
from kernel.model.schedule import ScheduleRow
from kernel.testing import until
from plugins.postgres.store import PostgresStore
from tests.postgres_server import execute
from tests.unit.plugins.postgres.postgres_samples import NO_LIMIT, ask, claimed, done, new, requeue, row

if TYPE_CHECKING:
    from kernel.contracts.store import KernelRow
    from tests.unit.plugins.postgres.conftest import Open

_SHIFT = (
    "CREATE OR REPLACE FUNCTION mainspring.clock() RETURNS float8 LANGUAGE sql "
    "AS 'SELECT extract(epoch FROM clock_timestamp())::float8 + ({})'"
)


async def test_a_kernel_whose_loop_is_blocked_keeps_its_lease(open_store: Open) -> None:
    one = await open_store(1, lease_seconds=1.0, renew_seconds=0.2)
    other = await open_store(2)
    await one.enqueue([new()], NO_LIMIT)
    await claimed(one)

    time.sleep(1.6)  # noqa: ASYNC251 - the loop is what is blocked here

    assert [kernel.id for kernel in await other.kernels()] == ["kernel-1", "kernel-2"]
    assert await other.rescue("kernel-2", requeue) == []


async def test_what_a_dead_kernel_held_is_free_when_its_lease_has_run_out_and_not_before(
    open_store: Open, postgres_url: str
) -> None:
    one, other = await open_store(1), await open_store(2)
    await one.enqueue([new(), new()], NO_LIMIT)
    runs = await claimed(one)
    early = await other.rescue("kernel-2", requeue)

    execute(postgres_url, "UPDATE mainspring.kernel SET lease_until = 0 WHERE id = 'kernel-1'")
    dead: list[KernelRow | None] = []
    freed = await other.rescue("kernel-2", lambda kernel, held: dead.append(kernel) or requeue(kernel, held))  # type: ignore[func-returns-value] # append says nothing

    assert early == []
    assert [kernel.id for kernel in dead if kernel is not None] == ["kernel-1"]
    assert [(run.id, run.state, run.losses) for run in freed] == [(run.id, "queued", 1) for run in sorted(runs)]
    again = await claimed(other, "kernel-2")
    assert (await one.finish([done(run) for run in runs])).written == [False, False]
    assert (await other.finish([done(run) for run in again])).written == [True, True]


async def test_a_kernel_that_is_taken_for_dead_signs_in_again_and_takes_the_charge_back(
    open_store: Open, postgres_url: str
) -> None:
    one = await open_store(1, renew_seconds=0.3)
    other = await open_store(2)
    await one.enqueue([new()], NO_LIMIT)
    [run] = await claimed(one)

    async def rescued() -> bool:
        execute(postgres_url, "UPDATE mainspring.kernel SET lease_until = 0 WHERE id = 'kernel-1'")
        return bool(await other.rescue("kernel-2", requeue))

    async with asyncio.timeout(20):
        while not await rescued():  # it may have been renewed in between
            pass
    await until(lambda: one.lease_losses == 1)

    assert [kernel.id for kernel in await other.kernels()] == ["kernel-1", "kernel-2"]
    [again] = await claimed(one)
    assert (again.id, again.losses, again.token > run.token) == (run.id, 0, True)


async def test_a_kernel_that_cannot_renew_its_lease_starts_no_runs_any_more(
    open_store: Open, postgres_url: str
) -> None:
    store = await open_store(1, lease_seconds=1.5, renew_seconds=0.2)
    await store.enqueue([new()], NO_LIMIT)
    assert store.may_start

    execute(postgres_url, "ALTER TABLE mainspring.kernel RENAME TO kernel_away")
    await until(lambda: not store.may_start)

    with pytest.raises(StoreError, match=r"lease was not renewed for \d+ s"):
        await store.claim(ask())
    execute(postgres_url, "ALTER TABLE mainspring.kernel_away RENAME TO kernel")
    await until(lambda: store.may_start)
    assert len(await claimed(store)) == 1


async def test_a_kernel_that_signs_in_again_is_seen_just_now_and_keeps_when_it_started(
    open_store: Open, postgres_url: str
) -> None:
    old = time.time() - 1000
    store = await open_store(None)
    kernel = PostgresStore(postgres_url, renew_seconds=0.2)
    await kernel.open(row(1, started=old, seen=old))
    execute(postgres_url, "DELETE FROM mainspring.kernel")

    await until(lambda: kernel.lease_losses == 1)

    [one] = await store.members()
    await kernel.close()
    assert one.is_alive
    assert one.kernel.started == pytest.approx(old, abs=1)
    assert one.kernel.seen == pytest.approx(time.time(), abs=10)


async def test_after_an_outage_others_get_time_to_renew_before_they_are_taken_for_dead(
    open_store: Open, postgres_url: str
) -> None:
    one = await open_store(1)
    other = await open_store(2, renew_seconds=0.5)
    await one.enqueue([new()], NO_LIMIT)
    await claimed(one)
    execute(postgres_url, "ALTER TABLE mainspring.kernel RENAME TO kernel_away")
    lease = other._lease
    assert lease is not None
    await until(lambda: lease.seconds_since_renewal > 1.1)
    execute(postgres_url, "ALTER TABLE mainspring.kernel_away RENAME TO kernel")
    execute(postgres_url, "UPDATE mainspring.kernel SET lease_until = 0 WHERE id = 'kernel-1'")
    await until(lambda: lease.seconds_since_renewal < 1.0)

    early = await other.rescue("kernel-2", requeue)
    await until(lambda: lease.is_steady)
    freed = await other.rescue("kernel-2", requeue)

    assert (early, len(freed)) == ([], 1)


async def test_a_kernel_that_has_closed_leaves_no_row_and_its_runs_to_others(open_store: Open) -> None:
    one, other = await open_store(1), await open_store(2)
    await one.enqueue([new()], NO_LIMIT)
    [run] = await claimed(one)

    await one.close()

    assert [kernel.id for kernel in await other.kernels()] == ["kernel-2"]
    dead: list[KernelRow | None] = []
    freed = await other.rescue("kernel-2", lambda kernel, held: dead.append(kernel) or requeue(kernel, held))  # type: ignore[func-returns-value] # append says nothing
    assert ([one.id for one in freed], dead) == ([run.id], [None])


async def test_two_kernels_that_rescue_at_once_take_each_run_once(open_store: Open, postgres_url: str) -> None:
    one, two, three = await open_store(1), await open_store(2), await open_store(3)
    await one.enqueue([new() for _ in range(50)], NO_LIMIT)
    await claimed(one)
    execute(postgres_url, "UPDATE mainspring.kernel SET lease_until = 0 WHERE id = 'kernel-1'")

    freed = await asyncio.gather(two.rescue("kernel-2", requeue), three.rescue("kernel-3", requeue))

    ids = [run.id for runs in freed for run in runs]
    assert (len(ids), len(set(ids))) == (50, 50)
    assert {run.losses for runs in freed for run in runs} == {1}


# The database's clock


@pytest.mark.parametrize("kernel", [1, None])
async def test_the_difference_to_the_databases_clock_is_known_when_the_store_is_open(
    open_store: Open, kernel: int | None
) -> None:
    store = await open_store(kernel, wall=lambda: time.time() - 3600)

    assert store.clock_offset == pytest.approx(3600, abs=1.0)


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
async def test_the_difference_to_the_databases_clock_is_known_as_soon_as_the_lease_was_renewed(
    open_store: Open, postgres_url: str, ahead: float
) -> None:
    await open_store(2)
    execute(postgres_url, _SHIFT.format(ahead))

    store = await open_store(1, renew_seconds=0.1)
    assert store.clock_offset == pytest.approx(ahead, abs=1.0)

    execute(postgres_url, _SHIFT.format(0.0))
    await until(lambda: abs(store.clock_offset) < 1.0)


async def test_a_kernel_whose_clock_is_ahead_begins_nothing_early(open_store: Open) -> None:
    store = await open_store(1)
    later = new()._replace(state="scheduled", due=time.time() + 60, urgency=0.0)
    await store.enqueue([later, new(expires=time.time() + 60)], NO_LIMIT)

    got = await store.claim(ask(now=time.time() + 3600))

    assert (len(got.runs), got.next_due, got.expired) == (1, later.due, [])
    assert got.runs[0].id != later.id


async def test_a_look_ahead_of_the_databases_clock_is_refused(open_store: Open) -> None:
    store = await open_store(1)
    now = time.time()
    await store.put_schedules([ScheduleRow("nightly", "{}", False, 0.0, now)])

    with pytest.raises(StoreError, match="ahead of the database's clock"):
        await store.look([Look("nightly", now, now + 3600)], lambda _look, _unfinished: Looked())

    assert (await store.schedules())[0].looked_until == now
