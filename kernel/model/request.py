"""A wish to enqueue, checked and made into a run: the same for a kernel and for a client without plugin code."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from kernel.model.duration import seconds
from kernel.model.errors import ConfigError, PayloadError, RequestError, nearest, shown
from kernel.model.job import check_name, check_priority, check_tags
from kernel.model.payload import NotJsonError, encode
from kernel.model.run import NewRun, RunExtra, RunState, urgency_of

if TYPE_CHECKING:
    from kernel.model.job import Policies

OPTIONS = ("priority", "delay", "at", "queue", "unique", "expires", "tags")
_LONGEST_KEY = 500
_LATEST_SECONDS = 100 * 365.25 * 86400.0


def payload_text(job: str, payload: Any) -> str:
    """The payload as JSON text; PayloadError with the path to what JSON cannot carry."""
    if payload is None:
        return "{}"
    if type(payload) is not dict:
        found = f"{shown(payload)} ({type(payload).__name__})"
        raise PayloadError(job, "", found, "an object (a plain dict): the job's parameters by name")
    try:
        return encode(payload)
    except NotJsonError as error:
        raise PayloadError(job, error.path, error.found, error.expected) from None


def make_run(  # noqa: PLR0917 - called for each run, and keywords take time
    run_id: str, job: str, policies: Policies, text: str, options: dict[str, Any], now: float
) -> NewRun:
    """The run to be stored. RequestError naming the option that is wrong; ``now`` is epoch seconds."""
    if not options and policies.expires_seconds is None and not policies.tags:
        priority = policies.priority
        return NewRun(run_id, job, policies.queue, priority, text, RunState.QUEUED, now, now, urgency_of(now, priority))
    unknown = options.keys() - set(OPTIONS)
    if unknown:
        name = min(map(str, unknown))
        raise RequestError(
            f"enqueue: no option named {shown(name)}; expected {', '.join(OPTIONS)}.{nearest(name, OPTIONS)}"
        )
    try:
        priority = check_priority(options["priority"]) if options.get("priority") is not None else policies.priority
        queue = check_name("queue", options["queue"]) if options.get("queue") is not None else policies.queue
        due = _due(options, now)
        extra = _extra(policies, options, due)
    except ConfigError as error:
        raise RequestError(f"enqueue {job}: {error}") from None
    state = RunState.SCHEDULED if due > now else RunState.QUEUED
    return NewRun(run_id, job, queue, priority, text, state, now, due, urgency_of(due, priority), extra)


def _due(options: dict[str, Any], now: float) -> float:
    delay, at = options.get("delay"), options.get("at")
    if delay is not None and at is not None:
        raise ConfigError("delay and at: expected one of the two")
    if delay is not None:
        return now + seconds(delay, zero=True)
    if at is None:
        return now
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            raise ConfigError(f'at: {shown(at)}: expected an instant such as "2026-01-31T09:00:00+01:00"') from None
    if not isinstance(at, datetime):
        raise ConfigError(f"at: {shown(at)}: expected a datetime with its time zone, or ISO 8601 text")
    if at.utcoffset() is None:
        raise ConfigError(f"at: {shown(str(at))} has no time zone: expected an aware datetime, or text with an offset")
    due = at.timestamp()
    if due > now + _LATEST_SECONDS:
        raise ConfigError(f"at: {shown(str(at))} is too far away: expected an instant within 100 years")
    return max(due, now)


def _extra(policies: Policies, options: dict[str, Any], due: float) -> RunExtra | None:
    expires = policies.expires_seconds
    if options.get("expires") is not None:
        expires = seconds(options["expires"])
    unique = options.get("unique")
    if unique is not None and not (
        isinstance(unique, str) and 0 < len(unique) <= _LONGEST_KEY and unique.isprintable()
    ):
        raise ConfigError(f"unique: {shown(unique)}: expected printable text of 1 to {_LONGEST_KEY} characters")
    tags = policies.tags
    if options.get("tags") is not None:
        tags = tags + tuple(tag for tag in check_tags(options["tags"]) if tag not in tags)
    if expires is None and unique is None and not tags:
        return None
    return RunExtra(expires=None if expires is None else due + expires, unique=unique, tags=tags)
