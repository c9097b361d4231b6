"""What this kernel has heard of the runs of jobs, and what all kernels on the store have written down of theirs.

Each kernel writes rows of its own, so that none overwrites another's. Those of kernels that are gone are taken together into
one row by the check, of which one runs at a time.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kernel import StoreError
from kernel.events import EventsDropped, RunFailed, RunsCompleted

from .record import Record, merged

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kernel import Kernel

log = logging.getLogger(__name__)

PLUGIN = "health"
VERDICTS = "verdicts"
_IDLE_SECONDS = 30.0
_ALL = "all"
"""Whose the row is that was made of those of kernels that are gone."""


class Book:
    """``here`` is this kernel's own part; ``read`` gives it together with what others wrote."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._values = kernel.values(PLUGIN)
        self._id = kernel.id
        self._unwritten: set[str] = set()
        self._listens_since = kernel.clock.now()
        self._was_deaf = False
        self.has_read = False
        self.here: dict[str, Record] = {}

    def hear(self, events: Sequence[RunsCompleted | RunFailed | EventsDropped]) -> None:
        """How runs ended. Called for every run: it does no more than note it down."""
        for event in events:
            if isinstance(event, RunsCompleted):
                for at, _, job, _, _, seconds, degraded, _ in event.ends:
                    record = self.here.get(job) or self.noted(job)
                    record.completed(at, seconds, is_degraded=degraded)
                self._unwritten.update([end.job for end in event.ends])
            elif isinstance(event, RunFailed):
                self.noted(event.job).has_failed(event.at, event.seconds, event.error)
            else:
                self._was_deaf = self._was_deaf or event.listener == PLUGIN

    def note_idle(self, job: str, now: float, *, is_over: bool) -> None:
        """The job is idle, or was until now. While it lasts that need not be written each time."""
        record = self.here.get(job)
        if is_over or record is None or record.idle_at is None or now - record.idle_at > _IDLE_SECONDS:
            self.noted(job).idle_at = now

    def noted(self, job: str) -> Record:
        """The record of the job in this kernel, to be changed; it is written with the next ones."""
        self._unwritten.add(job)
        return self.here.setdefault(job, Record())

    async def write(self) -> None:
        """Writes what is new; what the store does not take now it is given the next time."""
        if not self.has_read:  # what stands there from before would be lost
            return
        jobs = self._unwritten & self.here.keys()
        self._unwritten = set()
        if not jobs:
            return
        try:
            await self._values.put({f"{self._id} {job}": self.here[job].as_json() for job in jobs})
        except StoreError as error:
            self._unwritten |= jobs
            log.info("what is known of the health of jobs is written later: %s", error)

    async def read(self, jobs: Iterable[str], kernels: Iterable[str]) -> tuple[dict[str, Record], dict[str, Any]]:
        """What is known of these jobs by all kernels, and the verdicts as they were last written.

        What ended while nobody heard it, before a crash say, is taken from the store's runs. ``kernels``: those alive.
        """
        rows = await self._values.get()
        verdicts = rows.pop(VERDICTS, {})
        written = self._by_job(rows)
        others = set(kernels) - {self._id}
        if not self.has_read:
            gaps = {job: await self._gap(job, _last(written.get(job, {}).values()), others) for job in jobs}
            self._take_up(written, gaps)
        elif self._was_deaf:
            gaps = {job: await self._gap(job, _last([self.here.get(job, Record())]), others) for job in jobs}
            self._take_up({}, gaps)
        known = {}
        for job in jobs:
            records = [record for kernel, record in written.get(job, {}).items() if kernel != self._id]
            records += [self.here[job]] if job in self.here else []
            known[job] = merged(records) if records else Record()
        return known, verdicts

    async def _gap(self, job: str, last: float, others: set[str]) -> Record:
        """What has ended after ``last`` and was told to nobody who listened; others that are alive tell of theirs."""
        found = Record()
        for run in reversed(await self._kernel.control.runs_ended(job=job)):
            finished = _seconds(run["finished_at"])
            is_heard = run["kernel"] in {self._id, None} and finished >= self._listens_since and not self._was_deaf
            if finished > last and run["kernel"] not in others and not is_heard:
                _take(found, run, finished)
        return found

    def _take_up(self, written: dict[str, dict[str, Record]], gaps: dict[str, Record]) -> None:
        """Adds to this kernel's part what it has written before, when the plugin was off meanwhile, and what it has missed."""
        for job, gap in gaps.items():
            found = [written[job][self._id]] if self._id in written.get(job, {}) else []
            found += [gap] if gap != Record() else []
            if found:
                self.here[job] = merged([*found, *([self.here[job]] if job in self.here else [])])
                self.here[job].bound()
                self._unwritten.add(job)
        self.has_read, self._was_deaf = True, False

    async def put_verdicts(self, verdicts: dict[str, Any]) -> None:
        await self._values.put({VERDICTS: verdicts})

    async def tidy(self, kernels: Iterable[str], gone_jobs: Iterable[str]) -> None:
        """Takes the rows of kernels that are gone into one for each job, and drops those of jobs that are."""
        rows = await self._values.get()
        rows.pop(VERDICTS, None)
        alive = {*kernels, self._id, _ALL}
        gone = set(gone_jobs)
        changes: dict[str, Any] = {}
        for job, by_kernel in self._by_job(rows).items():
            left = [kernel for kernel in by_kernel if kernel not in alive]
            if job in gone:
                changes |= {f"{kernel} {job}": None for kernel in by_kernel}
            elif left:
                whole = merged([by_kernel[kernel] for kernel in (*left, _ALL) if kernel in by_kernel])
                changes |= {f"{kernel} {job}": None for kernel in left} | {f"{_ALL} {job}": whole.as_json()}
        for job in gone:
            self.here.pop(job, None)
        if changes:
            await self._values.put(changes)

    def _by_job(self, rows: dict[str, Any]) -> dict[str, dict[str, Record]]:
        found: defaultdict[str, dict[str, Record]] = defaultdict(dict)
        for key, row in rows.items():
            kernel, _, job = key.partition(" ")
            if job:
                found[job][kernel] = Record.from_json(row)
        return found


def _last(records: Iterable[Record]) -> float:
    """When the last end came that is known of; 0 when none is."""
    return max((at for one in records for at in (one.succeeded_at, one.failed_at) if at is not None), default=0.0)


def _take(record: Record, run: dict[str, Any], finished: float) -> None:
    lasted = max(finished - _seconds(run["started_at"]), 0.0) if run["started_at"] else 0.0
    if run["state"] == "completed":
        record.completed(finished, lasted, is_degraded=run["degraded"])
    else:
        error = run["error"] or {"type": run["reason"] or "failed", "message": ""}
        record.has_failed(finished, lasted, f"{error['type']}: {error['message']}".removesuffix(": "))


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()
