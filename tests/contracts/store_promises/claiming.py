"""Claims: the most urgent first, no more than there is room, and what has become due on the way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kernel.model.run import Claimed, urgency_of
from tests.contracts.store_promises.samples import (
    KERNEL,
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

if TYPE_CHECKING:
    from kernel.contracts.store import Store


class Claiming:
    async def test_a_claimed_run_is_what_was_enqueued_with_its_first_token_and_attempt(self, store: Store) -> None:
        run = new(1, priority=3, due=NOW - 1, tags=("a",))

        claimed = await claim_one(store, run)

        assert claimed == Claimed(
            run.id, run.job, run.queue, 3, run.payload, NOW, NOW - 1, urgency_of(NOW - 1, 3), 1, 1, 0, run.extra
        )

    async def test_a_claimed_run_is_running_from_now_on_in_the_hands_of_its_kernel(self, store: Store) -> None:
        await claim_one(store, new(1), now=NOW + 7)

        run = await see(store, id_of(1))

        assert (run.state, run.kernel, run.started) == ("running", KERNEL.id, NOW + 7)
        assert (run.token, run.attempt, run.failures, run.finished) == (1, 1, 0, None)

    async def test_a_run_is_claimed_once(self, store: Store) -> None:
        await claim_one(store, new(1))

        assert await claim(store) == []

    async def test_each_claim_of_a_run_has_a_larger_token_and_attempt(self, store: Store) -> None:
        first = await claim_one(store, new(1))
        await store.finish([change(first, "queued")])

        [second] = await claim(store)

        assert second.token > first.token
        assert (first.attempt, second.attempt) == (1, 2)

    async def test_a_claim_goes_on_with_the_failures_and_the_due_instant_of_the_last_change(self, store: Store) -> None:
        first = await claim_one(store, new(1, tags=("a",), expires=NOW + 99))
        await store.finish([change(first, "retrying", due=NOW + 5, failures=4)])

        [second] = await claim(store, now=NOW + 5)

        assert second == first._replace(
            token=second.token, attempt=2, failures=4, due=NOW + 5, urgency=urgency_of(NOW + 5, 5)
        )

    # Order

    async def test_the_smallest_urgency_is_claimed_first_across_jobs_and_queues(self, store: Store) -> None:
        await store.enqueue(
            [
                new(1, "fleet.sync", due=NOW - 1),
                new(2, "fleet.wash", due=NOW - 4, queue="washing"),
                new(3, "fleet.sync", due=NOW - 3, queue="washing"),
                new(4, "fleet.wash", due=NOW - 2),
            ],
            NO_LIMIT,
        )

        assert numbers(await claim(store)) == [2, 3, 4, 1]

    async def test_runs_of_one_urgency_are_claimed_in_the_order_of_their_ids(self, store: Store) -> None:
        await store.enqueue([new(3), new(1, "fleet.wash"), new(4, "fleet.wash"), new(2)], NO_LIMIT)

        assert numbers(await claim(store)) == [1, 2, 3, 4]

    async def test_a_smaller_priority_goes_first_among_runs_that_are_due_together(self, store: Store) -> None:
        await store.enqueue([new(number, priority=9 - number) for number in range(10)], NO_LIMIT)

        assert numbers(await claim(store)) == list(range(9, -1, -1))

    async def test_a_run_that_has_waited_long_goes_before_a_fresh_one_of_a_better_priority(self, store: Store) -> None:
        await store.enqueue([new(1, priority=4), new(2, priority=5, due=NOW - 601)], NO_LIMIT)

        assert numbers(await claim(store)) == [2, 1]

    async def test_order_holds_over_claims_and_later_enqueues(self, store: Store) -> None:
        await store.enqueue([new(1, due=NOW - 5), new(2, due=NOW - 3), new(3, due=NOW - 1)], NO_LIMIT)

        first = await claim(store, limit=1)
        await store.enqueue([new(4, due=NOW - 4), new(5, due=NOW - 2)], NO_LIMIT)
        rest = await claim(store)

        assert numbers([*first, *rest]) == [1, 4, 2, 5, 3]

    async def test_many_runs_enqueued_in_no_order_are_claimed_in_order(self, store: Store) -> None:
        jobs = ["fleet.sync", "fleet.wash", "fleet.nightly"]
        given = [
            new(n, jobs[n % 3], queue=f"q{n % 2}", priority=n * 7 % 10, due=NOW - n * 37 % 1000) for n in range(200)
        ]
        await store.enqueue(given, NO_LIMIT)

        got = [run for _ in range(20) for run in await claim(store, limit=10)]

        assert numbers(got) == numbers(sorted(given, key=lambda run: (run.urgency, run.id)))

    # Room

    async def test_no_more_than_limit_are_claimed(self, store: Store) -> None:
        await store.enqueue([new(1), new(2), new(3)], NO_LIMIT)

        assert numbers(await claim(store, limit=2)) == [1, 2]
        assert await state_of(store, 1, 2, 3) == ["running", "running", "queued"]

    async def test_no_more_than_limit_are_claimed_however_much_room_there_is(self, store: Store) -> None:
        await store.enqueue([new(1), new(2), new(3)], NO_LIMIT)

        got = await store.claim(ask({"fleet.sync": 100}, queues={"default": 100}, limit=2))

        assert numbers(got.runs) == [1, 2]

    async def test_no_more_than_limit_are_claimed_of_several_lanes_together(self, store: Store) -> None:
        await store.enqueue([new(1, "fleet.wash", priority=0)], NO_LIMIT)
        await store.enqueue([new(number) for number in range(2, 9)], NO_LIMIT)

        assert numbers(await claim(store, limit=3)) == [1, 2, 3]

    async def test_a_limit_of_zero_claims_nothing(self, store: Store) -> None:
        await store.enqueue([new(1)], NO_LIMIT)

        assert await claim(store, limit=0) == []

    async def test_a_job_that_is_not_listed_is_not_claimed(self, store: Store) -> None:
        await store.enqueue([new(1, "fleet.wash"), new(2, "fleet.sync")], NO_LIMIT)

        got = await store.claim(ask({"fleet.sync": 5}))

        assert numbers(got.runs) == [2]

    async def test_no_more_of_a_job_are_claimed_than_it_has_room(self, store: Store) -> None:
        await store.enqueue([new(1), new(2), new(3), new(4, "fleet.wash")], NO_LIMIT)

        got = await store.claim(ask({"fleet.sync": 2, "fleet.wash": 2}))

        assert numbers(got.runs) == [1, 2, 4]

    async def test_the_room_of_a_job_is_shared_by_its_queues_and_priorities(self, store: Store) -> None:
        await store.enqueue([new(1, queue="a", priority=1), new(2, queue="b", priority=2), new(3, queue="a")], NO_LIMIT)

        got = await store.claim(ask({"fleet.sync": 2}))

        assert numbers(got.runs) == [1, 2]

    async def test_the_room_of_a_queue_is_shared_by_its_jobs(self, store: Store) -> None:
        await store.enqueue(
            [new(1, queue="a"), new(2, "fleet.wash", queue="a"), new(3, queue="a"), new(4, queue="b")], NO_LIMIT
        )

        got = await store.claim(ask(queues={"a": 2}))

        assert numbers(got.runs) == [1, 2, 4]

    async def test_a_queue_that_is_not_listed_has_no_limit_of_its_own(self, store: Store) -> None:
        await store.enqueue([new(1, queue="a"), new(2, queue="a")], NO_LIMIT)

        assert numbers((await store.claim(ask(queues={"b": 0}))).runs) == [1, 2]

    async def test_a_room_of_zero_excludes_a_job(self, store: Store) -> None:
        await store.enqueue([new(1), new(2, "fleet.wash")], NO_LIMIT)

        assert numbers((await store.claim(ask({"fleet.sync": 0, "fleet.wash": 1}))).runs) == [2]

    async def test_a_room_of_zero_excludes_a_queue(self, store: Store) -> None:
        await store.enqueue([new(1, queue="a"), new(2, queue="b")], NO_LIMIT)

        assert numbers((await store.claim(ask(queues={"a": 0, "b": 1}))).runs) == [2]

    async def test_what_has_no_room_does_not_hold_up_less_urgent_lanes(self, store: Store) -> None:
        await store.enqueue([new(n, priority=0) for n in range(50)], NO_LIMIT)
        await store.enqueue([new(100 + n, "fleet.wash", priority=9) for n in range(5)], NO_LIMIT)

        got = await store.claim(ask({"fleet.sync": 1, "fleet.wash": 3}, limit=10))

        assert numbers(got.runs) == [0, 100, 101, 102]

    async def test_what_had_no_room_is_claimed_when_there_is(self, store: Store) -> None:
        await store.enqueue([new(1, queue="a"), new(2, queue="a")], NO_LIMIT)
        await store.claim(ask(queues={"a": 1}))

        assert numbers((await store.claim(ask(queues={"a": 1}))).runs) == [2]

    async def test_only_runs_of_a_smaller_urgency_than_before_are_claimed(self, store: Store) -> None:
        await store.enqueue([new(1, priority=1), new(2, priority=2), new(3, "fleet.wash", priority=3)], NO_LIMIT)

        got = await store.claim(ask(before=urgency_of(NOW, 2)))

        assert numbers(got.runs) == [1]
        assert await state_of(store, 2, 3) == ["queued", "queued"]

    # Due

    async def test_a_run_is_not_claimed_before_it_is_due(self, store: Store) -> None:
        await store.enqueue([later(1, NOW + 10)], NO_LIMIT)

        assert await claim(store, now=NOW + 9.999) == []
        assert await state_of(store, 1) == ["scheduled"]

    async def test_a_scheduled_run_is_claimed_from_its_due_instant_on(self, store: Store) -> None:
        await store.enqueue([later(1, NOW + 10)], NO_LIMIT)

        assert numbers(await claim(store, now=NOW + 10)) == [1]

    async def test_a_retrying_run_is_claimed_from_its_due_instant_on(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.finish([change(claimed, "retrying", due=NOW + 10)])

        assert await claim(store, now=NOW + 9) == []
        assert numbers(await claim(store, now=NOW + 10)) == [1]

    async def test_what_has_become_due_is_queued_even_when_it_is_not_claimed(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.finish([change(claimed, "retrying", due=NOW + 10)])
        await store.enqueue([later(2, NOW + 10, "fleet.wash")], NO_LIMIT)

        await store.claim(ask({}, now=NOW + 10, limit=0))

        assert await state_of(store, 1, 2) == ["queued", "queued"]

    async def test_what_has_become_due_takes_its_place_by_urgency(self, store: Store) -> None:
        await store.enqueue([later(1, NOW + 5, priority=0), later(2, NOW + 3, priority=9), new(3)], NO_LIMIT)

        assert numbers(await claim(store, now=NOW + 5)) == [1, 3, 2]

    async def test_a_blocked_run_is_never_claimed(self, store: Store) -> None:
        await store.enqueue([new(1, state="blocked", due=NOW - 100)], NO_LIMIT)

        assert await claim(store, now=NOW + 1000) == []
        assert await state_of(store, 1) == ["blocked"]

    async def test_next_due_is_the_earliest_instant_at_which_a_run_becomes_due(self, store: Store) -> None:
        claimed = await claim_one(store, new(9))
        await store.finish([change(claimed, "retrying", due=NOW + 20)])
        await store.enqueue([later(1, NOW + 30), later(2, NOW + 10, "fleet.wash")], NO_LIMIT)

        seen = [(await store.claim(ask({}, now=NOW + wait))).next_due for wait in (0, 10, 20, 30)]

        assert seen == [NOW + 10, NOW + 20, NOW + 30, None]

    async def test_next_due_is_none_when_every_run_is_due_running_blocked_or_ended(self, store: Store) -> None:
        await claim_one(store, new(1))
        await store.enqueue([new(2), new(3, state="blocked", due=NOW + 50), later(4, NOW + 60)], NO_LIMIT)
        await store.cancel([id_of(4)], "", NOW)

        assert (await store.claim(ask({}))).next_due is None

    async def test_next_due_also_tells_of_jobs_that_may_not_be_claimed(self, store: Store) -> None:
        await store.enqueue([later(1, NOW + 10, "elsewhere.job", queue="paused")], NO_LIMIT)

        assert (await store.claim(ask({}, queues={"paused": 0}))).next_due == NOW + 10

    async def test_a_claim_with_nothing_to_claim_is_empty(self, store: Store) -> None:
        got = await store.claim(ask())

        assert (got.runs, got.next_due, got.expired) == ([], None, [])

    @pytest.mark.parametrize("rounds", [5])
    async def test_calls_of_one_turn_are_carried_out_in_the_order_they_were_made(
        self, store: Store, rounds: int
    ) -> None:
        for number in range(rounds):
            _, first, _, second = await asyncio.gather(
                store.enqueue([new(2 * number)], NO_LIMIT),
                store.claim(ask()),
                store.enqueue([new(2 * number + 1)], NO_LIMIT),
                store.claim(ask()),
            )

            assert (numbers(first.runs), numbers(second.runs)) == ([2 * number], [2 * number + 1])

    async def test_two_claims_at_once_never_get_the_same_run(self, store: Store) -> None:
        await store.enqueue([new(number) for number in range(10)], NO_LIMIT)

        got = await asyncio.gather(*(store.claim(ask(limit=3)) for _ in range(5)))

        assert sorted(number for claims in got for number in numbers(claims.runs)) == list(range(10))
