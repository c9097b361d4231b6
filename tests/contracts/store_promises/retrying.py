"""Retry by hand: failed, cancelled and expired runs are queued once more; everything else stays as it is."""

from __future__ import annotations

import pytest

from kernel.contracts.store import Ended, Store
from kernel.model.run import urgency_of
from tests.contracts.store_promises.samples import (
    KERNEL,
    NO_LIMIT,
    NOW,
    ask,
    change,
    claim,
    claim_one,
    ended,
    id_of,
    new,
    numbers,
    see,
    state_of,
)  # fmt: skip


class Retrying:
    @pytest.mark.parametrize("state", ["failed", "cancelled", "expired"])
    async def test_a_run_that_did_not_complete_becomes_queued_and_is_due_now(self, store: Store, state: str) -> None:
        await ended(store, new(1, priority=2, queue="washing", expires=NOW + 1), state, at=NOW + 2)

        answer = await store.retry([id_of(1)], NOW + 50)

        assert answer == [Ended(id_of(1), "fleet.sync", "washing", state, "queued")]
        run = await see(store, id_of(1))
        assert (run.state, run.due, run.urgency) == ("queued", NOW + 50, urgency_of(NOW + 50, 2))
        assert numbers(await claim(store, now=NOW + 50)) == [1]

    async def test_a_retried_run_begins_without_failures_and_counts_its_attempts_and_tokens_on(
        self, store: Store
    ) -> None:
        claimed = await claim_one(store, new(1))
        await store.finish([change(claimed, "failed", failures=3)])
        await store.retry([id_of(1)], NOW)

        [again] = await claim(store)

        assert (again.failures, again.attempt) == (0, 2)
        assert again.token > claimed.token

    async def test_a_retried_run_has_not_ended_but_shows_its_last_failure(self, store: Store) -> None:
        await ended(store, new(1), "failed", error='{"type":"E"}', reason="given up", failures=3)

        await store.retry([id_of(1)], NOW)

        run = await see(store, id_of(1))
        assert (run.finished, run.reason, run.failures, run.error_text) == (None, None, 0, '{"type":"E"}')

    async def test_a_retried_run_does_not_expire_any_more(self, store: Store) -> None:
        await ended(store, new(1, expires=NOW + 1, tags=("a",)), "expired", at=NOW + 2)

        await store.retry([id_of(1)], NOW + 2)

        got = await store.claim(ask(now=NOW + 100))
        assert (numbers(got.runs), got.expired) == ([1], [])
        assert (await see(store, id_of(1))).tags == ("a",)

    async def test_a_retried_run_is_wanted_cancelled_no_more(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.cancel([id_of(1)], "no longer needed", NOW)
        await store.finish([change(claimed, "cancelled", reason="no longer needed")])

        await store.retry([id_of(1)], NOW)

        await claim(store)
        assert await store.cancels(KERNEL.id) == []
        assert (await see(store, id_of(1))).cancel_reason is None

    async def test_a_completed_run_stays_as_it_is(self, store: Store) -> None:
        before = await ended(store, new(1))

        answer = await store.retry([id_of(1)], NOW + 1)

        assert [(one.before, one.after) for one in answer] == [("completed", "completed")]
        assert await see(store, id_of(1)) == before

    @pytest.mark.parametrize("state", ["scheduled", "blocked", "queued"])
    async def test_a_waiting_run_stays_as_it_is(self, store: Store, state: str) -> None:
        await store.enqueue([new(1, state=state, due=NOW + 60)], NO_LIMIT)
        before = await see(store, id_of(1))

        answer = await store.retry([id_of(1)], NOW)

        assert [(one.before, one.after) for one in answer] == [(state, state)]
        assert await see(store, id_of(1)) == before

    async def test_a_retrying_run_stays_as_it_is(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.finish([change(claimed, "retrying", due=NOW + 5, failures=1)])

        answer = await store.retry([id_of(1)], NOW)

        assert [(one.before, one.after) for one in answer] == [("retrying", "retrying")]
        assert (await see(store, id_of(1))).due == NOW + 5

    async def test_a_running_run_stays_as_it_is(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        answer = await store.retry([id_of(1)], NOW)

        assert [(one.before, one.after) for one in answer] == [("running", "running")]
        assert (await store.finish([change(claimed)])).written == [True]

    async def test_unknown_ids_are_left_out_and_the_answer_keeps_the_order(self, store: Store) -> None:
        await ended(store, new(1), "failed")
        await ended(store, new(2))

        answer = await store.retry([id_of(2), id_of(9), id_of(1)], NOW)

        assert [one.id for one in answer] == [id_of(2), id_of(1)]

    async def test_an_id_that_is_given_twice_is_told_once_and_retried_once(self, store: Store) -> None:
        await ended(store, new(1), "failed")

        answer = await store.retry([id_of(1), id_of(1)], NOW)

        assert [(one.before, one.after) for one in answer] == [("failed", "queued")]
        assert numbers(await claim(store)) == [1]

    async def test_a_retried_run_takes_its_unique_key_again(self, store: Store) -> None:
        await ended(store, new(1, unique="car-42"), "failed")

        await store.retry([id_of(1)], NOW)

        assert await store.enqueue([new(2, unique="car-42")], NO_LIMIT) == [id_of(1)]

    async def test_a_run_whose_unique_key_another_one_has_taken_stays_as_it_is(self, store: Store) -> None:
        before = await ended(store, new(1, unique="car-42"), "failed")
        await store.enqueue([new(2, unique="car-42")], NO_LIMIT)

        answer = await store.retry([id_of(1)], NOW + 1)

        assert [(one.before, one.after) for one in answer] == [("failed", "failed")]
        assert await see(store, id_of(1)) == before

    async def test_of_two_runs_with_one_unique_key_the_first_is_retried(self, store: Store) -> None:
        await ended(store, new(1, unique="car-42"), "failed")
        await ended(store, new(2, unique="car-42"), "failed")

        answer = await store.retry([id_of(2), id_of(1)], NOW)

        assert [(one.id, one.after) for one in answer] == [(id_of(2), "queued"), (id_of(1), "failed")]

    async def test_a_cancelled_run_that_is_retried_is_claimed_once(self, store: Store) -> None:
        await store.enqueue([new(1), new(2)], NO_LIMIT)
        for _ in range(3):
            await store.cancel([id_of(1)], "", NOW)
            await store.retry([id_of(1)], NOW)

        assert sorted(numbers(await claim(store))) == [1, 2]
        assert await state_of(store, 1, 2) == ["running", "running"]

    async def test_a_retried_run_may_fail_and_be_retried_again(self, store: Store) -> None:
        await ended(store, new(1), "failed")
        await store.retry([id_of(1)], NOW)
        [claimed] = await claim(store)
        await store.finish([change(claimed, "failed")])

        await store.retry([id_of(1)], NOW)

        assert await state_of(store, 1) == ["queued"]
