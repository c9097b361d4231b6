"""The memory store keeps what every store promises."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from plugins.memory.store import MemoryStore
from tests.contracts.store_contract import DurableStoreContract, MakeStore, StoreContract

if TYPE_CHECKING:
    from kernel.contracts.store import Store


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def make_store(self) -> MakeStore:
        def make(place: str = "main") -> Store:
            return MemoryStore("memory://")

        return make


def test_no_promise_hides_another_one_of_its_name() -> None:
    names = [name for part in DurableStoreContract.__mro__ for name in vars(part) if name.startswith("test_")]

    assert [name for name, count in Counter(names).items() if count > 1] == []
