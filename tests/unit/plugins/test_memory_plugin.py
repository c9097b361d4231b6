"""The memory plugin opens stores for ``memory://``."""

from __future__ import annotations

import pytest

from kernel.hooks import hooks_of
from plugins import memory
from plugins.memory.store import MemoryStore
from tests.contracts.store_promises.samples import KERNEL, NO_LIMIT, new, numbers


def test_the_plugin_opens_a_store_for_its_scheme() -> None:
    [hook] = hooks_of("memory", memory)["open_store"]

    store = hook.call({"url": "memory://"})

    assert isinstance(store, MemoryStore)
    assert store.url == "memory://"


@pytest.mark.parametrize("url", ["sqlite:///var/mainspring.db", "postgresql://host/memory", "memory", ""])
def test_the_plugin_leaves_other_urls_to_others(url: str) -> None:
    assert memory.open_store(url) is None


async def test_two_stores_of_one_url_share_nothing() -> None:
    first, second = MemoryStore("memory://"), MemoryStore("memory://")
    await first.open(KERNEL)

    await first.enqueue([new(1)], NO_LIMIT)

    assert await second.enqueue([new(1)], NO_LIMIT) == [new(1).id]
    assert await second.kernels() == []
    assert numbers([new(1)]) == [1]


async def test_a_store_that_was_closed_has_no_kernel_alive() -> None:
    store = MemoryStore()
    await store.open(KERNEL)

    await store.close()

    assert await store.kernels() == []


def test_every_call_is_done_without_giving_way() -> None:
    call = MemoryStore().enqueue([new(1)], NO_LIMIT)

    with pytest.raises(StopIteration) as stopped:
        call.send(None)

    assert stopped.value.value == [new(1).id]
