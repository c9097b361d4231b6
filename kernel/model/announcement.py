"""What a kernel tells clients of its jobs, so that they can check a wish without plugin code."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import TypeAdapter

from kernel.model.breaker import breaker
from kernel.model.errors import PayloadError, shown
from kernel.model.job import Job, Keep, Policies
from kernel.model.parameters import Parameters
from kernel.model.payload import MAX_BYTES
from kernel.model.queue import Queue
from kernel.model.rate import rate_limit
from kernel.model.unique import unique

if TYPE_CHECKING:
    from kernel.model.rate import RateLimit


@dataclass(frozen=True, slots=True)
class SchemaParameters(Parameters):
    """Parameters known by their JSON Schema alone; as strict as the code's own check where a schema can be."""

    _validators: list[Any] = field(default_factory=list, init=False, compare=False, repr=False)
    """The one that checks, from the first payload on: making it takes longer than checking."""

    def check(self, job: str, text: str) -> None:
        from jsonschema.exceptions import best_match  # noqa: PLC0415 - takes 100 ms, and most commands check no payload

        if not self._validators:
            self._validators.append(_validator(self.schema))
        error = best_match(self._validators[0].iter_errors(json.loads(text)))
        if error is None:
            return
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        raise PayloadError(job, path, shown(error.instance), _expected(error, self.names))

    def arguments(self, job: str, text: str) -> dict[str, Any]:
        raise NotImplementedError(f"{job} runs elsewhere: {text}")


def _validator(schema: dict[str, Any]) -> Any:
    """As strict as the code's own check: 1.0 is no integer, and the formats of instants and ids are looked at."""
    from jsonschema import Draft202012Validator, FormatChecker  # noqa: PLC0415 - as above
    from jsonschema.validators import extend  # noqa: PLC0415 - as above

    formats = FormatChecker()
    for name, kind in (("date-time", datetime), ("date", date), ("time", time), ("uuid", UUID)):
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        formats.checks(name, raises=ValueError)(partial(_fits, adapter))
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _checker, value: type(value) is int)
    return extend(Draft202012Validator, type_checker=types)(schema, format_checker=formats)


def _fits(adapter: TypeAdapter[Any], value: object) -> bool:
    if isinstance(value, str):
        adapter.validate_json(json.dumps(value), strict=True)
    return True


def _expected(error: Any, names: tuple[str, ...]) -> str:
    match error.validator:
        case "required":
            missing = [name for name in error.validator_value if name not in error.instance]
            return f"the parameters {', '.join(missing)} too, which have no default"
        case "additionalProperties":
            return f"no other parameters than {', '.join(names) or 'none at all'}"
        case "type":
            return f"a value of type {error.validator_value}"
        case "format":
            return f"text in the form of a {error.validator_value}"
        case _:
            return f"what its schema asks for ({error.validator}: {shown(error.validator_value)})"


def describe_job(job: Job, queue: Queue, max_payload: int = MAX_BYTES) -> dict[str, Any]:
    """The job as announced, listed and shown: JSON."""
    policies = job.policies
    retry = policies.retry
    return {
        "job": job.name,
        "plugin": job.plugin,
        "queue": policies.queue,
        "queue_concurrency": queue.concurrency,
        "queue_concurrency_scope": queue.concurrency_scope,
        "queue_max_waiting": queue.max_waiting,
        "queue_rate_limit": _text(queue.rate_limit),
        "priority": policies.priority,
        "concurrency": policies.at_once,
        "concurrency_by": policies.concurrency_by,
        "concurrency_scope": policies.scope,
        "rate_limit": _text(policies.rate_limit),
        "rate_limit_by": policies.rate_limit_by,
        "unique": None if policies.unique is None else policies.unique.arguments(),
        "breaker": None if policies.breaker is None else policies.breaker.arguments(),
        "retry": {
            "attempts": retry.attempts,
            "backoff": retry.backoff,
            "base_seconds": retry.base_seconds,
            "factor": retry.factor,
            "cap_seconds": retry.cap_seconds,
            "jitter": retry.jitter,
        },
        "timeout_seconds": policies.timeout_seconds,
        "max_silence_seconds": policies.max_silence_seconds,
        "expires_seconds": policies.expires_seconds,
        "keep": policies.keep.as_json(),
        "tags": list(policies.tags),
        "kind": policies.executor or ("async" if job.is_async else "thread"),
        "place": job.place,
        "about": (inspect.getdoc(job.function) or "").partition("\n")[0],
        "payload": job.parameters.schema,
        "max_payload": max_payload,
        "defaults": job.parameters.defaults,
    }


def _text(value: RateLimit | None) -> str | None:
    return None if value is None else str(value)


def announced_queue(info: dict[str, Any]) -> Queue:
    """The queue in which a job's runs wait, as announced with it."""
    rate = rate_limit(info.get("queue_rate_limit"))
    scope = info.get("queue_concurrency_scope", "all")
    return Queue(info["queue"], info["queue_concurrency"], info["queue_max_waiting"], rate, scope)


def announced_job(info: dict[str, Any]) -> Job:
    """The job of an announcement, for a process that does not run it; one of an older version may say less."""
    schema = info["payload"]
    names = tuple(schema.get("properties", {}))
    policies = Policies(
        queue=info["queue"],
        priority=info["priority"],
        concurrency=info["concurrency"],
        concurrency_by=info.get("concurrency_by"),
        concurrency_scope=info.get("concurrency_scope", "all"),
        rate_limit=rate_limit(info.get("rate_limit")),
        rate_limit_by=info.get("rate_limit_by"),
        unique=unique(info.get("unique")),
        breaker=breaker(info.get("breaker")),
        timeout_seconds=info["timeout_seconds"],
        max_silence_seconds=info["max_silence_seconds"],
        expires_seconds=info["expires_seconds"],
        keep=Keep(**info["keep"]),
        tags=tuple(info["tags"]),
    )
    parameters = SchemaParameters(
        takes_context=False,
        names=names,
        validate=None,
        schema=schema,
        is_open=schema.get("additionalProperties") is not False,
        defaults=info.get("defaults", {}),
    )
    return Job(info["job"], info["plugin"], _elsewhere, policies, parameters, is_async=info["kind"] == "async")


def _elsewhere() -> None:
    raise NotImplementedError("this job runs in another process")
