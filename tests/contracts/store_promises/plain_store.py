"""A store as plain as can be: one dict and loops over all of it. Slow, and easy to see to be right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from kernel.contracts.store import SUSPECT_LOSSES, Claim, Look, Looked, QueueRow, Unfinished
from kernel.model.run import FINAL, WAITING, Change, NewRun, Run, RunExtra, Terms, as_run, urgency_of

Decide = Callable[[Look, Sequence[Unfinished]], Looked]


CANCELLED_WITH_PARENT = "a parent failed"
"""Stands here for whatever a store says, naming the parent."""
UNFINISHED = ("queued", "scheduled", "retrying", "blocked", "running")


class FullError(Exception):
    pass


class UnknownParentError(Exception):
    pass


class Parents(NamedTuple):
    """What a run depends on: those that have not ended yet."""

    open: set[str]
    on_failure: str


class PlainStore:
    def __init__(self, looked_until: Mapping[str, float]) -> None:
        self.runs: dict[str, Run] = {}
        self.looked_until = dict(looked_until)
        self.periods: dict[tuple[str, str], tuple[str, float]] = {}
        """(job, unique key) -> the run that keeps it until then, though it has ended."""
        self.parents: dict[str, Parents] = {}
        self.cancelled: list[str] = []
        """Those that the last call cancelled because they depended on others."""
        self.freed = False
        """Whether the last call let runs go that depended on others."""

    # The calls

    def enqueue(self, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
        before = dict(self.runs), dict(self.periods), dict(self.parents)
        try:
            answer = [self._insert(run) for run in runs]
            self._check_room(before[0], room)
        except (FullError, UnknownParentError):
            self.runs, self.periods, self.parents = before
            raise
        return answer

    def _check_room(self, before: Mapping[str, Run], room: Mapping[str, int]) -> None:
        """Only a queue that has more waiting runs than before can be too full."""
        for queue, most in room.items():
            waiting, waited = (
                sum(run.queue == queue and run.state in WAITING for run in runs.values())
                for runs in (self.runs, before)
            )
            if waiting > max(most, waited):
                raise FullError

    def claim(self, claim: Claim) -> tuple[list[str], float | None, list[str]]:
        passed = [run for run in self._in(WAITING) if _expires(run) <= claim.now]
        for run in passed:
            self._put(run, state="expired", reason="expired", finished=claim.now)
        self._end(passed, claim.now)
        for run in self._in({"scheduled", "retrying"}):
            if run.due <= claim.now:
                self._put(run, state="queued")
        jobs, queues = dict(claim.jobs), dict(claim.queues)
        claimed: list[str] = []
        suspects = claim.suspects
        for run in sorted(self._in({"queued"}), key=lambda run: (run.urgency, run.id)):
            may_begin = (
                len(claimed) < claim.limit
                and (claim.before is None or run.urgency < claim.before)
                and jobs.get(run.job, 0) > 0
                and queues.get(run.queue, 1) > 0
                and (run.losses < SUSPECT_LOSSES or suspects > 0)
                and not self._is_full(run, claim)
            )
            if may_begin:
                jobs[run.job] -= 1
                queues[run.queue] = queues.get(run.queue, 1_000_000) - 1
                suspects -= run.losses >= SUSPECT_LOSSES
                claimed.append(run.id)
                self._put(
                    run, state="running", token=run.token + 1, attempt=run.attempt + 1, kernel=claim.kernel,
                    started=claim.now,
                )  # fmt: skip
        return claimed, min((run.due for run in self._in({"scheduled", "retrying"})), default=None), _ids(passed)

    def finish(self, changes: Sequence[Change]) -> list[bool]:
        self.cancelled, self.freed = [], False
        return [self._finish(change) for change in changes]

    def cancel(self, ids: Sequence[str], reason: str, now: float) -> list[tuple[str, str, str]]:
        known = [self.runs[run_id] for run_id in ids if run_id in self.runs]
        for run in known:
            if run.state in WAITING:
                self._put(run, state="cancelled", reason=reason, finished=now)
            elif run.state == "running":
                self._put(run, cancel_reason=reason)
        answer = [(run.id, run.state, self.runs[run.id].state) for run in known]
        self._end([run for run in known if run.state in WAITING], now)
        return answer

    def retry(self, ids: Sequence[str], now: float) -> list[tuple[str, str, str, str | None]]:
        answer = []
        for run in [self.runs[run_id] for run_id in ids if run_id in self.runs]:
            did_not_complete = run.state in {"failed", "cancelled", "expired"}
            holder = self._holder(run, now)
            held_by = holder if did_not_complete and holder != run.id else None
            if did_not_complete and held_by is None:
                extra = run.extra and run.extra._replace(expires=None)
                self._put(
                    run, state="queued", due=now, urgency=urgency_of(now, run.priority), failures=0, finished=None,
                    reason=None, cancel_reason=None, losses=0, extra=None if extra == RunExtra() else extra,
                )  # fmt: skip
            answer.append((run.id, run.state, self.runs[run.id].state, held_by))
        return answer

    def release(self, kernel: str) -> list[str]:
        held = [run for run in self._in({"running"}) if run.kernel == kernel]
        for run in held:
            self._put(run, state="queued", stuck=False)
        return _ids(held)

    def rescue(self, kernel: str, decide: Callable[[None, Sequence[Run]], Sequence[Change]]) -> list[str]:
        held = sorted(run for run in self._in({"running"}) if run.kernel != kernel)
        for change in decide(None, held):
            self._finish(change)
        return _ids(held)

    def prune(self) -> int:
        ended = self._in(FINAL)
        for run in ended:
            del self.runs[run.id]
            self.parents.pop(run.id, None)
        return len(ended)

    def look(self, looks: Sequence[Look], decide: Decide) -> list[Looked | None]:
        return [self._look(look, decide) for look in looks]

    def queues(self) -> list[QueueRow]:
        rows = []
        for name in sorted({run.queue for run in self.runs.values() if run.state not in FINAL}):
            runs = [run for run in self.runs.values() if run.queue == name]
            states = [run.state for run in runs]
            due = min((run.due for run in runs if run.state == "queued"), default=None)
            queued, scheduled, retrying, blocked, running = (states.count(state) for state in UNFINISHED)
            rows.append(QueueRow(name, queued, scheduled, retrying, blocked, running, due, None))
        return rows

    # What they have in common

    def _insert(self, run: NewRun) -> str:
        if run.id in self.runs:
            return run.id
        terms = run.terms or Terms()
        holder = self._holder(run, run.enqueued)
        if holder is not None:
            waits = self.runs.get(holder)
            if terms.on_conflict != "keep" and waits is not None and waits.state in WAITING:
                self._replace(waits, run)
                self._keep(run, holder, terms.unique_until)
            return holder
        if not set(terms.depends_on) <= set(self.runs):
            raise UnknownParentError
        self._forget_key(run)
        self._keep(run, run.id, terms.unique_until)
        self.runs[run.id] = as_run(run)
        if terms.depends_on:
            self._depend(run, terms)
        return run.id

    def _depend(self, run: NewRun, terms: Terms) -> None:
        parents = [self.runs[parent] for parent in terms.depends_on]
        self.parents[run.id] = Parents({one.id for one in parents if one.state not in FINAL}, terms.on_parent_failure)
        if terms.on_parent_failure == "cancel" and any(_has_failed(one) for one in parents):
            self._cancel_child(run.id, run.enqueued)
        elif not self.parents[run.id].open:
            self._put(self.runs[run.id], state="queued" if run.due <= run.enqueued else "scheduled")

    def _replace(self, waits: Run, run: NewRun) -> None:
        old, new = waits.extra or RunExtra(), run.extra or RunExtra()
        extra = old._replace(
            expires=new.expires, tags=new.tags, concurrency_key=new.concurrency_key, rate_key=new.rate_key
        )
        self._put(
            waits, payload_text=run.payload, queue=run.queue, priority=run.priority, state=run.state, due=run.due,
            urgency=run.urgency, extra=extra,
        )  # fmt: skip

    def _holder(self, run: NewRun | Run, now: float) -> str | None:
        """The run that has this one's unique key: the unfinished one, or the last one with a period."""
        key = _key_of(run)
        if key is None:
            return None
        for other in self.runs.values():
            if _key_of(other) == key and other.state not in FINAL:
                return other.id
        holder, until = self.periods.get(key, ("", 0.0))
        return holder if until > now else None

    def _keep(self, run: NewRun, holder: str, until: float | None) -> None:
        key = _key_of(run)
        if key is not None and until is not None:
            self.periods[key] = (holder, max(until, self.periods.get(key, ("", until))[1]))

    def _forget_key(self, run: NewRun | Run) -> None:
        key = _key_of(run)
        if key is not None:
            self.periods.pop(key, None)

    def _is_full(self, run: Run, claim: Claim) -> bool:
        """Whether as many runs of this one's concurrency key are running as may."""
        most = claim.key_limits.get(run.job)
        key = run.extra.concurrency_key if run.extra else None
        running = [one.extra and one.extra.concurrency_key for one in self._in({"running"}) if one.job == run.job]
        return most is not None and key is not None and running.count(key) >= most

    def _end(self, ended: Iterable[Run], now: float) -> None:
        """What follows from the end of these, which have their new state already."""
        self.cancelled = []
        self.freed = False
        ended = list(ended)
        for run in ended:
            self._close(run.id)
        self._let_go(ended, now)
        for run in ended:
            self._follow(run.id, now)

    def _close(self, run_id: str) -> None:
        """A run that has ended waits for nobody, and keeps no key when it was cancelled."""
        if run_id in self.parents:
            self.parents[run_id] = self.parents[run_id]._replace(open=set())
        run = self.runs[run_id]
        if run.state == "cancelled" and self.periods.get(_key_of(run) or ("", ""), ("",))[0] == run_id:
            self._forget_key(run)

    def _follow(self, parent: str, now: float) -> None:
        """``parent`` has ended: its children go, or are cancelled, and so on."""
        children = sorted(child for child, parents in self.parents.items() if parent in parents.open)
        for child in children:
            on_failure = self.parents[child].on_failure
            self.parents[child] = Parents(self.parents[child].open - {parent}, on_failure)
            if _has_failed(self.runs[parent]) and on_failure == "cancel":
                self._cancel_child(child, now)
            elif not self.parents[child].open:
                self.freed = True
                self._put(self.runs[child], state="queued" if self.runs[child].due <= now else "scheduled")

    def _cancel_child(self, child: str, now: float) -> None:
        self._put(self.runs[child], state="cancelled", reason=CANCELLED_WITH_PARENT, finished=now)
        self._close(child)
        self.cancelled.append(child)
        self._follow(child, now)

    def _finish(self, change: Change) -> bool:
        run = self.runs.get(change.id)
        if run is None or run.state != "running" or run.token != change.token:
            return False
        self._put(
            run, state=change.state, due=change.due, urgency=change.urgency, attempt=change.attempt,
            failures=change.failures, finished=change.finished, result_text=change.result,
            error_text=change.error or run.error_text, reason=change.reason, notes_text=change.notes, stuck=False,
            losses=run.losses if change.losses is None else change.losses,
        )  # fmt: skip
        if change.state in FINAL:
            before, freed = self.cancelled, self.freed
            self._end([run], change.finished or 0.0)
            self.cancelled, self.freed = before + self.cancelled, freed or self.freed
        return True

    def _look(self, look: Look, decide: Decide) -> Looked | None:
        if self.looked_until.get(look.schedule) != look.expected:
            return None
        unfinished = sorted(run.id for run in self.runs.values() if self._holds(run, look.schedule))
        looked = decide(look, [Unfinished(run_id, self.runs[run_id].state) for run_id in unfinished])
        self.looked_until[look.schedule] = look.until
        ended = [self.runs[run_id] for run_id in looked.cancel if self.runs[run_id].state in WAITING]
        for run_id in looked.cancel:
            run = self.runs[run_id]
            if run.state == "running":
                self._put(run, cancel_reason=looked.cancel_reason)
        for run in ended:
            self._put(run, state="cancelled", reason=looked.cancel_reason, finished=look.until)
        for run in ended:
            self._close(run.id)
            self._follow(run.id, look.until)
        for new in looked.runs:
            self._insert(new)
        self._let_go(ended, look.until)
        return looked

    def _let_go(self, ended: Iterable[Run], now: float) -> None:
        for schedule in {run.schedule for run in ended} - {None}:
            runs = [run for run in self.runs.values() if self._holds(run, schedule)]
            if runs and all(run.state == "blocked" for run in runs):
                first = min(runs, key=lambda run: (run.extra.tick if run.extra else None, run.id))
                self._put(first, state="queued" if first.due <= now else "scheduled")

    def _holds(self, run: Run, schedule: str | None) -> bool:
        return run.schedule == schedule and run.state not in FINAL

    def _in(self, states: Iterable[str]) -> list[Run]:
        return [run for run in self.runs.values() if run.state in states]

    def _put(self, run: Run, **fields: object) -> None:
        self.runs[run.id] = self.runs[run.id]._replace(**fields)  # type: ignore[arg-type] # any field of a run


def _expires(run: Run) -> float:
    if run.attempt or run.extra is None or run.extra.expires is None:
        return float("inf")
    return run.extra.expires


def _has_failed(run: Run) -> bool:
    return run.state in FINAL and run.state != "completed"


def _key_of(run: NewRun | Run) -> tuple[str, str] | None:
    return (run.job, run.extra.unique) if run.extra and run.extra.unique is not None else None


def _ids(runs: Iterable[Run]) -> list[str]:
    return [run.id for run in runs]
