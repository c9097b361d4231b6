"""Enqueue: all or none, once for each id, one unfinished run for each unique key, and no more than there is room."""

from __future__ import annotations

import pytest

from kernel.contracts.store import RunQuery, Store
from kernel.model.errors import StoreFullError
from kernel.model.run import as_run
from tests.contracts.store_promises.samples import (
    ALL,
    NO_LIMIT,
    NOW,
    ask,
    change,
    claim,
    claim_one,
    ended,
    id_of,
    ids,
    later,
    new,
    numbers,
    see,
    state_of,
)  # fmt: skip

FINAL_STATES = ["completed", "failed", "cancelled", "expired"]


class Accepting:
    async def test_an_enqueued_run_is_in_the_store_exactly_as_it_was_given(self, store: Store) -> None:
        given = new(
            1, queue="washing", priority=2, due=NOW + 0.123456, state="scheduled", payload='{"ä":"\\u0000","n":[1]}',
            expires=NOW + 60.5, unique="car-42", tags=("a", "b,c"), schedule="nightly", tick=NOW + 0.1, folded=3,
        )  # fmt: skip

        await store.enqueue([given], NO_LIMIT)

        assert await see(store, given.id) == as_run(given)

    async def test_texts_of_any_length_and_script_come_back_unchanged(self, store: Store) -> None:
        payload = '{"a":"' + "x" * 65_000 + '","b":"äß 漢字 🚗 \\u0000 \\ud800"}'
        given = new(1, payload=payload, unique="schlüssel 🔑 'x' \"y\"", tags=("müll", "", "a b"))

        claimed = await claim_one(store, given)
        await store.finish([change(claimed, result=payload, notes='["ä 🚗"]')])

        run = await see(store, id_of(1))
        assert (claimed.payload, claimed.extra) == (payload, given.extra)
        assert (run.payload_text, run.result_text, run.notes_text) == (payload, payload, '["ä 🚗"]')

    async def test_a_plain_run_comes_back_without_extra(self, store: Store) -> None:
        given = new(1)

        await store.enqueue([given], NO_LIMIT)

        run = await see(store, given.id)
        assert (run, run.extra) == (as_run(given), None)

    async def test_enqueue_answers_with_the_ids_in_the_order_of_the_runs(self, store: Store) -> None:
        given = [new(3), new(1), new(2)]

        answer = await store.enqueue(given, NO_LIMIT)

        assert answer == ids(given)

    async def test_enqueue_of_nothing_does_nothing(self, store: Store) -> None:
        answer = await store.enqueue([], {"default": 0})

        assert answer == []
        assert await store.runs(RunQuery()) == []

    @pytest.mark.parametrize("state", ["scheduled", "blocked", "queued"])
    async def test_a_run_enters_in_the_state_that_it_was_given(self, store: Store, state: str) -> None:
        await store.enqueue([new(1, state=state)], NO_LIMIT)

        assert await state_of(store, 1) == [state]

    async def test_a_thousand_runs_in_one_call_are_all_there(self, store: Store) -> None:
        given = [new(number) for number in range(1000)]

        await store.enqueue(given, {"default": 1000})

        assert await store.count(RunQuery()) == {"queued": 1000}
        assert numbers(await claim(store)) == list(range(1000))

    # Once for each id

    async def test_a_batch_that_is_repeated_inserts_nothing_twice(self, store: Store) -> None:
        given = [new(1), new(2)]
        await store.enqueue(given, NO_LIMIT)

        answer = await store.enqueue([*given, new(3)], NO_LIMIT)

        assert answer == [id_of(1), id_of(2), id_of(3)]
        assert numbers(await claim(store)) == [1, 2, 3]

    async def test_an_id_that_comes_twice_in_one_batch_is_inserted_once(self, store: Store) -> None:
        answer = await store.enqueue([new(1, payload='{"n":1}'), new(1, payload='{"n":2}')], NO_LIMIT)

        assert answer == [id_of(1), id_of(1)]
        assert [run.payload for run in await claim(store)] == ['{"n":1}']

    async def test_a_known_id_leaves_the_run_as_it_is_even_when_it_has_ended(self, store: Store) -> None:
        before = await ended(store, new(1))

        answer = await store.enqueue([new(1, payload="{}", priority=0)], NO_LIMIT)

        assert answer == [id_of(1)]
        assert await see(store, id_of(1)) == before

    async def test_a_known_id_leaves_a_running_run_running(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        await store.enqueue([new(1)], NO_LIMIT)

        assert await claim(store) == []
        assert (await store.finish([change(claimed)])).written == [True]

    # Unique

    @pytest.mark.parametrize("state", ["scheduled", "blocked", "queued"])
    async def test_a_second_run_of_a_unique_key_is_answered_with_the_waiting_one(
        self, store: Store, state: str
    ) -> None:
        await store.enqueue([new(1, state=state, unique="car-42")], NO_LIMIT)

        answer = await store.enqueue([new(2, unique="car-42")], NO_LIMIT)

        assert answer == [id_of(1)]
        assert await state_of(store, 1, 2) == [state, "gone"]

    async def test_a_second_run_of_a_unique_key_is_answered_with_the_running_one(self, store: Store) -> None:
        await claim_one(store, new(1, unique="car-42"))

        answer = await store.enqueue([new(2, unique="car-42")], NO_LIMIT)

        assert answer == [id_of(1)]

    async def test_a_second_run_of_a_unique_key_is_answered_with_the_retrying_one(self, store: Store) -> None:
        claimed = await claim_one(store, new(1, unique="car-42"))
        await store.finish([change(claimed, "retrying", due=NOW + 5, failures=1)])

        answer = await store.enqueue([new(2, unique="car-42")], NO_LIMIT)

        assert answer == [id_of(1)]

    async def test_a_unique_key_holds_within_one_batch(self, store: Store) -> None:
        answer = await store.enqueue([new(1, unique="car-42"), new(2), new(3, unique="car-42")], NO_LIMIT)

        assert answer == [id_of(1), id_of(2), id_of(1)]
        assert await state_of(store, 1, 2, 3) == ["queued", "queued", "gone"]

    async def test_a_unique_key_is_the_jobs_own(self, store: Store) -> None:
        await store.enqueue([new(1, "fleet.sync", unique="car-42")], NO_LIMIT)

        answer = await store.enqueue([new(2, "fleet.wash", unique="car-42")], NO_LIMIT)

        assert answer == [id_of(2)]

    async def test_a_unique_key_holds_across_the_queues_of_its_job(self, store: Store) -> None:
        await store.enqueue([new(1, queue="fast", unique="car-42")], NO_LIMIT)

        answer = await store.enqueue([new(2, queue="slow", unique="car-42")], NO_LIMIT)

        assert answer == [id_of(1)]

    @pytest.mark.parametrize("state", FINAL_STATES)
    async def test_a_run_that_has_ended_frees_its_unique_key(self, store: Store, state: str) -> None:
        await ended(store, new(1, unique="car-42", expires=NOW + 1), state, at=NOW + 2)

        answer = await store.enqueue([new(2, unique="car-42")], NO_LIMIT)

        assert answer == [id_of(2)]

    async def test_a_known_id_stands_for_itself_when_another_run_has_its_key_now(self, store: Store) -> None:
        await ended(store, new(1, unique="car-42"))
        await store.enqueue([new(2, unique="car-42")], NO_LIMIT)

        answer = await store.enqueue([new(1, unique="car-42")], NO_LIMIT)

        assert answer == [id_of(1)]

    # Room

    async def test_a_queue_takes_runs_up_to_its_room(self, store: Store) -> None:
        await store.enqueue([new(1), new(2)], {"default": 2})

        assert await state_of(store, 1, 2) == ["queued", "queued"]

    async def test_a_full_queue_is_an_error_that_names_it(self, store: Store) -> None:
        await store.enqueue([new(1, queue="washing")], {"washing": 1})

        with pytest.raises(StoreFullError, match="washing"):
            await store.enqueue([new(2, queue="washing")], {"washing": 1})

    async def test_a_batch_that_does_not_fit_inserts_none_of_its_runs_in_any_queue(self, store: Store) -> None:
        with pytest.raises(StoreFullError):
            await store.enqueue([new(1, queue="free", unique="k"), new(2), new(3), new(4)], {"default": 2, "free": 9})

        assert await store.runs(RunQuery()) == []
        assert await store.enqueue([new(5, queue="free", unique="k")], NO_LIMIT) == [id_of(5)]

    async def test_a_queue_without_room_of_its_own_is_not_limited(self, store: Store) -> None:
        await store.enqueue([new(1), new(2)], {"washing": 0})

        assert await state_of(store, 1, 2) == ["queued", "queued"]

    async def test_every_waiting_run_takes_room(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.finish([change(claimed, "retrying", due=NOW + 5)])
        await store.enqueue([later(2, NOW + 5), new(3, state="blocked"), new(4)], NO_LIMIT)

        with pytest.raises(StoreFullError):
            await store.enqueue([new(5)], {"default": 4})
        await store.enqueue([new(5)], {"default": 5})

    async def test_running_and_finished_runs_take_no_room(self, store: Store) -> None:
        await ended(store, new(1))
        await ended(store, new(2), "cancelled")
        await claim_one(store, new(3))

        await store.enqueue([new(4)], {"default": 1})

        assert await state_of(store, 4) == ["queued"]

    async def test_runs_that_are_there_already_take_no_room(self, store: Store) -> None:
        await store.enqueue([new(1), new(2, unique="k")], NO_LIMIT)

        answer = await store.enqueue([new(1), new(3, unique="k")], {"default": 2})

        assert answer == [id_of(1), id_of(2)]

    async def test_a_batch_that_adds_nothing_is_no_error_in_a_queue_that_is_over_full(self, store: Store) -> None:
        await store.enqueue([new(1), new(2)], NO_LIMIT)

        assert await store.enqueue([new(1)], {"default": 1}) == [id_of(1)]

    async def test_room_is_given_back_by_a_claim_a_cancel_and_an_expiry(self, store: Store) -> None:
        await store.enqueue([new(1), new(2, "fleet.wash"), new(3, "fleet.wash", expires=NOW)], {"default": 3})
        await store.claim(ask({"fleet.sync": 1}))
        await store.cancel([id_of(2)], "", NOW)

        await store.enqueue([new(4), new(5), new(6)], {"default": 3})

        assert len((await store.claim(ask(ALL))).runs) == 3
