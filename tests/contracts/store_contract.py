"""What every store promises, in executable form: its test module subclasses StoreContract,
or DurableStoreContract, and says how it is made.

class TestMemoryStore(StoreContract):
    @pytest.fixture
    def make_store(self) -> MakeStore:
        return lambda place="main": MemoryStore("memory://")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import ClassVar, Protocol

import pytest

from kernel.contracts.store import KernelRow, Store
from kernel.model.run import Run
from tests.contracts.store_promises.accepting import Accepting
from tests.contracts.store_promises.announcing import Announcing
from tests.contracts.store_promises.blocking import Blocking
from tests.contracts.store_promises.cancelling import Cancelling
from tests.contracts.store_promises.claiming import Claiming
from tests.contracts.store_promises.durability import Durability
from tests.contracts.store_promises.expiring import Expiring
from tests.contracts.store_promises.finishing import Finishing
from tests.contracts.store_promises.histories import Histories
from tests.contracts.store_promises.ledger import Ledger
from tests.contracts.store_promises.life import Life
from tests.contracts.store_promises.looking import Looking
from tests.contracts.store_promises.pruning import Pruning
from tests.contracts.store_promises.queues import Queues
from tests.contracts.store_promises.reading import Reading
from tests.contracts.store_promises.retrying import Retrying
from tests.contracts.store_promises.samples import KERNEL
from tests.contracts.store_promises.schedules import Schedules
from tests.contracts.store_promises.signalling import Signalling


class MakeStore(Protocol):
    """Makes a store, not yet open. One ``place`` is one store's data, empty when a test starts."""

    def __call__(self, place: str = "main") -> Store: ...


Reopen = Callable[[KernelRow | None], Awaitable[tuple[Store, list[Run]]]]
"""Closes the store, opens another one in its place, and gives it with the runs that opening set free."""


class StoreContract(
    Life,
    Accepting,
    Claiming,
    Expiring,
    Finishing,
    Blocking,
    Cancelling,
    Retrying,
    Reading,
    Pruning,
    Queues,
    Schedules,
    Looking,
    Ledger,
    Announcing,
    Signalling,
    Histories,
):
    """What every store promises."""

    durable: ClassVar[bool] = False

    @pytest.fixture
    def make_store(self) -> MakeStore:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, make_store: MakeStore) -> AsyncIterator[Store]:
        store = make_store()
        await store.open(KERNEL)
        yield store
        await store.close()


class DurableStoreContract(Durability, StoreContract):
    """And what a store promises of which everything outlives its process, and which other processes see."""

    durable = True
    histories = (25, 30)

    @pytest.fixture
    async def reopen(self, make_store: MakeStore, store: Store) -> AsyncIterator[Reopen]:
        opened: list[Store] = [store]

        async def close_and_open(kernel: KernelRow | None) -> tuple[Store, list[Run]]:
            await opened[-1].close()
            opened.append(make_store())
            return opened[-1], await opened[-1].open(kernel)

        yield close_and_open
        await opened[-1].close()

    @pytest.fixture
    async def client(self, make_store: MakeStore, store: Store) -> AsyncIterator[Store]:
        """A second store on the same data, opened as another process does that runs no jobs."""
        client = make_store()
        await client.open(None)
        yield client
        await client.close()
