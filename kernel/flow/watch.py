"""Notices what nobody tells: steps of the wall clock, and what other processes changed in the store."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from kernel.contracts.clock import sleep
from kernel.contracts.service import Periodic
from kernel.flow.worker_pool import Asked
from kernel.model.errors import StoreError
from kernel.model.events import ClockStepped, QueuePaused, QueueResumed

if TYPE_CHECKING:
    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Signals, Store
    from kernel.flow.breakers import Breakers
    from kernel.flow.claimer import Claimer
    from kernel.flow.event_bus import EventBus
    from kernel.flow.recorder import Recorder
    from kernel.flow.scheduler import Scheduler
    from kernel.flow.worker_pool import WorkerPool

log = logging.getLogger(__name__)

_SWEEP_SECONDS = 5.0
_AGAIN_SECONDS = 1.0


class Watch:
    """Once a second compares the clocks and re-arms the alarm; acts on the store's signals as they grow."""

    def __init__(
        self,
        kernel_id: str,
        *,
        store: Store,
        scheduler: Scheduler,
        breakers: Breakers,
        claimer: Claimer,
        pool: WorkerPool,
        recorder: Recorder,
        bus: EventBus,
        clock: Clock,
    ) -> None:
        self._kernel_id = kernel_id
        self._store = store
        self._scheduler = scheduler
        self._breakers = breakers
        self._claimer = claimer
        self._pool = pool
        self._recorder = recorder
        self._bus = bus
        self._clock = clock
        self._swept_at = clock.elapsed()
        self._seen: Signals | None = None
        self._paused: dict[str, float] = {}
        self._has_unheeded_cancels = False
        self._is_draining = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._periodic = Periodic("watch", 1.0, self._turn, clock)

    async def start(self) -> None:
        self._seen = await self._store.signals()
        await self._read_pauses()
        self._store.on_change(self._heard)
        self._recorder.on_cancels = self._changed.set
        self._task = asyncio.create_task(self._follow(), name="mainspring:changes")
        await self._periodic.start()

    def _heard(self) -> None:
        """Mostly it is new runs: they are claimed while it is still being read what else has changed."""
        self._claimer.wake()
        self._changed.set()

    def drain(self) -> None:
        """The kernel stops: from now on only what concerns the runs that still go on is heeded."""
        self._is_draining = True

    async def stop(self) -> None:
        await self._periodic.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def refresh(self) -> None:
        """Acts now on what an operator has written, instead of when the store tells."""
        await self._take_changes()

    async def _turn(self) -> None:
        try:
            await self._compare()
            self._recorder.trouble.ends("watch")
        except StoreError as error:
            self._recorder.trouble.begins("watch", error)

    async def _compare(self) -> None:
        if not self._is_draining:
            await self._compare_clocks()
        if self._has_unheeded_cancels:
            self._changed.set()
        if self._clock.elapsed() - self._swept_at >= _SWEEP_SECONDS:
            self._swept_at = self._clock.elapsed()
            self._claimer.wake()
            await self._breakers.sweep()
            await self._scheduler.heed_elsewhere()
            await self._store.beat(self._kernel_id, self._clock.now())

    async def _compare_clocks(self) -> None:
        step = await self._scheduler.heed_clock()
        if step:
            log.warning("the wall clock was set %s by %.1f s", "forward" if step > 0 else "back", abs(step))
            self._bus.publish(ClockStepped(self._clock.now(), step))
            self._claimer.wake()
        self._scheduler.rearm()

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._take_changes()
                self._recorder.trouble.ends("changes")
            except StoreError as error:
                self._recorder.trouble.begins("changes", error)
                await self._try_again()
            except Exception:
                log.exception("following the store's changes failed")
                await self._try_again()

    async def _try_again(self) -> None:
        await sleep(self._clock, _AGAIN_SECONDS)
        self._changed.set()

    async def _take_changes(self) -> None:
        signals, seen = await self._store.signals(), self._seen
        if not self._is_draining:
            if seen is None or signals.queues != seen.queues:
                await self._read_pauses()
            if seen is None or signals.schedules != seen.schedules:
                await self._scheduler.reload()
        if seen is None or signals.breakers != seen.breakers:
            await self._breakers.refresh()
        if seen is None or signals.cancels != seen.cancels or self._has_unheeded_cancels:
            await self._take_cancels()
        self._seen = signals
        self._recorder.endings.look()
        if signals != seen:
            self._claimer.wake()

    async def _take_cancels(self) -> None:
        wishes = await self._store.cancels(self._kernel_id)
        # A run whose claim, or whose outcome, is on its way to the store or back is not here: it is asked for again.
        not_here = [
            run_id
            for run_id, _token, reason in wishes
            if not (self._pool.ask(run_id, Asked("cancel", reason)) or self._claimer.cancel(run_id, reason))
        ]
        self._has_unheeded_cancels = bool(not_here)

    async def _read_pauses(self) -> None:
        now = self._clock.now()
        paused = {
            row.name: row.paused_until
            for row in await self._store.queues()
            if row.paused_until is not None and row.paused_until > now
        }
        for queue, until in paused.items():
            if self._paused.get(queue) != until:
                self._bus.publish(QueuePaused(now, queue, None if until == float("inf") else until))
        for queue in self._paused.keys() - paused.keys():
            self._bus.publish(QueueResumed(now, queue))
        self._paused = paused
        self._claimer.pause(paused)
