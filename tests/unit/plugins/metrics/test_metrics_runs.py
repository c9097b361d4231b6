"""What events become: counts by job, queue and outcome, within a limit."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from kernel.events import (
    Completion,
    LoopBlocked,
    RunCancelled,
    RunExpired,
    RunFailed,
    RunLost,
    RunRetrying,
    RunsCompleted,
)
from plugins.metrics import runs as limits
from plugins.metrics.runs import OTHER, Counted, Runs
from tests.unit.plugins.metrics.metrics_kit import Samples, read, value

WHO = ("01a", "demo.work", "default")


class _Collector:
    def __init__(self, runs: Runs) -> None:
        self.collect = runs.families


def completed(  # noqa: PLR0917 - as the event RunCompleted
    at: float,
    run: str,
    job: str,
    queue: str,
    attempt: int,
    seconds: float,
    degraded: bool = False,
    waited: float = 0.0,
) -> RunsCompleted:
    return RunsCompleted(at, (Completion(at, run, job, queue, attempt, seconds, degraded, waited),))


def told(*events: Counted, runs: Runs | None = None) -> Samples:
    runs = runs or Runs()
    runs.take(events)
    registry = CollectorRegistry()
    registry.register(_Collector(runs))
    return read(generate_latest(registry).decode())


def test_runs_are_counted_by_job_queue_and_outcome() -> None:
    found = told(
        completed(1.0, *WHO, 1, 0.2),
        completed(2.0, *WHO, 1, 0.2),
        completed(3.0, *WHO, 1, 0.2, degraded=True),
        RunFailed(4.0, *WHO, 3, 0.2, "ValueError", "attempts used up"),
        RunCancelled(5.0, *WHO, "by hand"),
        RunExpired(6.0, *WHO, 5.0),
        completed(7.0, "01b", "demo.work", "naps", 1, 0.2),
    )

    counted = {
        (labels["queue"], labels["outcome"]): number
        for (name, pairs), number in found.items()
        if name == "mainspring_runs_total" and (labels := dict(pairs))["job_name"] == "demo.work"
    }
    naps = {("naps", outcome): 0.0 for outcome in limits.OUTCOMES} | {("naps", "completed"): 1.0}
    assert counted == naps | {
        ("default", "completed"): 2.0,
        ("default", "degraded"): 1.0,
        ("default", "failed"): 1.0,
        ("default", "cancelled"): 1.0,
        ("default", "expired"): 1.0,
    }


def test_durations_are_those_of_a_job_and_delays_those_of_a_queue() -> None:
    found = told(
        completed(1.0, *WHO, 1, 0.07, waited=2.0),
        RunRetrying(1.0, *WHO, 1, 0.07, "ValueError", 2.0, 20.0),
        RunFailed(1.0, *WHO, 2, 7200.0, "ValueError", "", 0.0),
    )

    def durations(bound: str) -> float | None:
        return value(found, "mainspring_attempt_duration_seconds_bucket", job_name="demo.work", le=bound)

    def delays(bound: str) -> float | None:
        return value(found, "mainspring_start_delay_seconds_bucket", queue="default", le=bound)

    assert [durations(bound) for bound in ("0.05", "0.1", "3600.0", "14400.0", "+Inf")] == [0, 2, 2, 3, 3]
    assert [delays(bound) for bound in ("0.005", "1.0", "5.0", "15.0", "60.0")] == [1, 1, 2, 2, 3]
    assert value(found, "mainspring_attempt_duration_seconds_sum", job_name="demo.work") == pytest.approx(7200.14)
    assert value(found, "mainspring_start_delay_seconds_sum", queue="default") == pytest.approx(22.0)


def test_retries_losses_and_the_last_completion_are_told_by_job() -> None:
    found = told(
        RunRetrying(1.0, *WHO, 1, 0.1, "ValueError", 2.0),
        RunLost(2.0, *WHO, 1, "its kernel died"),
        completed(3.5, *WHO, 2, 0.1),
    )

    assert value(found, "mainspring_retries_total", job_name="demo.work") == 1
    assert value(found, "mainspring_runs_lost_total", job_name="demo.work") == 1
    assert value(found, "mainspring_last_completed_timestamp_seconds", job_name="demo.work") == 3.5


def test_seconds_of_a_blocked_loop_are_charged_to_the_plugin_and_job() -> None:
    found = told(
        LoopBlocked(1.0, "demo", "demo.work", "01a", "demo.py:3", 1.5),
        LoopBlocked(2.0, "demo", "demo.work", "01b", "demo.py:3", 0.5),
        LoopBlocked(3.0, "", "", "", "somewhere.py:1", 0.75),
    )

    who = {"plugin": "demo", "job_name": "demo.work"}
    assert value(found, "mainspring_loop_blocked_seconds_total", **who) == 2.0
    assert value(found, "mainspring_loop_blocks_total", **who) == 2.0
    assert value(found, "mainspring_loop_blocked_seconds_total", plugin="", job_name="") == 0.75


def test_a_job_that_has_not_run_is_there_with_zeros_so_that_its_first_failure_is_an_increase() -> None:
    runs = Runs()
    runs.know("demo.work", "default")

    who = {"job_name": "demo.work", "queue": "default"}
    before = value(told(runs=runs), "mainspring_runs_total", outcome="failed", **who)
    found = told(RunFailed(4.0, *WHO, 3, 0.2, "ValueError", ""), runs=runs)

    assert before == 0
    assert value(found, "mainspring_runs_total", outcome="failed", **who) == 1


def test_past_the_limit_of_names_the_rest_is_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_PAIRS", 6)
    monkeypatch.setattr(limits, "MOST_JOBS", 4)
    monkeypatch.setattr(limits, "MOST_QUEUES", 5)

    found = told(*(completed(1.0, "01a", f"demo.{i}", f"tenant-{i}", 1, 0.1) for i in range(20)))

    rows = [dict(pairs) for name, pairs in found if name == "mainspring_runs_total"]
    assert len({(row["job_name"], row["queue"]) for row in rows}) == 7
    shared = {"job_name": OTHER, "queue": OTHER}
    assert value(found, "mainspring_runs_total", outcome="completed", **shared) == 14
    jobs = {dict(pairs)["job_name"] for name, pairs in found if name == "mainspring_retries_total"}
    assert jobs == {"demo.0", "demo.1", "demo.2", "demo.3", OTHER}
    assert value(found, "mainspring_attempt_duration_seconds_count", job_name=OTHER) == 16
    assert value(found, "mainspring_start_delay_seconds_count", queue=OTHER) == 15
    assert sum(number for (name, _), number in found.items() if name == "mainspring_runs_total") == 20


def test_no_label_bears_the_id_of_a_run() -> None:
    events = (completed(1.0, *WHO, 1, 0.2), LoopBlocked(1.0, "demo", "demo.work", "01a", "demo.py:3", 1.5))

    found = told(*events)

    assert [key for key in found if "01a" in str(key)] == []


def test_a_job_named_by_hostile_text_is_one_label_and_nothing_else() -> None:
    name = 'demo."} 1\nmainspring_runs_total{x="\\'

    found = told(completed(1.0, "01a", name, "default", 1, 0.2))

    assert value(found, "mainspring_runs_total", job_name=name, queue="default", outcome="completed") == 1
