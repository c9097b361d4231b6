"""Runs: what is enqueued, what is claimed, what is decided about it, and what a person sees of it.

The rows are tuples because a run passes tens of thousands of times a second. In them instants are epoch seconds
(``due``, ``finished``); the properties of ``Run`` give the same as aware UTC (``due_at``, ``finished_at``).
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

AGING_SECONDS = 600.0
"""How much waiting outweighs one step of priority: a 5 that has waited 10 minutes goes level with a fresh 4."""


class RunState(StrEnum):
    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self in FINAL


# Python 3.11 finds a name of the module ten times as quickly as a member on its enum, and these are asked for each run.
COMPLETED, QUEUED = RunState.COMPLETED, RunState.QUEUED
FINAL = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED})
WAITING = frozenset({RunState.SCHEDULED, RunState.BLOCKED, RunState.QUEUED, RunState.RETRYING})


def urgency_of(due: float, priority: int) -> float:
    """The order of claims: smaller runs first. Runs due at one instant keep strict priority, and none starves."""
    return due + priority * AGING_SECONDS


class RunExtra(NamedTuple):
    """What most runs do not have; kept apart so that a plain waiting run stays small."""

    expires: float | None = None
    unique: str | None = None
    tags: tuple[str, ...] = ()
    schedule: str | None = None
    tick: float | None = None
    folded: int = 0
    concurrency_key: str | None = None
    rate_key: str | None = None


class Terms(NamedTuple):
    """On what terms a run enters the store, where there are any; not kept with it.

    ``unique_until``: the run's unique key is taken until then, though it has ended. ``on_conflict``: keep, replace or
    debounce. ``on_parent_failure``: cancel or run.
    """

    unique_until: float | None = None
    on_conflict: str = "keep"
    depends_on: tuple[str, ...] = ()
    on_parent_failure: str = "cancel"


class NewRun(NamedTuple):
    """A run as it enters the store. ``state`` is scheduled (due later), blocked (depends on others) or queued."""

    id: str
    job: str
    queue: str
    priority: int
    payload: str
    state: str
    enqueued: float
    due: float
    urgency: float
    extra: RunExtra | None = None
    terms: Terms | None = None


class Claimed(NamedTuple):
    """A run that this kernel has claimed: ``running`` in the store, and ``token`` fences what is written of it."""

    id: str
    job: str
    queue: str
    priority: int
    payload: str
    enqueued: float
    due: float
    urgency: float
    token: int
    attempt: int
    failures: int
    extra: RunExtra | None
    losses: int = 0


class Change(NamedTuple):
    """What becomes of a claimed run; the store writes it when the token is still the run's own."""

    id: str
    token: int
    state: str
    due: float
    urgency: float
    attempt: int
    failures: int
    finished: float | None = None
    result: str | None = None
    error: str | None = None
    reason: str | None = None
    notes: str | None = None
    schedule: str | None = None
    losses: int | None = 0
    """How often the run was lost with its kernel, from now on; None leaves it as it is."""
    ended: float | None = None
    """When the attempt ended of a run that goes on; None where ``finished`` says it, or where it never began."""


class Failure(NamedTuple):
    """How an attempt failed, as kept with the run."""

    type: str
    message: str
    traceback: str = ""

    def as_text(self) -> str:
        return json.dumps(self._asdict())

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"

    @classmethod
    def from_text(cls, text: str) -> Failure:
        """What was written otherwise, by hand say, is the message of an unknown failure."""
        found = _json_or_text(text)
        if isinstance(found, dict) and found.keys() == set(cls._fields):
            return cls(**{field: str(value) for field, value in found.items()})
        return cls("unknown", text)


