"""Queues: how much waits in each, and until when it is paused."""

from __future__ import annotations

import math

from kernel.contracts.store import QueueRow, Store
from tests.contracts.store_promises.samples import (
    NO_LIMIT,
    NOW,
    ask,
    change,
    claim,
    claim_one,
    ended,
    id_of,
    later,
    new,
    numbers,
)  # fmt: skip


async def _queues(store: Store) -> dict[str, QueueRow]:
    return {row.name: row for row in await store.queues()}


class Queues:
    async def test_an_empty_store_has_no_queues(self, store: Store) -> None:
        assert await store.queues() == []

    async def test_a_queue_is_counted_by_state(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.finish([change(claimed, "retrying", due=NOW + 5)])
        await store.enqueue([new(2), new(3, "fleet.wash")], NO_LIMIT)
        await claim(store, limit=1)
        await store.enqueue([new(4), later(5, NOW + 5), later(6, NOW + 5), new(7, state="blocked")], NO_LIMIT)

        assert await store.queues() == [QueueRow("default", 2, 2, 1, 1, 1, NOW, None)]

    async def test_each_queue_has_its_own_row(self, store: Store) -> None:
        await store.enqueue([new(1, queue="a"), new(2, queue="b", due=NOW - 5), later(3, NOW + 9, queue="b")], NO_LIMIT)

        rows = await _queues(store)

        assert rows == {
            "a": QueueRow("a", 1, 0, 0, 0, 0, NOW, None),
            "b": QueueRow("b", 1, 1, 0, 0, 0, NOW - 5, None),
        }

    async def test_oldest_due_is_that_of_the_queued_runs(self, store: Store) -> None:
        await store.enqueue(
            [
                new(1, due=NOW - 10, priority=9),
                new(2, "fleet.wash", due=NOW - 5, priority=0),
                new(3, due=NOW - 99, state="blocked"),
            ],
            NO_LIMIT,
        )

        [first] = await store.queues()
        await store.claim(ask({"fleet.sync": 1}))
        [second] = await store.queues()
        await claim(store)
        [third] = await store.queues()

        assert (first.oldest_due, second.oldest_due, third.oldest_due) == (NOW - 10, NOW - 5, None)

    async def test_finished_runs_are_not_counted(self, store: Store) -> None:
        await ended(store, new(1))
        await store.enqueue([new(2)], NO_LIMIT)

        assert await store.queues() == [QueueRow("default", 1, 0, 0, 0, 0, NOW, None)]

    async def test_the_counts_follow_what_becomes_of_the_runs(self, store: Store) -> None:
        await store.enqueue([new(1), new(2), later(3, NOW + 5), new(4, expires=NOW + 5)], NO_LIMIT)
        await store.cancel([id_of(1)], "", NOW)
        await store.claim(ask({}, now=NOW + 5))

        assert await store.queues() == [QueueRow("default", 2, 0, 0, 0, 0, NOW, None)]

        await store.retry([id_of(1)], NOW + 6)
        for run in await claim(store, now=NOW + 6):
            await store.finish([change(run)])

        assert [row for row in await store.queues() if row != QueueRow("default", 0, 0, 0, 0, 0, None, None)] == []

    async def test_a_paused_queue_is_shown_even_when_it_is_empty(self, store: Store) -> None:
        await store.pause_queue("washing", NOW + 60)

        assert await store.queues() == [QueueRow("washing", 0, 0, 0, 0, 0, None, NOW + 60)]

    async def test_a_queue_with_runs_shows_its_pause(self, store: Store) -> None:
        await store.enqueue([new(1)], NO_LIMIT)

        await store.pause_queue("default", NOW + 60)

        assert (await _queues(store))["default"].paused_until == NOW + 60

    async def test_a_pause_may_last_until_it_is_resumed(self, store: Store) -> None:
        await store.pause_queue("washing", math.inf)

        assert (await _queues(store))["washing"].paused_until == math.inf

    async def test_a_later_pause_takes_the_place_of_an_earlier_one(self, store: Store) -> None:
        await store.pause_queue("washing", NOW + 60)
        await store.pause_queue("washing", NOW + 5)

        assert (await _queues(store))["washing"].paused_until == NOW + 5

    async def test_resuming_takes_the_pause_away(self, store: Store) -> None:
        await store.enqueue([new(1)], NO_LIMIT)
        await store.pause_queue("default", math.inf)
        await store.pause_queue("washing", math.inf)

        await store.pause_queue("default", None)
        await store.pause_queue("washing", None)

        assert {name: row.paused_until for name, row in (await _queues(store)).items()} == {"default": None}

    async def test_resuming_a_queue_that_is_not_paused_does_nothing(self, store: Store) -> None:
        await store.pause_queue("washing", None)

        assert await store.queues() == []

    async def test_a_paused_queue_takes_runs_which_wait(self, store: Store) -> None:
        await store.pause_queue("default", math.inf)

        await store.enqueue([new(1)], NO_LIMIT)

        assert (await store.claim(ask(queues={"default": 0}))).runs == []
        assert numbers((await store.claim(ask(queues={"default": 1}))).runs) == [1]
