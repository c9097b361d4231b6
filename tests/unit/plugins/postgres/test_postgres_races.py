"""Several kernels on one database at the same time: nothing is claimed twice, and limits hold over all of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import plugins.postgres.enqueue
from kernel.contracts.store import Edge, Look, Looked, RunQuery
from kernel.model.rate import RateLimit
from kernel.model.run import Terms
from kernel.model.schedule import ScheduleRow
from tests.postgres_server import blocked_backends
from tests.unit.plugins.postgres.postgres_samples import NO_LIMIT, ask, claimed, done, new

if TYPE_CHECKING:
    import pytest

    from kernel.model.run import Claimed
    from plugins.postgres.store import PostgresStore
    from tests.unit.plugins.postgres.conftest import Open


async def _work(store: PostgresStore, kernel: str, total: int, got: list[Claimed]) -> None:
    """Claims and finishes until all kernels together have had ``total`` runs."""
    while len(got) < total:
        runs = await claimed(store, kernel, limit=50)
        got += runs
        if runs:
            assert all((await store.finish([done(run) for run in runs])).written)


async def test_two_kernels_that_claim_two_thousand_runs_get_each_once(open_store: Open) -> None:
    one, two = await open_store(1), await open_store(2)
    await one.enqueue([new() for _ in range(2000)], NO_LIMIT)
    together: list[Claimed] = []

    await asyncio.gather(_work(one, "kernel-1", 2000, together), _work(two, "kernel-2", 2000, together))

    assert (len(together), len({run.id for run in together}), {run.token for run in together}) == (2000, 2000, {1})
    assert await one.count(RunQuery()) == {"completed": 2000}


async def test_each_claim_of_several_kernels_is_in_the_order_of_urgency(open_store: Open) -> None:
    stores = [await open_store(number) for number in (1, 2, 3)]
    jobs = ("fleet.sync", "fleet.wash")
    given = [new(jobs[n % 2], queue=f"q{n % 3}", priority=n * 7 % 10) for n in range(600)]
    await stores[0].enqueue(given, NO_LIMIT)

    async def take(store: PostgresStore) -> list[list[Claimed]]:
        return [await claimed(store, jobs=jobs, limit=40) for _ in range(8)]

    batches = [batch for batches in await asyncio.gather(*map(take, stores)) for batch in batches]

    assert all(batch == sorted(batch, key=lambda run: (run.urgency, run.id)) for batch in batches)
    ids = [run.id for batch in batches for run in batch]
    assert len(ids) == len(set(ids))
    assert len(ids) == 600


async def test_a_keys_limit_holds_over_all_kernels(open_store: Open) -> None:
    stores = [await open_store(number) for number in (1, 2, 3)]
    await stores[0].enqueue([new(concurrency_key=f"car-{n % 3}") for n in range(120)], NO_LIMIT)
    running: dict[str, int] = {}
    most: dict[str, int] = {}
    finished = 0

    async def work(store: PostgresStore, kernel: str) -> None:
        nonlocal finished
        while finished < 120:
            runs = await claimed(store, kernel, limit=5, key_limits={"fleet.sync": 2})
            for run in runs:
                key = run.extra.concurrency_key or "" if run.extra else ""
                running[key] = running.get(key, 0) + 1
                most[key] = max(most.get(key, 0), running[key])
            await asyncio.sleep(0)
            for run in runs:
                running[run.extra.concurrency_key or "" if run.extra else ""] -= 1
            await store.finish([done(run) for run in runs])
            finished += len(runs)

    async with asyncio.timeout(50):
        await asyncio.gather(*(work(store, f"kernel-{number}") for number, store in enumerate(stores)))

    assert max(most.values()) <= 2
    assert await stores[0].count(RunQuery()) == {"completed": 120}


async def test_kernels_that_claim_runs_of_one_key_at_one_moment_get_no_more_than_its_limit(open_store: Open) -> None:
    stores = [await open_store(number) for number in (1, 2, 3)]
    await stores[0].enqueue([new(concurrency_key=f"car-{n % 3}") for n in range(120)], NO_LIMIT)

    claims = await asyncio.gather(
        *(store.claim(ask(limit=7, key_limits={"fleet.sync": 5})) for _ in range(4) for store in stores)
    )

    keys = Counter(run.extra.concurrency_key for claim in claims for run in claim.runs if run.extra)
    assert keys == {"car-0": 5, "car-1": 5, "car-2": 5}


async def test_a_rate_holds_over_all_kernels(open_store: Open) -> None:
    stores = [await open_store(number) for number in (1, 2, 3)]
    await stores[0].enqueue([new() for _ in range(100)], NO_LIMIT)
    rates = {"fleet.sync": RateLimit(10, "1h")}

    claims = await asyncio.gather(*(store.claim(ask(limit=4, job_rates=rates)) for _ in range(4) for store in stores))

    assert sum(len(claim.runs) for claim in claims) == 10
    later = await stores[1].claim(ask(job_rates=rates))
    assert (later.runs, later.next_due is not None) == ([], True)


async def test_one_run_of_a_unique_key_enters_though_many_ask_at_once(open_store: Open) -> None:
    stores = [await open_store(number) for number in (1, 2, 3)]

    answers = await asyncio.gather(
        *(store.enqueue([new(unique="a"), new(unique="b")], NO_LIMIT) for _ in range(5) for store in stores)
    )

    assert len({tuple(answer) for answer in answers}) == 1
    assert await stores[0].count(RunQuery()) == {"queued": 2}


async def test_a_key_that_is_just_being_taken_is_waited_for(
    open_store: Open, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its run might come and end between another one's look at the key and that one's entrance."""
    one, two = await open_store(1), await open_store(2)
    terms = Terms(unique_until=time.time() + 60)
    has_decided, may_go_on = asyncio.Event(), asyncio.Event()
    insert = plugins.postgres.enqueue._insert

    async def insert_slowly(*values: Any, **options: Any) -> Any:
        monkeypatch.setattr("plugins.postgres.enqueue._insert", insert)
        has_decided.set()
        await may_go_on.wait()
        return await insert(*values, **options)

    async def come_and_end() -> list[str]:
        answer = await two.enqueue([new(unique="a", terms=terms)], NO_LIMIT)
        await two.finish([done(run) for run in await claimed(two)])
        return answer

    monkeypatch.setattr("plugins.postgres.enqueue._insert", insert_slowly)
    first = asyncio.ensure_future(one.enqueue([new(unique="a", terms=terms)], NO_LIMIT))
    await has_decided.wait()
    second = asyncio.ensure_future(come_and_end())
    waiting = asyncio.ensure_future(blocked_backends(postgres_url, 1))
    await asyncio.wait([second, waiting], return_when=asyncio.FIRST_COMPLETED)
    may_go_on.set()

    assert await first == await second
    waiting.cancel()


