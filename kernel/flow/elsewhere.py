"""Which jobs other kernels know: ticks of jobs that are not here are left to them.

Asked by the scheduler. Where one kernel has the store alone there is nobody to leave anything to, and the store is not asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from kernel.contracts.store import Store


class Elsewhere:
    """The jobs that other kernels have announced and that are alive, as of the last reading."""

    def __init__(self, kernel_id: str, store: Store) -> None:
        self._kernel_id = kernel_id
        self._store = store
        self.jobs: AbstractSet[str] = frozenset()

    @property
    def is_possible(self) -> bool:
        """Whether there may be other kernels at all."""
        return self._store.is_shared

    async def read(self) -> bool:
        """Asks the store; whether the answer is another one than before."""
        if not self.is_possible:
            return False
        before, self.jobs = self.jobs, await self._store.announced_elsewhere(self._kernel_id)
        return before != self.jobs
