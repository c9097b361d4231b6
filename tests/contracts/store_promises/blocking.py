"""Blocked runs of a schedule: let go one at a time, oldest tick first, when no other run of it is left unfinished."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contracts.store_promises.samples import (
    NO_LIMIT,
    NOW,
    ask,
    change,
    claim,
    claim_one,
    id_of,
    new,
    numbers,
    see,
    state_of,
    tick_run,
)  # fmt: skip

if TYPE_CHECKING:
    from kernel.contracts.store import Store


async def _running_with_blocked(store: Store, *ticks: float) -> None:
    """Run 1 of the schedule is running; runs 2, 3 … of these ticks are blocked."""
    await claim_one(store, tick_run(1, NOW - 100))
    blocked = [tick_run(number, tick, state="blocked") for number, tick in enumerate(ticks, 2)]
    await store.enqueue(blocked, NO_LIMIT)


class Blocking:
    @pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
    async def test_a_final_change_lets_the_next_blocked_run_of_its_schedule_go(self, store: Store, state: str) -> None:
        claimed = await claim_one(store, tick_run(1, NOW))
        await store.enqueue([tick_run(2, NOW, state="blocked")], NO_LIMIT)

        await store.finish([change(claimed, state)])

        assert await state_of(store, 2) == ["queued"]
        assert numbers(await claim(store)) == [2]

    @pytest.mark.parametrize("state", ["queued", "retrying", "scheduled"])
    async def test_a_change_that_is_not_final_lets_nothing_go(self, store: Store, state: str) -> None:
        claimed = await claim_one(store, tick_run(1, NOW))
        await store.enqueue([tick_run(2, NOW, state="blocked")], NO_LIMIT)

        await store.finish([change(claimed, state)])

        assert await state_of(store, 2) == ["blocked"]

    async def test_blocked_runs_go_one_at_a_time_oldest_tick_first(self, store: Store) -> None:
        await store.enqueue([tick_run(1, NOW - 100)], NO_LIMIT)
        await store.enqueue(
            [
                tick_run(2, NOW - 10, state="blocked"),
                tick_run(3, NOW - 30, state="blocked"),
                tick_run(4, NOW - 20, state="blocked"),
            ],
            NO_LIMIT,
        )

        order = []
        for _ in range(4):
            [claimed] = await claim(store)
            order.append(claimed)
            await store.finish([change(claimed)])

        assert numbers(order) == [1, 3, 4, 2]

    async def test_blocked_runs_of_one_tick_go_in_the_order_of_their_ids(self, store: Store) -> None:
        claimed = await claim_one(store, tick_run(1, NOW))
        await store.enqueue([tick_run(n, NOW, state="blocked") for n in (3, 2)], NO_LIMIT)

        await store.finish([change(claimed)])

        assert await state_of(store, 2, 3) == ["queued", "blocked"]

    async def test_no_blocked_run_goes_while_another_run_of_the_schedule_is_unfinished(self, store: Store) -> None:
        await store.enqueue([tick_run(1, NOW - 2), tick_run(2, NOW - 1)], NO_LIMIT)
        one, two = await claim(store)
        await store.enqueue([tick_run(3, NOW, state="blocked")], NO_LIMIT)

        await store.finish([change(one)])
        between = await state_of(store, 3)
        await store.finish([change(two)])

        assert (between, await state_of(store, 3)) == (["blocked"], ["queued"])

    @pytest.mark.parametrize("state", ["queued", "scheduled", "retrying"])
    async def test_a_waiting_run_of_the_schedule_holds_blocked_ones_too(self, store: Store, state: str) -> None:
        await store.enqueue([tick_run(1, NOW - 2), tick_run(2, NOW - 1)], NO_LIMIT)
        one, two = await claim(store)
        await store.enqueue([tick_run(3, NOW, state="blocked")], NO_LIMIT)

        await store.finish([change(two, state), change(one)])

        assert await state_of(store, 3) == ["blocked"]

    async def test_two_runs_that_end_in_one_call_let_one_blocked_run_go(self, store: Store) -> None:
        await store.enqueue([tick_run(1, NOW - 2), tick_run(2, NOW - 1)], NO_LIMIT)
        one, two = await claim(store)
        await store.enqueue([tick_run(n, NOW + n, state="blocked") for n in (3, 4)], NO_LIMIT)

        await store.finish([change(one, at=NOW + 9), change(two, at=NOW + 9)])

        assert await state_of(store, 3, 4) == ["queued", "blocked"]

    async def test_a_blocked_run_that_is_not_due_yet_is_scheduled_when_it_is_let_go(self, store: Store) -> None:
        claimed = await claim_one(store, tick_run(1, NOW))
        await store.enqueue([tick_run(2, NOW, due=NOW + 30, state="blocked")], NO_LIMIT)

        await store.finish([change(claimed, at=NOW + 10)])

        assert await state_of(store, 2) == ["scheduled"]
        assert (await store.claim(ask(now=NOW + 10))).next_due == NOW + 30
        assert numbers(await claim(store, now=NOW + 30)) == [2]

    async def test_a_run_that_is_let_go_keeps_its_due_instant_and_urgency(self, store: Store) -> None:
        claimed = await claim_one(store, tick_run(1, NOW - 60))
        blocked = tick_run(2, NOW - 30, state="blocked")
        await store.enqueue([blocked], NO_LIMIT)

        await store.finish([change(claimed)])

        run = await see(store, id_of(2))
        assert (run.due, run.urgency, run.extra) == (blocked.due, blocked.urgency, blocked.extra)

    async def test_the_end_of_a_run_lets_nothing_of_another_schedule_go(self, store: Store) -> None:
        claimed = await claim_one(store, tick_run(1, NOW))
        await store.enqueue([tick_run(2, NOW, state="blocked", schedule="hourly"), new(3, state="blocked")], NO_LIMIT)

        await store.finish([change(claimed)])

        assert await state_of(store, 2, 3) == ["blocked", "blocked"]

    async def test_the_end_of_a_run_without_a_schedule_lets_nothing_go(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.enqueue([tick_run(2, NOW, state="blocked"), new(3, state="blocked")], NO_LIMIT)

        await store.finish([change(claimed)])

        assert await state_of(store, 2, 3) == ["blocked", "blocked"]

    @pytest.mark.parametrize("state", ["queued", "scheduled"])
    async def test_cancelling_the_last_waiting_run_lets_a_blocked_one_go(self, store: Store, state: str) -> None:
        await store.enqueue([tick_run(1, NOW, state=state), tick_run(2, NOW, state="blocked")], NO_LIMIT)

        await store.cancel([id_of(1)], "", NOW)

        assert await state_of(store, 1, 2) == ["cancelled", "queued"]

    async def test_cancelling_a_running_run_lets_nothing_go_before_it_has_ended(self, store: Store) -> None:
        await _running_with_blocked(store, NOW)

        await store.cancel([id_of(1)], "", NOW)

        assert await state_of(store, 1, 2) == ["running", "blocked"]

    async def test_cancelling_a_blocked_run_leaves_the_others_blocked_while_one_runs(self, store: Store) -> None:
        await _running_with_blocked(store, NOW, NOW + 1)

        await store.cancel([id_of(2)], "", NOW)

        assert await state_of(store, 1, 2, 3) == ["running", "cancelled", "blocked"]

    async def test_runs_cancelled_together_are_not_let_go_in_between(self, store: Store) -> None:
        await store.enqueue([tick_run(1, NOW), *(tick_run(n, NOW, state="blocked") for n in (2, 3, 4))], NO_LIMIT)

        answer = await store.cancel([id_of(1), id_of(2), id_of(3)], "", NOW)

        assert [(one.before, one.after) for one in answer] == [
            ("queued", "cancelled"), ("blocked", "cancelled"), ("blocked", "cancelled"),
        ]  # fmt: skip
        assert await state_of(store, 4) == ["queued"]

    async def test_the_expiry_of_the_last_waiting_run_lets_a_blocked_one_go(self, store: Store) -> None:
        await store.enqueue([tick_run(1, NOW, expires=NOW + 5), tick_run(2, NOW, state="blocked")], NO_LIMIT)

        got = await store.claim(ask({}, now=NOW + 6))

        assert numbers(got.expired) == [1]
        assert await state_of(store, 1, 2) == ["expired", "queued"]

    async def test_a_run_that_an_expiry_let_go_may_be_claimed_by_the_same_claim(self, store: Store) -> None:
        await store.enqueue([tick_run(1, NOW, expires=NOW + 5), tick_run(2, NOW, state="blocked")], NO_LIMIT)

        assert numbers(await claim(store, now=NOW + 6)) == [2]

    async def test_blocked_runs_that_expire_with_the_last_one_are_passed_over(self, store: Store) -> None:
        await store.enqueue(
            [
                tick_run(1, NOW, expires=NOW + 5),
                tick_run(2, NOW + 1, state="blocked", expires=NOW + 5),
                tick_run(3, NOW + 2, state="blocked"),
            ],
            NO_LIMIT,
        )

        await store.claim(ask({}, now=NOW + 6))

        assert await state_of(store, 1, 2, 3) == ["expired", "expired", "queued"]

    async def test_a_retried_run_of_the_schedule_holds_blocked_ones(self, store: Store) -> None:
        one = await claim_one(store, tick_run(1, NOW - 1))
        await store.finish([change(one, "failed")])
        two = await claim_one(store, tick_run(2, NOW))
        await store.enqueue([tick_run(3, NOW, state="blocked")], NO_LIMIT)
        await store.retry([id_of(1)], NOW)

        await store.finish([change(two)])

        assert await state_of(store, 1, 3) == ["queued", "blocked"]