class Run(NamedTuple):
    """A run as a person sees it: one row of the store at one moment."""

    id: str
    job: str
    queue: str
    priority: int
    payload_text: str
    state: str
    enqueued: float
    due: float
    urgency: float
    extra: RunExtra | None = None
    token: int = 0
    attempt: int = 0
    failures: int = 0
    kernel: str | None = None
    started: float | None = None
    finished: float | None = None
    result_text: str | None = None
    error_text: str | None = None
    reason: str | None = None
    notes_text: str | None = None
    cancel_reason: str | None = None
    stuck: bool = False
    losses: int = 0
    progress: float | None = None
    progress_text: str | None = None
    is_new: bool = False
    """In the answer of an enqueue: whether that has made it, and not found it there."""

    @property
    def payload(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.payload_text)
        return value

    @property
    def result(self) -> Any:
        """What the job returned; None when it returned nothing or has not completed."""
        return None if self.result_text is None else json.loads(self.result_text)

    @property
    def error(self) -> Failure | None:
        """The last failure, also of a run that has since been retried."""
        return None if self.error_text is None else Failure.from_text(self.error_text)

    @property
    def notes(self) -> list[str]:
        return [] if self.notes_text is None else list(json.loads(self.notes_text))

    @property
    def degraded(self) -> bool:
        return self.state == RunState.COMPLETED and self.notes_text is not None

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def due_at(self) -> datetime:
        return instant(self.due)

    @property
    def enqueued_at(self) -> datetime:
        return instant(self.enqueued)

    @property
    def started_at(self) -> datetime | None:
        """When the latest attempt was claimed."""
        return None if self.started is None else instant(self.started)

    @property
    def finished_at(self) -> datetime | None:
        return None if self.finished is None else instant(self.finished)

    @property
    def schedule(self) -> str | None:
        return self.extra.schedule if self.extra else None

    @property
    def tick_at(self) -> datetime | None:
        return instant(self.extra.tick) if self.extra and self.extra.tick is not None else None

    @property
    def expires_at(self) -> datetime | None:
        return instant(self.extra.expires) if self.extra and self.extra.expires is not None else None

    @property
    def tags(self) -> tuple[str, ...]:
        return self.extra.tags if self.extra else ()

    def as_json(self) -> dict[str, Any]:
        """The run for ``--json`` and the API; instants are ISO 8601 in UTC. What is no JSON is shown as the text it is."""
        return {
            "id": self.id,
            "job": self.job,
            "queue": self.queue,
            "priority": self.priority,
            "state": str(self.state),
            "payload": _json_or_text(self.payload_text),
            "enqueued_at": iso(self.enqueued),
            "due_at": iso(self.due),
            "expires_at": iso(self.extra.expires) if self.extra else None,
            "started_at": iso(self.started),
            "finished_at": iso(self.finished),
            "attempt": self.attempt,
            "failures": self.failures,
            "kernel": self.kernel,
            "result": None if self.result_text is None else _json_or_text(self.result_text),
            "error": None if self.error is None else self.error._asdict(),
            "reason": self.reason,
            "degraded": self.degraded,
            "notes": [] if self.notes_text is None else _json_or_text(self.notes_text),
            "stuck": self.stuck,
            "losses": self.losses,
            "progress": self.progress,
            "progress_text": self.progress_text,
            "unique": self.extra.unique if self.extra else None,
            "tags": list(self.tags),
            "schedule": self.schedule,
            "tick_at": iso(self.extra.tick) if self.extra else None,
            "folded": self.extra.folded if self.extra else 0,
        }


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def as_run(new: NewRun, *, is_new: bool = False) -> Run:
    """The run that enqueue answers with, as it stands in the store just now."""
    return _run((*new[:10], *(_IS_NEW if is_new else _IS_THERE)))


# Of a tuple of all their fields. A NamedTuple's own constructor takes twice to three times as long, run after run.
new_run_of: Callable[[tuple[Any, ...]], NewRun] = partial(tuple.__new__, NewRun)
claim_of: Callable[[tuple[Any, ...]], Claimed] = partial(tuple.__new__, Claimed)
change_of: Callable[[tuple[Any, ...]], Change] = partial(tuple.__new__, Change)
_run: Callable[[tuple[Any, ...]], Run] = partial(tuple.__new__, Run)
_IS_THERE = tuple(Run._field_defaults[name] for name in Run._fields[10:])
_IS_NEW = tuple(name == "is_new" or Run._field_defaults[name] for name in Run._fields[10:])


def claimed_of(run: Run) -> Claimed:
    """The claim of a run that is running."""
    return Claimed(
        run.id, run.job, run.queue, run.priority, run.payload_text, run.enqueued, run.due, run.urgency, run.token,
        run.attempt, run.failures, run.extra, run.losses,
    )  # fmt: skip


def instant(epoch_seconds: float) -> datetime:
    return datetime.fromtimestamp(epoch_seconds, UTC)


def iso(epoch_seconds: float | None) -> str | None:
    """ISO 8601 in UTC with milliseconds where there are any; the bare number when no calendar reaches that far."""
    if epoch_seconds is None:
        return None
    try:
        at = instant(epoch_seconds)
    except (OverflowError, ValueError, OSError):
        return f"{epoch_seconds:g}"
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds")


class IdSource:
    """UUIDv7 (RFC 9562, section 5.7): in order of time, and strictly growing within one source.

    The 74 random bits are drawn once a millisecond; within it the lowest 48 count on.
    """

    def __init__(self) -> None:
        self._millisecond = -1
        self._prefix = ""
        self._low = 0

    def next(self, count: int) -> list[str]:
        """``count`` fresh ids, in order."""
        self._renew()
        prefix, first = self._prefix, self._low
        self._low += count
        return [f"{prefix}{low:012x}" for low in range(first, first + count)]

    def one(self) -> str:
        self._renew()
        self._low += 1
        return f"{self._prefix}{self._low - 1:012x}"

    def _renew(self) -> None:
        now = time.time_ns() // 1_000_000
        if now <= self._millisecond and self._low < 1 << 47:
            return
        self._millisecond = max(now, self._millisecond + 1)
        stamp = f"{self._millisecond:012x}"
        random = int.from_bytes(os.urandom(10), "big")
        self._prefix = f"{stamp[:8]}-{stamp[8:]}-7{random & 0xFFF:03x}-{0x8000 | (random >> 12) & 0x3FFF:04x}-"
        self._low = (random >> 26) & 0x3FFFFFFFFFFF
