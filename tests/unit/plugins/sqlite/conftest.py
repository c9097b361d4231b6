from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plugins.sqlite.store import SqliteStore
from tests.unit.plugins.sqlite.sqlite_samples import KERNEL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "mainspring.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    """Open, as a kernel."""
    store = SqliteStore(path)
    await store.open(KERNEL)
    yield store
    await store.close()


@pytest.fixture
async def client(path: Path, store: SqliteStore) -> AsyncIterator[SqliteStore]:
    """On the same file, as another process that runs no jobs."""
    client = SqliteStore(path)
    await client.open(None)
    yield client
    await client.close()
