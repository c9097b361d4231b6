"""The memory store keeps what every store promises."""

from __future__ import annotations

import pytest

from kernel.contracts.store import Store
from plugins.memory.store import MemoryStore
from tests.contracts.store_contract import MakeStore, StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def make_store(self) -> MakeStore:
        def make(place: str = "main") -> Store:
            return MemoryStore("memory://")

        return make
