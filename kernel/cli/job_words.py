"""A job's policies as a person would say them."""

from typing import Any

from kernel.model.counted import counted
from kernel.model.duration import words

Json = dict[str, Any]

_KINDS = {"async": "async, on the loop", "thread": "in a thread", "process": "in a process of its own"}


def policy_words(job: Json) -> dict[str, str]:
    """Policy -> what it says, of a job as it is announced; those that say nothing are left out."""
    told = {
        "runs": _KINDS.get(job["kind"], f"by the executor {job['kind']}"),
        "when blocking": "moved to a thread" if job.get("when_blocking") == "thread" else None,
        "queue": _queue(job),
        "priority": f"{job['priority']} (0 first, 9 last)",
        "concurrency": _concurrency(job),
        "rate limit": _rate(job),
        "retry": _retry(job["retry"]),
        "timeout": None if job["timeout_seconds"] is None else f"{words(job['timeout_seconds'])} an attempt",
        "unique": _unique(job.get("unique")),
        "breaker": _breaker(job.get("breaker")),
        "expires": _expires(job["expires_seconds"]),
        "max silence": None if job["max_silence_seconds"] is None else words(job["max_silence_seconds"]),
        "kept": _keep(job["keep"]),
        "tags": ", ".join(job["tags"]) or None,
    }
    return {name: text for name, text in told.items() if text is not None}


def _queue(job: Json) -> str:
    limits = []
    if job["queue_concurrency"] is not None:
        where = _where(job.get("queue_concurrency_scope"))
        limits.append(f"at most {job['queue_concurrency']} of its runs at once{where}")
    if job.get("queue_rate_limit") is not None:
        limits.append(f"at most {_often(job['queue_rate_limit'])}")
    return ", ".join([job["queue"], *limits])


def _concurrency(job: Json) -> str | None:
    if job["concurrency"] is None:
        return None
    each = "" if job.get("concurrency_by") is None else f" for each {job['concurrency_by']}"
    return f"at most {job['concurrency']} at once{each}{_where(job.get('concurrency_scope'))}"


def _where(scope: str | None) -> str:
    return " in each kernel" if scope == "kernel" else ""


def _rate(job: Json) -> str | None:
    if job.get("rate_limit") is None:
        return None
    each = "" if job.get("rate_limit_by") is None else f" for each {job['rate_limit_by']}"
    return f"at most {_often(job['rate_limit'])}{each}"


def _often(limit: str) -> str:
    """`100/60s` as `100 begin in any 1 m`."""
    count, _, period = limit.partition("/")
    return f"{counted(int(count), 'begins', 'begin')} in any {words(float(period.removesuffix('s')))}"


def _retry(retry: Json) -> str:
    if retry["attempts"] == 1:
        return "none: one attempt"
    growth = {
        "exponential": f" times {retry['factor']:g} after each failure, at most {words(retry['cap_seconds'])}",
        "linear": f" more after each failure, at most {words(retry['cap_seconds'])}",
    }.get(retry["backoff"], "")
    jitter = f", shortened by up to {retry['jitter']:.0%}" if retry["jitter"] else ""
    return f"{retry['attempts']} attempts, {retry['backoff']}: {words(retry['base_seconds'])}{growth}{jitter}"


def _unique(unique: Json | None) -> str | None:
    if unique is None:
        return None
    key = f"by the key {unique['key']}" if unique["key"] is not None else f"by {', '.join(unique['by']) or 'payload'}"
    within = "" if unique["within"] is None else f", within {words(unique['within'])}"
    return f"{key}{within}; {unique['on_conflict']}s the run that is there"


def _breaker(breaker: Json | None) -> str | None:
    if breaker is None:
        return None
    waits = "runs wait" if breaker["when_open"] == "wait" else "runs are skipped"
    return (
        f"{breaker['name']}: opens at {counted(breaker['failure_threshold'], 'failure')} in a row, is tried again after "
        f"{words(breaker['recovery_timeout'])}, closes after "
        f"{counted(breaker['success_threshold'], 'success', 'successes')}; {waits} while open"
    )


def _expires(length: float | None) -> str | None:
    return None if length is None else f"when not begun {words(length)} after it was due"


def _keep(keep: Json) -> str:
    most = counted(keep["count"], "run")
    return f"{words(keep['completed'])} when completed, {words(keep['failed'])} when failed, at most {most}"
