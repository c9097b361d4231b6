"""Expiry: a waiting run whose ``expires`` has passed ends at the next claim, wherever it waits."""

from __future__ import annotations

from kernel.contracts.store import RunQuery, Store
from kernel.model.run import Run
from tests.contracts.store_promises.samples import (
    NO_LIMIT,
    NOW,
    ask,
    change,
    claim,
    claim_one,
    id_of,
    later,
    new,
    numbers,
    see,
    state_of,
)  # fmt: skip


class Expiring:
    async def test_a_claim_ends_a_queued_run_whose_time_to_begin_has_passed(self, store: Store) -> None:
        await store.enqueue([new(1, expires=NOW + 10)], NO_LIMIT)

        got = await store.claim(ask(now=NOW + 11))

        assert got.runs == []
        assert numbers(got.expired) == [1]

    async def test_an_expired_run_comes_back_as_it_stands_in_the_store(self, store: Store) -> None:
        await store.enqueue([new(1, expires=NOW + 10, tags=("a",))], NO_LIMIT)

        [expired] = (await store.claim(ask(now=NOW + 11))).expired

        assert expired == await see(store, id_of(1))
        assert (expired.state, expired.reason, expired.finished) == ("expired", "expired", NOW + 11)
        assert expired.tags == ("a",)

    async def test_a_run_expires_at_its_very_instant_and_not_before(self, store: Store) -> None:
        await store.enqueue([new(1, expires=NOW + 10)], NO_LIMIT)

        before = await store.claim(ask({}, now=NOW + 9.999))
        then = await store.claim(ask({}, now=NOW + 10))

        assert (before.expired, numbers(then.expired)) == ([], [1])

    async def test_a_run_that_has_begun_does_not_expire_while_it_waits_again(self, store: Store) -> None:
        claimed = await claim_one(store, new(1, expires=NOW + 10))
        await store.finish([change(claimed, "retrying", due=NOW + 20)])

        early = await store.claim(ask(now=NOW + 15))
        then = await store.claim(ask(now=NOW + 20))

        assert early.expired == []
        assert numbers(then.runs) == [1]

    async def test_a_run_expires_in_every_state_in_which_it_waits_to_begin(self, store: Store) -> None:
        await store.enqueue(
            [
                new(2, expires=NOW + 10, state="blocked"),
                later(3, NOW + 100, expires=NOW + 10),
                new(4, expires=NOW + 10),
            ],
            NO_LIMIT,
        )

        got = await store.claim(ask(now=NOW + 10))

        assert sorted(numbers(got.expired)) == [2, 3, 4]
        assert await state_of(store, 2, 3, 4) == ["expired"] * 3
        assert got.next_due is None

    async def test_a_run_expires_in_lanes_that_may_not_be_claimed(self, store: Store) -> None:
        await store.enqueue([new(1, "elsewhere.job", expires=NOW), new(2, queue="paused", expires=NOW)], NO_LIMIT)

        got = await store.claim(ask({"fleet.sync": 0}, queues={"paused": 0}, limit=0))

        assert sorted(numbers(got.expired)) == [1, 2]

    async def test_a_run_that_becomes_due_and_expires_in_one_claim_is_expired(self, store: Store) -> None:
        await store.enqueue([later(1, NOW + 5, expires=NOW + 10)], NO_LIMIT)

        got = await store.claim(ask(now=NOW + 20))

        assert (got.runs, numbers(got.expired)) == ([], [1])

    async def test_a_running_run_does_not_expire(self, store: Store) -> None:
        claimed = await claim_one(store, new(1, expires=NOW + 10))

        got = await store.claim(ask(now=NOW + 100))

        assert got.expired == []
        assert (await store.finish([change(claimed)])).written == [True]

    async def test_a_run_that_has_ended_does_not_expire(self, store: Store) -> None:
        await store.enqueue([new(1, expires=NOW + 10)], NO_LIMIT)
        await store.cancel([id_of(1)], "", NOW)

        got = await store.claim(ask(now=NOW + 100))

        assert got.expired == []
        assert await state_of(store, 1) == ["cancelled"]

    async def test_a_run_that_was_claimed_and_not_begun_expires(self, store: Store) -> None:
        claimed = await claim_one(store, new(1, expires=NOW + 10))
        await store.finish([change(claimed, "queued", attempt=0)])

        got = await store.claim(ask(now=NOW + 11))

        assert (got.runs, numbers(got.expired)) == ([], [1])

    async def test_an_expired_run_is_told_once(self, store: Store) -> None:
        await store.enqueue([new(1, expires=NOW)], NO_LIMIT)
        await store.claim(ask())

        assert (await store.claim(ask(now=NOW + 1))).expired == []

    async def test_runs_beside_an_expired_one_are_claimed(self, store: Store) -> None:
        await store.enqueue([new(1, expires=NOW), new(2), new(3, expires=NOW + 1)], NO_LIMIT)

        assert numbers(await claim(store)) == [2, 3]

    async def test_many_runs_expire_in_one_claim(self, store: Store) -> None:
        await store.enqueue([new(number, expires=NOW + number % 2) for number in range(400)], NO_LIMIT)

        got = await store.claim(ask({}))

        assert sorted(numbers(got.expired)) == list(range(0, 400, 2))
        assert all(isinstance(run, Run) for run in got.expired)
        assert await store.count(RunQuery()) == {"queued": 200, "expired": 200}
