"""Writes what happens to runs: to the store first, to the event bus second.

The only file that changes a run's state. Called by intake, scheduler, claimer, worker pool and control.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging
import math
from collections import Counter, deque
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.contracts.clock import sleep
from kernel.contracts.store import RunQuery
from kernel.flow.endings import Endings
from kernel.flow.gatherer import Gatherer
from kernel.flow.trouble import OUTCOMES, Trouble
from kernel.model.counted import counted
from kernel.model.errors import StoreError
from kernel.model.events import (
    Completion,
    Event,
    OutcomeRefused,
    RunCancelled,
    RunCompleted,
    RunExpired,
    RunFailed,
    RunLogged,
    RunLost,
    RunProgressed,
    RunQueued,
    RunReleased,
    RunRetrying,
    RunsCompleted,
    RunSnoozed,
    RunStarted,
    RunStuck,
    TickPassed,
)
from kernel.model.loss import End, Machine, after_loss, end_of, is_suspect
from kernel.model.run import COMPLETED, Change, Claimed, Failure, NewRun, Run, RunState, claimed_of, iso
from kernel.model.tally import SECONDS, SIZES, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Claim, Ended, Finishes, KernelRow, Look, Looked, Store, Unfinished
    from kernel.flow.event_bus import EventBus
    from kernel.flow.page import Noted, Page

log = logging.getLogger(__name__)

_BATCH = 2_000
_LONGEST_WAIT = 5.0
_MOST_RUNNING = 1_000_000
_MOST_DEGRADED = 1_000
_TOLD_CHARACTERS = 8 * 1024
_MOST_LINES = 20
_STOPPING = "stopping "
_TOLD_AT_ONCE = 1_000


class Finished(NamedTuple):
    """A change with what its event needs."""

    change: Change
    run: Claimed
    seconds: float
    page: Page | None = None


# As those of kernel/model/run.py.
finished_of: Callable[[tuple[Any, ...]], Finished] = partial(tuple.__new__, Finished)
completion_of: Callable[[tuple[Any, ...]], Completion] = partial(tuple.__new__, Completion)


class Recorder:
    """Every change of a run's state passes here. ``enqueue`` of many callers, and finishes, are written in batches."""

    def __init__(self, store: Store, bus: EventBus, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._rooms: dict[str, int] = {}
        self._enqueues: Gatherer[NewRun, str] = Gatherer(self._write_enqueues)
        self._finishes: list[Finished] = []
        self._finisher: asyncio.Task[None] | None = None
        self._being_written: list[Finished] = []
        self._context = contextvars.copy_context()
        self.endings = Endings(store, clock)
        self.trouble = Trouble(bus, clock)
        self.on_new_runs: Callable[[Sequence[NewRun]], None] = lambda _runs: None
        self.on_new_work: Callable[[float], None] = lambda _urgency: None
        self.on_due: Callable[[float], None] = lambda _due: None
        self.give_place: Callable[[Iterable[Claimed]], bool] = lambda _runs: False
        """Whether others, which wait for a limit over all kernels, may begin when these have ended."""
        self.on_cancels: Callable[[], None] = lambda: None
        self.on_suspect_ended: Callable[[str], None] = lambda _run: None
        self.on_schedule_run_ended: Callable[[str, float], None] = lambda _schedule, _finished: None
        self._degraded: deque[tuple[float, str]] = deque(maxlen=_MOST_DEGRADED)
        self.written = 0
        self.batches = {
            name: (Tally(SIZES), Tally(SECONDS)) for name in ("enqueue", "claim", "finish", "look", "record")
        }
        """Store operation -> of its batches that were carried out, how many rows each had, and how long it took."""
        self.ticks: Counter[str] = Counter()
        """Result of a tick (``run``, ``skipped`` …) -> how many this kernel has written."""
        self.ended: Counter[str] = Counter()
        """State -> how many attempts this kernel has brought to it (``completed``, ``failed``, ``retrying`` …)."""

    # In

    async def enqueue(self, runs: Sequence[NewRun], rooms: Mapping[str, int]) -> list[str]:
        """Writes new runs; the ids for which they stand. Joins the batch that leaves next."""
        self._rooms.update(rooms)
        ids = await self._enqueues.put(runs)
        if self._bus.wants(RunQueued, len(runs)):
            now = self._clock.now()
            for run, made in zip(runs, ids, strict=True):
                if made == run.id:
                    schedule = run.extra.schedule if run.extra else None
                    self._bus.publish(RunQueued(now, run.id, run.job, run.queue, run.due, schedule))
        return ids

    async def _write_enqueues(self, runs: list[NewRun]) -> list[str]:
        # Told before the write, so that the claim is handed over in the same turn and shares its commit.
        self.on_new_runs(runs)
        began = self._clock.elapsed()
        ids = await self._store.enqueue(runs, self._rooms)
        self._count_batch("enqueue", len(runs), began)
        return ids

    def _count_batch(self, operation: str, rows: int, began: float) -> None:
        sizes, times = self.batches[operation]
        sizes.add(rows)
        times.add(self._clock.elapsed() - began)

    def tell_cancelled(self, runs: Sequence[Run]) -> None:
        """New runs that were cancelled as they came, since what they depend on has failed before."""
        for run in runs:
            self._bus.publish(RunCancelled(self._clock.now(), run.id, run.job, run.queue, run.reason or ""))

    async def look(
        self, looks: Sequence[Look], decide: Callable[[Look, Sequence[Unfinished]], Looked]
    ) -> list[Looked | None]:
        """Writes what looks at schedules decide: runs, ledger lines, and runs cancelled for the next tick."""
        self.on_new_work(min(look.until for look in looks))
        began = self._clock.elapsed()
        results = await self._store.look(looks, decide)
        self._count_batch("look", len(looks), began)
        now = self._clock.now()
        for look, result in zip(looks, results, strict=True):
            if result is not None:
                self._tell_look(look.schedule, result, now)
        if any(result is not None and result.cancel for result in results):
            self.on_cancels()
        return results

    def _tell_look(self, schedule: str, result: Looked, now: float) -> None:
        for tick in result.ticks:
            self.ticks[str(tick.result)] += tick.count
        if result.runs and self._bus.wants(RunQueued, len(result.runs)):
            for run in result.runs:
                self._bus.publish(RunQueued(now, run.id, run.job, run.queue, run.due, schedule))
        if self._bus.wants(TickPassed, len(result.ticks)):
            for tick in result.ticks:
                if tick.run is None:
                    self._bus.publish(TickPassed(now, *tick[:5], tick.reason or ""))

    # Claim

    async def rescue(self, kernel: str) -> list[Run]:
        """Takes up what other kernels had claimed when they came to their end; the runs as they are now.

        To be told by ``tell_lost`` once there are listeners.
        """
        now = self._clock.now()
        # Notes first: who dies now, and has left none, is not taken for dead within this call.
        stopping = await self.stopping()
        alive = {self._machine_of(row) for row in await self._store.kernels()}

        def decide(dead: KernelRow | None, runs: Sequence[Run]) -> Sequence[Change]:
            machine = None if dead is None or dead.id in stopping else self._machine_of(dead)
            return after_loss(runs, end_of(machine, alive), now)

        runs = await self._store.rescue(kernel, decide)
        _log_lost(runs)
        if stopping:
            await self._forget_notes(stopping)
        return runs

    def _machine_of(self, kernel: KernelRow) -> Machine:
        """A store that is not shared is one machine's, whatever that was called at the time."""
        return Machine(kernel.host if self._store.is_shared else "", kernel.boot)

    async def _forget_notes(self, kernels: set[str]) -> None:
        """Of those that are gone. One that has died since needs its note until somebody takes up what it had."""
        with contextlib.suppress(StoreError):  # what was taken up is to be told all the same, and they go the next time
            there = {one.kernel.id for one in await self._store.members()}
            if gone := kernels - there:
                await self._store.put("kernel", {_STOPPING + kernel: None for kernel in gone})

    async def stopping(self) -> set[str]:
        """The kernels that were told to stop, as far as these are still there."""
        return {key.removeprefix(_STOPPING) for key in await self._store.get("kernel") if key.startswith(_STOPPING)}

    async def note_stop(self, kernel: str) -> None:
        """Notes that this kernel was told to stop: should it be killed before it has, its runs are not to blame."""
        try:
            await self._store.put("kernel", {_STOPPING + kernel: "true"})
        except StoreError as error:
            log.warning("while stopping: %s", error)

    def tell_lost(self, runs: Sequence[Run]) -> None:
        """What ``rescue`` has taken up, as events."""
        now = self._clock.now()
        for run in runs:
            reason = run.reason or ""
            if run.is_final:
                self.endings.tell(run.id)
                if run.schedule is not None:
                    self.on_schedule_run_ended(run.schedule, now)
            if run.state == RunState.CANCELLED:
                self._bus.publish(RunCancelled(now, run.id, run.job, run.queue, reason))
                continue
            if reason == End.ORDER:
                self._bus.publish(RunReleased(now, run.id, run.job, run.queue, reason))
                continue
            self._bus.publish(RunLost(now, run.id, run.job, run.queue, run.losses, reason))
            if run.state == RunState.FAILED:
                error = _error_in_a_line(run.error_text)
                self.ended[RunState.FAILED] += 1
                self._bus.publish(RunFailed(now, run.id, run.job, run.queue, run.attempt, 0.0, error, reason))

    async def claim(self, claim: Claim) -> tuple[list[Claimed], float | None]:
        """Claims runs (this is their start record) and tells which had expired; also when the next one is due."""
        began = self._clock.elapsed()
        claims = await self._store.claim(claim)
        self._count_batch("claim", len(claims.runs), began)
        if claims.expired:
            self.tell_expired(claims.expired)
            await self._tell_dependents(claims.cancelled)
        return claims.runs, claims.next_due

    async def claimed_unseen(self, kernel: str, seen: Callable[[], set[str]]) -> list[Claimed]:
        """What the store holds for this kernel and nobody here has seen: a claim was written, and its answer lost."""
        known = seen() | self._unwritten_ids()
        rows = await self._store.runs(RunQuery(states=[RunState.RUNNING], limit=_MOST_RUNNING))
        known |= seen() | self._unwritten_ids()
        return [claimed_of(row) for row in rows if row.kernel == kernel and row.id not in known]

    def _unwritten_ids(self) -> set[str]:
        return {one.change.id for one in (*self._being_written, *self._finishes)}

    def tell_expired(self, runs: Sequence[Run]) -> None:
        now = self._clock.now()
        for run in runs:
            expires = run.extra.expires if run.extra and run.extra.expires is not None else run.due
            self._bus.publish(RunExpired(now, run.id, run.job, run.queue, expires))
            self.endings.tell(run.id)
            if run.schedule is not None:
                self.on_schedule_run_ended(run.schedule, now)

    def started(self, run: Claimed) -> None:
        if self._bus.wants(RunStarted):
            self._bus.publish(RunStarted(self._clock.now(), run.id, run.job, run.queue, run.attempt))

    # While it goes on

    async def record(self, noted: Sequence[Noted]) -> list[bool]:
        """Writes what running attempts tell; False for those whose run is another attempt's now."""
        began = self._clock.elapsed()
        answers = await self._store.record([one.entry for one in noted])
        self._count_batch("record", len(noted), began)
        for one, was_current in zip(noted, answers, strict=True):
            if was_current:
                self._tell_noted(one)
            one.arrived(was_current=was_current)
        return answers

    def _tell_noted(self, noted: Noted) -> None:
        if noted.entry.progress is not None:
            self._publish(RunProgressed, noted.run, noted.run.attempt, *noted.entry.progress)
        if noted.lines and self._bus.wants(RunLogged):
            newest = noted.newest_lines(_TOLD_CHARACTERS)
            lines = tuple(line.as_json() for line in newest)
            self._publish(RunLogged, noted.run, noted.run.attempt, lines, len(noted.lines) - len(lines))

    # Out

    def finish(self, finished: Finished) -> None:
        """Takes an outcome; it is written with the next batch, and kept in memory until the store takes it."""
        self._finishes.append(finished)
        if self._finisher is None:
            self._finisher = asyncio.create_task(
                self._write_finishes(), name="mainspring:finisher", context=self._context.copy()
            )

    async def drain(self) -> None:
        """Waits until everything that was taken is written."""
        while self._finisher is not None:
            await asyncio.wait({self._finisher})
        await self._enqueues.drain()

    async def give_up(self) -> None:
        """At the very end, when the store takes nothing: outcomes that are not written are forgotten."""
        self._finishes.clear()
        if self._finisher is not None:
            self._finisher.cancel()
            await asyncio.wait({self._finisher})

    def degraded_within(self, seconds: float) -> Counter[str]:
        """Job -> how many of its runs have ended degraded here in so many seconds; of the last 1,000."""
        since = self._clock.elapsed() - seconds
        return Counter(job for at, job in self._degraded if at >= since)

    @property
    def unwritten(self) -> int:
        return len(self._finishes) + len(self._being_written)

    async def _write_finishes(self) -> None:
        try:
            while self._finishes:
                batch, self._finishes = self._finishes[:_BATCH], self._finishes[_BATCH:]
                self._being_written = batch
                try:
                    await self._write_finished(batch)
                except Exception:
                    log.exception("%d outcomes cannot be written together; each by itself now", len(batch))
                    for one in batch:
                        await self._write_one(one)
                self._being_written = []
        finally:
            self._being_written, self._finisher = [], None

    async def _write_finished(self, batch: list[Finished]) -> None:
        last_words = [noted for one in batch if one.page is not None for noted in await one.page.last_words()]
        done, again = await self._finish_surely([one.change for one in batch], last_words)
        self.written += len(batch)
        written = await self._written_after_all(batch, done.written) if again else done.written
        self.ended.update([one.change.state for one, was_current in zip(batch, written, strict=True) if was_current])
        nobody_asks = not self.endings and not self._bus.wants(RunCompleted, 0)
        completed: list[Completion] | None = [] if self._bus.wants(RunsCompleted, 0) else None
        is_room_made = done.freed
        untold = 0
        for one, was_current in zip(batch, written, strict=True):
            if completed is not None and was_current:
                if one.change.state == COMPLETED:
                    completed.append(_completion(one))
                else:  # in order with what is told of this one
                    completed = self._tell_together(completed)
            if nobody_asks and was_current and _is_plain(one):
                untold += 1
                continue
            self._tell(one, was_current=was_current)
            is_room_made = is_room_made or _had_a_key(one.run)
        if untold:
            self._bus.skipped(RunCompleted, untold)
        if completed is None:
            self._bus.skipped(RunsCompleted, sum(written))
        else:
            self._tell_together(completed)
        if not all(written):
            _log_refused([one for one, was_current in zip(batch, written, strict=True) if not was_current])
        if is_room_made or self.give_place(one.run for one in batch):
            self.on_new_work(-math.inf)
        if done.cancelled:
            await self._tell_dependents(done.cancelled)

    def _tell_together(self, completed: list[Completion]) -> list[Completion]:
        """Tells these; the list for the next ones."""
        if completed:
            self._bus.publish(RunsCompleted(self._clock.now(), tuple(completed)))
        return []

    async def _write_one(self, one: Finished) -> None:
        """An outcome that the store cannot take at all must not hold up the others."""
        try:
            await self._write_finished([one])
        except Exception:
            log.exception(
                "the outcome %s of run %s of %s cannot be written; the run is queued again at the next start",
                one.change.state, one.change.id, one.run.job,
            )  # fmt: skip

    async def _finish_surely(self, changes: list[Change], last_words: list[Noted]) -> tuple[Finishes, bool]:
        """Tries until the store takes it: an outcome that happened is not thrown away, nor its work done again."""
        wait, again = 0.1, False
        while True:
            try:
                done = await self._finish(changes, last_words)
            except StoreError as error:
                # It may have been written all the same; then the second time finds it done.
                again = True
                self.trouble.begins(OUTCOMES, error)
                await sleep(self._clock, wait)
                wait = min(wait * 2, _LONGEST_WAIT)
            else:
                self.trouble.ends(OUTCOMES)
                return done, again

    async def _written_after_all(self, batch: list[Finished], written: Sequence[bool]) -> list[bool]:
        """What an earlier try has written, of which no answer came, is there as it was written.

        Of what has not ended with it nobody can say: another kernel may have claimed it since.
        """
        ended = {
            one.change.id: one.change
            for one, was_current in zip(batch, written, strict=True)
            if not was_current and one.change.finished is not None
        }
        refused: set[str] = set()
        with contextlib.suppress(StoreError):
            found = await self._store.runs(RunQuery(ids=list(ended), limit=len(ended))) if ended else []
            refused = {run.id for run in found if (run.token, run.state) != (ended[run.id].token, ended[run.id].state)}
        return [one.change.id not in refused for one in batch]

    async def _finish(self, changes: list[Change], last_words: list[Noted]) -> Finishes:
        """Writes outcomes and, handed over before them in the same turn, what their attempts told last."""
        if not last_words:
            return await self._write_changes(changes)
        recorded, finished = await asyncio.gather(
            self.record(last_words), self._write_changes(changes), return_exceptions=True
        )
        if not isinstance(recorded, StoreError):
            last_words.clear()  # not a second time, should the outcomes have to be written again
        if isinstance(finished, BaseException):
            raise finished
        if isinstance(recorded, BaseException):
            told = counted(len(changes), "run")
            log.error("the last that %s told of themselves cannot be written", told, exc_info=recorded)
        return finished

    async def _write_changes(self, changes: list[Change]) -> Finishes:
        began = self._clock.elapsed()
        done = await self._store.finish(changes)
        self._count_batch("finish", len(changes), began)
        return done

    async def stick(self, run: Claimed, reason: str, *, is_ours: bool = True) -> None:
        """Marks the run as stuck: told to end, and has not. What is not ours any more is not ours to mark."""
        if is_ours:
            with contextlib.suppress(StoreError):
                await self._store.stick([run.id])
        self._bus.publish(RunStuck(self._clock.now(), run.id, run.job, run.queue, run.attempt, reason))

    # By hand

    async def cancel(self, ids: Sequence[str], reason: str) -> list[Ended]:
        """Cancels waiting runs, and what depends on them, at once; of running ones the owner is told by the store."""
        now = self._clock.now()
        ended = await self._store.cancel(ids, reason, now)
        asked = set(ids)
        for one in ended:
            if one.id in asked and one.after == RunState.CANCELLED and one.before != RunState.CANCELLED:
                self._bus.publish(RunCancelled(now, one.id, one.job, one.queue, reason))
                self.endings.tell(one.id)
        if any(one.before == RunState.RUNNING for one in ended):
            self.on_cancels()
        if ended:
            self.on_new_work(-math.inf)  # others may depend on these, and run all the same
        await self._tell_dependents([one for one in ended if one.id not in asked])
        return ended

    async def retry(self, ids: Sequence[str]) -> list[Ended]:
        now = self._clock.now()
        ended = await self._store.retry(ids, now)
        changed = [one for one in ended if one.after != one.before]
        for one in changed:
            self._bus.publish(RunQueued(now, one.id, one.job, one.queue, now))
        if changed:
            self.on_new_work(now)
        return ended

    async def _tell_dependents(self, ended: Sequence[Ended]) -> None:
        """Tells of runs that were cancelled because of those they depended on: which, and how these ended, the store knows."""
        for one in ended:
            self.endings.tell(one.id)
        for at in range(0, len(ended) if self._bus.wants(RunCancelled) else 0, _TOLD_AT_ONCE):
            part = ended[at : at + _TOLD_AT_ONCE]
            reasons: dict[str, str | None] = {}
            with contextlib.suppress(StoreError):
                found = await self._store.runs(RunQuery(ids=[one.id for one in part], limit=len(part)))
                reasons = {run.id: run.reason for run in found}
            now = self._clock.now()
            for one in part:
                reason = reasons.get(one.id) or "a run that it depends on did not complete"
                self._bus.publish(RunCancelled(now, one.id, one.job, one.queue, reason))

    # Telling

    def _tell(self, finished: Finished, *, was_current: bool) -> None:
        change = finished.change
        if finished.run.losses and is_suspect(finished.run.losses):
            self.on_suspect_ended(change.id)
        if not was_current:
            if not _was_given_back(finished):
                self._publish(OutcomeRefused, finished.run, str(change.state))
            return
        if change.finished is not None:
            self.endings.tell(change.id)
            if change.schedule is not None:
                self.on_schedule_run_ended(change.schedule, change.finished)
                # The next run of the schedule may have waited for this one.
                self.on_new_work(change.urgency)
        else:
            self.on_due(change.due)
        self._tell_change(finished, change)

    def _tell_change(self, finished: Finished, change: Change) -> None:
        match change.state:
            case RunState.COMPLETED:
                if change.notes is not None:
                    self._degraded.append((self._clock.elapsed(), finished.run.job))
                if self._bus.wants(RunCompleted):
                    notes = () if change.notes is None else tuple(json.loads(change.notes))
                    is_degraded, waited = change.notes is not None, _waited(finished, change.finished)
                    self._publish(
                        RunCompleted, finished.run, change.attempt, finished.seconds, is_degraded, notes, waited
                    )
            case RunState.FAILED:
                error, waited = _in_a_line(change), _waited(finished, change.finished)
                self._publish(
                    RunFailed, finished.run, change.attempt, finished.seconds, error, change.reason or "", waited
                )
            case RunState.RETRYING:
                error, waited = _in_a_line(change), _waited(finished, self._clock.now())
                self._publish(RunRetrying, finished.run, change.attempt, finished.seconds, error, change.due, waited)
            case RunState.CANCELLED:
                self._publish(RunCancelled, finished.run, change.reason or "")
            case RunState.SCHEDULED:
                self._publish(RunSnoozed, finished.run, change.attempt, change.due)
            case _:
                self._publish(RunReleased, finished.run, change.reason or "")

    def _publish(self, kind: type[Event], run: Claimed, *fields: Any) -> None:
        if self._bus.wants(kind):
            self._bus.publish(kind(self._clock.now(), run.id, run.job, run.queue, *fields))  # type: ignore[call-arg] # all are RunEvents


def _is_plain(one: Finished) -> bool:
    """Whether of this end there is nothing to tell but that a run has completed: so it is with nearly all."""
    change, run, _, _ = one
    return change.state == COMPLETED and run.extra is None and not run.losses and change.notes is None


def _completion(one: Finished) -> Completion:
    change, run, seconds, _ = one
    at = change.finished or 0.0
    waited = at - seconds - run.due
    return completion_of((
        at, change.id, run.job, run.queue, change.attempt, seconds, change.notes is not None, max(0.0, waited),
    ))  # fmt: skip


def _waited(finished: Finished, ended: float | None) -> float:
    """How long after its due instant the attempt began, in seconds, given when it has ended."""
    return max((ended or 0.0) - finished.seconds - finished.run.due, 0.0)


def _had_a_key(run: Claimed) -> bool:
    """Whether others, which wait for the limit of its key, may begin when it ends."""
    return run.extra is not None and run.extra.concurrency_key is not None


def _was_given_back(finished: Finished) -> bool:
    """And has not begun: when that comes too late, nobody has missed anything."""
    return finished.change.attempt < finished.run.attempt


def _log_refused(late: Sequence[Finished]) -> None:
    """One line for each, up to a page: a kernel that was cut off may have many."""
    outcomes = [one for one in late if not _was_given_back(one)]
    for one in outcomes[:_MOST_LINES]:
        log.warning(
            "run %s of %s: the outcome %s came too late and was refused; the run has been claimed anew or has ended",
            one.change.id, one.run.job, one.change.state,
        )  # fmt: skip
    if len(outcomes) > _MOST_LINES:
        log.warning("and so for the outcomes of %d more runs", len(outcomes) - _MOST_LINES)


def _log_lost(runs: Sequence[Run]) -> None:
    """One line for those that simply go on, and one for each of the others, up to a page of these."""
    for reason, count in Counter(run.reason for run in runs if run.state == RunState.QUEUED).items():
        runs_are = counted(count, "run that had been claimed is", "runs that had been claimed are")
        log.warning("%s queued again: %s", runs_are, reason)
    others = [run for run in runs if run.state != RunState.QUEUED]
    for run in others[:_MOST_LINES]:
        if run.state == RunState.FAILED:
            log.error("run %s of %s has failed: %s", run.id, run.job, _error_in_a_line(run.error_text))
        elif run.state == RunState.CANCELLED:
            log.warning("run %s of %s is cancelled: %s", run.id, run.job, run.reason)
        else:
            log.warning("run %s of %s: %s at %s", run.id, run.job, run.reason, iso(run.due))
    if len(others) > _MOST_LINES:
        log.warning("and so for %s", counted(len(others) - _MOST_LINES, "more lost run"))


def _in_a_line(change: Change) -> str:
    return _error_in_a_line(change.error)


def _error_in_a_line(error: str | None) -> str:
    if error is None:
        return ""
    failure = Failure.from_text(error)
    first = failure.message.splitlines()[0] if failure.message else ""
    return f"{failure.type}: {first}" if first else failure.type
