"""Finish: what became of a claimed run, fenced by the token of its claim; release and stick beside it."""

from __future__ import annotations

import asyncio

import pytest

from kernel.contracts.store import RunQuery, Store
from kernel.model.lifecycle import settle
from kernel.model.outcome import NotBegun
from kernel.model.retry import Retry
from kernel.model.run import urgency_of
from tests.contracts.store_promises.samples import (
    KERNEL,
    NO_LIMIT,
    NOW,
    OTHER,
    ask,
    change,
    claim,
    claim_one,
    ended,
    id_of,
    ids,
    new,
    numbers,
    see,
    state_of,
    tick_run,
)  # fmt: skip


class Finishing:
    async def test_a_completed_run_has_its_result_notes_and_end(self, store: Store) -> None:
        claimed = await claim_one(store, new(1), now=NOW + 1)

        assert (await store.finish([change(claimed, at=NOW + 9, result='{"n":1}', notes='["a"]')])).written == [True]

        run = await see(store, id_of(1))
        assert (run.state, run.result_text, run.notes_text, run.finished) == ("completed", '{"n":1}', '["a"]', NOW + 9)
        assert (run.started, run.kernel, run.token, run.attempt) == (NOW + 1, KERNEL.id, 1, 1)

    async def test_a_failed_run_has_its_error_reason_and_failures(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        await store.finish([change(claimed, "failed", at=NOW + 9, error='{"type":"E"}', reason="given up", failures=3)])

        run = await see(store, id_of(1))
        assert (run.state, run.error_text, run.reason, run.failures) == ("failed", '{"type":"E"}', "given up", 3)
        assert run.finished == NOW + 9

    async def test_a_cancelled_run_has_its_reason(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        await store.finish([change(claimed, "cancelled", reason="no longer needed")])

        run = await see(store, id_of(1))
        assert (run.state, run.reason) == ("cancelled", "no longer needed")

    async def test_a_retrying_run_has_its_next_due_instant_and_error(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        await store.finish([change(claimed, "retrying", due=NOW + 2, error='{"type":"E"}', failures=1)])

        run = await see(store, id_of(1))
        assert (run.state, run.due, run.urgency) == ("retrying", NOW + 2, urgency_of(NOW + 2, 5))
        assert (run.failures, run.error_text, run.finished) == (1, '{"type":"E"}', None)

    async def test_a_snoozed_run_is_scheduled_again(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        await store.finish([change(claimed, "scheduled", due=NOW + 60, reason="snoozed")])

        run = await see(store, id_of(1))
        assert (run.state, run.due, run.reason) == ("scheduled", NOW + 60, "snoozed")
        assert numbers(await claim(store, now=NOW + 60)) == [1]

    async def test_an_interrupted_run_is_queued_again_and_keeps_its_place(self, store: Store) -> None:
        claimed = await claim_one(store, new(1, due=NOW - 9))
        await store.enqueue([new(2, due=NOW - 10), new(3, due=NOW - 8)], NO_LIMIT)

        await store.finish([change(claimed, "queued", reason="shutdown")])

        assert numbers(await claim(store)) == [2, 1, 3]

    async def test_a_run_that_was_not_begun_has_not_used_up_an_attempt(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        await store.finish([settle(claimed, NotBegun("paused"), Retry(), NOW, 0.0)])

        assert (await see(store, id_of(1))).attempt == 0
        [again] = await claim(store)
        assert (again.attempt, again.token > claimed.token) == (1, True)

    async def test_the_last_failure_stays_with_a_run_that_then_completes(self, store: Store) -> None:
        first = await claim_one(store, new(1))
        await store.finish([change(first, "retrying", error='{"type":"E"}')])
        [second] = await claim(store)

        await store.finish([change(second)])

        run = await see(store, id_of(1))
        assert (run.state, run.error_text) == ("completed", '{"type":"E"}')

    async def test_a_newer_failure_takes_the_place_of_the_last_one(self, store: Store) -> None:
        first = await claim_one(store, new(1))
        await store.finish([change(first, "retrying", error='{"type":"E"}')])
        [second] = await claim(store)

        await store.finish([change(second, "failed", error='{"type":"F"}')])

        assert (await see(store, id_of(1))).error_text == '{"type":"F"}'

    async def test_the_reason_is_that_of_the_last_change(self, store: Store) -> None:
        first = await claim_one(store, new(1))
        await store.finish([change(first, "queued", reason="shutdown")])
        [second] = await claim(store)

        await store.finish([change(second)])

        assert (await see(store, id_of(1))).reason is None

    async def test_a_batch_of_changes_of_every_kind_is_written_in_one_call(self, store: Store) -> None:
        states = ["completed", "failed", "cancelled", "retrying", "scheduled", "queued"]
        await store.enqueue([new(number) for number in range(6)], NO_LIMIT)
        claimed = await claim(store)

        answer = await store.finish(
            [change(run, state, due=NOW + 1) for run, state in zip(claimed, states, strict=True)]
        )

        assert answer.written == [True] * 6
        assert await state_of(store, *range(6)) == states

    async def test_finish_of_nothing_does_nothing(self, store: Store) -> None:
        assert (await store.finish([])).written == []

    async def test_what_has_ended_is_never_claimed_again(self, store: Store) -> None:
        for number, state in enumerate(["completed", "failed", "cancelled", "expired"]):
            await ended(store, new(number, expires=NOW + 1 if state == "expired" else None), state, at=NOW + 2)

        assert await claim(store, now=NOW + 1_000_000) == []

    # The fence

    async def test_a_change_is_written_once(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        answers = [(await store.finish([change(claimed)])).written for _ in range(2)]

        assert answers == [[True], [False]]

    async def test_a_change_that_comes_twice_in_one_batch_is_written_once(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        answer = await store.finish([change(claimed), change(claimed, "failed")])

        assert answer.written == [True, False]
        assert await state_of(store, 1) == ["completed"]

    @pytest.mark.parametrize("state", ["completed", "failed", "queued"])
    @pytest.mark.parametrize("stale_first", [True, False])
    async def test_a_stale_change_beside_the_current_one_of_the_same_run_does_not_displace_it(
        self, store: Store, state: str, *, stale_first: bool
    ) -> None:
        old = await claim_one(store, new(1))
        await store.finish([change(old, "queued")])
        [newer] = await claim(store)
        changes = {False: change(old, "failed"), True: change(newer, state)}

        answer = await store.finish([changes[not stale_first], changes[stale_first]])

        assert answer.written == [not stale_first, stale_first]
        assert await state_of(store, 1) == [state]

    async def test_an_older_claims_outcome_does_not_overwrite_a_newer_attempt(self, store: Store) -> None:
        old = await claim_one(store, new(1))
        await store.finish([change(old, "queued")])
        [newer] = await claim(store)
        before = await see(store, id_of(1))

        answer = await store.finish([change(old, "failed", error='{"type":"E"}', result="1")])

        assert answer.written == [False]
        assert await see(store, id_of(1)) == before
        assert (await store.finish([change(newer)])).written == [True]

    @pytest.mark.parametrize("state", ["queued", "retrying", "scheduled"])
    async def test_a_run_that_waits_again_takes_no_outcome_of_its_last_claim(self, store: Store, state: str) -> None:
        claimed = await claim_one(store, new(1))
        await store.finish([change(claimed, state)])
        before = await see(store, id_of(1))

        assert (await store.finish([change(claimed, "failed")])).written == [False]

        assert await see(store, id_of(1)) == before

    async def test_a_change_of_an_unknown_run_is_stale(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        assert (await store.finish([change(claimed)._replace(id=id_of(2))])).written == [False]

    async def test_a_stale_change_frees_no_unique_key(self, store: Store) -> None:
        old = await claim_one(store, new(1, unique="car-42"))
        await store.finish([change(old, "queued")])
        await claim(store)

        await store.finish([change(old)])

        assert await store.enqueue([new(2, unique="car-42")], NO_LIMIT) == [id_of(1)]

    async def test_a_stale_change_frees_no_key_that_another_run_has_taken_since(self, store: Store) -> None:
        old = await claim_one(store, new(1, unique="car-42"))
        await store.finish([change(old)])
        await store.enqueue([new(2, unique="car-42")], NO_LIMIT)

        await store.finish([change(old)])

        assert await store.enqueue([new(3, unique="car-42")], NO_LIMIT) == [id_of(2)]

    async def test_a_stale_change_lets_no_blocked_run_go(self, store: Store) -> None:
        old = await claim_one(store, tick_run(1, NOW))
        await store.finish([change(old, "queued")])
        await claim(store)
        await store.enqueue([tick_run(2, NOW, state="blocked")], NO_LIMIT)

        await store.finish([change(old)])

        assert await state_of(store, 1, 2) == ["running", "blocked"]

    async def test_stale_changes_are_told_apart_in_a_batch_and_the_others_are_written(self, store: Store) -> None:
        await store.enqueue([new(1), new(2), new(3)], NO_LIMIT)
        one, two, three = await claim(store)
        await store.finish([change(two)])

        answer = await store.finish([change(one), change(two, "failed"), change(three)])

        assert answer.written == [True, False, True]
        assert await store.count(RunQuery()) == {"completed": 3}

    async def test_what_a_finish_gives_back_is_claimed_once_in_its_turn_or_after_it(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        answer, got = await asyncio.gather(store.finish([change(claimed, "queued")]), store.claim(ask()))
        later = await store.claim(ask())

        assert (answer.written, numbers([*got.runs, *later.runs])) == ([True], [1])

    # Release: the very end of a kernel that had to be cut short

    async def test_release_queues_what_the_kernel_still_has_claimed(self, store: Store) -> None:
        claimed = await claim_one(store, new(1, due=NOW - 5))

        [released] = await store.release(KERNEL.id)

        assert released == await see(store, id_of(1))
        assert (released.state, released.due, released.token) == ("queued", NOW - 5, claimed.token)
        assert (released.attempt, released.failures) == (1, 0)

    async def test_a_released_run_is_claimed_again_with_a_larger_token(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.release(KERNEL.id)

        [again] = await claim(store)

        assert again.token > claimed.token

    async def test_a_released_run_takes_no_outcome_of_the_claim_that_was_released(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.release(KERNEL.id)

        assert (await store.finish([change(claimed)])).written == [False]
        assert await state_of(store, 1) == ["queued"]

    async def test_release_touches_neither_waiting_nor_finished_runs(self, store: Store) -> None:
        await ended(store, new(1))
        await store.enqueue([new(2)], NO_LIMIT)

        assert await store.release(KERNEL.id) == []
        assert await state_of(store, 1, 2) == ["completed", "queued"]

    async def test_release_touches_no_runs_of_another_kernel(self, store: Store) -> None:
        await claim_one(store, new(1))

        assert await store.release(OTHER.id) == []
        assert await state_of(store, 1) == ["running"]

    async def test_a_released_run_keeps_its_unique_key(self, store: Store) -> None:
        await claim_one(store, new(1, unique="k"))
        await store.release(KERNEL.id)

        assert await store.enqueue([new(2, unique="k")], NO_LIMIT) == [id_of(1)]

    # Stuck

    async def test_a_stuck_run_is_marked_and_keeps_running(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        await store.stick([claimed.id])

        run = await see(store, id_of(1))
        assert (run.state, run.stuck) == ("running", True)

    async def test_a_stuck_run_may_still_end_and_is_stuck_no_more(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.stick([claimed.id])

        assert (await store.finish([change(claimed, "failed")])).written == [True]

        assert not (await see(store, id_of(1))).stuck

    async def test_only_running_runs_are_marked_as_stuck(self, store: Store) -> None:
        await ended(store, new(1))
        await store.enqueue([new(2)], NO_LIMIT)

        await store.stick([id_of(1), id_of(2), id_of(3)])

        assert [run.stuck for run in await store.runs(RunQuery())] == [False, False]

    async def test_a_stuck_run_that_is_released_is_stuck_no_more(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.stick([claimed.id])

        [released] = await store.release(KERNEL.id)

        assert not released.stuck
        assert ids(await claim(store)) == [claimed.id]