async def test_one_kernel_makes_each_look(open_store: Open) -> None:
    stores = [await open_store(number) for number in (1, 2, 3)]
    await stores[0].put_schedules([ScheduleRow("nightly", "{}", False, 0.0, 100.0)])

    looked = await asyncio.gather(
        *(
            store.look(
                [Look("nightly", 100.0, 200.0)], lambda _look, _unfinished: Looked(runs=[new(schedule="nightly")])
            )
            for store in stores
        )
    )

    assert sum(answer is not None for [answer] in looked) == 1
    assert await stores[0].count(RunQuery()) == {"queued": 1}


async def test_a_run_whose_two_parents_end_at_one_moment_in_two_kernels_is_let_go(open_store: Open) -> None:
    one, two = await open_store(1), await open_store(2)
    for _ in range(20):
        parents = [new("fleet.wash"), new("fleet.wash")]
        child = new(terms=Terms(depends_on=tuple(parent.id for parent in parents)))
        await one.enqueue([*parents, child], NO_LIMIT)
        first, second = await claimed(one, jobs=["fleet.wash"])

        await asyncio.gather(one.finish([done(first)]), two.finish([done(second)]))

        assert [run.id for run in await claimed(two)] == [child.id]
        assert await one.edges([child.id]) == [Edge(child.id, parent.id, False, "cancel") for parent in sorted(parents)]


async def test_a_child_that_is_enqueued_while_its_parent_ends_does_not_wait_for_ever(open_store: Open) -> None:
    one, two = await open_store(1), await open_store(2)
    for _ in range(20):
        await one.enqueue([new("fleet.wash")], NO_LIMIT)
        [parent] = await claimed(one, jobs=["fleet.wash"])
        child = new(terms=Terms(depends_on=(parent.id,)))

        await asyncio.gather(one.finish([done(parent)]), two.enqueue([child], NO_LIMIT))

        assert [run.id for run in await claimed(two)] == [child.id]


async def test_of_a_schedules_blocked_runs_one_goes_though_the_last_two_end_at_one_moment(open_store: Open) -> None:
    one, two = await open_store(1), await open_store(2)
    await one.put_schedules([ScheduleRow("nightly", "{}", False, 0.0, 100.0)])
    for _ in range(20):
        await one.enqueue([new(schedule="nightly", tick=1.0), new(schedule="nightly", tick=2.0)], NO_LIMIT)
        first, second = await claimed(one)
        blocked = new(schedule="nightly", tick=3.0)._replace(state="blocked")
        await one.enqueue([blocked], NO_LIMIT)

        await asyncio.gather(one.finish([done(first)]), two.finish([done(second)]))

        [last] = await claimed(two)
        assert last.id == blocked.id
        await two.finish([done(last)])
