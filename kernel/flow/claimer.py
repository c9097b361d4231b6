"""Claims what is due, most urgent first, a batch at a time, and puts it into the ready queue.

Woken by the recorder (new work), the worker pool (room), a timer (the next run becomes due) and the watch.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from kernel.contracts.clock import sleep
from kernel.contracts.store import Claim
from kernel.flow.ready_queue import UNLIMITED
from kernel.flow.recorder import Finished
from kernel.model import loss
from kernel.model.errors import StoreError
from kernel.model.lifecycle import settle
from kernel.model.outcome import Cancelled, NotBegun
from kernel.model.retry import Retry
from kernel.model.run import QUEUED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kernel.contracts.clock import Clock, Timer
    from kernel.flow.breakers import Breakers
    from kernel.flow.ready_queue import Limits, ReadyQueue
    from kernel.flow.recorder import Recorder
    from kernel.model.run import Claimed, NewRun

log = logging.getLogger(__name__)

_LARGEST_WINDOW = 2_000
_QUICK_SECONDS = 0.05
_LATE_SECONDS = 20.0
"""By then a claim that was given up is written, or never will be: what is cut off may arrive, and what is slow may end."""
_NO_RETRY = Retry()


class Claimer:
    """Keeps the ready queue filled: the free slots plus one window, and past it only what is more urgent than what is held.

    What is held past a second window goes back, the least urgent first.

    The window is the kernel's concurrency, and doubles (to 2,000) while whole windows are used up within 50 ms, so
    that short runs travel in large batches and long ones are left for other kernels.
    """

    def __init__(
        self,
        kernel_id: str,
        *,
        ready: ReadyQueue,
        limits: Limits,
        breakers: Breakers,
        recorder: Recorder,
        clock: Clock,
        concurrency: int,
        free_slots: Callable[[], int],
        wake_workers: Callable[[], None],
        running: Callable[[], Iterable[Claimed]],
    ) -> None:
        self._kernel_id = kernel_id
        self._ready = ready
        self._limits = limits
        self._breakers = breakers
        self._recorder = recorder
        self._clock = clock
        self._free_slots = free_slots
        self._wake_workers = wake_workers
        self._running = running
        self._smallest_window = concurrency
        self._window = concurrency
        self.is_hungry_below = max(concurrency // 2, 1)
        """The length of the ready queue below which ``hungry`` should be told."""
        self._window_filled_at = -math.inf
        self._paused: dict[str, float] = {}
        self._limits.on_room = lambda: self.new_work(-math.inf)
        self._woken = asyncio.Event()
        self._newcomer = math.inf
        self._must_claim = False
        self._may_be_more = False
        self._is_unsure = False
        """Whether a claim may have been written though the store did not say so."""
        self._may_be_late = False
        """Whether one may have been written since then."""
        self._late: Timer | None = None
        self.may_claim: Callable[[], bool] = lambda: True
        """Asked before each claim, and after it: one that was under way may be of a lease that is lost."""
        self._suspects: set[str] = set()
        """Of those claimed here, whose end is not written yet: another one waits until there are none."""
        self._may_take_suspects = False
        self._settling: Timer | None = None
        self._timer: Timer | None = None
        self._armed_for = math.inf
        self._expected = math.inf
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._loop(), name="mainspring:claimer")
        self._settling = self._clock.call_in(loss.SETTLED_SECONDS, self._settled)
        self.wake()

    async def stop(self) -> None:
        """Claims no more. A claim under way is awaited, so that nothing is left claimed unseen."""
        if self._task is not None:
            task, self._task = self._task, None
            self._woken.set()
            await asyncio.wait({task})
        for timer in (self._timer, self._settling, self._late):
            if timer is not None:
                timer.cancel()

    def _settled(self) -> None:
        """The kernel has been up for long enough to try what may take it down."""
        self._may_take_suspects = True
        self.wake()

    def suspect_ended(self, run_id: str) -> None:
        """Its outcome is written: the next one may be tried."""
        self._suspects.discard(run_id)
        self.wake()

    def wake(self) -> None:
        """Something may have changed: claim, even if only to end what has expired, or what may be more urgent now."""
        self._must_claim = True
        self._newcomer = -math.inf
        self._woken.set()

    def new_work(self, urgency: float) -> None:
        """Runs are being enqueued, the most urgent of this urgency (or due time, when later)."""
        self._newcomer = min(self._newcomer, urgency)
        self._woken.set()

    def new_runs(self, runs: Sequence[NewRun]) -> None:
        """These are being enqueued; nobody claims for those of paused queues."""
        if self._paused:
            now = self._clock.now()
            runs = [run for run in runs if self._paused.get(run.queue, 0.0) <= now]
        if runs:
            self.new_work(min([run.urgency if run.state == QUEUED else run.due for run in runs]))

    def expect(self, due: float) -> None:
        """A run of the store becomes due then: claims no later."""
        # A claim under way may not have seen it: what that says of the next due run is not all there is.
        self._expected = min(self._expected, due)
        if due < self._armed_for:
            self._arm(due, self._clock.now())

    def hungry(self) -> None:
        """The ready queue runs low, or a limited lane has room again."""
        if self._may_be_more:
            self._woken.set()

    def pause(self, paused: dict[str, float]) -> None:
        """Queue -> until when it is paused, all of them; runs of these that have not begun go back."""
        self._paused = paused
        self.release(lambda run: run.queue in paused, "queue paused")
        self.wake()

    def _release_what_breakers_hold_back(self) -> None:
        if held_back := self._breakers.held_back(self._ready.held):
            self.release(lambda run: run.id in held_back, "breaker open")

    def release(self, which: Callable[[Claimed], bool], reason: str) -> int:
        """Gives back to the store what has not begun; how many."""
        now = self._clock.now()
        taken = self._ready.take(which)
        for run in taken:
            self._recorder.finish(Finished(settle(run, NotBegun(reason), _NO_RETRY, now, 0.0), run, 0.0))
        return len(taken)

    def cancel(self, run_id: str, reason: str) -> bool:
        """Ends a run that is claimed and has not begun; False when it is not here."""
        now = self._clock.now()
        taken = self._ready.take(lambda one: one.id == run_id)
        for run in taken:
            self._recorder.finish(Finished(settle(run, Cancelled(reason), _NO_RETRY, now, 0.0), run, 0.0))
        return bool(taken)

    async def _loop(self) -> None:
        wait = 0.1
        while True:
            await self._woken.wait()
            self._woken.clear()
            if self._task is None:
                return
            try:
                await self._turn()
                wait = 0.1
            except StoreError as error:
                self._recorder.trouble.begins("claims", error)
                wait = await self._rest(wait)
            except Exception:
                log.exception("claiming failed; it is tried again")
                wait = await self._rest(wait)

    async def _rest(self, wait: float) -> float:
        """After a failure; the next wait."""
        await sleep(self._clock, wait)
        self.wake()
        return min(wait * 2, 5.0)

    async def _turn(self) -> None:
        if self._recorder.trouble.holds_up or not self.may_claim():  # woken when that is over
            return
        limit, before = self._appetite()
        newcomer, must, self._newcomer, self._must_claim = self._newcomer, self._must_claim, math.inf, False
        if limit <= 0 and not must:
            self._may_be_more = self._may_be_more or newcomer < math.inf
            return
        await self._claim(max(limit, 0), before)

    async def _claim(self, limit: int, before: float | None) -> None:
        self._ready.refresh_limits(self._running())
        at_once = self._free_slots() - self._ready.startable if self._limits.count_claims else UNLIMITED
        jobs, queues = self._limits.rooms(at_once)
        jobs = self._breakers.rooms(jobs, self._ready.held)
        now = self._clock.now()
        for queue, until in self._paused.items():
            if until > now:
                queues[queue] = 0
        self._expected = math.inf
        self._is_unsure, was_unsure = True, self._is_unsure
        may_be_unseen = was_unsure or self._may_be_late
        suspects = int(self._may_take_suspects and not self._suspects and not may_be_unseen)
        limits = self._limits
        claim = Claim(
            self._kernel_id, now, limit, jobs, queues, before,
            limits.key_limits, limits.job_rates, limits.queue_rates, limits.key_rates, suspects,
            limits.job_limits, limits.queue_limits, at_once if 0 < at_once < limit else None,
        )  # fmt: skip
        runs, next_due = await self._recorder.claim(claim)
        self._take(runs)
        if may_be_unseen:
            self._take(await self._recorder.claimed_unseen(self._kernel_id, self._seen))
            self.wake()  # a suspect may have been left out
            self._may_be_late = False
        if was_unsure:
            self._look_late()
        self._is_unsure = False
        self._recorder.trouble.ends("claims")
        if self._task is None:
            self.release(lambda _run: True, "the kernel stops")
        elif not self.may_claim():
            self.release(lambda _run: True, "the kernel's lease is lost, or about to be")
        elif len(self._ready):  # what was held before too: limits may have changed
            if self._paused:  # by somebody while the claim was under way
                self.release(lambda run: self._paused.get(run.queue, 0.0) > now, "queue paused")
            self._release_what_breakers_hold_back()
            self._wake_workers()
        self._arm(min(math.inf if next_due is None else next_due, self._expected), now)
        self._see_what_is_left(runs, full=len(runs) >= limit, in_order=before is None)

    def _look_late(self) -> None:
        """Once more in a while for what the store holds for this kernel and nobody here has seen."""

        def look() -> None:
            self._may_be_late = True
            self.wake()

        if self._late is not None:
            self._late.cancel()
        self._late = self._clock.call_in(_LATE_SECONDS, look)

    def _take(self, runs: Sequence[Claimed]) -> None:
        self._ready.push(runs)
        if self._may_take_suspects:
            self._suspects.update(run.id for run in runs if run.losses and loss.is_suspect(run.losses))

    def _seen(self) -> set[str]:
        return {run.id for run in (*self._ready.held(), *self._running())}

    def _see_what_is_left(self, runs: Sequence[Claimed], *, full: bool, in_order: bool) -> None:
        if in_order:  # otherwise there may be any number of less urgent ones
            self._may_be_more = full or self._limits.have_cut_short
            self._fit_window(full=full)
            if full and self._ready.startable < self.is_hungry_below:
                self._woken.set()
        if full and runs:
            self._make_room()
            worst = self._ready.worst()
            if worst is not None and runs[-1].urgency < worst:  # the next one of the store may go before it too
                self.new_work(-math.inf)

    def _appetite(self) -> tuple[int, float | None]:
        limit = self._free_slots() + self._window - self._ready.startable
        if limit > 0 or self._newcomer == math.inf:
            return limit, None
        worst = self._ready.worst()
        return (self._window, worst) if worst is not None and self._newcomer < worst else (0, None)

    def _make_room(self) -> None:
        most = self._free_slots() + self._window
        if self._ready.startable > most + self._window:
            least_urgent = {run.id for run in self._ready.least_urgent(self._ready.startable - most)}
            self.release(lambda run: run.id in least_urgent, "more urgent runs came")

    def _fit_window(self, *, full: bool) -> None:
        now = self._clock.elapsed()
        if full and now - self._window_filled_at < _QUICK_SECONDS:
            self._window = min(self._window * 2, max(_LARGEST_WINDOW, self._smallest_window))
        elif now - self._window_filled_at > 4 * _QUICK_SECONDS:
            self._window = self._smallest_window
        self.is_hungry_below = max(self._window // 2, 1)
        self._window_filled_at = now

    def _arm(self, next_due: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ends_of_pauses = [until for until in self._paused.values() if until > now]
        self._armed_for = min([next_due, *ends_of_pauses])
        if self._armed_for < math.inf:
            self._timer = self._clock.call_in(self._armed_for - now, self.wake)
