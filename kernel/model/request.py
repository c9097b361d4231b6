"""A wish to enqueue, checked and made into a run: the same for a kernel and for a client without plugin code."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json

from kernel.model.duration import seconds
from kernel.model.errors import ConfigError, PayloadError, RequestError, nearest, shown
from kernel.model.job import check_name, check_priority, check_tags
from kernel.model.parameters import Parameters
from kernel.model.payload import MAX_BYTES, NotJsonError, encode
from kernel.model.run import QUEUED, NewRun, Run, RunExtra, RunState, Terms, new_run_of, urgency_of
from kernel.model.unique import Unique, check_key, key_text
from kernel.model.unique import unique as unique_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernel.model.job import Policies

OPTIONS = ("priority", "delay", "at", "queue", "unique", "expires", "depends_on", "on_parent_failure", "tags")
MOST_PARENTS = 10_000
ON_PARENT_FAILURE = ("cancel", "run")
_LONGEST_ID = 100
_LATEST_SECONDS = 100 * 365.25 * 86400.0
_UNKNOWN = Parameters(takes_context=False, names=(), validate=None, schema={}, is_open=True)


def payload_text(job: str, payload: Any, parameters: Parameters | None = None, limit: int = MAX_BYTES) -> str:
    """The payload as JSON text of at most ``limit`` bytes; PayloadError with the path to what JSON cannot carry.

    Values of the types of ``parameters`` will do too; only these cost more than plain JSON.
    """
    if payload is None:
        return "{}"
    if type(payload) is not dict:
        found = f"{shown(payload)} ({type(payload).__name__})"
        raise PayloadError(job, "", found, "an object (a plain dict): the job's parameters by name")
    try:
        return encode(payload, limit=limit)
    except NotJsonError as error:
        if parameters is not None and parameters.knows_types:
            return parameters.text_of(job, payload, limit)
        raise PayloadError(job, error.path, error.found, error.expected) from None


def make_run(  # noqa: PLR0917 - called for each run, and keywords take time
    run_id: str,
    job: str,
    policies: Policies,
    text: str,
    options: dict[str, Any],
    now: float,
    parameters: Parameters = _UNKNOWN,
) -> NewRun:
    """The run to be stored. RequestError naming the option that is wrong; ``now`` is epoch seconds.

    ``parameters``: the job's, for keys that are made of the payload.
    """
    if not options and policies.is_plain:
        priority = policies.priority
        urgency = urgency_of(now, priority)
        return new_run_of((run_id, job, policies.queue, priority, text, QUEUED, now, now, urgency, None, None))
    if options:
        _check_names(options)
    try:
        priority = check_priority(options["priority"]) if options.get("priority") is not None else policies.priority
        queue = check_name("queue", options["queue"]) if options.get("queue") is not None else policies.queue
        unique = _unique(policies, options, parameters)
        due = _due(options, unique, now)
        extra = _extra(policies, options, due, Keys.of(policies, unique, text, parameters.defaults))
        terms = _terms(options, unique, now)
    except ConfigError as error:
        raise RequestError(f"enqueue {job}: {error}") from None
    state = RunState.SCHEDULED if due > now else RunState.QUEUED
    if terms is not None and terms.depends_on:
        state = RunState.BLOCKED
    return NewRun(run_id, job, queue, priority, text, state, now, due, urgency_of(due, priority), extra, terms)


def _check_names(options: dict[str, Any]) -> None:
    unknown = options.keys() - set(OPTIONS)
    if unknown:
        name = min(map(str, unknown))
        raise RequestError(
            f"enqueue: no option named {shown(name)}; expected {', '.join(OPTIONS)}.{nearest(name, OPTIONS)}"
        )


class Keys(NamedTuple):
    """What a payload is counted under: the keys of ``unique``, ``concurrency_by`` and ``rate_limit_by``."""

    unique: str | None = None
    concurrency: str | None = None
    rate: str | None = None

    @classmethod
    def of(cls, policies: Policies, unique: Unique | None, text: str, defaults: Mapping[str, Any]) -> Keys:
        """The keys of a payload (JSON text); a parameter that is left out counts as its default, or null."""
        by = (policies.concurrency_by, policies.rate_limit_by)
        if unique is not None and unique.key is not None and by == (None, None):
            return cls(unique.key)
        if unique is None and by == (None, None):
            return cls()
        payload = {**defaults, **from_json(text)}
        concurrency, rate = (None if field is None else key_text(payload.get(field)) for field in by)
        return cls(None if unique is None else unique.key_of(payload), concurrency, rate)


def _unique(policies: Policies, options: dict[str, Any], parameters: Parameters) -> Unique | None:
    """A text is the key, and the job's own policy says the rest; anything else stands for the whole policy."""
    given = options.get("unique")
    if given is None:
        return policies.unique
    try:
        if isinstance(given, str):
            return unique_of(check_key(given), policies.unique)
        found = unique_of(given)
        parameters.check_names(found.by if found is not None else ())
    except ConfigError as error:
        raise ConfigError(f"unique: {error}") from None
    return found


