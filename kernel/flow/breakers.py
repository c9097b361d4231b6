"""The circuit breakers by name: which calls may begin, and what their ends make of it.

Asked by the worker pool (a job's own breaker), by ``ctx.breaker``, and by the claimer: how many runs a breaker lets begin.
A breaker's state is a row in the store, shared by all kernels; what is decided here is written there, in order.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.contracts.clock import sleep
from kernel.contracts.store import BreakerRow
from kernel.model.breaker import CLOSED, HALF_OPEN, OPEN, Circuit, Thresholds, clash
from kernel.model.errors import BreakerOpen, RequestError, StoreError, printable
from kernel.model.events import BreakerClosed, BreakerHalfOpened, BreakerOpened
from kernel.model.run import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kernel.contracts.clock import Clock, Timer
    from kernel.contracts.store import Store
    from kernel.flow.catalog import Catalog
    from kernel.flow.event_bus import EventBus
    from kernel.flow.recorder import Recorder
    from kernel.model.breaker import BreakerTable
    from kernel.model.run import Claimed

log = logging.getLogger(__name__)

MOST_BREAKERS = 10_000
_ERROR_CHARACTERS = 300
_LONGEST_WAIT = 5.0
_SHORTEST_WAIT = 0.001
_PART = "breakers"


class Call:
    """A call that was let through. It ends once; what comes after that counts for nothing."""

    __slots__ = ("breaker", "era", "is_over")

    def __init__(self, breaker: _Breaker, era: int) -> None:
        self.breaker = breaker
        self.era = era
        self.is_over = False

    @property
    def name(self) -> str:
        return self.breaker.name

    @property
    def counts(self) -> bool:
        """Whether it is under way, and its end will count: the breaker is as it was when the call began."""
        return not self.is_over and self.era == self.breaker.circuit.era


class _Write(NamedTuple):
    """A state that the store does not have yet. ``claimed``: somebody waits for it, to begin a probe."""

    circuit: Circuit
    claimed: asyncio.Future[bool] | None = None


class _Breaker:
    """One breaker as this kernel knows it; the instants of its circuit are elapsed time. ``version`` is the row's."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.circuit = Circuit()
        self.version = 0
        self.declared: tuple[Thresholds, str] | None = None
        self.is_used = False
        self.in_flight = 0
        self.unwritten: deque[_Write] = deque()
        self.writer: asyncio.Task[None] | None = None
        self.is_troubled = False
        self.timer: Timer | None = None
        self.told = CLOSED

    @property
    def is_idle(self) -> bool:
        """Whether it is as if it had never been asked for."""
        return self.circuit.state == CLOSED and self.circuit.failures == self.version == self.in_flight == 0


