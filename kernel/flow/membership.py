"""What kernels that share a store do about one another's life and death; where one kernel has the store alone, nothing.

It looks after the kernel's own lease, takes up what others had claimed when they died, and follows the store's clock.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from kernel.contracts.service import Periodic
from kernel.flow.worker_pool import Asked
from kernel.model.errors import StoreError

if TYPE_CHECKING:
    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Store
    from kernel.flow.claimer import Claimer
    from kernel.flow.recorder import Recorder
    from kernel.flow.worker_pool import Worker, WorkerPool

log = logging.getLogger(__name__)

LEASE_LOOK_SECONDS = 0.5
RESCUE_SECONDS = 10.0
_SURE_SECONDS = 2.0
"""For so long after a look runs begin without another one: a few looks, and little of a lease."""
LEASE, RESCUE = "lease", "rescue"
"""The parts of this work that may be in trouble with the store."""
NOT_RENEWED = "the kernel's lease could not be renewed in time: no run begins until it is"
LOST = "the kernel's lease had run out, and others go on with what it had claimed"


class Membership:
    """Says to the claimer whether it may claim, and takes from it and from the worker pool what is not theirs any more."""

    def __init__(
        self, kernel_id: str, *, store: Store, claimer: Claimer, pool: WorkerPool, recorder: Recorder, clock: Clock
    ) -> None:
        self._kernel_id = kernel_id
        self._store = store
        self._claimer = claimer
        self._pool = pool
        self._recorder = recorder
        self._clock = clock
        self._losses = store.lease_losses
        self._lost: dict[Worker, int] = {}
        """Workers with attempts that were lost with a lease, and the serial numbers of these attempts."""
        self._is_cut_off = False
        # Apart: a look at the lease must not wait for a store that does not answer.
        self._looks = Periodic("lease", LEASE_LOOK_SECONDS, self._look, clock)
        self._rescues = Periodic("rescue", RESCUE_SECONDS, self._rescue, clock)

    async def start(self) -> None:
        if self._store.is_shared:
            self._claimer.may_claim = self.may_claim
            self._pool.may_begin = self.may_begin
            self._pool.sure_until = -math.inf
            await self._looks.start()
            await self._rescues.start()

    async def stop(self) -> None:
        await self._rescues.stop()
        await self._looks.stop()

    def may_claim(self) -> bool:
        """Not while the lease is in doubt, nor beside attempts that were lost with one: it may be their runs that come."""
        may_start = self._store.may_start
        # In this order: when the lease holds again, it is known already whether it had been lost.
        self._heed_loss()
        return may_start and not self._lost

    def may_begin(self) -> bool:
        """Whether what was claimed is still this kernel's. Asked when nobody has looked for a while: it was stopped, say."""
        may_start, losses = self._store.may_start, self._losses
        self._heed_loss()
        if not may_start:
            self._begin_nothing()
        elif losses == self._losses:
            self._pool.sure_until = self._clock.elapsed() + _SURE_SECONDS
            return True
        return False

    # The own lease

    async def _look(self) -> None:
        self._clock.correct(self._store.clock_offset)
        may_start = self._store.may_start
        self._heed_loss()
        self._pool.sure_until = self._clock.elapsed() + _SURE_SECONDS if may_start else -math.inf
        if not may_start:
            self._begin_nothing()
        elif self._is_cut_off:
            self._is_cut_off = False
            self._recorder.trouble.ends(LEASE)
            self._claimer.wake()
        if self._lost:
            self._see_what_has_ended()

    def _begin_nothing(self) -> None:
        """Another kernel may begin soon what this one has claimed."""
        given_back = self._claimer.release(lambda _run: True, "the kernel's lease was not renewed")
        if self._is_cut_off:
            return
        self._is_cut_off = True
        text = f"{NOT_RENEWED}; {given_back} that had not begun are given back"
        if self._recorder.trouble:
            log.warning("%s", text)
        self._recorder.trouble.begins(LEASE, StoreError(text))

    def _heed_loss(self) -> None:
        losses = self._store.lease_losses
        if losses == self._losses:
            return
        self._losses = losses
        # Their outcomes will be refused, and so will be what is given back, but for what was claimed since.
        self._lost.update({worker: worker.serial for worker in self._pool.busy.values()})
        self._pool.ask_all(Asked("lost", LOST))
        given_back = self._claimer.release(lambda _run: True, LOST)
        log.warning(
            "%s: %d attempts are cancelled, %d runs that had not begun are left to others",
            LOST, len(self._lost), given_back,
        )  # fmt: skip

    def _see_what_has_ended(self) -> None:
        busy = set(self._pool.busy.values())
        self._lost = {one: serial for one, serial in self._lost.items() if one in busy and one.serial == serial}
        if not self._lost:
            self._claimer.wake()

    # The others

    async def _rescue(self) -> None:
        if not self._store.may_start:
            return
        try:
            runs = await self._recorder.rescue(self._kernel_id)
            self._recorder.trouble.ends(RESCUE)
        except StoreError as error:
            self._recorder.trouble.begins(RESCUE, error)
            return
        self._recorder.tell_lost(runs)
        if runs:
            self._claimer.wake()
