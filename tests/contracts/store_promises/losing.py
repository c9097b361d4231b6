"""Losses: how often a run was lost with its kernel, and suspects, which are claimed only as such."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.contracts.store import SUSPECT_LOSSES
from tests.contracts.store_promises.samples import (
    KERNEL,
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
)  # fmt: skip

if TYPE_CHECKING:
    from kernel.contracts.store import Store
    from kernel.model.run import NewRun


async def _lost(store: Store, *runs: NewRun, losses: int = SUSPECT_LOSSES) -> None:
    """These runs wait again, so often lost; nothing else may be waiting."""
    await store.enqueue(runs, NO_LIMIT)
    await store.finish([change(run, "queued", losses=losses) for run in await claim(store)])


class Losing:
    async def test_a_fresh_run_has_no_losses(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        assert (claimed.losses, (await see(store, id_of(1))).losses) == (0, 0)

    @pytest.mark.parametrize("state", ["queued", "scheduled", "retrying", "failed"])
    async def test_a_change_says_how_often_a_run_was_lost(self, store: Store, state: str) -> None:
        claimed = await claim_one(store, new(1))

        await store.finish([change(claimed, state, losses=3)])

        assert (await see(store, id_of(1))).losses == 3

    async def test_a_claimed_run_knows_its_losses(self, store: Store) -> None:
        await _lost(store, new(1), losses=1)

        [claimed] = await claim(store)

        assert (claimed.losses, (await see(store, id_of(1))).losses) == (1, 1)

    async def test_a_change_without_losses_leaves_them_as_they_are(self, store: Store) -> None:
        await _lost(store, new(1), losses=1)
        [claimed] = await claim(store)

        await store.finish([change(claimed, "queued", losses=None)])

        assert (await see(store, id_of(1))).losses == 1

    @pytest.mark.parametrize("state", ["completed", "queued", "retrying"])
    async def test_an_attempt_that_ends_clears_them(self, store: Store, state: str) -> None:
        await _lost(store, new(1), losses=1)
        [claimed] = await claim(store)

        await store.finish([change(claimed, state)])

        assert (await see(store, id_of(1))).losses == 0

    async def test_a_stale_change_leaves_them_as_they_are(self, store: Store) -> None:
        old = await claim_one(store, new(1))
        await store.finish([change(old, "queued", losses=1)])
        await claim(store)

        await store.finish([change(old, "queued", losses=9)])

        assert (await see(store, id_of(1))).losses == 1

    async def test_a_release_leaves_them_as_they_are(self, store: Store) -> None:
        await _lost(store, new(1), losses=1)
        await claim(store)

        [released] = await store.release(KERNEL.id)

        assert (released.losses, await see(store, id_of(1))) == (1, released)

    async def test_a_retry_by_hand_clears_them(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.finish([change(claimed, "failed", reason="lost", losses=5)])

        await store.retry([id_of(1)], NOW)

        assert (await see(store, id_of(1))).losses == 0
        assert numbers(await claim(store)) == [1]

    # Suspects

    async def test_a_run_with_one_loss_is_claimed_like_any_other(self, store: Store) -> None:
        await _lost(store, new(1), losses=SUSPECT_LOSSES - 1)

        assert numbers(await claim(store)) == [1]

    @pytest.mark.parametrize("losses", [SUSPECT_LOSSES, SUSPECT_LOSSES + 2])
    async def test_a_suspect_is_not_claimed_unless_suspects_are_asked_for(self, store: Store, losses: int) -> None:
        await _lost(store, new(1), losses=losses)

        without = (await store.claim(ask())).runs
        asked = (await store.claim(ask(suspects=1))).runs

        assert (without, numbers(asked), asked[0].losses) == ([], [1], losses)

    async def test_a_suspect_is_queued_for_everybody_to_see(self, store: Store) -> None:
        await _lost(store, new(1))

        await claim(store)

        assert await state_of(store, 1) == ["queued"]
        [queue] = await store.queues()
        assert (queue.queued, queue.oldest_due) == (1, NOW)

    async def test_suspects_hold_up_nobody_behind_them(self, store: Store) -> None:
        await _lost(store, *(new(number, priority=0) for number in range(5)))
        await store.enqueue([new(number) for number in range(10, 15)], NO_LIMIT)

        assert numbers(await claim(store, limit=3)) == [10, 11, 12]
        assert numbers((await store.claim(ask(limit=3, suspects=1))).runs) == [0, 13, 14]

    async def test_no_more_suspects_are_claimed_than_asked_for_the_most_urgent_first(self, store: Store) -> None:
        await _lost(store, new(1, due=NOW - 1), new(2, "fleet.wash", due=NOW - 3), new(3, priority=4), new(4))

        got = [numbers((await store.claim(ask(suspects=most))).runs) for most in (1, 2, 0, 5)]

        assert got == [[3], [2, 1], [], [4]]

    async def test_a_suspect_takes_its_place_among_the_others_by_urgency(self, store: Store) -> None:
        await _lost(store, new(2, due=NOW - 5))
        await store.enqueue([new(1, due=NOW - 9), new(3, due=NOW - 1)], NO_LIMIT)

        assert numbers((await store.claim(ask(suspects=1))).runs) == [1, 2, 3]

    async def test_a_suspect_takes_room_of_limit_job_and_queue(self, store: Store) -> None:
        await _lost(store, new(1), new(2, "fleet.wash", queue="washing"))

        assert numbers((await store.claim(ask({"fleet.sync": 0, "fleet.wash": 1}, limit=0, suspects=2))).runs) == []
        assert numbers((await store.claim(ask({"fleet.wash": 1}, suspects=2, queues={"washing": 0}))).runs) == []
        assert numbers((await store.claim(ask({"fleet.wash": 1}, suspects=2))).runs) == [2]
        assert numbers((await store.claim(ask(suspects=1, before=NOW))).runs) == []

    async def test_a_suspect_that_is_due_later_waits_until_then(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.finish([change(claimed, "scheduled", due=NOW + 10, losses=2)])

        early = await store.claim(ask(now=NOW + 9, suspects=1))
        got = [(await store.claim(ask(now=NOW + 10, suspects=suspects))).runs for suspects in (0, 1)]

        assert (early.runs, early.next_due) == ([], NOW + 10)
        assert [numbers(runs) for runs in got] == [[], [1]]

    async def test_a_suspect_that_has_ended_an_attempt_is_one_no_more(self, store: Store) -> None:
        await _lost(store, new(1))
        [claimed] = (await store.claim(ask(suspects=1))).runs

        await store.finish([change(claimed, "queued")])

        assert numbers(await claim(store)) == [1]

    async def test_a_suspect_that_was_not_begun_is_still_one(self, store: Store) -> None:
        await _lost(store, new(1))
        [claimed] = (await store.claim(ask(suspects=1))).runs

        await store.finish([change(claimed, "queued", attempt=0, losses=None)])

        assert await claim(store) == []
        assert numbers((await store.claim(ask(suspects=1))).runs) == [1]

    async def test_a_released_suspect_is_still_one(self, store: Store) -> None:
        await _lost(store, new(1))
        await store.claim(ask(suspects=1))

        await store.release(KERNEL.id)

        assert await claim(store) == []

    async def test_a_suspect_may_be_cancelled_and_is_none_when_it_is_retried(self, store: Store) -> None:
        await _lost(store, new(1))

        await store.cancel([id_of(1)], "enough", NOW)
        before = await state_of(store, 1)
        await store.retry([id_of(1)], NOW)

        assert before == ["cancelled"]
        assert numbers(await claim(store)) == [1]
