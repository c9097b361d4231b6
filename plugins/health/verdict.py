"""What is to be said of a job, from what is known of it: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kernel import words

from .record import quantile

if TYPE_CHECKING:
    from .record import Record
    from .settings import Settings
    from .silence import Silence

HEALTHY = "healthy"
ARE_OK = frozenset({HEALTHY, "paused", "degraded", "long"})
"""The verdicts for which nobody need get up."""
_LEAST_SAMPLES = 5
_GRACE_SECONDS = 35.0
"""An attempt has 5 s to end after its timeout, and a kernel that died is noticed after 30 s."""
_LONGEST_ERROR = 200


class Running(NamedTuple):
    """Of the runs of a job that go on: since when the oldest has, and whether one is stuck."""

    since: float
    is_stuck: bool


@dataclass(frozen=True, slots=True)
class Known:
    """All that a verdict depends on. ``paused``: what is, as ``its queue mail``, or an empty text."""

    record: Record
    silence: Silence | None
    timeout_seconds: float | None
    running: Running | None
    paused: str


def judge(known: Known, now: float, settings: Settings) -> tuple[str, str]:
    """The verdict, the first that holds, and why."""
    reasons = {
        "stuck": _stuck(known, now),
        "paused": f"{known.paused} is paused" if known.paused else None,
        "failing": _failures(known.record, settings),
        "late": _lateness(known, now),
        "long": _overtime(known, now, settings),
        "degraded": "the last run did without what it is better with" if known.record.is_degraded else None,
    }
    for verdict, reason in reasons.items():
        if reason is not None:
            return verdict, reason
    return HEALTHY, "" if known.record.succeeded_at is not None else "has not run yet"


def _stuck(known: Known, now: float) -> str | None:
    running, limit = known.running, known.timeout_seconds
    if running is None:
        return None
    lasted = max(now - running.since, 0.0)
    if not running.is_stuck and (limit is None or lasted <= limit + _GRACE_SECONDS):
        return None
    of = "" if limit is None else f" of {words(limit)}"
    return f"a run goes on for {words(lasted)}, past its timeout{of}"


def _failures(record: Record, settings: Settings) -> str | None:
    count = record.failures_since(record.succeeded_at)
    if count < settings.failing_after:
        return None
    text = "the last run has failed" if count == 1 else f"the last {count:,} runs have failed"
    return text + (f": {record.error[:_LONGEST_ERROR]}" if record.error else "")


def _lateness(known: Known, now: float) -> str | None:
    silence, record = known.silence, known.record
    if silence is None or (silence.needs_success and record.succeeded_at is None):
        return None
    signs = (record.succeeded_at, record.known_at, record.idle_at, known.running.since if known.running else None)
    last = max((at for at in signs if at is not None), default=None)
    if last is None or now - last <= silence.seconds:
        return None
    seen = record.succeeded_at
    since = "it has never succeeded" if seen is None else f"no success for {words(now - seen)}"
    return f"{since}; {silence.why} is {words(silence.seconds)}"


def _overtime(known: Known, now: float, settings: Settings) -> str | None:
    durations = known.record.durations
    usual = quantile(durations, 0.95) if len(durations) >= _LEAST_SAMPLES else None
    if known.running is None or usual is None:
        return None
    lasted = now - known.running.since
    if lasted <= max(usual * settings.long_factor, settings.long_least):
        return None
    return f"a run goes on for {words(lasted)}; nearly all take no more than {words(usual)}"
