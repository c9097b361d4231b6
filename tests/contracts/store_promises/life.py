"""A store's life: where it is, who has it open, and how it closes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from kernel.contracts.store import Member
from tests.contracts.store_promises.durability import Durability
from tests.contracts.store_promises.samples import KERNEL, NO_LIMIT, NOW, change, claim, new, requeue, signed_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.contracts.store import Store


class Life:
    durable: ClassVar[bool]
    shared: ClassVar[bool]

    async def test_a_store_says_where_it_is_and_whether_it_is_durable(self, store: Store) -> None:
        assert "://" in store.url
        assert store.is_durable == self.durable == isinstance(self, Durability)

    async def test_an_empty_store_has_nothing_to_rescue(self, store: Store) -> None:
        assert await store.rescue(KERNEL.id, requeue) == []

    async def test_a_store_may_be_closed_twice(self, make_store: Callable[[], Store]) -> None:
        store = make_store()
        await store.open(KERNEL)

        await store.close()
        await store.close()

    async def test_a_store_that_was_never_opened_may_be_closed(self, make_store: Callable[[], Store]) -> None:
        await make_store().close()

    async def test_a_client_opens_a_store_without_being_a_kernel(self, make_store: Callable[[], Store]) -> None:
        store = make_store()

        await store.open(None)
        assert await store.kernels() == []

        await store.close()

    async def test_the_kernel_that_has_opened_a_store_is_alive(self, store: Store) -> None:
        [row] = await store.kernels()

        assert signed_in(row) == signed_in(KERNEL)
        assert row.started == row.seen == pytest.approx(KERNEL.started + store.clock_offset, abs=1.0)

    async def test_a_heartbeat_tells_when_a_kernel_was_seen_last(self, store: Store) -> None:
        [before] = await store.kernels()

        await store.beat(KERNEL.id, NOW + 5)

        assert await store.kernels() == [before._replace(seen=NOW + 5)]

    async def test_a_heartbeat_of_an_unknown_kernel_makes_none(self, store: Store) -> None:
        before = await store.kernels()

        await store.beat("unknown", NOW + 5)

        assert await store.kernels() == before

    async def test_a_kernel_is_a_member_with_as_many_runs_as_it_has_claimed(self, store: Store) -> None:
        await store.enqueue([new(1), new(2), new(3)], NO_LIMIT)
        claimed = await claim(store, limit=2)
        busy = await store.members()
        await store.finish([change(claimed[0])])

        [row] = await store.kernels()
        assert busy == [Member(row, is_alive=True, running=2)]
        assert await store.members() == [Member(row, is_alive=True, running=1)]

    async def test_a_kernel_that_has_just_opened_a_store_may_start_and_has_lost_nothing(self, store: Store) -> None:
        assert (store.may_start, store.lease_losses) == (True, 0)

    async def test_kernels_go_by_a_clock_of_the_store_only_where_they_share_it(self, store: Store) -> None:
        assert store.is_shared == self.shared
        assert store.is_shared or store.clock_offset == 0.0
