"""Deletes finished runs and ledger lines that are no longer kept, a few at a time, so that nobody waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kernel.contracts.service import Periodic
from kernel.model.job import Keep

if TYPE_CHECKING:
    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Store
    from kernel.flow.catalog import Catalog

TICKS_KEPT_SECONDS = 7 * 24 * 3600.0
_EVERY_SECONDS = 30.0
_AT_ONCE = 1_000


class Pruner:
    """Every half minute, in steps of at most 1,000 rows, by each job's ``keep``."""

    def __init__(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._periodic = Periodic("pruner", _EVERY_SECONDS, self.turn, clock)

    async def start(self) -> None:
        await self._periodic.start()

    async def stop(self) -> None:
        await self._periodic.stop()

    async def turn(self) -> None:
        """Prunes until nothing is left to prune."""
        while True:
            now = self._clock.now()
            keep = {name: job.policies.keep for name, job in self._catalog.jobs.items()}
            gone = await self._store.prune(keep, Keep(), now - TICKS_KEPT_SECONDS, now, _AT_ONCE)
            if gone < _AT_ONCE:
                return
            await asyncio.sleep(0)
