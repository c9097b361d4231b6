"""Cancel: waiting runs end at once, running ones carry the wish until they end."""

from __future__ import annotations

import pytest

from kernel.contracts.store import Ended, Store
from tests.contracts.store_promises.samples import (
    KERNEL,
    NO_LIMIT,
    NOW,
    OTHER,
    change,
    claim,
    claim_one,
    ended,
    id_of,
    later,
    new,
    see,
    state_of,
)  # fmt: skip


class Cancelling:
    @pytest.mark.parametrize("state", ["scheduled", "blocked", "queued"])
    async def test_a_waiting_run_becomes_cancelled(self, store: Store, state: str) -> None:
        await store.enqueue([new(1, state=state, queue="washing")], NO_LIMIT)

        answer = await store.cancel([id_of(1)], "no longer needed", NOW + 5)

        assert answer == [Ended(id_of(1), "fleet.sync", "washing", state, "cancelled")]
        run = await see(store, id_of(1))
        assert (run.state, run.reason, run.finished) == ("cancelled", "no longer needed", NOW + 5)

    async def test_a_retrying_run_becomes_cancelled(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.finish([change(claimed, "retrying", due=NOW + 5, error='{"type":"E"}', failures=1)])

        answer = await store.cancel([id_of(1)], "", NOW)

        assert [(one.before, one.after) for one in answer] == [("retrying", "cancelled")]
        run = await see(store, id_of(1))
        assert (run.failures, run.attempt, run.error_text) == (1, 1, '{"type":"E"}')

    async def test_a_cancelled_run_is_not_claimed(self, store: Store) -> None:
        await store.enqueue([new(1), later(2, NOW + 5), new(3)], NO_LIMIT)

        await store.cancel([id_of(1), id_of(2)], "", NOW)

        assert [run.id for run in await claim(store, now=NOW + 10)] == [id_of(3)]

    async def test_a_running_run_keeps_running_with_the_reason_set(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        answer = await store.cancel([id_of(1)], "no longer needed", NOW)

        assert [(one.before, one.after) for one in answer] == [("running", "running")]
        run = await see(store, id_of(1))
        assert (run.state, run.cancel_reason, run.finished) == ("running", "no longer needed", None)
        assert (await store.finish([change(claimed)])).written == [True]

    async def test_a_running_run_keeps_its_unique_key_until_it_has_ended(self, store: Store) -> None:
        await claim_one(store, new(1, unique="k"))

        await store.cancel([id_of(1)], "", NOW)

        assert await store.enqueue([new(2, unique="k")], NO_LIMIT) == [id_of(1)]

    @pytest.mark.parametrize("state", ["completed", "failed", "cancelled", "expired"])
    async def test_a_run_that_has_ended_stays_as_it_is(self, store: Store, state: str) -> None:
        before = await ended(store, new(1, expires=NOW + 1), state, at=NOW + 2)

        answer = await store.cancel([id_of(1)], "too late", NOW + 3)

        assert [(one.before, one.after) for one in answer] == [(state, state)]
        assert await see(store, id_of(1)) == before

    async def test_unknown_ids_are_left_out(self, store: Store) -> None:
        await store.enqueue([new(1)], NO_LIMIT)

        answer = await store.cancel([id_of(8), id_of(1), id_of(9)], "", NOW)

        assert [one.id for one in answer] == [id_of(1)]

    async def test_the_answer_is_in_the_order_of_the_ids(self, store: Store) -> None:
        await claim_one(store, new(1))
        await store.enqueue([new(2), new(3)], NO_LIMIT)

        answer = await store.cancel([id_of(3), id_of(1), id_of(2)], "", NOW)

        assert [one.id for one in answer] == [id_of(3), id_of(1), id_of(2)]

    async def test_an_id_that_is_given_twice_is_told_once(self, store: Store) -> None:
        await store.enqueue([new(1)], NO_LIMIT)

        answer = await store.cancel([id_of(1), id_of(1)], "", NOW)

        assert [(one.before, one.after) for one in answer] == [("queued", "cancelled")]

    async def test_cancel_of_nothing_does_nothing(self, store: Store) -> None:
        assert await store.cancel([], "", NOW) == []

    async def test_hundreds_of_waiting_runs_are_cancelled_in_one_call(self, store: Store) -> None:
        await store.enqueue([new(number) for number in range(1000)], NO_LIMIT)

        answer = await store.cancel([id_of(number) for number in range(990)], "", NOW)

        assert len(answer) == 990
        assert len(await claim(store)) == 10

    # The wish, as the kernel that runs it reads it

    async def test_cancels_tells_the_running_runs_that_somebody_wants_cancelled(self, store: Store) -> None:
        await store.enqueue([new(1), new(2)], NO_LIMIT)
        one, _ = await claim(store)

        await store.cancel([id_of(1)], "no longer needed", NOW)

        assert await store.cancels(KERNEL.id) == [(id_of(1), one.token, "no longer needed")]

    async def test_cancels_tells_nothing_of_another_kernels_runs(self, store: Store) -> None:
        await claim_one(store, new(1))
        await store.cancel([id_of(1)], "", NOW)

        assert await store.cancels(OTHER.id) == []

    async def test_cancels_tells_nothing_of_runs_that_have_ended(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.enqueue([new(2)], NO_LIMIT)
        await store.cancel([id_of(1), id_of(2)], "", NOW)
        await store.finish([change(claimed, "cancelled")])

        assert await store.cancels(KERNEL.id) == []

    async def test_an_empty_reason_is_a_wish_all_the_same(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.cancel([id_of(1)], "", NOW)

        assert await store.cancels(KERNEL.id) == [(id_of(1), claimed.token, "")]

    async def test_the_wish_stays_with_a_run_that_waits_again_and_is_told_at_its_next_claim(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.cancel([id_of(1)], "no longer needed", NOW)
        await store.finish([change(claimed, "queued")])

        waiting = await store.cancels(KERNEL.id)
        [again] = await claim(store)

        assert waiting == []
        assert await store.cancels(KERNEL.id) == [(id_of(1), again.token, "no longer needed")]

    async def test_a_run_with_a_wish_that_waits_again_may_be_cancelled_at_once(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.cancel([id_of(1)], "first", NOW)
        await store.finish([change(claimed, "retrying", due=NOW + 5)])

        await store.cancel([id_of(1)], "second", NOW)

        assert await state_of(store, 1) == ["cancelled"]
