"""The memory store keeps what every store promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plugins.memory.store import MemoryStore
from tests.contracts.store_contract import MakeStore, StoreContract

if TYPE_CHECKING:
    from kernel.contracts.store import Store


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def make_store(self) -> MakeStore:
        def make(place: str = "main") -> Store:
            return MemoryStore("memory://")

        return make
