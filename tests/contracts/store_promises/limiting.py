"""Limits that the store counts over all kernels: runs of one key at once, and beginnings within a stretch of time."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.contracts.store import RunQuery
from kernel.model.rate import RateLimit
from tests.contracts.store_promises.samples import (
    ALL,
    KERNEL,
    NO_LIMIT,
    NOW,
    OTHER,
    ask,
    change,
    claim,
    id_of,
    later,
    new,
    numbers,
    see,
    state_of,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernel.contracts.store import Claim, Store
    from kernel.model.run import Claimed, NewRun

PERIOD = 60.0
SLOT = PERIOD / 100 + 0.001
"""By how much a rate may hold a run back longer than must be: a slot, and what rounding adds."""


def _of_key(key: str | None, *run_numbers: int, **options: Any) -> list[NewRun]:
    return [new(number, concurrency_key=key, **options) for number in run_numbers]


def _one_each(most: int = 1, **options: Any) -> Claim:
    """A claim under which so many syncs of one key may run."""
    return ask(key_limits={"fleet.sync": most}, **options)


def _rated(*run_numbers: int, **options: Any) -> list[NewRun]:
    return [new(number, **options) for number in run_numbers]


def _per_period(limit: int) -> dict[str, RateLimit]:
    return {"fleet.sync": RateLimit(limit, PERIOD)}


def _limits(kind: str, most: int) -> dict[str, Any]:
    """Limits of this kind, for a claim, that hold for runs of the sync job in the default queue."""
    return {kind: {"fleet.sync": RateLimit(most, PERIOD), "default": RateLimit(most, PERIOD)}}


async def _claimed(store: Store, claim: Claim) -> list[Claimed]:
    return (await store.claim(claim)).runs


async def _end(store: Store, runs: Sequence[Claimed], state: str = "completed", **fields: Any) -> None:
    await store.finish([change(run, state, **fields) for run in runs])


class Limiting:
    # Keys

    async def test_no_more_runs_of_a_key_run_at_once_than_its_limit(self, store: Store) -> None:
        await store.enqueue(_of_key("a", 1, 2, 3, 4, 5), NO_LIMIT)

        first = await _claimed(store, _one_each(2))
        second = await _claimed(store, _one_each(2))
        await _end(store, first[:1])
        third = await _claimed(store, _one_each(2))

        assert (numbers(first), numbers(second), numbers(third)) == ([1, 2], [], [3])

    async def test_those_behind_go_on(self, store: Store) -> None:
        await store.enqueue([*_of_key("a", 1, 2, 3), *_of_key("b", 4, 5), *_of_key(None, 6, 7)], NO_LIMIT)
        await store.enqueue([new(8, "fleet.wash", concurrency_key="a")], NO_LIMIT)

        assert numbers(await _claimed(store, _one_each())) == [1, 4, 6, 7, 8]
        assert numbers(await _claimed(store, _one_each())) == []

    async def test_those_held_back_count_for_no_limit_of_the_claim(self, store: Store) -> None:
        await store.enqueue([*_of_key("a", *range(1, 50)), *_of_key("b", 50), *_of_key(None, 51, 52, 53)], NO_LIMIT)

        got = await _claimed(store, ask(key_limits={"fleet.sync": 1}, limit=4))

        assert numbers(got) == [1, 50, 51, 52]

    async def test_a_run_that_is_held_back_is_queued_as_it_was(self, store: Store) -> None:
        await store.enqueue(_of_key("a", 1, 2, tags=("t",)), NO_LIMIT)
        before = await see(store, id_of(2))

        await _claimed(store, _one_each())

        assert await see(store, id_of(2)) == before
        assert (before.state, before.attempt) == ("queued", 0)
        assert await store.count(RunQuery()) == {"running": 1, "queued": 1}
        [queue] = await store.queues()
        assert (queue.queued, queue.running, queue.oldest_due) == (1, 1, NOW)

    async def test_a_key_is_the_jobs_own(self, store: Store) -> None:
        await store.enqueue([new(1, concurrency_key="a"), new(2, "fleet.wash", concurrency_key="a")], NO_LIMIT)

        assert numbers(await _claimed(store, ask(key_limits={"fleet.sync": 1, "fleet.wash": 1}))) == [1, 2]

    async def test_a_key_is_counted_over_queues_priorities_and_kernels(self, store: Store) -> None:
        await store.enqueue(
            [
                *_of_key("a", 1, queue="slow", priority=0),
                *_of_key("a", 2, queue="fast", priority=1),
                *_of_key("a", 3, queue="fast", priority=2),
            ],
            NO_LIMIT,
        )

        first = await _claimed(store, _one_each(2, kernel=KERNEL.id))
        second = await _claimed(store, _one_each(2, kernel=OTHER.id))

        assert (numbers(first), numbers(second)) == ([1, 2], [])

    async def test_runs_that_were_claimed_without_the_limit_count_too(self, store: Store) -> None:
        await store.enqueue(_of_key("a", 1, 2, 3), NO_LIMIT)
        first = await claim(store, limit=2)

        held = await _claimed(store, _one_each(2))
        await _end(store, first)

        assert (held, numbers(await _claimed(store, _one_each(2)))) == ([], [3])

    @pytest.mark.parametrize("state", ["completed", "failed", "cancelled", "retrying", "scheduled"])
    async def test_a_run_that_runs_no_more_gives_its_place_to_the_next_of_its_key(
        self, store: Store, state: str
    ) -> None:
        await store.enqueue(_of_key("a", 1, 2, 3), NO_LIMIT)
        first = await _claimed(store, _one_each())
        await _claimed(store, _one_each())

        await _end(store, first, state, due=NOW + 9)

        assert numbers(await _claimed(store, _one_each())) == [2]
        assert numbers(await _claimed(store, _one_each())) == []

    async def test_a_released_run_gives_its_place_back(self, store: Store) -> None:
        await store.enqueue(_of_key("a", 1, 2), NO_LIMIT)
        await _claimed(store, _one_each())
        await _claimed(store, _one_each())

        await store.release(KERNEL.id)

        assert numbers(await _claimed(store, _one_each())) == [1]
        assert numbers(await _claimed(store, _one_each())) == []

    async def test_a_run_that_is_queued_again_stands_before_those_held_back_that_are_less_urgent(
        self, store: Store
    ) -> None:
        await store.enqueue([*_of_key("a", 1), *_of_key("a", 2, due=NOW + 1)], NO_LIMIT)
        first = await _claimed(store, _one_each())
        await _claimed(store, _one_each())

        await _end(store, first, "queued")

        assert numbers(await _claimed(store, _one_each())) == [1]

    async def test_runs_of_many_keys_enqueued_in_no_order_are_claimed_in_order(self, store: Store) -> None:
        given = [
            new(n, priority=n * 7 % 3, due=NOW - n * 37 % 1000, concurrency_key=f"k{n % 5}", rate_key=f"r{n % 2}")
            for n in range(200)
        ]
        for at in range(0, 200, 20):
            await store.enqueue(given[at : at + 20], NO_LIMIT)

        got = [run for _ in range(20) for run in await _claimed(store, _one_each(1000, limit=10))]

        assert numbers(got) == numbers(sorted(given, key=lambda run: (run.urgency, run.id)))

    async def test_the_most_urgent_of_a_key_goes_first_when_it_has_room_again(self, store: Store) -> None:
        await store.enqueue(_of_key("a", 1), NO_LIMIT)
        running = await _claimed(store, _one_each())
        await store.enqueue([*_of_key("a", 2, 3, 4), *_of_key("a", 5, priority=2, queue="fast")], NO_LIMIT)
        await _claimed(store, _one_each())
        await store.enqueue(_of_key("a", 6, priority=1), NO_LIMIT)
        await _claimed(store, _one_each())

        order = []
        for _ in range(5):
            await _end(store, running)
            running = await _claimed(store, _one_each())
            order += numbers(running)

        assert order == [6, 5, 2, 3, 4]

    async def test_a_newcomer_that_is_more_urgent_goes_before_what_a_freed_place_has_let_go(self, store: Store) -> None:
        await store.enqueue(_of_key("a", 1, 2, 3), NO_LIMIT)
        running = await _claimed(store, _one_each())
        await _claimed(store, _one_each())

        await _end(store, running)
        await store.enqueue(_of_key("a", 4, priority=0), NO_LIMIT)

        assert numbers(await _claimed(store, _one_each())) == [4]
        assert await _claimed(store, _one_each()) == []

    async def test_those_of_a_queue_without_room_hold_up_none_of_their_key_in_another(self, store: Store) -> None:
        await store.enqueue([*_of_key("a", 1), *_of_key("a", 2, 3, queue="paused", priority=0)], NO_LIMIT)
        running = await _claimed(store, _one_each(queues={"paused": 0}))
        await store.enqueue(_of_key("a", 4, 5), NO_LIMIT)
        await _claimed(store, _one_each(queues={"paused": 0}))

        order = []
        for rooms in ({"paused": 0}, {"paused": 0}, NO_LIMIT, NO_LIMIT):
            await _end(store, running)
            running = await _claimed(store, _one_each(queues=rooms))
            order += numbers(running)

        assert order == [4, 5, 2, 3]

    async def test_a_limit_that_was_raised_lets_more_begin(self, store: Store) -> None:
        await store.enqueue(_of_key("a", 1, 2, 3, 4), NO_LIMIT)

        got = [numbers(await _claimed(store, _one_each(limit))) for limit in (1, 1, 3)]

        assert got == [[1], [], [2, 3]]

    async def test_a_limit_that_was_lowered_lets_none_begin_until_there_is_room(self, store: Store) -> None:
        await store.enqueue(_of_key("a", 1, 2, 3, 4), NO_LIMIT)
        one, two, three = await _claimed(store, _one_each(3))

        held = [numbers(await _claimed(store, _one_each(1)))]
        for run in (one, two, three):
            await _end(store, [run])
            held.append(numbers(await _claimed(store, _one_each(1))))

        assert held == [[], [], [], [4]]

    async def test_without_a_limit_what_was_held_back_goes(self, store: Store) -> None:
        await store.enqueue(_of_key("a", 1, 2, 3), NO_LIMIT)
        await _claimed(store, _one_each())
        await _claimed(store, _one_each())

        assert numbers(await claim(store)) == [2, 3]

    async def test_room_of_job_queue_and_limit_hold_too(self, store: Store) -> None:
        await store.enqueue([*_of_key("a", 1, 2), *_of_key("b", 3, 4), *_of_key("c", 5, queue="fast")], NO_LIMIT)

        got = [
            numbers(await _claimed(store, claim))
            for claim in (
                _one_each(queues={"default": 1}),
                ask({"fleet.sync": 0}, key_limits={"fleet.sync": 1}),
                ask({"fleet.sync": 1}, key_limits={"fleet.sync": 1}),
                ask(ALL, limit=0, key_limits={"fleet.sync": 2}),
                ask(ALL, limit=1, key_limits={"fleet.sync": 2}),
            )
        ]

        assert got == [[1, 5], [], [3], [], [2]]

    async def test_a_run_that_becomes_due_while_its_key_is_full_is_held_back(self, store: Store) -> None:
        await store.enqueue([*_of_key("a", 1), later(2, NOW + 5, concurrency_key="a")], NO_LIMIT)
        running = await _claimed(store, _one_each())

        held = await store.claim(_one_each(now=NOW + 5))
        between = await state_of(store, 2)
        await _end(store, running)

        assert (held.runs, held.next_due, between) == ([], None, ["queued"])
        assert numbers(await _claimed(store, _one_each(now=NOW + 5))) == [2]

    async def test_a_run_that_is_held_back_may_be_cancelled_expire_or_be_replaced(self, store: Store) -> None:
        await store.enqueue(
            [
                *_of_key("a", 1, 2),
                *_of_key("a", 3, expires=NOW + 5),
                *_of_key("a", 4, unique="k"),
                *_of_key("a", 5),
            ],
            NO_LIMIT,
        )
        [running] = await _claimed(store, _one_each())
        await _claimed(store, _one_each())

        await store.cancel([id_of(2)], "", NOW)
        await store.enqueue([new(9, unique="k", concurrency_key="b", on_conflict="replace")], NO_LIMIT)
        got = await store.claim(_one_each(now=NOW + 6))
        await _end(store, [running])

        assert (numbers(got.expired), numbers(got.runs)) == ([3], [4])
        assert numbers(await _claimed(store, _one_each(now=NOW + 6))) == [5]

    async def test_a_run_that_takes_a_full_key_over_is_held_back(self, store: Store) -> None:
        await store.enqueue([*_of_key("a", 1), *_of_key("b", 2), *_of_key("b", 3, unique="k")], NO_LIMIT)
        one, _ = await _claimed(store, _one_each())

        await store.enqueue([new(9, unique="k", concurrency_key="a", on_conflict="replace")], NO_LIMIT)
        held = await _claimed(store, _one_each())
        await _end(store, [one])

        assert (held, numbers(await _claimed(store, _one_each()))) == ([], [3])

    async def test_the_last_run_held_back_may_be_cancelled_and_others_of_its_key_come(self, store: Store) -> None:
        await store.enqueue(_of_key("a", 1, 2), NO_LIMIT)
        running = await _claimed(store, _one_each())
        await _claimed(store, _one_each())

        await store.cancel([id_of(2)], "", NOW)
        await store.enqueue(_of_key("a", 3), NO_LIMIT)
        held = await _claimed(store, _one_each())
        await _end(store, running)

        assert (held, numbers(await _claimed(store, _one_each()))) == ([], [3])

    async def test_a_suspect_takes_a_place_of_its_key_like_any_other(self, store: Store) -> None:
        await store.enqueue(_of_key("a", 1), NO_LIMIT)
        await _end(store, await claim(store), "queued", losses=2)
        await store.enqueue(_of_key("a", 2), NO_LIMIT)

        without = await _claimed(store, _one_each())
        held = await _claimed(store, _one_each(suspects=1))
        await _end(store, without)

        assert (numbers(without), held) == ([2], [])
        assert numbers(await _claimed(store, _one_each(suspects=1))) == [1]

    async def test_a_great_many_of_a_full_key_and_a_great_many_keys(self, store: Store) -> None:
        await store.enqueue(_of_key("a", *range(3000)), NO_LIMIT)
        await store.enqueue([new(3000 + n, concurrency_key=f"k{n % 500}") for n in range(1000)], NO_LIMIT)

        first = await _claimed(store, _one_each())
        second = await _claimed(store, _one_each())
        await _end(store, first)
        third = await _claimed(store, _one_each())

        assert numbers(first) == [0, *range(3000, 3500)]
        assert (second, numbers(third)) == ([], [1, *range(3500, 4000)])

    async def test_claims_at_once_never_exceed_the_limit_of_a_key(self, store: Store) -> None:
        await store.enqueue(_of_key("a", *range(20)), NO_LIMIT)

        got = await asyncio.gather(*(_claimed(store, _one_each(3, limit=2)) for _ in range(5)))

        assert sum(len(runs) for runs in got) == 3

    # Rates

    async def test_no_more_runs_of_a_job_begin_than_its_rate_allows(self, store: Store) -> None:
        await store.enqueue(_rated(*range(5)), NO_LIMIT)
        await store.enqueue([new(9, "fleet.wash", priority=9)], NO_LIMIT)

        got = await store.claim(ask(job_rates=_per_period(3)))

        assert numbers(got.runs) == [0, 1, 2, 9]
        assert await state_of(store, 3, 4) == ["queued", "queued"]

    @pytest.mark.parametrize("kind", ["job_rates", "queue_rates", "key_rates"])
    async def test_what_a_rate_counts_is_taken_only_as_far_forward_as_it_can_begin_at_once(
        self, store: Store, kind: str
    ) -> None:
        await store.enqueue([new(number, "fleet.wash", queue="yard", priority=1) for number in range(3)], NO_LIMIT)
        await store.enqueue([new(number, rate_key="a") for number in (3, 4)], NO_LIMIT)
        await store.enqueue([new(5, "fleet.wash", queue="yard", priority=9)], NO_LIMIT)
        rates = _limits(kind, 10)

        got = [await store.claim(ask(at_once=at_once, **rates)) for at_once in (3, 1, 1)]

        assert [numbers(one.runs) for one in got] == [[0, 1, 2, 5], [3], [4]]
        assert [one.next_due for one in got] == [NOW, NOW, None]

    async def test_next_due_says_when_the_rate_has_room_again_and_then_it_has(self, store: Store) -> None:
        await store.enqueue(_rated(*range(5)), NO_LIMIT)
        rates = _per_period(2)
        first = await store.claim(ask(job_rates=rates))
        at = first.next_due or 0.0

        again = await store.claim(ask(now=NOW + 10, job_rates=rates))
        before = await store.claim(ask(now=NOW + PERIOD, job_rates=rates))
        second = await store.claim(ask(now=at, job_rates=rates))
        third = await store.claim(ask(now=second.next_due or 0.0, job_rates=rates))

        assert NOW + PERIOD < at <= NOW + PERIOD + SLOT
        assert (again.runs, again.next_due, before.runs, before.next_due) == ([], at, [], at)
        assert [numbers(claims.runs) for claims in (first, second, third)] == [[0, 1], [2, 3], [4]]
        assert third.next_due is None

    async def test_a_rate_gives_room_back_as_each_beginning_leaves_the_period(self, store: Store) -> None:
        await store.enqueue(_rated(*range(6)), NO_LIMIT)
        got = []

        for wait in (0.0, 20.0, PERIOD + SLOT, 20.0 + PERIOD + SLOT):
            limit = 1 if wait == 0.0 else 9
            got.append(numbers(await _claimed(store, ask(now=NOW + wait, limit=limit, job_rates=_per_period(3)))))

        assert got == [[0], [1, 2], [3], [4, 5]]

    async def test_next_due_tells_of_the_earlier_of_a_run_and_a_rate(self, store: Store) -> None:
        await store.enqueue([*_rated(1, 2), later(3, NOW + 30, "fleet.wash")], NO_LIMIT)

        first = await store.claim(ask(job_rates=_per_period(1)))
        second = await store.claim(ask(now=NOW + 30, job_rates=_per_period(1)))

        assert first.next_due == NOW + 30
        assert NOW + PERIOD < (second.next_due or 0.0) <= NOW + PERIOD + SLOT

    async def test_a_rate_that_is_used_up_and_holds_nothing_back_is_not_told(self, store: Store) -> None:
        await store.enqueue([*_rated(1), new(2, "fleet.wash")], NO_LIMIT)

        got = await store.claim(ask(job_rates=_per_period(1), queue_rates={"empty": RateLimit(1, PERIOD)}))

        assert (numbers(got.runs), got.next_due) == ([1, 2], None)

    async def test_no_more_runs_of_a_queue_begin_than_its_rate_allows(self, store: Store) -> None:
        await store.enqueue(
            [new(1, queue="a"), new(2, "fleet.wash", queue="a"), new(3, queue="a"), new(4, queue="b")], NO_LIMIT
        )
        rates = {"a": RateLimit(2, PERIOD)}

        first = await store.claim(ask(queue_rates=rates))
        second = await store.claim(ask(now=first.next_due or 0.0, queue_rates=rates))

        assert (numbers(first.runs), numbers(second.runs)) == ([1, 2, 4], [3])
        assert NOW + PERIOD < (first.next_due or 0.0) <= NOW + PERIOD + SLOT

    async def test_no_more_runs_of_a_rate_key_begin_than_its_rate_allows_and_those_behind_go_on(
        self, store: Store
    ) -> None:
        await store.enqueue(
            [
                *_rated(1, 2, 3, rate_key="a"),
                *_rated(4, 5, rate_key="b"),
                *_rated(6, 7),
                new(8, "fleet.wash", rate_key="a"),
            ],
            NO_LIMIT,
        )
        rates = _per_period(1)

        first = await store.claim(ask(key_rates=rates))
        early = await store.claim(ask(now=NOW + 10, key_rates=rates))
        second = await store.claim(ask(now=first.next_due or 0.0, key_rates=rates))

        assert numbers(first.runs) == [1, 4, 6, 7, 8]
        assert (early.runs, early.next_due) == ([], first.next_due)
        assert NOW + PERIOD < (first.next_due or 0.0) <= NOW + PERIOD + SLOT
        assert numbers(second.runs) == [2, 5]
        assert await state_of(store, 3) == ["queued"]

    async def test_a_more_urgent_run_of_a_rate_key_goes_first_when_it_has_room_again(self, store: Store) -> None:
        await store.enqueue(_rated(1, 2, 3, rate_key="a"), NO_LIMIT)
        await store.claim(ask(key_rates=_per_period(1)))
        await store.enqueue(_rated(4, rate_key="a", priority=0), NO_LIMIT)
        held = await store.claim(ask(now=NOW + 1, key_rates=_per_period(1)))

        got = await store.claim(ask(now=held.next_due or 0.0, key_rates=_per_period(1)))

        assert (held.runs, numbers(got.runs)) == ([], [4])

    async def test_a_run_that_is_held_back_by_its_rate_key_and_cancelled_is_waited_for_no_more(
        self, store: Store
    ) -> None:
        await store.enqueue(_rated(1, 2, rate_key="a"), NO_LIMIT)
        await store.claim(ask(key_rates=_per_period(1)))

        await store.cancel([id_of(2)], "", NOW)

        assert (await store.claim(ask(key_rates=_per_period(1)))).next_due is None

    @pytest.mark.parametrize("kind", ["job_rates", "queue_rates", "key_rates"])
    async def test_a_retry_counts_and_what_is_given_back_is_not_refunded(self, store: Store, kind: str) -> None:
        limits = _limits(kind, 2)
        await store.enqueue(_rated(1, rate_key="a"), NO_LIMIT)

        for state in ("retrying", "queued"):
            await _end(store, await _claimed(store, ask(**limits)), state, attempt=0)
        held = await store.claim(ask(**limits))
        got = await store.claim(ask(now=held.next_due or 0.0, **limits))

        assert (held.runs, numbers(got.runs)) == ([], [1])

    @pytest.mark.parametrize("kind", ["job_rates", "queue_rates", "key_rates"])
    async def test_a_rate_is_counted_over_all_kernels(self, store: Store, kind: str) -> None:
        limits = _limits(kind, 3)
        await store.enqueue(_rated(*range(6), rate_key="a"), NO_LIMIT)

        got = [
            numbers(await _claimed(store, ask(kernel=kernel.id, limit=2, **limits)))
            for kernel in (KERNEL, OTHER, KERNEL)
        ]

        assert got == [[0, 1], [2], []]

    @pytest.mark.parametrize("kind", ["job_rates", "queue_rates", "key_rates"])
    async def test_without_a_rate_what_was_held_back_goes(self, store: Store, kind: str) -> None:
        rated = _limits(kind, 1)
        await store.enqueue(_rated(*range(3), rate_key="a"), NO_LIMIT)

        got = [numbers((await store.claim(ask(**limits))).runs) for limits in (rated, rated, {})]

        assert got == [[0], [], [1, 2]]

    @pytest.mark.parametrize("kind", ["job_rates", "queue_rates", "key_rates"])
    async def test_a_clock_that_was_put_back_holds_a_rate_for_no_more_than_its_period(
        self, store: Store, kind: str
    ) -> None:
        limits = _limits(kind, 2)
        await store.enqueue(_rated(*range(4), rate_key="a"), NO_LIMIT)
        await store.claim(ask(now=NOW + 86_400, **limits))

        held = await store.claim(ask(now=NOW, **limits))
        got = await store.claim(ask(now=NOW + PERIOD + SLOT, **limits))

        assert (held.runs, (held.next_due or 0.0) <= NOW + PERIOD + SLOT) == ([], True)
        assert numbers(got.runs) == [2, 3]

    async def test_the_tightest_of_all_limits_holds(self, store: Store) -> None:
        await store.enqueue([new(n, rate_key="a", concurrency_key="b") for n in range(20)], NO_LIMIT)
        limits: dict[str, Any] = {
            "job_rates": {"fleet.sync": RateLimit(4, PERIOD)},
            "queue_rates": {"default": RateLimit(5, PERIOD)},
            "key_rates": {"fleet.sync": RateLimit(6, PERIOD)},
            "key_limits": {"fleet.sync": 7},
        }

        got = []
        for name in ("job_rates", "queue_rates", "key_rates", "key_limits"):
            got.append(len(await _claimed(store, ask(**limits))))
            limits.pop(name)

        assert got == [4, 1, 1, 1]

    async def test_what_a_key_limit_holds_back_uses_up_no_rate(self, store: Store) -> None:
        await store.enqueue([new(n, rate_key="a", concurrency_key="b") for n in range(3)], NO_LIMIT)
        limits: dict[str, Any] = {
            "key_limits": {"fleet.sync": 1},
            "key_rates": _per_period(2),
            "job_rates": _per_period(2),
        }

        first = await store.claim(ask(**limits))
        await store.claim(ask(**limits))
        await _end(store, first.runs)
        second = await store.claim(ask(**limits))

        assert (numbers(first.runs), numbers(second.runs)) == ([0], [1])

    # Over all kernels

    async def test_limits_over_all_kernels_leave_the_room_that_the_kernel_has(self, store: Store) -> None:
        await store.enqueue([new(number) for number in range(1, 8)], NO_LIMIT)
        await store.enqueue([new(8, "fleet.wash", queue="other")], NO_LIMIT)
        limits: dict[str, Any] = {"job_limits": {"fleet.sync": 4}, "queue_limits": {"default": 3, "other": 2}}

        first = await _claimed(store, ask({**ALL, "fleet.sync": 4}, queues={"default": 3, "other": 2}, **limits))
        second = await _claimed(store, ask({**ALL, "fleet.sync": 1}, queues={"default": 0, "other": 1}, **limits))
        await _end(store, first[:2])
        third = await _claimed(store, ask({**ALL, "fleet.sync": 3}, queues={"default": 2, "other": 1}, **limits))

        assert (numbers(first), numbers(second), numbers(third)) == ([1, 2, 3, 8], [], [4, 5])

    @pytest.mark.parametrize("state", ["completed", "queued", "retrying", "scheduled"])
    async def test_whatever_becomes_of_a_run_its_place_is_free(self, store: Store, state: str) -> None:
        await store.enqueue([new(1), new(2, due=NOW + 1)], NO_LIMIT)
        limits: dict[str, Any] = {"job_limits": {"fleet.sync": 1}, "now": NOW + 2}
        [first] = await _claimed(store, ask({"fleet.sync": 1}, **limits))

        await _end(store, [first], state, due=NOW + 100)

        assert numbers(await _claimed(store, ask({"fleet.sync": 1}, **limits))) == [2]

    async def test_a_limit_over_all_kernels_holds_beside_those_of_keys_and_rates(self, store: Store) -> None:
        await store.enqueue([*_of_key("a", 1, 2), *_of_key("b", 3, 4), *_of_key("c", 5)], NO_LIMIT)
        limits = _limits("job_rates", 10) | {"key_limits": {"fleet.sync": 1}, "job_limits": {"fleet.sync": 2}}

        first = await _claimed(store, ask({"fleet.sync": 2}, **limits))
        await _end(store, first[:1])
        second = await _claimed(store, ask({"fleet.sync": 1}, **limits))

        assert (numbers(first), numbers(second)) == ([1, 3], [2])

    # When there is room

    @pytest.mark.parametrize(
        ("kind", "name", "key", "field"),
        [
            ("job", "fleet.sync", "", "job_rates"),
            ("queue", "default", "", "queue_rates"),
            ("key", "fleet.sync", "a", "key_rates"),
        ],
    )
    async def test_rate_room_at_says_when_the_next_run_may_begin(
        self, store: Store, kind: str, name: str, key: str, field: str
    ) -> None:
        limit = RateLimit(2, PERIOD)
        await store.enqueue(_rated(1, 2, 3, rate_key="a"), NO_LIMIT)
        limits: dict[str, Any] = {field: {name: limit}}

        unused = await store.rate_room_at(kind, name, key, limit, NOW)
        await store.claim(ask(limit=1, **limits))
        half = await store.rate_room_at(kind, name, key, limit, NOW + 1)
        full = await store.claim(ask(now=NOW + 1, **limits))
        at = await store.rate_room_at(kind, name, key, limit, NOW + 2)
        other = await store.rate_room_at(kind, f"{name}2", key, limit, NOW + 2)

        assert (unused, half, at, other) == (NOW, NOW + 1, full.next_due, NOW + 2)
        assert NOW + PERIOD < at <= NOW + PERIOD + SLOT
        assert await store.rate_room_at(kind, name, key, limit, at + 5) == at + 5

    async def test_rate_room_at_tells_the_keys_of_a_job_apart(self, store: Store) -> None:
        await store.enqueue(_rated(1, rate_key="a"), NO_LIMIT)
        await store.claim(ask(key_rates=_per_period(1)))

        limit = RateLimit(1, PERIOD)
        assert await store.rate_room_at("key", "fleet.sync", "b", limit, NOW) == NOW
        assert await store.rate_room_at("key", "fleet.wash", "a", limit, NOW) == NOW
        assert await store.rate_room_at("job", "fleet.sync", "", limit, NOW) == NOW

    # Any stretch of time

    def test_no_stretch_of_time_ever_holds_more_beginnings_than_its_rate(
        self, make_store: Callable[[str], Store]
    ) -> None:
        places = count()

        @settings(
            max_examples=12, derandomize=True, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(
            most=st.integers(1, 5),
            period=st.sampled_from([1.0, 7.0, PERIOD, 3600.0]),
            steps=st.lists(
                st.tuples(st.floats(0.0, 0.7), st.integers(0, 4), st.sampled_from(["a", "b"])), min_size=10, max_size=40
            ),
            field=st.sampled_from(["job_rates", "queue_rates", "key_rates"]),
        )
        def hold(most: int, period: float, steps: list[tuple[float, int, str]], field: str) -> None:
            with asyncio.Runner() as runner:
                begun = runner.run(_begun(make_store(f"rates-{next(places)}"), RateLimit(most, period), steps, field))
            for times in begun.values():
                assert [at for at, then in zip(times, times[most:], strict=False) if then - at <= period] == []

        hold()


async def _begun(
    store: Store, limit: RateLimit, steps: Sequence[tuple[float, int, str]], field: str
) -> dict[str, list[float]]:
    """For each key (or for all), when its runs began under this limit; claims at moments that are as random."""
    await store.open(KERNEL)
    rates: dict[str, Any] = {field: {"fleet.sync": limit, "default": limit}}
    numbers_of_runs = count()
    begun: dict[str, list[float]] = {}
    now = NOW
    for wait, runs, key in steps:
        now += wait * limit.seconds
        fresh = [new(next(numbers_of_runs), rate_key=key, due=now, enqueued=now) for _ in range(runs)]
        await store.enqueue(fresh, NO_LIMIT)
        claims = await store.claim(ask(now=now, **rates))
        for run in claims.runs:
            of = (run.extra.rate_key if run.extra and field == "key_rates" else None) or "all"
            begun.setdefault(of, []).append(now)
        await store.finish([change(run, at=now) for run in claims.runs])
        if claims.next_due is not None:
            # What was held back may begin then, and no sooner than must be.
            assert now < claims.next_due <= now + limit.seconds * 1.0101
    await store.close()
    return begun
