"""What events tell of runs and of the loop, counted. The number of series has a limit, whatever names come."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from kernel import Tally
from kernel.events import (
    LoopBlocked,
    RunCancelled,
    RunExpired,
    RunFailed,
    RunLost,
    RunRetrying,
    RunsCompleted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from kernel.events import Completion

Counted = RunsCompleted | RunFailed | RunCancelled | RunExpired | RunRetrying | RunLost | LoopBlocked
Entry = TypeVar("Entry")

OTHER = "(other)"
"""The name under which the rest is counted where there are too many names. No job and no queue is called so."""
MOST_JOBS, MOST_QUEUES, MOST_PAIRS = 500, 500, 1_000
OUTCOMES = ("completed", "degraded", "failed", "cancelled", "expired")
DURATIONS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
DELAYS = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)


@dataclass(slots=True)
class _Job:
    durations: Tally = field(default_factory=lambda: Tally(DURATIONS))
    retries: int = 0
    lost: int = 0
    last_completed: float = 0.0


@dataclass(slots=True)
class _Pair:
    """A job in a queue: its own counts, and at hand those that it shares with other queues and jobs."""

    job: _Job
    delays: Tally
    completed: int = 0
    degraded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0


class Runs:
    """Takes events on the loop, where it costs each run one look-up; is read in a thread."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}
        self._delays: dict[str, Tally] = {}
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._blocks: Counter[tuple[str, str]] = Counter()
        self._blocked_seconds: Counter[tuple[str, str]] = Counter()

    def take(self, events: Sequence[Counted]) -> None:
        for event in events:
            if isinstance(event, RunsCompleted):
                self._take_completed(event.ends)
            elif isinstance(event, LoopBlocked):
                self._take_block(event)
            else:
                _take_rare(self._pair(event.job, event.queue), event)

    def _take_completed(self, ends: Sequence[Completion]) -> None:
        pairs = self._pairs
        for at, _, job, queue, _, seconds, degraded, waited in ends:
            pair = pairs.get((job, queue)) or self._pair(job, queue)
            if degraded:
                pair.degraded += 1
            else:
                pair.completed += 1
            pair.job.last_completed = at
            pair.job.durations.add(seconds)
            pair.delays.add(waited)

    def know(self, job: str, queue: str) -> None:
        """From now on it is shown, with zeros: the first run of all is an increase then."""
        if (job, queue) not in self._pairs:
            self._pair(job, queue)

    def _take_block(self, event: LoopBlocked) -> None:
        who = event.plugin, event.job
        if who not in self._blocks and len(self._blocks) >= MOST_JOBS:
            who = OTHER, OTHER
        self._blocks[who] += 1
        self._blocked_seconds[who] += event.seconds  # type: ignore[assignment] # a Counter counts seconds as well

    def _pair(self, job: str, queue: str) -> _Pair:
        found = self._pairs.get((job, queue))
        if found is None and len(self._pairs) >= MOST_PAIRS:
            job, queue = OTHER, OTHER
            found = self._pairs.get((job, queue))
        if found is None:
            mine = _entry(self._jobs, job, MOST_JOBS, _Job)
            found = _Pair(mine, _entry(self._delays, queue, MOST_QUEUES, lambda: Tally(DELAYS)))
            self._pairs[job, queue] = found
        return found

    # In a thread

    def families(self) -> Iterator[Metric]:
        # A copy of the items is taken at one moment: meanwhile the loop goes on counting.
        jobs, pairs, blocks = list(self._jobs.items()), list(self._pairs.items()), list(self._blocks.items())
        runs = CounterMetricFamily(
            "mainspring_runs", "Runs that have ended, by how.", labels=["job_name", "queue", "outcome"]
        )
        for names, pair in pairs:
            for outcome in OUTCOMES:
                runs.add_metric([*names, outcome], getattr(pair, outcome))
        yield runs
        yield histogram(
            "mainspring_attempt_duration_seconds",
            "How long attempts took that have completed or failed.",
            "job_name",
            [(name, job.durations) for name, job in jobs],
        )
        yield histogram(
            "mainspring_start_delay_seconds",
            "How long after its due instant an attempt began; told when it has completed or failed.",
            "queue",
            list(self._delays.items()),
        )
        retries = CounterMetricFamily(
            "mainspring_retries", "Attempts that failed and are followed by another.", labels=["job_name"]
        )
        lost = CounterMetricFamily(
            "mainspring_runs_lost", "Runs taken up from kernels that have died.", labels=["job_name"]
        )
        last = GaugeMetricFamily(
            "mainspring_last_completed_timestamp_seconds",
            "When a run of the job completed last, as seen by this kernel.",
            labels=["job_name"],
        )
        for name, job in jobs:
            retries.add_metric([name], job.retries)
            lost.add_metric([name], job.lost)
            if job.last_completed:
                last.add_metric([name], job.last_completed)
        yield from (retries, lost, last)
        count = CounterMetricFamily(
            "mainspring_loop_blocks",
            "Times that the event loop had no turn for half a second or more.",
            labels=["plugin", "job_name"],
        )
        seconds = CounterMetricFamily(
            "mainspring_loop_blocked_seconds",
            "How long the event loop had no turn, by who blocked it.",
            labels=["plugin", "job_name"],
        )
        for who, times in blocks:
            count.add_metric(who, times)
            seconds.add_metric(who, self._blocked_seconds[who])
        yield from (count, seconds)


def _take_rare(pair: _Pair, event: Counted) -> None:
    match event:
        case RunFailed():
            pair.failed += 1
            pair.job.durations.add(event.seconds)
            pair.delays.add(event.waited)
        case RunRetrying():
            pair.job.retries += 1
            pair.job.durations.add(event.seconds)
            pair.delays.add(event.waited)
        case RunCancelled():
            pair.cancelled += 1
        case RunExpired():
            pair.expired += 1
        case RunLost():
            pair.job.lost += 1


def _entry(table: dict[str, Entry], name: str, most: int, make: Callable[[], Entry]) -> Entry:
    """The one of this name; where there are too many names already, the one that the rest shares."""
    if name not in table:
        name = name if len(table) < most else OTHER
        table.setdefault(name, make())
    return table[name]


def histogram(name: str, about: str, label: str | None, tallies: Sequence[tuple[str, Tally]]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, about, labels=[label] if label else [])
    for value, tally in tallies:
        family.add_metric([value] if label else [], tally.up_to(), tally.sum)
    return family
