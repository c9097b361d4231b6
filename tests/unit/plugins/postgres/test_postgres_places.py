"""Limits of jobs and queues hold over all kernels, and no kernel keeps the others from their share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from kernel.testing import until
from plugins.postgres.places import Full, Places
from tests.postgres_server import execute
from tests.unit.plugins.postgres.postgres_samples import NO_LIMIT, ask, claimed, done, new, requeue

if TYPE_CHECKING:
    from kernel.contracts.store import Claim
    from kernel.model.run import Claimed
    from plugins.postgres.store import PostgresStore
    from tests.unit.plugins.postgres.conftest import Open

JOB: dict[str, Any] = {"job_limits": {"fleet.sync": 5}}
QUEUE: dict[str, Any] = {"queue_limits": {"default": 5}, "queues": {"default": 5}}


async def _enqueue(store: PostgresStore, count: int, **options: Any) -> None:
    await store.enqueue([new(**options) for _ in range(count)], NO_LIMIT)


@pytest.mark.parametrize("limits", [JOB, QUEUE], ids=["job", "queue"])
async def test_what_one_kernel_has_claimed_is_no_room_of_another_one(open_store: Open, limits: dict[str, Any]) -> None:
    one, two = await open_store(1), await open_store(2)
    await _enqueue(one, 20)

    first = await claimed(one, "kernel-1", limit=3, **limits)
    second = await claimed(two, "kernel-2", **limits)
    third = await claimed(one, "kernel-1", **limits)

    assert (len(first), len(second), len(third)) == (3, 2, 0)


@pytest.mark.parametrize("limits", [JOB, QUEUE], ids=["job", "queue"])
async def test_however_many_kernels_claim_at_once_no_more_run_than_the_limit(
    open_store: Open, limits: dict[str, Any]
) -> None:
    kernels = [(f"kernel-{number}", await open_store(number)) for number in (1, 2, 3)]
    await _enqueue(kernels[0][1], 150)
    most, ended = 0, 0

    async with asyncio.timeout(60):
        while ended < 150:
            got = await asyncio.gather(*(claimed(store, kernel, **limits) for kernel, store in kernels))
            most = max(most, sum(map(len, got)))
            for runs, (_, store) in zip(got, kernels, strict=True):
                await store.finish([done(run) for run in runs])
                store._changed()  # as when it is told of the others' ends
            ended += sum(map(len, got))

    assert most == 5


async def test_a_job_and_its_queue_are_limited_each_for_itself(open_store: Open) -> None:
    one, two = await open_store(1), await open_store(2)
    await _enqueue(one, 4)
    await _enqueue(one, 4, job="fleet.wash")
    await _enqueue(one, 4, job="fleet.wash", queue="other")
    limits: dict[str, Any] = {"job_limits": {"fleet.sync": 2}, "queue_limits": {"default": 3}, "queues": {"default": 3}}
    jobs = ("fleet.sync", "fleet.wash")

    first = await claimed(one, "kernel-1", limit=1, jobs=jobs, **limits)
    second = await claimed(two, "kernel-2", jobs=jobs, **limits)

    assert [(run.job, run.queue) for run in first] == [("fleet.sync", "default")]
    assert [(run.job, run.queue) for run in second] == [
        ("fleet.sync", "default"), ("fleet.wash", "default"), *[("fleet.wash", "other")] * 4,
    ]  # fmt: skip


async def test_lanes_beside_a_full_one_are_claimed_without_a_lock(open_store: Open, postgres_url: str) -> None:
    one, two = await open_store(1), await open_store(2)
    await _enqueue(one, 20)
    await claimed(one, "kernel-1", **JOB)
    jobs = ("fleet.sync", "fleet.wash")
    assert await claimed(two, "kernel-2", jobs=jobs, **JOB) == []
    await _enqueue(one, 3, job="fleet.wash")
    two._known.full._until = dict.fromkeys(
        two._known.full._until, (5, float("inf"))
    )  # its time is not what is looked at
    holder = await asyncpg.connect(postgres_url)
    try:
        await holder.execute("SELECT pg_advisory_lock(hashtext('mainspring.places'), n) FROM generate_series(0, 255) n")

        async with asyncio.timeout(3):
            runs = await claimed(two, "kernel-2", jobs=jobs, **JOB)
    finally:
        await holder.close()

    assert [run.job for run in runs] == ["fleet.wash"] * 3


async def test_suspects_count_under_a_limit_too(open_store: Open) -> None:
    one, two = await open_store(1), await open_store(2)
    await _enqueue(one, 3)
    runs = await claimed(one, "kernel-1", limit=1, **JOB)
    await one.finish([done(runs[0], "queued", losses=2)])
    limits: dict[str, Any] = {"job_limits": {"fleet.sync": 2}}

    first = await claimed(one, "kernel-1", limit=2, suspects=1, **limits)
    second = await claimed(two, "kernel-2", suspects=1, **limits)

    assert (len(first), len(second)) == (2, 0)


async def test_only_suspects_wait_and_the_limit_holds_all_the_same(open_store: Open) -> None:
    one, two = await open_store(1), await open_store(2)
    await _enqueue(one, 2)
    runs = await claimed(one, "kernel-1")
    await one.finish([done(run, "queued", losses=2) for run in runs])
    limits: dict[str, Any] = {"job_limits": {"fleet.sync": 1}}

    first = await claimed(one, "kernel-1", suspects=1, **limits)
    second = await claimed(two, "kernel-2", suspects=1, **limits)

    assert (len(first), len(second)) == (1, 0)


async def test_what_a_dead_kernel_had_claimed_is_room_again(open_store: Open, postgres_url: str) -> None:
    one, two = await open_store(1), await open_store(2)
    await _enqueue(one, 20)
    await claimed(one, "kernel-1", **JOB)
    before = await claimed(two, "kernel-2", **JOB)
    execute(postgres_url, "DELETE FROM mainspring.kernel WHERE id = 'kernel-1'")

    await two.rescue("kernel-2", requeue)

    assert (len(before), len(await claimed(two, "kernel-2", **JOB))) == (0, 5)


async def test_a_limit_that_is_raised_or_lowered_holds_from_the_next_claim_on(open_store: Open) -> None:
    one, two = await open_store(1), await open_store(2)
    await _enqueue(one, 20)
    await claimed(one, "kernel-1", **JOB)

    full = await claimed(two, "kernel-2", **JOB)
    raised = await claimed(two, "kernel-2", job_limits={"fleet.sync": 8})
    lowered = await claimed(two, "kernel-2", job_limits={"fleet.sync": 2})

    assert (len(full), len(raised), len(lowered)) == (0, 3, 0)


# Shares


async def _end(store: PostgresStore, runs: list[Claimed]) -> None:
    await store.finish([done(runs.pop(0))])


async def test_a_kernel_leaves_places_to_one_that_wants_its_share(open_store: Open) -> None:
    one, two = await open_store(1), await open_store(2)
    await _enqueue(one, 100)
    mine = await claimed(one, "kernel-1", **JOB)
    his = await claimed(two, "kernel-2", **JOB)
    taken: list[tuple[int, int]] = []
    for _ in range(4):
        await _end(one, mine)
        mine += await claimed(one, "kernel-1", **JOB)  # it is quicker, each time
        two._changed()  # as when it is told of that end
        his += await claimed(two, "kernel-2", **JOB)
        taken.append((len(mine), len(his)))

    assert taken == [(4, 1), (3, 2), (3, 2), (3, 2)]


async def test_a_share_that_is_not_taken_falls_back_when_the_wish_has_lapsed(
    open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugins.postgres.places.WANT_SECONDS", 0.5)
    monkeypatch.setattr("plugins.postgres.places._RENEW_SECONDS", 0.4)
    one, two = await open_store(1), await open_store(2)
    await _enqueue(one, 100)
    mine = await claimed(one, "kernel-1", **JOB)
    assert await claimed(two, "kernel-2", **JOB) == []
    await _end(one, mine)

    claims = await one.claim(ask(**JOB))
    asked_at = ask().now
    later: list[Claimed] = []

    async def taken() -> None:
        while not later:
            later.extend(await claimed(one, "kernel-1", **JOB))
            await asyncio.sleep(0.02)

    assert claims.runs == []
    assert claims.next_due is not None
    assert 0.0 < claims.next_due - asked_at < 0.7
    async with asyncio.timeout(5):
        await taken()
    assert len(later) == 1


async def test_a_kernel_without_a_free_slot_wants_nothing(open_store: Open, postgres_url: str) -> None:
    one, two = await open_store(1), await open_store(2)
    await _enqueue(one, 100)
    mine = await claimed(one, "kernel-1", **JOB)

    await claimed(two, "kernel-2", limit=0, **JOB)
    await _end(one, mine)

    assert len(await claimed(one, "kernel-1", **JOB)) == 1


async def test_of_fewer_places_than_kernels_each_is_somebodys_share(open_store: Open) -> None:
    stores = [await open_store(number) for number in (1, 2, 3)]
    await _enqueue(stores[0], 50)
    limits: dict[str, Any] = {"job_limits": {"fleet.sync": 2}}
    held = [await claimed(store, f"kernel-{at}", **limits) for at, store in enumerate(stores, 1)]
    await _end(stores[0], held[0])

    again = []
    for at, store in reversed([*enumerate(stores, 1)]):
        store._changed()
        again.append(len(await claimed(store, f"kernel-{at}", **limits)))

    assert ([len(runs) for runs in held], again) == ([1, 0, 0], [1, 0, 0])


def test_of_a_limit_of_which_no_run_was_waiting_none_is_claimed_for_it_is_not_locked() -> None:
    places = Places(ask(jobs=("fleet.sync", "fleet.wash"), **QUEUE | JOB), 0.0, 0)

    narrowed = places.narrowed()

    assert narrowed.jobs == {"fleet.sync": 0, "fleet.wash": 1000}
    assert (narrowed.queues, narrowed.job_limits, narrowed.queue_limits) == ({"default": 0}, {}, {})


# What is kept in mind


def _claim(limit: int = 5) -> Claim:
    return ask(job_limits={"fleet.sync": limit})


def test_what_was_found_full_is_shut_until_something_may_have_made_room() -> None:
    full = Full()
    full.note([(("job", "fleet.sync"), 5, 1.0)], full.generation)
    shut = full.shut(_claim()).jobs
    raised = full.shut(_claim(6)).jobs
    full.forget([("fleet.wash", "default")])
    still = full.shut(_claim()).jobs
    full.forget([("fleet.sync", "default")])
    ended = full.shut(_claim()).jobs

    assert (shut, still) == ({"fleet.sync": 0}, {"fleet.sync": 0})
    assert (raised, ended) == ({"fleet.sync": 1000}, {"fleet.sync": 1000})


def test_what_was_found_before_a_run_ended_is_not_kept_in_mind() -> None:
    full = Full()
    found_at = full.generation
    full.clear()

    full.note([(("job", "fleet.sync"), 5, 1.0)], found_at)

    assert full.shut(_claim()).jobs == {"fleet.sync": 1000}


async def test_a_change_by_another_process_lets_the_limits_be_counted_again(open_store: Open) -> None:
    one, two = await open_store(1), await open_store(2)
    two.on_change(lambda: None)
    await _enqueue(one, 20)
    runs = await claimed(one, "kernel-1", **JOB)
    await claimed(two, "kernel-2", **JOB)
    assert two._known.full._until

    await one.finish([done(runs[0])])

    await until(lambda: not two._known.full._until)
