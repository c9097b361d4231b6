"""What clients learn of a job: they make the same runs of the same wishes as the kernel that has its code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kernel import Breaker
from kernel.model.announcement import announced_job, announced_queue, describe_job
from kernel.model.errors import RequestError
from kernel.model.queue import Queue
from kernel.model.rate import RateLimit
from kernel.model.request import make_run
from kernel.model.unique import Unique
from tests.flow_kit import job_of


async def process_car(car_id: str, *, tenant: str = "main") -> None: ...


def sent(info: dict[str, Any]) -> dict[str, Any]:
    """As it comes out of the store."""
    found: dict[str, Any] = json.loads(json.dumps(info))
    return found


@pytest.mark.parametrize(
    "policies",
    [
        {},
        {"unique": "one"},
        {"unique": Unique(by=["car_id", "tenant"], within="10m", on_conflict="debounce")},
        {"concurrency": 2, "concurrency_by": "tenant", "rate_limit": "100/1m", "rate_limit_by": "tenant"},
        {"rate_limit": "5/250ms", "tags": ["a"], "expires": "1h", "priority": 3},
    ],
    ids=repr,
)
@pytest.mark.parametrize("payload", ['{"car_id":"1"}', '{"car_id":"1","tenant":"main"}'])
@pytest.mark.parametrize("options", [{}, {"unique": Unique(by="tenant")}], ids=repr)
def test_a_client_makes_the_same_run_as_the_kernel(
    policies: dict[str, Any], payload: str, options: dict[str, Any]
) -> None:
    ours = job_of(process_car, **policies)
    theirs = announced_job(sent(describe_job(ours, Queue("default"))))

    runs = [make_run("id", job.name, job.policies, payload, options, 1e9, job.parameters) for job in (ours, theirs)]

    assert runs[0] == runs[1]


def test_a_client_knows_the_limits_of_job_and_queue() -> None:
    job = job_of(process_car, concurrency=2, concurrency_by="tenant", rate_limit="100/1m", rate_limit_by="tenant")
    info = sent(describe_job(job, Queue("default", 3, 50, RateLimit(7, "1s"))))

    known = announced_job(info).policies

    assert (known.concurrency, known.concurrency_by) == (2, "tenant")
    assert (known.rate_limit, known.rate_limit_by) == (RateLimit(100, 60), "tenant")
    assert announced_queue(info) == Queue("default", 3, 50, RateLimit(7, 1))
    assert known.scope == "all"


@pytest.mark.parametrize(
    ("policies", "scope"),
    [
        ({"concurrency": 2}, "all"),
        ({"concurrency": 2, "concurrency_scope": "kernel"}, "kernel"),
        ({"executor": "process"}, "kernel"),
        ({"executor": "process", "concurrency": 2}, "all"),
    ],
    ids=repr,
)
def test_a_client_knows_over_what_a_limit_holds(policies: dict[str, Any], scope: str) -> None:
    info = sent(describe_job(job_of(process_car, **policies), Queue("default", 3, concurrency_scope=scope)))

    assert (info["concurrency_scope"], announced_job(info).policies.scope) == (scope, scope)
    assert announced_queue(info) == Queue("default", 3, concurrency_scope=scope)


def test_what_is_announced_by_an_older_kernel_holds_over_all() -> None:
    info = sent(describe_job(job_of(process_car, concurrency=2), Queue("default", 3)))
    del info["concurrency_scope"], info["queue_concurrency_scope"]

    assert announced_job(info).policies.scope == "all"
    assert announced_queue(info) == Queue("default", 3)


def test_what_an_older_kernel_announced_is_understood() -> None:
    info = sent(describe_job(job_of(process_car), Queue("default")))
    for name in ("concurrency_by", "rate_limit", "rate_limit_by", "unique", "queue_rate_limit", "defaults", "breaker"):
        del info[name]

    assert announced_job(info).policies.is_plain
    assert announced_queue(info) == Queue("default")


def test_a_client_refuses_a_unique_field_that_is_no_parameter() -> None:
    job = announced_job(sent(describe_job(job_of(process_car), Queue("default"))))

    with pytest.raises(RequestError, match=r"unique: 'car' is no parameter of the job; expected one of car_id, tenant"):
        make_run("id", job.name, job.policies, "{}", {"unique": Unique(by="car")}, 1e9, job.parameters)


def test_of_a_breaker_it_tells_what_holds_by_the_operators_table() -> None:
    async def work() -> None: ...

    described = job_of(work, breaker=Breaker("partner", success_threshold=2, when_open="skip"))
    told = describe_job(
        described,
        Queue("default"),
        breaker_table={"partner": {"failure_threshold": 7, "recovery_seconds": 90.0}}.__getitem__,
    )

    assert told["breaker"] == {
        "name": "partner", "failure_threshold": 7, "recovery_timeout": 90.0, "success_threshold": 2, "when_open": "skip",
    }  # fmt: skip
    assert describe_job(described, Queue("default"))["breaker"]["failure_threshold"] == 5
