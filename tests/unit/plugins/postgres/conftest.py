from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from plugins.postgres.store import PostgresStore
from tests.unit.plugins.postgres.postgres_samples import row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Open = Callable[..., Awaitable[PostgresStore]]


@pytest.fixture
async def open_store(postgres_url: str) -> AsyncIterator[Open]:
    """Opens a store on the test's database, as this kernel (None: as a client); all are closed at the end."""
    opened: list[PostgresStore] = []

    async def open_store(kernel: int | None = 1, *, url: str = postgres_url, **options: Any) -> PostgresStore:
        store = PostgresStore(url, **options)
        await store.open(None if kernel is None else row(kernel))
        opened.append(store)
        return store

    yield open_store
    for store in opened:
        await store.close()
