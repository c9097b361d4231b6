"""Deletes finished runs and ledger lines that are no longer kept, a few at a time, so that nobody waits for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from kernel.contracts.service import Periodic
from kernel.model.errors import StoreError
from kernel.model.job import Keep

if TYPE_CHECKING:
    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Store
    from kernel.flow.catalog import Catalog

log = logging.getLogger(__name__)

TICKS_KEPT_SECONDS = 7 * 24 * 3600.0
_EVERY_SECONDS = 30.0
_AT_ONCE = 1_000


class Pruner:
    """Every half minute, in steps of at most 1,000 rows, by each job's ``keep``."""

    def __init__(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._periodic = Periodic("pruner", _EVERY_SECONDS, self._try, clock)
        self._is_troubled = False

    async def start(self) -> None:
        await self._periodic.start()

    async def stop(self) -> None:
        await self._periodic.stop()

    async def _try(self) -> None:
        """A store that does not take it will do so the next time: said once."""
        try:
            await self.turn()
            self._is_troubled = False
        except StoreError as error:
            if not self._is_troubled:
                log.warning("nothing is pruned until the store takes it: %s", error)
            self._is_troubled = True

    async def turn(self) -> None:
        """Prunes until nothing is left to prune."""
        while True:
            now = self._clock.now()
            keep = {name: job.policies.keep for name, job in self._catalog.jobs.items()}
            gone = await self._store.prune(keep, Keep(), now - TICKS_KEPT_SECONDS, now, _AT_ONCE)
            if gone < _AT_ONCE:
                return
            await asyncio.sleep(0)
