"""What is written outlives the store that wrote it, and other processes see it: promises of durable stores."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from kernel.contracts.store import Announced, KernelRow, Look, Looked, Store
from kernel.model.run import Run
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
    line,
    new,
    numbers,
    row,
    see,
    state_of,
    tick_run,
)  # fmt: skip

Reopen = Callable[[KernelRow | None], Awaitable[tuple[Store, list[Run]]]]


class Durability:
    async def test_every_run_is_there_again_as_it_was(self, store: Store, reopen: Reopen) -> None:
        before = [
            await ended(store, new(1), result='{"n":1}', notes='["a"]'),
            await ended(store, new(2, unique="k", tags=("a", "b")), "failed", error='{"type":"E"}', failures=3),
            await ended(store, tick_run(3, NOW + 0.1, folded=2), "cancelled"),
        ]
        await store.enqueue([new(4), later(5, NOW + 5, expires=NOW + 9), new(6, state="blocked")], NO_LIMIT)
        before += [await see(store, id_of(number)) for number in (4, 5, 6)]

        again, freed = await reopen(OTHER)

        assert freed == []
        assert [await see(again, run.id) for run in before] == before

    async def test_what_a_dead_kernel_had_claimed_is_queued_again_and_told(self, store: Store, reopen: Reopen) -> None:
        claimed = await claim_one(store, new(1, due=NOW - 5))
        await store.enqueue([new(2)], NO_LIMIT)

        again, freed = await reopen(OTHER)

        assert freed == [await see(again, id_of(1))]
        assert (freed[0].state, freed[0].due, freed[0].token) == ("queued", NOW - 5, claimed.token)
        assert (freed[0].attempt, freed[0].failures, freed[0].kernel) == (1, 0, KERNEL.id)

    async def test_the_next_claim_of_a_freed_run_has_a_larger_token(self, store: Store, reopen: Reopen) -> None:
        old = await claim_one(store, new(1))

        again, _ = await reopen(OTHER)
        [claimed] = await claim(again)

        assert claimed.token > old.token
        assert await again.finish([change(old)]) == [False]
        assert await again.finish([change(claimed)]) == [True]

    async def test_a_run_that_has_ended_is_not_freed(self, store: Store, reopen: Reopen) -> None:
        await ended(store, new(1))

        again, freed = await reopen(OTHER)

        assert (freed, await state_of(again, 1)) == ([], ["completed"])

    async def test_a_client_frees_nothing(self, store: Store, reopen: Reopen) -> None:
        await claim_one(store, new(1))

        again, freed = await reopen(None)

        assert (freed, await state_of(again, 1)) == ([], ["running"])

    async def test_a_client_that_opens_beside_a_kernel_frees_nothing(self, store: Store, client: Store) -> None:
        claimed = await claim_one(store, new(1))

        assert await state_of(client, 1) == ["running"]
        assert await store.finish([change(claimed)]) == [True]

    async def test_a_freed_run_keeps_its_unique_key_and_is_stuck_no_more(self, store: Store, reopen: Reopen) -> None:
        claimed = await claim_one(store, new(1, unique="k"))
        await store.stick([claimed.id])

        again, [freed] = await reopen(OTHER)

        assert not freed.stuck
        assert await again.enqueue([new(2, unique="k")], NO_LIMIT) == [id_of(1)]

    async def test_unique_keys_rooms_and_order_hold_after_opening_again(self, store: Store, reopen: Reopen) -> None:
        await store.enqueue([new(1, unique="k"), new(2, due=NOW - 9), later(3, NOW + 9)], NO_LIMIT)

        again, _ = await reopen(OTHER)

        assert await again.enqueue([new(4, unique="k"), new(1)], {"default": 3}) == [id_of(1), id_of(1)]
        assert numbers(await claim(again, now=NOW + 9)) == [2, 1, 3]

    async def test_blocked_runs_are_let_go_after_opening_again(self, store: Store, reopen: Reopen) -> None:
        await claim_one(store, tick_run(1, NOW))
        await store.enqueue([tick_run(2, NOW, state="blocked")], NO_LIMIT)

        again, _ = await reopen(OTHER)
        [claimed] = await claim(again)
        await again.finish([change(claimed)])

        assert await state_of(again, 1, 2) == ["completed", "queued"]

    async def test_schedules_and_their_ledger_are_there_again(self, store: Store, reopen: Reopen) -> None:
        await store.put_schedules([row("a", paused=True), row("nightly")])
        await store.look([Look("nightly", NOW, NOW + 1)], lambda _look, _unfinished: Looked(ticks=[line(NOW)]))

        again, _ = await reopen(OTHER)
        await again.look([Look("nightly", NOW + 1, NOW + 2)], lambda _look, _unfinished: Looked(ticks=[line(NOW + 1)]))

        assert sorted(await again.schedules()) == [row("a", paused=True), row("nightly", looked_until=NOW + 2)]
        assert await again.ticks("nightly", NOW, NOW + 2, 10) == [line(NOW, NOW + 1, 2)]

    async def test_pauses_values_and_announcements_are_there_again(self, store: Store, reopen: Reopen) -> None:
        announced = Announced("fleet.sync", "fleet", "default", "{}")
        await store.pause_queue("washing", math.inf)
        await store.put("health", {"a": "1"})
        await store.announce(KERNEL.id, [announced], NOW)

        again, _ = await reopen(None)

        assert [queue.paused_until for queue in await again.queues()] == [math.inf]
        assert await again.get("health") == {"a": "1"}
        assert await again.announced() == [announced]

    async def test_signals_do_not_shrink_when_the_store_is_opened_again(self, store: Store, reopen: Reopen) -> None:
        await store.put_schedules([row()])
        await store.pause_queue("washing", math.inf)
        before = await store.signals()

        again, _ = await reopen(OTHER)

        assert await again.signals() == before

    async def test_a_kernel_that_has_closed_its_store_is_not_alive(self, store: Store, reopen: Reopen) -> None:
        again, _ = await reopen(OTHER)

        assert await again.kernels() == [OTHER]

    async def test_calls_made_just_before_closing_are_written(self, store: Store, reopen: Reopen) -> None:
        calls = [asyncio.ensure_future(store.enqueue([new(number)], NO_LIMIT)) for number in range(20)]
        await asyncio.gather(*calls[:1])

        again, _ = await reopen(OTHER)
        await asyncio.gather(*calls)

        assert numbers(await claim(again)) == list(range(20))

    # Other processes

    async def test_a_client_sees_what_a_kernel_wrote_and_the_other_way_round(self, store: Store, client: Store) -> None:
        await client.enqueue([new(1)], NO_LIMIT)
        [claimed] = await claim(store)
        await store.finish([change(claimed, result="1")])

        assert (await see(client, id_of(1))).result == 1
        assert await client.kernels() == [KERNEL]

    async def test_a_kernel_is_told_when_a_client_has_changed_the_store(self, store: Store, client: Store) -> None:
        told = asyncio.Event()
        store.on_change(told.set)

        await client.enqueue([new(1)], NO_LIMIT)

        await asyncio.wait_for(told.wait(), 10)
        assert numbers(await claim(store)) == [1]

    async def test_a_clients_wish_to_cancel_reaches_the_kernel(self, store: Store, client: Store) -> None:
        claimed = await claim_one(store, new(1))
        before = await store.signals()
        told = asyncio.Event()
        store.on_change(told.set)

        await client.cancel([id_of(1)], "no longer needed", NOW)

        await asyncio.wait_for(told.wait(), 10)
        assert (await store.signals()).cancels > before.cancels
        assert await store.cancels(KERNEL.id) == [(id_of(1), claimed.token, "no longer needed")]

    async def test_a_kernel_that_looks_while_another_store_has_looked_does_nothing(
        self, store: Store, client: Store
    ) -> None:
        await store.put_schedules([row()])
        look = Look("nightly", NOW, NOW + 60)

        answers = await asyncio.gather(
            *(one.look([look], lambda _look, _unfinished: Looked(runs=[tick_run(1, NOW)])) for one in (store, client))
        )

        assert sorted(answer is None for [answer] in answers) == [False, True]
        assert len(await claim(store)) == 1
