"""@job, @cron, @every and @after: what they note, what they leave alone, and what they refuse."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from kernel import Keep, Retry, after, cron, every, job
from kernel.model.errors import ConfigError
from kernel.model.job import declaration_of, make_job
from tests.case_names import name_of

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = __file__
anything: Any = job
"""The decorators as a plugin without a type checker sees them."""


def schedules_of(function: Callable[..., Any]) -> list[tuple[str, Any, str | None]]:
    declaration = declaration_of(function)
    assert declaration is not None
    return [(entry["kind"], entry["spec"], entry["name"]) for entry in declaration.schedules]


def problem_of(decorate: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        decorate()
    (problem,) = caught.value.problems
    assert problem.isprintable()
    return problem


def plain() -> None: ...


def line_of(function: Callable[..., Any]) -> int:
    return function.__code__.co_firstlineno


def test_a_decorated_function_is_the_same_function_and_can_be_called() -> None:
    def add(a: int, b: int) -> int:
        return a + b

    decorated = cron("0 0 * * *")(every("5s")(after("1s")(job(timeout="5m")(add))))

    assert decorated is add
    assert decorated(1, 2) == 3


def test_job_stands_with_and_without_brackets() -> None:
    @job
    def bare() -> None: ...

    @job()
    def empty() -> None: ...

    assert make_job("p", bare).policies == make_job("p", empty).policies
    assert make_job("p", bare).name == "p.bare"


def test_every_policy_is_noted() -> None:
    @job(
        name="process-car",
        queue="cars",
        priority=1,
        concurrency=5,
        retry=Retry(attempts=7, base="1s"),
        timeout=None,
        max_silence="25h",
        expires=3600,
        keep=Keep(completed="1d", failed="7d", count=10),
        tags=["billing"],
    )
    async def process() -> None: ...

    made = make_job("fleet", process)

    assert made.name == "fleet.process-car"
    assert made.is_async
    assert made.policies.queue == "cars"
    assert made.policies.priority == 1
    assert made.policies.concurrency == 5
    assert made.policies.retry.attempts == 7
    assert made.policies.timeout_seconds is None
    assert made.policies.max_silence_seconds == 25 * 3600
    assert made.policies.expires_seconds == 3600
    assert made.policies.keep.count == 10
    assert made.policies.tags == ("billing",)


def test_a_schedule_alone_makes_a_job() -> None:
    @every("60s")
    def sync() -> None: ...

    made = make_job("p", sync)

    assert made.name == "p.sync"
    assert made.policies.timeout_seconds == 600


def test_several_schedules_stand_on_one_function_in_the_order_in_which_they_are_read() -> None:
    @cron("0 0 * * *", name="nightly", timezone="Europe/Berlin")
    @every("60s", anchor="finish", payload={"full": False})
    @job(timeout="5m")
    @after("5s", name="first")
    def sync(*, full: bool = True) -> None: ...

    assert schedules_of(sync) == [("cron", "0 0 * * *", "nightly"), ("every", "60s", None), ("after", "5s", "first")]
    assert make_job("p", sync).policies.timeout_seconds == 300


def test_methods_of_a_plugin_can_be_jobs() -> None:
    class Plugin:
        @every("60s")
        async def sync(self, ctx: object, city: str = "Oslo") -> None: ...

    made = make_job("p", Plugin().sync)

    assert made.parameters.takes_context
    assert made.parameters.names == ("city",)


def test_functions_share_nothing() -> None:
    @every("1s")
    @job(tags=["a"])
    def one() -> None: ...

    @job
    def two() -> None: ...

    assert schedules_of(two) == []
    assert make_job("p", two).policies.tags == ()


BAD_POLICIES: dict[str, tuple[dict[str, Any], str]] = {
    "a duration that is none": ({"timeout": "soon"}, "timeout: 'soon' is no duration: expected a duration such as"),
    "a timeout of zero": ({"timeout": 0}, "timeout: 0 is not a usable duration: expected more than zero"),
    "a timeout that is not a number": ({"timeout": float("nan")}, "timeout: nan is no duration"),
    "a negative silence": ({"max_silence": "-1s"}, "max_silence: '-1s' is no duration"),
    "an endless expiry": ({"expires": float("inf")}, "expires: inf is no duration"),
    "a priority out of range": (
        {"priority": 10},
        "priority: 10 is no priority: expected a whole number from 0 (first) to 9",
    ),
    "a priority as truth": ({"priority": True}, "priority: True is no priority"),
    "a queue with a blank": ({"queue": "my cars"}, "queue: 'my cars' is no name of a queue"),
    "a name with a dot": ({"name": "fleet.sync"}, "name: 'fleet.sync' is no name of a job"),
    "no concurrency at all": ({"concurrency": 0}, "concurrency: 0 is no concurrency"),
    "attempts as text": ({"retry": "3"}, "retry: '3': expected Retry(attempts=3"),
    "no attempt": ({"retry": 0}, "retry: Retry(attempts=0): expected"),
    "tags as a text": ({"tags": "billing"}, "tags: 'billing': expected at most 20 "),
    "keep as a text": ({"keep": "7d"}, "keep: '7d': expected Keep("),
    "a misspelt option": (
        {"time_out": "5m"},
        (
            "time_out: no option of @job; expected one of name, queue, priority, concurrency, concurrency_by, "
            "concurrency_scope, retry, timeout, unique, rate_limit, rate_limit_by, breaker, max_silence, expires, executor, "
            "when_blocking, keep, tags. "
            'Did you mean "timeout"?'
        ),
    ),
    "an option of a schedule": ({"overlap": "skip"}, "overlap: no option of @job"),
    "a policy of a later version": (
        {"weight": 5},
        "weight: no option of @job; expected one of name, queue, priority, concurrency, ",
    ),
    "an executor with a blank": ({"executor": "my pool"}, "executor: 'my pool' is no name of a job's executor"),
    "a rate without a period": ({"rate_limit": "1"}, "rate_limit: '1'"),
}


@pytest.mark.parametrize(("options", "expected"), BAD_POLICIES.values(), ids=BAD_POLICIES.keys())
def test_a_bad_policy_names_function_place_and_option(options: dict[str, Any], expected: str) -> None:
    problem = problem_of(lambda: anything(**options)(plain))

    assert problem.startswith(f"{FILE}:{line_of(plain)}: plain: @job: {expected}")


BAD_SCHEDULES: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "an hour of 25": (cron, "0 25 * * *", {}, "@cron: "),
    "four fields": (cron, "0 0 * *", {}, "@cron: "),
    "a cron that is a number": (cron, 5, {}, "@cron: 5 is no cron expression: expected text such as"),
    "a day that never comes": (cron, "0 0 31 2 *", {}, "@cron: "),
    "a zone that is none": (
        cron,
        "0 0 * * *",
        {"timezone": "Europe/Berlln"},
        "@cron: timezone: 'Europe/Berlln' is no time zone",
    ),
    "an unknown catch_up": (
        cron,
        "0 0 * * *",
        {"catch_up": "some"},
        "@cron: catch_up: 'some': expected one of skip, latest, all",
    ),
    "an unknown overlap": (
        every,
        "5s",
        {"overlap": "stop"},
        "@every: overlap: 'stop': expected one of skip, queue, allow, replace",
    ),
    "a pace that is none": (every, "soon", {}, "@every: 'soon' is no duration"),
    "a pace of zero": (every, 0, {}, "@every: 0 is not a usable duration"),
    "a pace of 50 ms": (every, "50ms", {}, "@every: '50ms' is too short: expected at least 100 ms"),
    "a delay that is negative": (after, -1, {}, "@after: -1 is not a usable duration: expected zero or more"),
    "a misspelt option": (
        cron,
        "0 0 * * *",
        {"time_zone": "UTC"},
        "@cron: time_zone: no option of @cron; expected one of name, timezone, ",
    ),
    "an anchor on cron": (cron, "0 0 * * *", {"anchor": "finish"}, "@cron: anchor: no option of @cron"),
    "a zone on every": (every, "5s", {"timezone": "UTC"}, "@every: timezone: no option of @every"),
    "catch_up on after": (
        after,
        "5s",
        {"catch_up": "all"},
        "@after: catch_up: no option of @after; expected one of name, jitter, overlap, payload, paused.",
    ),
    "a policy of the job": (every, "5s", {"timeout": "5m"}, "@every: timeout: no option of @every"),
    "a payload that is no object": (every, "5s", {"payload": [1]}, "@every: payload: [1]: expected an object"),
    "a payload that is not JSON": (every, "5s", {"payload": {"a": {1}}}, "@every: payload: .a: {1} (set)"),
    "a start that is none": (every, "5s", {"start": "tomorrow"}, "@every: start: 'tomorrow': expected an instant"),
    "an end before the start": (
        every,
        "5s",
        {"start": "2026-02-01", "end": "2026-01-01"},
        "@every: end: '2026-01-01' lies before start",
    ),
    "a negative jitter": (every, "5s", {"jitter": "-1s"}, "@every: jitter: '-1s' is no duration"),
    "a name with a dot": (every, "5s", {"name": "a.b"}, "@every: name: 'a.b' is no name of a schedule"),
    "paused as a text": (every, "5s", {"paused": "yes"}, "@every: paused: 'yes': expected true or false"),
    "no catch_up_max": (every, "5s", {"catch_up_max": 0}, "@every: catch_up_max: 0: expected a whole number"),
}


@pytest.mark.parametrize(("decorator", "spec", "options", "expected"), BAD_SCHEDULES.values(), ids=BAD_SCHEDULES.keys())
def test_a_bad_schedule_names_function_place_and_option(
    decorator: Any, spec: Any, options: dict[str, Any], expected: str
) -> None:
    problem = problem_of(lambda: decorator(spec, **options)(plain))

    assert problem.startswith(f"{FILE}:{line_of(plain)}: plain: {expected}")


def test_what_is_refused_leaves_nothing_on_the_function() -> None:
    def fresh() -> None: ...

    problem_of(lambda: every("soon")(fresh))
    problem_of(lambda: anything(priority=99)(fresh))

    declaration = declaration_of(fresh)
    assert declaration is None or (declaration.schedules == [] and declaration.policies.priority == 5)


@pytest.mark.parametrize("decorator", [cron, every, after])
def test_a_schedule_without_its_brackets_says_how_it_is_written(decorator: Any) -> None:
    problem = problem_of(lambda: decorator(plain))

    assert f"plain: @{decorator.__name__}: it stands alone; expected @{decorator.__name__}(" in problem


def test_job_twice_with_policies_is_refused() -> None:
    def twice() -> None: ...

    problem = problem_of(lambda: job(timeout="5m")(job(priority=1)(twice)))

    assert "twice: @job: it stands there twice; expected all policies in one" in problem


@pytest.mark.parametrize("found", [int, type("Job", (), {}), 5, None, "text", object()], ids=name_of)
def test_only_functions_can_be_jobs(found: Any) -> None:
    assert "expected a function" in problem_of(lambda: anything()(found))
    assert "expected a function" in problem_of(lambda: every("5s")(found))


def test_a_generator_is_refused_for_it_would_never_run() -> None:
    def one_by_one() -> Any:
        yield 1

    async def one_after_the_other() -> Any:
        yield 1

    assert "one_by_one: @job: it yields" in problem_of(lambda: job(one_by_one))
    assert "one_after_the_other: @every: it yields" in problem_of(lambda: every("5s")(one_after_the_other))


@pytest.mark.parametrize("decorator", [cron, every, after])
def test_editors_see_the_options_by_name(decorator: Any) -> None:
    parameters = inspect.signature(decorator).parameters

    assert {"name", "jitter", "overlap", "payload", "paused"} <= parameters.keys()