def _due(options: dict[str, Any], unique: Unique | None, now: float) -> float:
    delay, at = options.get("delay"), options.get("at")
    if delay is not None and at is not None:
        raise ConfigError("delay and at: expected one of the two")
    if delay is not None:
        return now + seconds(delay, zero=True, option="delay")
    if at is None:
        quiet = unique.within_seconds if unique is not None and unique.on_conflict == "debounce" else None
        return now + (quiet or 0.0)
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


def _extra(policies: Policies, options: dict[str, Any], due: float, keys: Keys) -> RunExtra | None:
    expires = policies.expires_seconds
    if options.get("expires") is not None:
        expires = seconds(options["expires"], option="expires")
    tags = policies.tags
    if options.get("tags") is not None:
        tags = tags + tuple(tag for tag in check_tags(options["tags"]) if tag not in tags)
    if expires is None and not tags and keys == (None, None, None):
        return None
    return RunExtra(
        expires=None if expires is None else due + expires,
        unique=keys.unique,
        tags=tags,
        concurrency_key=keys.concurrency,
        rate_key=keys.rate,
    )


def _terms(options: dict[str, Any], unique: Unique | None, now: float) -> Terms | None:
    """None when the run enters on no terms of its own."""
    parents, on_failure = _parents(options.get("depends_on")), options.get("on_parent_failure")
    if on_failure is not None and on_failure not in ON_PARENT_FAILURE:
        raise ConfigError(f"on_parent_failure: {shown(on_failure)}: expected one of {', '.join(ON_PARENT_FAILURE)}")
    if on_failure is not None and not parents:
        raise ConfigError("on_parent_failure: expected together with depends_on")
    within, on_conflict = (None, "keep") if unique is None else (unique.within_seconds, unique.on_conflict)
    if parents and on_conflict != "keep":
        raise ConfigError(
            f"depends_on: not together with unique runs that {on_conflict} one another; expected one of the two"
        )
    if not parents and within is None and on_conflict == "keep":
        return None
    until = None if within is None else now + within
    return Terms(until, on_conflict, parents, on_failure or "cancel")


def _parents(given: Any) -> tuple[str, ...]:
    """The ids of the runs, each once."""
    if given is None:
        return ()
    # A Run is a tuple itself, and a text would be taken for a list of letters.
    if isinstance(given, list | tuple | set | frozenset) and not isinstance(given, Run) and len(given) <= MOST_PARENTS:
        ids = [one.id if isinstance(one, Run) else one for one in given]
        if all(isinstance(one, str) and 0 < len(one) <= _LONGEST_ID and one.isprintable() for one in ids):
            return tuple(dict.fromkeys(ids))
    raise ConfigError(f"depends_on: {shown(given)}: expected a list of at most {MOST_PARENTS:,} runs, or of their ids")