class Breakers:
    """All breakers of this kernel. On the loop only."""

    def __init__(
        self, kernel_id: str, *, store: Store, catalog: Catalog, recorder: Recorder, bus: EventBus, clock: Clock
    ) -> None:
        self._kernel_id = kernel_id
        self._store = store
        self._catalog = catalog
        self._recorder = recorder
        self._bus = bus
        self._clock = clock
        self._breakers: dict[str, _Breaker] = {}
        self._shut: dict[str, _Breaker] = {}
        self._is_stopped = False
        # A row belongs to all callers: it is not written with the context variables of one of them.
        self._context = contextvars.copy_context()
        self.on_change: Callable[[], None] = lambda: None
        """A breaker lets other runs begin than before, or none."""

    # Life

    async def drain(self) -> None:
        """Waits until every state is written."""
        while writers := {one.writer for one in self._breakers.values() if one.writer is not None}:
            await asyncio.wait(writers)

    async def stop(self) -> None:
        """What is not written yet is forgotten, and nothing is written from now on."""
        self._is_stopped = True
        for one in self._breakers.values():
            if one.timer is not None:
                one.timer.cancel()
            one.unwritten.clear()
        writers = {one.writer for one in self._breakers.values() if one.writer is not None}
        for writer in writers:
            writer.cancel()
        if writers:
            await asyncio.wait(writers)

    async def refresh(self) -> None:
        """Takes what other kernels, or a hand, have written since."""
        for row in await self._store.breakers():
            one = self._breakers.get(row.name) or self._breakers.setdefault(row.name, _Breaker(row.name))
            # With something on its way to the store, the store's answer to that tells whether another kernel was first.
            if not one.unwritten and row.version > one.version:
                self._adopt(one, row)
        await self.sweep()

    async def sweep(self) -> None:
        """A probe is lost with its kernel: its place is free."""
        if not any(self._is_elsewhere(one.circuit) for one in self._shut.values()):
            return
        alive = {row.id for row in await self._store.kernels()}
        for one in list(self._shut.values()):
            if self._is_elsewhere(one.circuit) and one.circuit.probe not in alive:
                # Not written: the next probe's claim will be, and tells all kernels at once.
                one.circuit = one.circuit.left(one.circuit.era)
                self._changed(one)

    def _is_elsewhere(self, circuit: Circuit) -> bool:
        return circuit.probe is not None and circuit.probe != self._kernel_id

    # Calls

    async def enter(self, name: str, given: Mapping[str, Any] | None = None, place: str = "") -> Call:
        """Lets a call through, or raises BreakerOpen: then nothing of it may begin.

        A probe is let through once the store has it as the only one. ``given``: thresholds that the caller names at
        ``place``; RequestError when others are known for this breaker.
        """
        one = self._breaker(name)
        one.is_used = True
        if given:
            self._agree(one, given, place)
        if one.circuit.state == CLOSED:
            return self._begun(one)
        if not self._lets_through(one):
            raise self._refusal(one)
        one.circuit = one.circuit.begun(self._kernel_id)
        call = self._begun(one)
        self._changed(one)
        claimed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._write(one, claimed)
        try:
            if await claimed:
                return call
        except asyncio.CancelledError:
            self.left(call)
            raise
        self.left(call)
        raise self._refusal(one)

    def succeeded(self, call: Call) -> None:
        self._end(call, call.breaker.circuit.succeeded(call.era, self.thresholds(call.name)))

    def failed(self, call: Call, error: str) -> None:
        now = self._clock.elapsed()
        text = printable(error, _ERROR_CHARACTERS)
        self._end(call, call.breaker.circuit.failed(call.era, self.thresholds(call.name), now, text))

    def left(self, call: Call) -> None:
        """It ended in a way that says nothing of what was called."""
        self._end(call, call.breaker.circuit.left(call.era))

    def thresholds(self, name: str) -> Thresholds:
        return self._known(name)[0].overruled_by(self._catalog.breaker_table(name))

    def told_thresholds(self, name: str) -> BreakerTable:
        """What is known of them: of a breaker that only calls know, and that none has gone by since the start, no more
        than the operator's table.
        """
        one = self._breakers.get(name)
        if self._known(name)[1] or (one is not None and one.is_used):
            return self.thresholds(name)._asdict()
        return self._catalog.breaker_table(name)

    # Runs of jobs that have a breaker as their policy

    def rooms(self, jobs: dict[str, int], held: Callable[[], Iterable[Claimed]]) -> dict[str, int]:
        """The rooms of ``jobs`` for the next claim: none while a breaker is open, one when a probe may begin.

        ``held``: the runs that are claimed and have not begun; one of these would be the probe.
        """
        narrowed = None
        for one in self._shut.values():
            waiting = self._waiting(one.name)
            if not waiting:
                continue
            if narrowed is None:
                narrowed = dict(jobs)
                claimed = {run.job for run in held()}
            room = int(self._lets_through(one) and not waiting & claimed)
            narrowed |= {job: min(jobs[job], room) for job in waiting if job in jobs}
        return jobs if narrowed is None else narrowed

    def held_back(self, held: Callable[[], Iterable[Claimed]]) -> set[str]:
        """Which of the runs that have not begun must not: all but the most urgent one, if a probe may begin."""
        found: set[str] = set()
        for one in self._shut.values():
            waiting = self._waiting(one.name)
            if waiting:
                runs = sorted((run.urgency, run.id) for run in held() if run.job in waiting)
                found.update(run for _, run in runs[int(self._lets_through(one)) :])
        return found

    def _waiting(self, name: str) -> set[str]:
        """The jobs whose runs wait while it is open."""
        jobs = self._catalog.jobs_by_breaker.get(name, ())
        return {job.name for job in jobs if job.policies.breaker and job.policies.breaker.when_open == "wait"}

    # Telling

    def shut(self) -> list[dict[str, Any]]:
        """The breakers that are not closed, by name."""
        return [self._view(self._shut[name]) for name in sorted(self._shut)]

    def failures(self) -> dict[str, int]:
        """Breaker -> failures in a row, of those that this kernel knows to be closed."""
        return {name: one.circuit.failures for name, one in self._breakers.items() if one.circuit.state == CLOSED}

    def _view(self, one: _Breaker) -> dict[str, Any]:
        is_open = one.circuit.state == OPEN
        return {
            "breaker": one.name,
            "state": one.circuit.state,
            "until": iso(self._wall(one.circuit.until)) if is_open else None,
            "probe": one.circuit.probe,
            "error": one.circuit.error,
        }

    # The steps

    def _breaker(self, name: str) -> _Breaker:
        found = self._breakers.get(name)
        if found is None:
            if len(self._breakers) >= MOST_BREAKERS:
                self._breakers = {name: one for name, one in self._breakers.items() if not one.is_idle}
            if len(self._breakers) >= MOST_BREAKERS:
                raise RequestError(
                    f"there are {MOST_BREAKERS:,} breakers in use: expected names that do not come without end"
                )
            found = self._breakers[name] = _Breaker(name)
        return found

    def _agree(self, one: _Breaker, given: Mapping[str, Any], place: str) -> None:
        known, there = self._known(one.name)
        wanted = known._replace(**given)
        if not there:
            one.declared = (wanted, place)
        elif text := clash(one.name, (wanted, place), (known, there), self._catalog.breaker_table(one.name)):
            raise RequestError(text)

    def _known(self, name: str) -> tuple[Thresholds, str]:
        """What the code says of it, and where; nowhere: the defaults."""
        for job in self._catalog.jobs_by_breaker.get(name, ()):
            if job.policies.breaker is not None:
                return job.policies.breaker.thresholds, f"{job.name} ({job.place})"
        one = self._breakers.get(name)
        return (Thresholds(), "") if one is None or one.declared is None else one.declared

    def _lets_through(self, one: _Breaker) -> bool:
        # While the store takes nothing no probe can be claimed.
        return not one.is_troubled and one.circuit.lets_through(self._clock.elapsed())

    def _refusal(self, one: _Breaker) -> BreakerOpen:
        now = self._clock.elapsed()
        until = max(one.circuit.until or now, now) if one.circuit.state == OPEN else now
        if one.is_troubled:
            why = "whether another kernel tries it just now the store does not say"
        elif one.circuit.state == HALF_OPEN:
            why = "one call at a time is let through, and one is under way"
        else:
            why = f"the next call is let through at {iso(self._wall(until))}"
        error = f"; the last one ended by {one.circuit.error}" if one.circuit.error else ""
        return BreakerOpen(one.name, self._wall(until) or 0.0, until - now, why + error)

    def _begun(self, one: _Breaker) -> Call:
        one.in_flight += 1
        return Call(one, one.circuit.era)

    def _end(self, call: Call, after: Circuit) -> None:
        if call.is_over:
            return
        call.is_over = True
        one, before = call.breaker, call.breaker.circuit
        one.in_flight -= 1
        one.circuit = after
        if after.era != before.era:
            self._write(one)
            self._changed(one)

    def _changed(self, one: _Breaker) -> None:
        if self._is_stopped:
            return
        if one.timer is not None:
            one.timer.cancel()
            one.timer = None
        if one.circuit.state == CLOSED:
            self._shut.pop(one.name, None)
        else:
            self._shut[one.name] = one
            self._arm(one)
        if one.name in self._catalog.jobs_by_breaker:
            self.on_change()

    def _arm(self, one: _Breaker) -> None:
        now, until = self._clock.elapsed(), one.circuit.until
        if one.circuit.state == OPEN and until is not None and until > now:
            one.timer = self._clock.call_in(max(until - now, _SHORTEST_WAIT), lambda: self._changed(one))

    # The store

    def _write(self, one: _Breaker, claimed: asyncio.Future[bool] | None = None) -> None:
        if self._is_stopped:
            return
        one.unwritten.append(_Write(one.circuit, claimed))
        if one.writer is None:
            one.writer = asyncio.create_task(
                self._write_all(one), name="mainspring:breaker", context=self._context.copy()
            )

    async def _write_all(self, one: _Breaker) -> None:
        wait = 0.1
        try:
            while one.unwritten:
                try:
                    is_written = await self._put(one, one.unwritten[0])
                except Exception as error:  # noqa: BLE001 - what it is, is told; what has happened must not be lost
                    await self._refused(one, error, wait)
                    wait = min(wait * 2, _LONGEST_WAIT)
                    continue
                wait = 0.1
                self._recovered(one)
                if is_written:
                    self._written(one)
        finally:
            one.writer = None

    async def _put(self, one: _Breaker, write: _Write) -> bool:
        """Whether it is written now. If not: another kernel was first, whose state is taken."""
        row = self._row(one, write.circuit)
        if await self._store.put_breaker(row):
            return True
        found = {there.name: there for there in await self._store.breakers()}.get(one.name)
        if found is not None and found._replace(opened=None, until=None) == row._replace(opened=None, until=None):
            return True  # it was written before, and the answer was lost
        if found is None or found.probe == self._kernel_id:
            # The row has gone; or a claim of this kernel was written, and that answer was lost.
            one.version = 0 if found is None else found.version
        else:
            self._adopt(one, found)
        return False

    async def _refused(self, one: _Breaker, error: Exception, seconds: float) -> None:
        """What has happened is kept, and written later; a probe that cannot be claimed does not begin."""
        if not isinstance(error, StoreError):
            log.error("the state of the breaker %s cannot be written; it is tried again", one.name, exc_info=error)
        else:
            self._recorder.trouble.begins(_PART, error)
        one.is_troubled = True
        claimed = one.unwritten[0].claimed
        if claimed is not None:
            # It may have been written all the same, and would keep the other kernels waiting: so it is taken back.
            write = one.unwritten.popleft()
            if one.circuit is write.circuit:
                one.circuit = write.circuit.left(write.circuit.era)
                one.unwritten.append(_Write(one.circuit))
            if not claimed.done():
                claimed.set_result(False)
        await sleep(self._clock, seconds)

    def _recovered(self, one: _Breaker) -> None:
        was_troubled, one.is_troubled = one.is_troubled, False
        self._recorder.trouble.ends(_PART)
        if was_troubled:
            self._changed(one)

    def _written(self, one: _Breaker) -> None:
        write = one.unwritten.popleft()
        one.version += 1
        self._tell(one, write.circuit, failures=write.circuit.failures)
        if write.claimed is not None and not write.claimed.done():
            write.claimed.set_result(True)

    def _adopt(self, one: _Breaker, row: BreakerRow) -> None:
        """Takes the store's state for its own; what was not written yet is void."""
        void, one.unwritten = one.unwritten, deque()
        for write in void:
            if write.claimed is not None and not write.claimed.done():
                write.claimed.set_result(False)
        one.version = row.version
        one.circuit = self._circuit(one, row)
        self._tell(one, one.circuit, failures=0)
        self._changed(one)

    def _row(self, one: _Breaker, circuit: Circuit) -> BreakerRow:
        return BreakerRow(
            one.name, one.version + 1, circuit.state, self._wall(circuit.opened), self._wall(circuit.until),
            circuit.successes, circuit.probe, circuit.error,
        )  # fmt: skip

    def _circuit(self, one: _Breaker, row: BreakerRow) -> Circuit:
        """The wall clock may have been set back: a breaker is not open for longer than its recovery time."""
        era, elapsed, now = one.circuit.era + 1, self._clock.elapsed(), self._clock.now()
        if row.state not in {OPEN, HALF_OPEN}:
            return Circuit(era=era)
        length = max((row.until or now) - (row.opened or now), 0.0)
        longest = self.told_thresholds(one.name).get("recovery_seconds", length)
        wait = min(max((row.until or now) - now, 0.0), longest)
        opened = elapsed + min((row.opened or now) - now, 0.0)
        return Circuit(row.state, era, 0, row.successes, opened, elapsed + wait, row.probe, row.error)

    def _wall(self, elapsed: float | None) -> float | None:
        return None if elapsed is None else self._clock.now() + elapsed - self._clock.elapsed()

    def _tell(self, one: _Breaker, circuit: Circuit, *, failures: int) -> None:
        was, one.told = one.told, circuit.state
        if circuit.state == was:
            return
        now = self._clock.now()
        match circuit.state:
            case "open":
                log.warning("the breaker %s is open: %s", one.name, circuit.error)
                until = self._wall(circuit.until) or now
                self._bus.publish(BreakerOpened(now, one.name, failures, until, circuit.error or ""))
            case "half_open":
                self._bus.publish(BreakerHalfOpened(now, one.name))
            case _:
                log.warning("the breaker %s is closed", one.name)
                self._bus.publish(BreakerClosed(now, one.name))
