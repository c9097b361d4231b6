"""The SQLite store keeps what every durable store promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plugins.sqlite.store import SqliteStore
from tests.contracts.store_contract import DurableStoreContract, MakeStore

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.contracts.store import Store


class TestSqliteStore(DurableStoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        def make(place: str = "main") -> Store:
            return SqliteStore(tmp_path / f"{place}.db")

        return make
