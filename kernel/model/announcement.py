"""What a kernel tells clients of its jobs, so that they can check a wish without plugin code."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernel.model.breaker import breaker
from kernel.model.errors import PayloadError
from kernel.model.job import Job, Keep, Policies
from kernel.model.parameters import COMES_BACK, Parameters, typed
from kernel.model.payload import MAX_BYTES, NotJsonError, encode_values
from kernel.model.queue import Queue
from kernel.model.rate import rate_limit
from kernel.model.unique import unique

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.model.breaker import Breaker, BreakerTable
    from kernel.model.rate import RateLimit


@dataclass(frozen=True, slots=True)
class SchemaParameters(Parameters):
    """Parameters known by their JSON Schema alone; as strict as the code's own check where a schema can be."""

    @property
    def knows_types(self) -> bool:
        return True

    def text_of(self, job: str, payload: dict[str, Any], limit: int = MAX_BYTES) -> str:
        """As where the code is, as far as the schema says what each value comes back as."""
        from kernel.model.schema_types import first_stranger  # noqa: PLC0415 - seldom used: most payloads are plain JSON

        try:
            text = encode_values(payload, limit=limit)
        except NotJsonError as error:
            raise PayloadError(job, error.path, error.found, error.expected) from None
        if stranger := first_stranger(payload, self.schema, self.schema):
            raise PayloadError(job, stranger.path, typed(stranger.found), COMES_BACK)
        return text

    def check(self, job: str, text: str) -> None:
        from kernel.model.schema_check import errors_in  # noqa: PLC0415 - slow to import, and most commands check no payload
        from kernel.model.schema_words import problem  # noqa: PLC0415 - as above

        found = problem(errors_in(self.schema, json.loads(text)), self.schema)
        if found is not None:
            raise PayloadError(job, *found)

    def arguments(self, job: str, text: str) -> dict[str, Any]:
        raise NotImplementedError(f"{job} runs elsewhere: {text}")


def describe_job(
    job: Job,
    queue: Queue,
    max_payload: int = MAX_BYTES,
    breaker_table: Callable[[str], BreakerTable] = lambda _: {},
) -> dict[str, Any]:
    """The job as announced, listed and shown: JSON. Of its breaker what holds, by the operator's table."""
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
        "breaker": _breaker(policies.breaker, breaker_table),
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
        "when_blocking": policies.when_blocking,
        "kind": policies.executor or ("async" if job.is_async else "thread"),
        "place": job.place,
        "about": (inspect.getdoc(job.function) or "").partition("\n")[0],
        "payload": job.parameters.schema,
        "max_payload": max_payload,
        "defaults": job.parameters.defaults,
    }


def _breaker(policy: Breaker | None, table_of: Callable[[str], BreakerTable]) -> dict[str, Any] | None:
    if policy is None:
        return None
    holds = policy.thresholds.overruled_by(table_of(policy.name))
    return policy.arguments() | {
        "failure_threshold": holds.failure_threshold,
        "recovery_timeout": holds.recovery_seconds,
        "success_threshold": holds.success_threshold,
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
