"""How the kernel stands at the moment of a scrape: what it counts itself, and what it reads from the store."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

from kernel import MainspringError

from .runs import MOST_QUEUES, OTHER, histogram

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from kernel import Kernel

READ_SECONDS = 2.0
"""So long a scrape waits for the store; then it goes without what that would have told."""
_WAITING = ("queued", "scheduled", "retrying", "blocked", "running")
_BREAKER_STATES = ("closed", "open", "half-open")
_PLUGIN_STATES = ("enabled", "off", "broken", "quarantined")
_GAUGES = {
    "concurrency": ("mainspring_concurrency", "How many attempts the kernel makes at once, at the most."),
    "running": ("mainspring_running_attempts", "Attempts that this kernel makes now."),
    "claimed": ("mainspring_claimed_runs", "Runs that this kernel has claimed and not begun."),
    "stuck": ("mainspring_stuck_attempts", "Attempts that were told to end and have not."),
    "outcomes_unwritten": ("mainspring_unwritten_outcomes", "Outcomes that wait in memory for the store."),
    "store_troubled": ("mainspring_store_troubled", "1 while the store does not take what it is given."),
    "schedules": ("mainspring_schedules", "Schedules that this kernel looks at."),
    "schedules_overdue_seconds": (
        "mainspring_schedules_overdue_seconds",
        "For how long a tick has been due and the schedules have not been looked at.",
    ),
}
"""Figure of the kernel -> name and meaning of its metric."""


class Readings:
    """Taken on the loop, then told in a thread."""

    def __init__(self, kernel: Kernel, *, within: float = READ_SECONDS) -> None:
        self._kernel = kernel
        self._within = within
        self._figures: dict[str, Any] = {}
        self._plugins: list[dict[str, Any]] = []
        self._read: dict[str, Any] = {}

    async def take(self) -> None:
        """Never raises for what the store does, nor waits for it for long."""
        control = self._kernel.control
        wanted = {"queues": control.queues_list(), "breakers": control.breakers_list(), "health": control.health()}
        answers = await asyncio.gather(*(self._soon(reading) for reading in wanted.values()))
        self._read = dict(zip(wanted, answers, strict=True))
        self._figures = self._kernel.figures()
        self._plugins = self._kernel.plugin_states()
        self._now = self._kernel.clock.now()

    async def _soon(self, reading: Awaitable[Any]) -> Any:
        with contextlib.suppress(TimeoutError, MainspringError):
            async with asyncio.timeout(self._within):
                return await reading
        return None

    # In a thread

    def families(self) -> Iterator[Metric]:
        info = InfoMetricFamily("mainspring", "The program.")
        info.add_metric([], {"version": _version()})
        yield info
        yield from self._of_figures()
        if self._read["queues"] is not None:
            yield from _of_queues(self._read["queues"], self._now)
        if self._read["health"] is not None:
            about = "1 while `mainspring health` finds nothing wrong."
            yield GaugeMetricFamily("mainspring_healthy", about, value=self._read["health"]["healthy"])
            about = "Incidents that people were told of, or are about to be, and that are not over."
            yield GaugeMetricFamily("mainspring_incidents_open", about, value=_incidents(self._read["health"]))
        if self._read["breakers"] is not None:
            states = {str(one["breaker"]): str(one["state"]).replace("_", "-") for one in self._read["breakers"]}
            about = "1 for the state that the circuit breaker has, 0 for the others."
            yield _states("mainspring_breaker_state", about, "breaker", states, _BREAKER_STATES)
        plugins = {str(one["plugin"]): str(one["state"]) for one in self._plugins}
        about = "1 for the state that the plugin has, 0 for the others."
        yield _states("mainspring_plugin_state", about, "plugin", plugins, _PLUGIN_STATES)
        missing = GaugeMetricFamily(
            "mainspring_reading_missing",
            "1 when the store did not tell this in time for the scrape.",
            labels=["reading"],
        )
        for name, found in self._read.items():
            missing.add_metric([name], found is None)
        yield missing

    def _of_figures(self) -> Iterator[Metric]:
        for figure, (name, about) in _GAUGES.items():
            yield GaugeMetricFamily(name, about, value=self._figures[figure])
        ticks = CounterMetricFamily(
            "mainspring_ticks", "Ticks of schedules, by what became of them.", labels=["result"]
        )
        for result, count in self._figures["ticks"].items():
            ticks.add_metric([result], count)
        dropped = CounterMetricFamily(
            "mainspring_events_dropped", "Events that were not told, for the inbox was full.", labels=["listener"]
        )
        for listener, count in self._figures["events_dropped"].items():
            dropped.add_metric([listener], count)
        yield from (ticks, dropped)
        batches: Mapping[str, Any] = self._figures["store_batches"]
        yield histogram(
            "mainspring_store_batch_rows",
            "How many rows the store was given, or gave, at once.",
            "operation",
            [(operation, sizes) for operation, (sizes, _) in batches.items()],
        )
        yield histogram(
            "mainspring_store_batch_seconds",
            "How long the store took for them, waiting for its turn included.",
            "operation",
            [(operation, times) for operation, (_, times) in batches.items()],
        )


def _of_queues(queues: Sequence[Mapping[str, Any]], now: float) -> Iterator[Metric]:
    """Those past the limit together: their numbers added up, and the oldest of their runs."""
    runs = GaugeMetricFamily("mainspring_queue_runs", "Unfinished runs, by state.", labels=["queue", "state"])
    oldest = GaugeMetricFamily(
        "mainspring_queue_oldest_waiting_seconds",
        "For how long the oldest queued run has been due; 0 when none is queued.",
        labels=["queue"],
    )
    paused = GaugeMetricFamily("mainspring_queue_paused", "1 while the queue is paused.", labels=["queue"])
    for one in queues[:MOST_QUEUES]:
        for state in _WAITING:
            runs.add_metric([one["queue"], state], one[state])
        oldest.add_metric([one["queue"]], _age(one, now))
        paused.add_metric([one["queue"]], one["paused"])
    if rest := queues[MOST_QUEUES:]:
        for state in _WAITING:
            runs.add_metric([OTHER, state], sum(one[state] for one in rest))
        oldest.add_metric([OTHER], max(_age(one, now) for one in rest))
        paused.add_metric([OTHER], any(one["paused"] for one in rest))
    yield from (runs, oldest, paused)


def _incidents(health: Mapping[str, Any]) -> int:
    return sum("incident" in check["details"] for check in health["checks"])


def _age(queue: Mapping[str, Any], now: float) -> float:
    due = queue["oldest_due_at"]
    return 0.0 if due is None else max(now - datetime.fromisoformat(due).timestamp(), 0.0)


def _states(name: str, about: str, label: str, found: Mapping[str, str], known: Sequence[str]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=[label, "state"])
    for one, state in found.items():
        for each in dict.fromkeys((*known, state)):
            family.add_metric([one, each], each == state)
    return family


def _version() -> str:
    try:
        return version("mainspring")
    except PackageNotFoundError:
        return "unknown"
