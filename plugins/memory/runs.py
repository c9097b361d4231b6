"""The way of a run: enqueued, claimed, finished, and what a person may change of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from kernel.contracts.store import Claims, Ended, QueueRow, Unfinished
from kernel.model.errors import StoreFullError
from kernel.model.run import FINAL, RunExtra, RunState, urgency_of

from . import rows
from .ended import EndedRuns
from .reading import Reader
from .rows import EXTRA, ID, JOB, QUEUE, STATE
from .schedule_runs import ScheduleRuns
from .waiting import QueueSize, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kernel.contracts.store import Claim, Looked
    from kernel.model.run import Change, Claimed, NewRun, Run

    from .rows import Held, Waits


class Runs:
    """All runs. Each stands in one of three places, by id: waiting, held or ended."""

    def __init__(self) -> None:
        self.waiting = Waiting()
        self.held: dict[str, Held] = {}
        self.ended = EndedRuns()
        self.read = Reader(self.waiting, self.held, self.ended.runs)
        self.wishes = 0
        """How many wishes to cancel a running run there have been."""
        self._unique: dict[tuple[str, str], str] = {}
        self._of_schedules = ScheduleRuns()

    def enqueue(self, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
        ids, fresh = self._fresh(runs)
        self._check_room(fresh, room)
        self._begin(fresh)
        return ids

    def _fresh(self, runs: Sequence[NewRun]) -> tuple[list[str], dict[str, Waits]]:
        """The id that each run stands for, and the runs that are not there yet."""
        waiting, held, ended = self.waiting.runs, self.held, self.ended.runs
        fresh: dict[str, Waits] = {}
        unique: dict[tuple[str, str], str] = {}
        ids = []
        for run in runs:
            run_id = run.id
            ids.append(run_id)
            if run_id in waiting or run_id in held or run_id in ended or run_id in fresh:
                continue
            if run.extra is not None and run.extra.unique is not None:
                key = (run.job, run.extra.unique)
                ids[-1] = self._unique.get(key) or unique.setdefault(key, run_id)
            if ids[-1] is run_id:
                fresh[run_id] = run[:10]
        return ids, fresh

    def _check_room(self, fresh: Mapping[str, Waits], room: Mapping[str, int]) -> None:
        for queue, most in room.items():
            if self.waiting.size(queue) + len(fresh) > most:
                count = sum(run[QUEUE] == queue for run in fresh.values())
                if count and self.waiting.size(queue) + count > most:
                    raise StoreFullError(
                        f"queue {queue} is full: {self.waiting.size(queue)} runs wait, {count} more exceed {most}"
                    )

    def _begin(self, fresh: Mapping[str, Waits]) -> None:
        self.waiting.add_all(fresh)
        for run in fresh.values():
            extra = run[EXTRA]
            if extra is not None:
                self._join(run, extra)

    # Claim and finish

    def claim(self, claim: Claim) -> Claims:
        expired = self._expire(claim.now) if self.waiting.expires_by(claim.now) else []
        self.waiting.queue_due(claim.now)
        claimed: list[Claimed] = []
        kernel, now = claim.kernel, claim.now
        for run in self.waiting.take(claim):
            held = self.held[run[ID]] = rows.held_by(kernel, now, run)
            claimed.append(held[0])
        return Claims(claimed, self.waiting.next_due(), expired)

    def _expire(self, now: float) -> list[Run]:
        expired = [
            rows.waiting(run)._replace(state=RunState.EXPIRED, reason="expired", finished=now)
            for run in self.waiting.take_expired(now)
        ]
        for run in expired:
            self._end(run)
        self._let_go((run.schedule for run in expired), now)
        return expired

    def finish(self, changes: Sequence[Change]) -> list[bool]:
        written = []
        for change in changes:
            held = self.held.get(change.id)
            if held is None or held[0].token != change.token:
                written.append(False)
                continue
            del self.held[change.id]
            if change.state in FINAL:
                self.ended.add(held[0].job, change, (change, held))
                if held[0].extra is not None:
                    self._part(held[0], held[0].extra)
                    self._let_go((held[0].extra.schedule,), change.finished or 0.0)
            else:
                self.waiting.add_all({change.id: rows.changed(held, change)})
            written.append(True)
        return written

    def stick(self, ids: Iterable[str]) -> None:
        for run_id in ids:
            if run_id in self.held:
                self.held[run_id] = rows.marked(self.held[run_id], stuck=True)

    def release(self, kernel: str) -> list[Run]:
        held = [held for held in self.held.values() if held[1] == kernel]
        released = [rows.running(one)._replace(state=RunState.QUEUED, stuck=False) for one in held]
        for run in released:
            del self.held[run.id]
        self.waiting.add_all({run.id: run for run in released})
        return released

    # What a person may change

    def cancel(self, ids: Iterable[str], reason: str, now: float) -> list[Ended]:
        before = {run_id: state for run_id in ids if (state := self.read.state_of(run_id)) is not None}
        self._let_go(self._cancel(before, reason, now), now)
        return [self._told(run_id, state) for run_id, state in before.items()]

    def _cancel(self, ids: Iterable[str], reason: str, now: float) -> list[str | None]:
        """Returns the schedules that runs have ended of."""
        ended = []
        wished = False
        for run_id in ids:
            if run_id in self.held:
                self.held[run_id] = rows.marked(self.held[run_id], cancel_reason=reason)
                wished = True
            elif run_id in self.waiting.runs:
                waits = self.waiting.runs[run_id]
                self.waiting.remove(waits)
                run = rows.waiting(waits)
                self._end(run._replace(state=RunState.CANCELLED, reason=reason, finished=now))
                ended.append(run.extra.schedule if run.extra else None)
        self.wishes += wished
        return ended

    def cancels(self, kernel: str) -> list[tuple[str, int, str]]:
        found = []
        for claimed, by, _, marks in self.held.values():
            if by == kernel and marks is not None and marks.cancel_reason is not None:
                found.append((claimed.id, claimed.token, marks.cancel_reason))
        return found

    def retry(self, ids: Iterable[str], now: float) -> list[Ended]:
        before = {run_id: state for run_id in ids if (state := self.read.state_of(run_id)) is not None}
        for run_id, state in before.items():
            if state in FINAL and state != RunState.COMPLETED:
                self._retry(self.read.run(run_id), now)
        return [self._told(run_id, state) for run_id, state in before.items()]

    def _retry(self, run: Run, now: float) -> None:
        if _unique_of(run.job, run.extra) in self._unique:
            return
        self.ended.remove(run)
        # Its time to begin has passed, or may pass while it waits: whoever retries it wants it run all the same.
        extra = run.extra and run.extra._replace(expires=None)
        extra = None if extra == RunExtra() else extra
        again = run._replace(
            state=RunState.QUEUED, due=now, urgency=urgency_of(now, run.priority), failures=0, finished=None,
            reason=None, notes_text=None, cancel_reason=None, extra=extra,
        )  # fmt: skip
        self._begin({run.id: again})

    def _told(self, run_id: str, before: str) -> Ended:
        run = self.read.run(run_id)
        return Ended(run_id, run.job, run.queue, before, run.state)

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
        self.enqueue(looked.runs, {})
        self._let_go(ended, until)

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
            self._unique[run[JOB], extra.unique] = run[ID]
        if extra.schedule is not None:
            self._of_schedules.add(extra.schedule, run[ID], extra.tick, blocked=run[STATE] == RunState.BLOCKED)

    def _end(self, run: Run) -> None:
        self.ended.add(run.job, run, run)
        if run.extra is not None:
            self._part(run, run.extra)

    def _part(self, run: Run | Claimed, extra: RunExtra) -> None:
        if extra.unique is not None:
            del self._unique[run.job, extra.unique]
        if extra.schedule is not None:
            self._of_schedules.remove(extra.schedule, run.id)


def _unique_of(job: str, extra: RunExtra | None) -> tuple[str, str] | None:
    return None if extra is None or extra.unique is None else (job, extra.unique)
