"""What kernels announce of their jobs, and the small table for plugins."""

from __future__ import annotations

from kernel.contracts.store import Announced, Store
from tests.contracts.store_promises.samples import KERNEL, NOW

SYNC = Announced("fleet.sync", "fleet", "default", '{"priority":5}')
WASH = Announced("fleet.wash", "fleet", "washing", "{}")


class Announcing:
    async def test_nothing_is_announced_in_an_empty_store(self, store: Store) -> None:
        assert await store.announced() == []

    async def test_what_a_kernel_announces_can_be_read(self, store: Store) -> None:
        await store.announce(KERNEL.id, [WASH, SYNC], NOW)

        assert sorted(await store.announced()) == [SYNC, WASH]

    async def test_an_announcement_replaces_the_one_before(self, store: Store) -> None:
        await store.announce(KERNEL.id, [SYNC, WASH], NOW)

        await store.announce(KERNEL.id, [WASH._replace(queue="other")], NOW + 1)

        assert await store.announced() == [WASH._replace(queue="other")]

    async def test_a_kernel_without_jobs_announces_none(self, store: Store) -> None:
        await store.announce(KERNEL.id, [SYNC], NOW)

        await store.announce(KERNEL.id, [], NOW + 1)

        assert await store.announced() == []

    async def test_what_a_kernel_announces_itself_is_not_announced_elsewhere(self, store: Store) -> None:
        await store.announce(KERNEL.id, [SYNC], NOW)

        assert await store.announced_elsewhere(KERNEL.id) == set()

    # The table for plugins

    async def test_a_plugin_gets_what_it_put(self, store: Store) -> None:
        await store.put("health", {"a": "1", "b": '"ä"'})

        assert await store.get("health") == {"a": "1", "b": '"ä"'}

    async def test_a_plugin_gets_the_keys_that_it_asks_for(self, store: Store) -> None:
        await store.put("health", {"a": "1", "b": "2", "c": "3"})

        assert await store.get("health", ["c", "a", "unknown"]) == {"a": "1", "c": "3"}

    async def test_asking_for_no_keys_gets_none(self, store: Store) -> None:
        await store.put("health", {"a": "1"})

        assert await store.get("health", []) == {}

    async def test_the_keys_may_come_one_by_one(self, store: Store) -> None:
        await store.put("health", {"a": "1", "b": "2"})

        assert await store.get("health", (key for key in "ab")) == {"a": "1", "b": "2"}

    async def test_a_later_value_replaces_the_earlier_one_and_leaves_the_others(self, store: Store) -> None:
        await store.put("health", {"a": "1", "b": "2"})

        await store.put("health", {"a": "3"})

        assert await store.get("health") == {"a": "3", "b": "2"}

    async def test_none_deletes_a_key(self, store: Store) -> None:
        await store.put("health", {"a": "1", "b": "2"})

        await store.put("health", {"a": None, "unknown": None})

        assert await store.get("health") == {"b": "2"}

    async def test_each_plugin_has_its_own_table(self, store: Store) -> None:
        await store.put("health", {"a": "1"})
        await store.put("notify", {"a": "2"})

        assert await store.get("health") == {"a": "1"}
        assert await store.get("unknown") == {}
