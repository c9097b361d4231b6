"""What every store promises, in executable form: its test module subclasses StoreContract,
or DurableStoreContract, and says how it is made.

class TestMemoryStore(StoreContract):
    @pytest.fixture
    def make_store(self) -> MakeStore:
        return lambda place="main": MemoryStore("memory://")
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Protocol

import pytest

from tests.contracts.dying_kernel import die
from tests.contracts.store_promises.accepting import Accepting
from tests.contracts.store_promises.announcing import Announcing
from tests.contracts.store_promises.attempting import Attempting
from tests.contracts.store_promises.blocking import Blocking
from tests.contracts.store_promises.breakers import Breakers
from tests.contracts.store_promises.cancelling import Cancelling
from tests.contracts.store_promises.claiming import Claiming
from tests.contracts.store_promises.depending import Depending
from tests.contracts.store_promises.durability import Decide, Durability, Reopen
from tests.contracts.store_promises.expiring import Expiring
from tests.contracts.store_promises.finishing import Finishing
from tests.contracts.store_promises.histories import Histories
from tests.contracts.store_promises.ledger import Ledger
from tests.contracts.store_promises.life import Life
from tests.contracts.store_promises.limiting import Limiting
from tests.contracts.store_promises.looking import Looking
from tests.contracts.store_promises.losing import Losing
from tests.contracts.store_promises.pruning import Pruning
from tests.contracts.store_promises.queues import Queues
from tests.contracts.store_promises.reading import Reading
from tests.contracts.store_promises.recording import Recording
from tests.contracts.store_promises.retrying import Retrying
from tests.contracts.store_promises.samples import KERNEL, requeue
from tests.contracts.store_promises.schedules import Schedules
from tests.contracts.store_promises.signalling import Signalling
from tests.contracts.store_promises.unique import Unique

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kernel.contracts.store import KernelRow, Store
    from kernel.model.run import Run


class MakeStore(Protocol):
    """Makes a store, not yet open. One ``place`` is one store's data, empty when a test starts."""

    def __call__(self, place: str = "main") -> Store: ...


class StoreContract(
    Life,
    Accepting,
    Unique,
    Depending,
    Claiming,
    Limiting,
    Expiring,
    Finishing,
    Blocking,
    Cancelling,
    Retrying,
    Losing,
    Recording,
    Attempting,
    Reading,
    Pruning,
    Queues,
    Breakers,
    Schedules,
    Looking,
    Ledger,
    Announcing,
    Signalling,
    Histories,
):
    """What every store promises."""

    durable: ClassVar[bool] = False
    shared: ClassVar[bool] = False

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

        async def close_and_open(kernel: KernelRow | None, decide: Decide = requeue) -> tuple[Store, list[Run]]:
            await opened[-1].close()
            opened.append(make_store())
            await opened[-1].open(kernel)
            return opened[-1], [] if kernel is None else await opened[-1].rescue(kernel.id, decide)

        yield close_and_open
        await opened[-1].close()

    async def until_dead(self, store: Store) -> None:
        """Waits until ``store`` takes a kernel that was killed for dead; with a lock it does so at once."""

    @pytest.fixture
    async def bereaved(self, make_store: MakeStore) -> AsyncIterator[Store]:
        """A store, open as KERNEL, after a process that had claimed runs 1 and 2 of it as OTHER was killed.

        Run 3 is queued, run 4 depends on run 1.
        """
        store = make_store()
        package = type(store).__module__.rpartition(".")[0]
        await asyncio.to_thread(die, package, self.url_for_another_process(store))
        await store.open(KERNEL)
        await self.until_dead(store)
        yield store
        await store.close()

    def url_for_another_process(self, store: Store) -> str:
        """With which another process opens the same store."""
        return store.url

    @pytest.fixture
    async def client(self, make_store: MakeStore, store: Store) -> AsyncIterator[Store]:
        """A second store on the same data, opened as another process does that runs no jobs."""
        client = make_store()
        await client.open(None)
        yield client
        await client.close()
