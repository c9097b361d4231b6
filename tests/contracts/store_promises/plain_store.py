"""A store as plain as can be: one dict and loops over all of it. Slow, and easy to see to be right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from kernel.contracts.store import Claim, Look, Looked, QueueRow, Unfinished
from kernel.model.run import FINAL, WAITING, Change, NewRun, Run, RunExtra, as_run, urgency_of

Decide = Callable[[Look, Sequence[Unfinished]], Looked]


UNFINISHED = ("queued", "scheduled", "retrying", "blocked", "running")


class FullError(Exception):
    pass


class PlainStore:
    def __init__(self, looked_until: Mapping[str, float]) -> None:
        self.runs: dict[str, Run] = {}
        self.looked_until = dict(looked_until)

    # The calls

    def enqueue(self, runs: Sequence[NewRun], room: Mapping[str, int]) -> list[str]:
        before = dict(self.runs)
        answer = [self._insert(run) for run in runs]
        for queue in {run.queue for run in self.runs.values() if run.id not in before}:
            waiting = [run for run in self.runs.values() if run.queue == queue and run.state in WAITING]
            if queue in room and len(waiting) > room[queue]:
                self.runs = before
                raise FullError
        return answer

    def claim(self, claim: Claim) -> tuple[list[str], float | None, list[str]]:
        passed = [run for run in self._in(WAITING) if _expires(run) <= claim.now]
        for run in passed:
            self._put(run, state="expired", reason="expired", finished=claim.now)
        self._let_go(passed, claim.now)
        for run in self._in({"scheduled", "retrying"}):
            if run.due <= claim.now:
                self._put(run, state="queued")
        jobs, queues = dict(claim.jobs), dict(claim.queues)
        claimed: list[str] = []
        for run in sorted(self._in({"queued"}), key=lambda run: (run.urgency, run.id)):
            too_late = claim.before is not None and run.urgency >= claim.before
            if len(claimed) < claim.limit and not too_late and jobs.get(run.job, 0) and queues.get(run.queue, 1):
                jobs[run.job] -= 1
                queues[run.queue] = queues.get(run.queue, 1_000_000) - 1
                claimed.append(run.id)
                self._put(
                    run, state="running", token=run.token + 1, attempt=run.attempt + 1, kernel=claim.kernel,
                    started=claim.now,
                )  # fmt: skip
        return claimed, min((run.due for run in self._in({"scheduled", "retrying"})), default=None), _ids(passed)

    def finish(self, changes: Sequence[Change]) -> list[bool]:
        return [self._finish(change) for change in changes]

    def cancel(self, ids: Sequence[str], reason: str, now: float) -> list[tuple[str, str, str]]:
        known = [self.runs[run_id] for run_id in ids if run_id in self.runs]
        for run in known:
            if run.state in WAITING:
                self._put(run, state="cancelled", reason=reason, finished=now)
            elif run.state == "running":
                self._put(run, cancel_reason=reason)
        answer = [(run.id, run.state, self.runs[run.id].state) for run in known]
        self._let_go([run for run in known if run.state in WAITING], now)
        return answer

    def retry(self, ids: Sequence[str], now: float) -> list[tuple[str, str, str]]:
        answer = []
        for run in [self.runs[run_id] for run_id in ids if run_id in self.runs]:
            if run.state in {"failed", "cancelled", "expired"} and self._holder(run) is None:
                extra = run.extra and run.extra._replace(expires=None)
                self._put(
                    run, state="queued", due=now, urgency=urgency_of(now, run.priority), failures=0, finished=None,
                    reason=None, cancel_reason=None, extra=None if extra == RunExtra() else extra,
                )  # fmt: skip
            answer.append((run.id, run.state, self.runs[run.id].state))
        return answer

    def release(self, kernel: str) -> list[str]:
        held = [run for run in self._in({"running"}) if run.kernel == kernel]
        for run in held:
            self._put(run, state="queued", stuck=False)
        return _ids(held)

    def prune(self) -> int:
        ended = self._in(FINAL)
        for run in ended:
            del self.runs[run.id]
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
        if run.id not in self.runs:
            holder = self._holder(run)
            if holder is not None:
                return holder
            self.runs[run.id] = as_run(run)
        return run.id

    def _holder(self, run: NewRun | Run) -> str | None:
        """The unfinished run that has this one's unique key."""
        unique = run.extra.unique if run.extra else None
        for other in self.runs.values():
            key = other.extra.unique if other.extra else None
            if unique is not None and key == unique and other.job == run.job and other.state not in FINAL:
                return other.id
        return None

    def _finish(self, change: Change) -> bool:
        run = self.runs.get(change.id)
        if run is None or run.state != "running" or run.token != change.token:
            return False
        self._put(
            run, state=change.state, due=change.due, urgency=change.urgency, attempt=change.attempt,
            failures=change.failures, finished=change.finished, result_text=change.result,
            error_text=change.error or run.error_text, reason=change.reason, notes_text=change.notes, stuck=False,
        )  # fmt: skip
        if change.state in FINAL:
            self._let_go([run], change.finished or 0.0)
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


def _ids(runs: Iterable[Run]) -> list[str]:
    return [run.id for run in runs]
