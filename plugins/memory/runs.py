"""The way of a run: enqueued, claimed, finished, and what a person may change of it."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from kernel.contracts.store import Claims, Ended, Finishes, QueueRow, Unfinished
from kernel.model.lifecycle import outcome_of
from kernel.model.run import FINAL, RunExtra, RunState, urgency_of

from . import rows
from .acceptance import Acceptor
from .edges import Edges
from .ended import EndedRuns
from .rates import Rates
from .reading import Reader
from .records import Records
from .rows import EXTRA, ID, JOB, STATE
from .schedule_runs import ScheduleRuns
from .unique_keys import UniqueKeys
from .waiting import QueueSize, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kernel.contracts.store import Claim, Entry, Looked
    from kernel.model.run import Change, Claimed, NewRun, Run

    from .rows import Held, Waits


class Runs:
    """All runs. Each stands in one of three places, by id: waiting, held or ended."""

    def __init__(self) -> None:
        self.rates = Rates()
        self.waiting = Waiting(self.rates)
        self.held: dict[str, Held] = {}
        self.ended = EndedRuns(self._forget)
        self.read = Reader(self.waiting, self.held, self.ended.runs)
        self.records = Records()
        self.wishes = 0
        """How many wishes to cancel a running run there have been."""
        self.unique = UniqueKeys()
        self.edges = Edges()
        self._of_schedules = ScheduleRuns()
        self._acceptor = Acceptor(
            self.waiting, self.held, self.ended.runs, read=self.read, unique=self.unique, edges=self.edges
        )

    def enqueue(self, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
        accepted = self._acceptor.accept(runs, room)
        for run_id in accepted.replaced:
            self._take_out(run_id)
        for run_id, links in accepted.links.items():
            self.edges.add(run_id, links.parents, links.on_failure)
            self.ended.noted.add(run_id)
        for run in accepted.replaced.values():
            self._begin(run)
        self._begin_all(accepted.fresh)
        for key, until in accepted.until.items():
            self.unique.keep(key, until)
        for run_id, links in accepted.links.items():
            if links.failed is not None:
                self._cancel_child(run_id, *links.failed)
        return accepted.ids

    def _cancel_child(self, run_id: str, parent: str, state: str, now: float) -> None:
        """``run_id`` has been enqueued and depends on the success of ``parent``, which has ended otherwise."""
        run = self._cancel_one(run_id, reason_of(parent, state), now)
        self._follow_all([run], now)

    def _take_out(self, run_id: str) -> None:
        """A waiting run is about to be replaced."""
        run = self.waiting.runs[run_id]
        self.waiting.remove(run)
        self.edges.forget(run_id)
        self.records.begin_anew(run_id)
        if run[EXTRA] is not None and run[EXTRA].schedule is not None:
            self._of_schedules.remove(run[EXTRA].schedule, run_id)

    def _begin_all(self, fresh: Mapping[str, Waits]) -> None:
        self.waiting.add_all(fresh)
        for run in fresh.values():
            extra = run[EXTRA]
            if extra is not None:
                self._join(run, extra)

    def _begin(self, run: Waits) -> None:
        self.waiting.add(run)
        if run[EXTRA] is not None:
            self._join(run, run[EXTRA])

    # Claim and finish

    def claim(self, claim: Claim) -> Claims:
        expired: list[Run] = []
        cancelled: list[Ended] = []
        if self.waiting.expires_by(claim.now):
            expired = self._expire(claim.now)
            _, cancelled = self._follow_all(expired, claim.now)
        self.waiting.queue_due(claim.now)
        claimed: list[Claimed] = []
        kernel, now = claim.kernel, claim.now
        for run in self.waiting.take(claim):
            held = self.held[run[ID]] = rows.held_by(kernel, now, run)
            claimed.append(held[0])
        return Claims(claimed, self.waiting.next_due(), expired, cancelled)

    def _expire(self, now: float) -> list[Run]:
        expired = [
            rows.waiting(run)._replace(state=RunState.EXPIRED, reason="expired", finished=now)
            for run in self.waiting.take_expired(now)
        ]
        for run in expired:
            self._end(run, now)
        self._let_go((run.schedule for run in expired), now)
        return expired

    def finish(self, changes: Sequence[Change]) -> Finishes:
        written = []
        freed = False
        cancelled: list[Ended] = []
        waited_for = self.edges.open
        for change in changes:
            held = self.held.get(change.id)
            if held is None or held[0].token != change.token:
                written.append(False)
                continue
            del self.held[change.id]
            extra = held[0].extra
            if change.state != RunState.COMPLETED:
                self._note_attempt(held, change)
            if change.state in FINAL:
                self.ended.add(held[0].job, change, (change, held))
                if extra is not None:
                    self._let_key_go(held[0], extra)
                    self._part(held[0], extra, change.state, change.finished or 0.0)
                    self._let_go((extra.schedule,), change.finished or 0.0)
                if waited_for and change.id in waited_for:
                    freed |= self._follow(change.id, change.state, change.finished or 0.0, cancelled)
            else:
                if extra is not None:
                    self._let_key_go(held[0], extra)
                self.waiting.add(rows.changed(held, change))
            written.append(True)
        return Finishes(written, freed, cancelled)

    def _note_attempt(self, held: Held, change: Change) -> None:
        outcome = outcome_of(change)
        if outcome is not None:
            self.ended.noted.add(change.id)
            self.records.add_attempt(change.id, rows.attempt_of(held, change, outcome))

    def record(self, entries: Sequence[Entry]) -> list[bool]:
        return [self._record(entry) for entry in entries]

    def _record(self, entry: Entry) -> bool:
        held = self.held.get(entry.id)
        if held is None or held[0].token != entry.token:
            return False
        self.ended.noted.add(entry.id)
        if entry.step is not None:
            self.records.add_step(entry.id, *entry.step)
        if entry.progress is not None:
            self.held[entry.id] = rows.gone_on(held, *entry.progress)
        if entry.log:
            self.records.add_log(entry.id, entry.log)
        return True

    def stick(self, ids: Iterable[str]) -> None:
        for run_id in ids:
            if run_id in self.held:
                self.held[run_id] = rows.stuck(self.held[run_id])

    def release(self, kernel: str) -> list[Run]:
        held = [held for held in self.held.values() if held[1] == kernel]
        released = [rows.running(one)._replace(state=RunState.QUEUED, stuck=False) for one in held]
        for run in released:
            del self.held[run.id]
            if run.extra is not None:
                self._let_key_go(run, run.extra)
            self.waiting.add(run)
        return released

    # What a person may change

    def cancel(self, ids: Iterable[str], reason: str, now: float) -> list[Ended]:
        before = self._facts(ids)
        ended = self._cancel(before, reason, now)
        self._let_go((run.schedule for run in ended), now)
        _, cancelled = self._follow_all(ended, now)
        after = {run.id: run.state for run in ended}
        told = [one._replace(after=after.get(one.id, one.after)) for one in before.values()]
        return [*told, *cancelled]

    def _cancel(self, ids: Iterable[str], reason: str, now: float) -> list[Run]:
        """Returns those that have ended."""
        ended = []
        wished = False
        for run_id in ids:
            if run_id in self.held:
                self.held[run_id] = rows.wanted_cancelled(self.held[run_id], reason)
                wished = True
            elif run_id in self.waiting.runs:
                ended.append(self._cancel_one(run_id, reason, now))
        self.wishes += wished
        return ended

    def _cancel_one(self, run_id: str, reason: str, now: float) -> Run:
        waits = self.waiting.runs[run_id]
        self.waiting.remove(waits)
        run = rows.waiting(waits)._replace(state=RunState.CANCELLED, reason=reason, finished=now)
        self._end(run, now)
        return run

    def cancels(self, kernel: str) -> list[tuple[str, int, str]]:
        found = []
        for claimed, by, _, marks in self.held.values():
            if by == kernel and marks is not None and marks.cancel_reason is not None:
                found.append((claimed.id, claimed.token, marks.cancel_reason))
        return found

    def retry(self, ids: Iterable[str], now: float) -> list[Ended]:
        return [
            self._retry(one, now) if one.before in FINAL and one.before != RunState.COMPLETED else one
            for one in self._facts(ids).values()
        ]

    def _retry(self, told: Ended, now: float) -> Ended:
        run = self.read.run(told.id)
        if run.extra is not None and run.extra.unique is not None:
            holder = self.unique.holder((run.job, run.extra.unique), now)
            if holder not in (None, run.id):
                return told._replace(held_by=holder)
        self.ended.remove(run)
        # Its time to begin has passed, or may pass while it waits: whoever retries it wants it run all the same.
        extra = run.extra and run.extra._replace(expires=None)
        extra = None if extra == RunExtra() else extra
        again = run._replace(
            state=RunState.QUEUED, due=now, urgency=urgency_of(now, run.priority), failures=0, finished=None,
            reason=None, notes_text=None, cancel_reason=None, losses=0, extra=extra,
        )  # fmt: skip
        self._begin(again)
        return told._replace(after=again.state)

    def _facts(self, ids: Iterable[str]) -> dict[str, Ended]:
        """What will be told of those that are known when nothing becomes of them."""
        found = {}
        for run_id in ids:
            facts = self.read.facts(run_id)
            if facts is not None:
                state, job, queue, _ = facts
                found[run_id] = Ended(run_id, job, queue, state, state)
        return found

    # Queues

    def queues(self, pauses: Mapping[str, float]) -> list[QueueRow]:
        running = Counter(held[0].queue for held in self.held.values())
        oldest = self.waiting.oldest_due()
        rows = []
        for name in sorted({*self.waiting.sizes, *running, *pauses}):
            size = self.waiting.sizes.get(name) or QueueSize()
            states = (size.queued, size.scheduled, size.retrying, size.blocked, running[name])
            rows.append(QueueRow(name, *states, oldest.get(name), pauses.get(name)))
        return rows

    # Schedules

    def unfinished(self, schedule: str) -> list[Unfinished]:
        ids = self._of_schedules.of(schedule)
        return [Unfinished(run_id, self.read.state_of(run_id) or "") for run_id in ids]

    def carry_out(self, looked: Looked, until: float) -> None:
        """Cancels and inserts what a look says."""
        ended = self._cancel(looked.cancel, looked.cancel_reason, until)
        self._follow_all(ended, until)
        self.enqueue(looked.runs, {})
        self._let_go((run.schedule for run in ended), until)

    def _let_go(self, schedules: Iterable[str | None], now: float) -> None:
        """Where nothing but blocked runs is left, the next one is let go."""
        for schedule in schedules:
            if schedule is not None:
                run_id = self._of_schedules.next_to_go(schedule)
                if run_id is not None:
                    self.waiting.let_go(self.waiting.runs[run_id], now)

    # Beginning and end

    def _join(self, run: Waits, extra: RunExtra) -> None:
        if extra.unique is not None:
            self.unique.take((run[JOB], extra.unique), run[ID])
        if extra.schedule is not None:
            is_next = run[STATE] == RunState.BLOCKED and not self.edges.is_waiting(run[ID])
            self._of_schedules.add(extra.schedule, run[ID], extra.tick, blocked=is_next)

    def _end(self, run: Run, now: float) -> None:
        """A run has ended that was waiting."""
        self.ended.add(run.job, run, run)
        self.edges.leave(run.id)
        if run.extra is not None:
            self._part(run, run.extra, run.state, now)

    def _part(self, run: Run | Claimed, extra: RunExtra, state: str, now: float) -> None:
        if extra.unique is not None:
            self.unique.end((run.job, extra.unique), now, cancelled=state == RunState.CANCELLED)
        if extra.schedule is not None:
            self._of_schedules.remove(extra.schedule, run.id)

    def _let_key_go(self, run: Run | Claimed, extra: RunExtra) -> None:
        """A run runs no more."""
        if extra.concurrency_key is not None:
            self.waiting.has_ended(run.job, extra.concurrency_key)

    def _forget(self, run_id: str) -> None:
        self.edges.forget(run_id)
        self.records.forget(run_id)

    # What depends on what

    def _follow_all(self, ended: Iterable[Run], now: float) -> tuple[bool, list[Ended]]:
        """As ``_follow``, for each of these; also who was cancelled."""
        freed = False
        cancelled: list[Ended] = []
        if self.edges.open:
            for run in ended:
                freed |= self._follow(run.id, run.state, now, cancelled)
        return freed, cancelled

    def _follow(self, parent: str, state: str, now: float, cancelled: list[Ended]) -> bool:
        """``parent`` has ended: lets go what waited for nothing else, and cancels what depended on its success, and
        what depends on that. Adds these to ``cancelled``; whether anything was let go.
        """
        freed = False
        todo = deque([(parent, state)])
        while todo:
            parent, state = todo.popleft()
            for child in self.edges.close(parent):
                if state != RunState.COMPLETED and self.edges.is_cancelled_with(child):
                    run = self._cancel_one(child, reason_of(parent, state), now)
                    self._let_go((run.schedule,), now)
                    cancelled.append(Ended(child, run.job, run.queue, RunState.BLOCKED, run.state))
                    todo.append((child, run.state))
                elif not self.edges.is_waiting(child):
                    self.waiting.let_go(self.waiting.runs[child], now)
                    freed = True
        return freed


def reason_of(parent: str, state: str) -> str:
    """Why a run is cancelled that depended on ``parent``."""
    return f"parent {parent} {state}"
