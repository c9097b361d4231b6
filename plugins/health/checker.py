"""Judges all jobs: at each look by what kernel and store say then, and at each check telling what has changed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel import Check, StoreError
from kernel.events import HealthChanged

from .book import Book
from .record import quantile
from .silence import Gaps, silence_of
from .verdict import ARE_OK, HEALTHY, Known, Running, judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel import Kernel

    from .record import Record
    from .settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
"""So often a kernel looks at its jobs unasked: it has to see what is paused, and what comes."""
STORE_SECONDS = 2.0
_FORGET_SECONDS = 86400.0
_MOST_NOTES_READ = 20
"""So many degraded jobs are told with what they did without; each is a question to the store."""
_NEWEST_RUNS = 5
_LONGEST_NOTES = 200
_MOST_RUNNING = 1_000


class Judged(NamedTuple):
    """One job as it stands: ``since`` is from when the verdict has held."""

    job: str
    verdict: str
    text: str
    since: float
    record: Record
    next_at: str | None
    silence_seconds: float | None

    def as_check(self) -> Check:
        record = self.record
        return Check(
            self.job,
            self.verdict,
            ok=self.verdict in ARE_OK,
            text=self.text,
            since=self.since,
            details={
                "last_start_at": _iso(record.started_at),
                "last_success_at": _iso(record.succeeded_at),
                "last_failure_at": _iso(record.failed_at),
                "failures": record.failures_since(record.succeeded_at),
                "success_rate": record.success_rate,
                "p50_seconds": quantile(record.durations, 0.5),
                "p95_seconds": quantile(record.durations, 0.95),
                "max_silence_seconds": self.silence_seconds,
                "next_at": self.next_at,
            },
        )


class Checker:
    """For one kernel. ``checks`` never raises for want of the store: that is a check that is not ok."""

    def __init__(self, kernel: Kernel, settings: Settings) -> None:
        self._kernel = kernel
        self._settings = settings
        self._book = Book(kernel)
        self._gaps = Gaps()
        self._looking = asyncio.Lock()
        self._begun = self._done = 0
        self._judged: list[Judged] = []
        self._verdicts: dict[str, Any] = {}
        self._held: dict[str, tuple[str, float]] = {}
        self._kernels: list[str] = []
        self._present: set[str] | None = None
        self._paused: set[str] = set()
        self._looked_at = -LOOK_SECONDS
        self.hear = self._book.hear

    # On a timer

    async def write(self) -> None:
        """Writes what was heard; now and then looks."""
        elapsed = self._kernel.clock.elapsed()
        if elapsed - self._looked_at >= LOOK_SECONDS:
            try:
                await self._look()
            except StoreError as error:
                log.info("the health of jobs is looked at later: %s", error)
        await self._book.write()

    async def close(self) -> None:
        """Writes what is left; of a kernel that stops before it has looked, when each job was first seen too."""
        if not self._book.has_read:
            await self.checks()
        await self._book.write()

    async def check(self) -> dict[str, int]:
        """Tells which verdicts have changed since the last check, of whichever kernel; how many jobs have each verdict."""
        judged = await self._look()
        now = self._kernel.clock.now()
        before, after = self._verdicts, {}
        changed = []
        for one in judged:
            was = before.get(one.job, {}).get("verdict", HEALTHY)
            since = before[one.job]["since"] if one.job in before and was == one.verdict else one.since
            after[one.job] = {"verdict": one.verdict, "since": since}
            if was != one.verdict:
                changed.append(HealthChanged(now, one.job, one.verdict, was, one.text, since))
        # A job that another kernel brought may come back with it: what is known of it is kept for a day.
        for job in before.keys() - after.keys():
            gone = before[job].get("gone", now)
            if now - gone < _FORGET_SECONDS:
                after[job] = before[job] | {"gone": gone}
        if after != before:
            await self._book.put_verdicts(after)
            self._verdicts = after
        for event in changed:
            self._kernel.publish(event)
        await self._book.tidy(self._kernels, before.keys() - after.keys())
        return dict(Counter(one.verdict for one in judged))

    # Asked

    async def checks(self) -> list[Check]:
        """One for each job, by name."""
        try:
            async with asyncio.timeout(STORE_SECONDS):
                judged = await self._look()
        except TimeoutError:
            problem = f"the store does not answer within {STORE_SECONDS:g} s"
        except StoreError as error:
            problem = str(error)
        else:
            return [one.as_check() for one in judged]
        return [Check("jobs", "unknown", ok=False, text=f"the health of jobs cannot be read: {problem}")]

    # A look

    async def _look(self) -> list[Judged]:
        """A look that has begun since it was asked for: all who ask while one is under way share the next."""
        asked = self._begun
        async with self._looking:
            if self._done <= asked:
                self._begun += 1
                number = self._begun
                self._judged = await self._judge_all()
                self._done = number
            return self._judged

    async def _judge_all(self) -> list[Judged]:
        control = self._kernel.control
        jobs, schedules, queues, running, kernels = await asyncio.gather(
            control.jobs(), control.schedules_list(), control.queues_list(),
            control.runs_list(state="running", limit=_MOST_RUNNING), control.kernels(),
        )  # fmt: skip
        now = self._kernel.clock.now()
        self._looked_at = self._kernel.clock.elapsed()
        self._kernels = [one["kernel"] for one in kernels]
        await self._gaps.learn(schedules, now)
        names = [job["job"] for job in jobs]
        by_job: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for schedule in schedules:
            by_job[schedule["job"]].append(schedule)
        paused_queues = {one["queue"] for one in queues if one["paused"]}
        paused = {job["job"]: _paused(job, by_job[job["job"]], paused_queues) for job in jobs}
        self._note_idle(names, paused, now)
        records, self._verdicts = await self._book.read(names, self._kernels)
        self._note_new(names, records, now)
        under_way = _running(running)
        judged = [
            self._judge(
                job, records[job["job"]], by_job[job["job"]], paused[job["job"]], under_way.get(job["job"]), now
            )
            for job in jobs
        ]
        return await self._with_notes(judged)

    async def _with_notes(self, judged: list[Judged]) -> list[Judged]:
        """What the last runs of degraded jobs did without: the runs have it, also after a restart."""
        degraded = [one.job for one in judged if one.verdict == "degraded"][:_MOST_NOTES_READ]
        found = dict(zip(degraded, await asyncio.gather(*map(self._notes_of, degraded)), strict=True))
        return [
            one._replace(text=f"the last run did without: {notes}") if (notes := found.get(one.job)) else one
            for one in judged
        ]

    async def _notes_of(self, job: str) -> str:
        runs = await self._kernel.control.runs_ended(job=job, limit=_NEWEST_RUNS)
        notes: object = next((run["notes"] for run in runs if run["state"] == "completed"), [])
        # A damaged row gives a text.
        return ("; ".join(notes) if isinstance(notes, list) else str(notes))[:_LONGEST_NOTES]

    def _note_idle(self, names: Sequence[str], paused: dict[str, str], now: float) -> None:
        """What is paused, or was at the last look, or was not there then, has missed nothing up to now."""
        here = set(names)
        still = {name for name, what in paused.items() if what}
        came = set() if self._present is None else here - self._present
        for name in still | (self._paused & here) | came:
            self._book.note_idle(name, now, is_over=name not in still)
        self._present, self._paused = here, still

    def _note_new(self, names: Sequence[str], records: dict[str, Record], now: float) -> None:
        for name in names:
            if records[name].known_at is None:
                records[name].known_at = self._book.noted(name).known_at = now

    def _judge(  # noqa: PLR0917 - all that is known of one job, by one caller
        self,
        job: dict[str, Any],
        record: Record,
        schedules: Sequence[dict[str, Any]],
        paused: str,
        running: Running | None,
        now: float,
    ) -> Judged:
        gaps = [self._gaps.of(one) for one in schedules if not one["paused"]]
        usual = quantile(record.durations, 0.95)
        silence = silence_of(job, gaps, usual, None if schedules else self._settings.default_max_silence)
        verdict, text = judge(Known(record, silence, job["timeout_seconds"], running, paused), now, self._settings)
        name = job["job"]
        next_at = min((one["next_at"] for one in schedules if one["next_at"] is not None), default=None)
        return Judged(
            name,
            verdict,
            text,
            self._since(name, verdict, now),
            record,
            next_at,
            None if silence is None else silence.seconds,
        )

    def _since(self, job: str, verdict: str, now: float) -> float:
        """As the last check has it, if the verdict is still that one; else from when a look found it so first."""
        stored = self._verdicts.get(job)
        if stored is not None and stored["verdict"] == verdict:
            since = float(stored["since"])
        else:
            held, since = self._held.get(job, ("", now))
            since = since if held == verdict else now
        self._held[job] = (verdict, since)
        return since


def _paused(job: dict[str, Any], schedules: Sequence[dict[str, Any]], queues: set[str]) -> str:
    """What is paused so that the job does not run, or an empty text."""
    if job["queue"] in queues:
        return f"its queue {job['queue']}"
    ticking = [one for one in schedules if one["kind"] != "after"]
    if ticking and all(one["paused"] for one in ticking):
        return "its schedule" if len(ticking) == 1 else "each of its schedules"
    return ""


def _running(runs: Sequence[dict[str, Any]]) -> dict[str, Running]:
    found: dict[str, Running] = {}
    for run in runs:
        if run["started_at"] is None:
            continue
        since = datetime.fromisoformat(run["started_at"]).timestamp()
        before = found.get(run["job"], Running(since, is_stuck=False))
        found[run["job"]] = Running(min(before.since, since), before.is_stuck or run["stuck"])
    return found


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
