"""The SQLite store keeps what every durable store promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel.contracts.store import Store
from plugins.sqlite.store import SqliteStore
from tests.contracts.store_contract import DurableStoreContract, MakeStore


class TestSqliteStore(DurableStoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        def make(place: str = "main") -> Store:
            return SqliteStore(tmp_path / f"{place}.db")

        return make
