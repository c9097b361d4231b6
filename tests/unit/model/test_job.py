"""Jobs and their policies."""

from __future__ import annotations

from typing import Any

import pytest

from kernel import cron, job
from kernel.model.errors import ConfigError
from kernel.model.job import Keep, Policies, declaration_of, make_job, policies
from kernel.model.retry import Retry


@job(
    queue="cars", priority=2, retry=Retry(attempts=5, base="1s", on=ConnectionError, give_up_on=ConnectionRefusedError)
)
async def sync_cars(car_id: str) -> None:
    """Fetches one car.

    And more.
    """


@cron("0 3 * * *")
def nightly() -> None: ...


def test_a_job_without_policies_has_the_defaults() -> None:
    found = policies()

    assert (found.queue, found.priority, found.timeout_seconds) == ("default", 5, 600)
    assert (found.concurrency, found.expires_seconds, found.max_silence_seconds, found.tags) == (None, None, None, ())
    assert found.retry == Retry(attempts=3, backoff="exponential", base="2s", factor=2, cap="10m", jitter=0.1)
    assert found.keep == Keep(completed="24h", failed="7d", count=10_000)


def test_a_job_is_named_after_its_plugin_and_its_function() -> None:
    found = make_job("fleet", sync_cars)

    assert (found.name, found.plugin, found.is_async) == ("fleet.sync_cars", "fleet", True)
    assert found.place == f"{__file__}:{sync_cars.__code__.co_firstlineno}"


def test_a_job_may_have_a_name_of_its_own() -> None:
    @job(name="sync-cars")
    def function() -> None: ...

    found = make_job("fleet", function)

    assert (found.name, found.is_async) == ("fleet.sync-cars", False)


def test_a_schedule_alone_makes_a_job() -> None:
    assert make_job("fleet", nightly).policies == Policies()


def test_a_decorated_function_stays_what_it_is() -> None:
    assert nightly.__name__ == "nightly"
    nightly()


def test_what_is_not_decorated_is_no_job() -> None:
    def function() -> None: ...

    with pytest.raises(
        ConfigError, match="is no job: expected a function decorated with @job, @cron, @every or @after"
    ):
        make_job("fleet", function)
    assert declaration_of(function) is None


def test_an_override_is_put_over_what_the_code_says() -> None:
    found = make_job("fleet", sync_cars, {"queue": "slow", "timeout": "20m"})

    assert (found.policies.queue, found.policies.timeout_seconds, found.policies.priority) == ("slow", 1200, 2)


@pytest.mark.parametrize("retry", [{"attempts": 9}, 9])
def test_a_table_of_retry_changes_what_it_names_and_nothing_else(retry: Any) -> None:
    found = make_job("fleet", sync_cars, {"retry": retry}).retry

    assert (found.attempts, found.base_seconds) == (9, 1)
    assert found.on == (ConnectionError,)
    assert found.give_up_on == (ConnectionRefusedError,)


def test_a_table_of_keep_changes_what_it_names_and_nothing_else() -> None:
    base = policies(keep=Keep(completed="1h", count=5))

    assert policies(base, keep={"failed": "1d"}).keep == Keep(completed="1h", failed="1d", count=5)


def test_a_whole_retry_replaces_what_was_there() -> None:
    assert make_job("fleet", sync_cars, {"retry": Retry()}).retry == Retry()


@pytest.mark.parametrize("name", ["timeout", "max_silence", "expires", "concurrency"])
def test_none_is_no_limit(name: str) -> None:
    base = policies(timeout="1m", max_silence="1m", expires="1m", concurrency=1)

    found = policies(base, **{name: None})

    assert getattr(found, name if name == "concurrency" else f"{name}_seconds") is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": ""}, "name: '' is no name of a job: expected letters, digits, _ and -, at most 100"),
        ({"name": "-a"}, "is no name"),
        ({"name": "a.b"}, "is no name"),
        ({"name": "Straße"}, "is no name"),
        ({"name": "a\n"}, "is no name"),
        ({"queue": None}, "queue: None is no name of a queue"),
        ({"priority": 10}, "priority: 10 is no priority"),
        ({"priority": True}, "is no priority"),
        ({"concurrency": 0}, "concurrency: 0 is no concurrency: expected a whole number from 1 to 100,000"),
        ({"concurrency": 100_001}, "is no concurrency"),
        ({"concurrency": True}, "is no concurrency"),
        ({"concurrency": 1.5}, "is no concurrency"),
        (
            {"concurrency_scope": "host"},
            'concurrency_scope: \'host\': expected "all" (over all kernels together) or "kernel"',
        ),
        ({"concurrency_scope": None}, "concurrency_scope: None: expected"),
        ({"retry": "3"}, "retry: '3': expected Retry(attempts=3"),
        ({"retry": True}, "retry: True: expected Retry("),
        ({"retry": 0}, "retry: Retry(attempts=0): expected a whole number"),
        ({"retry": {"attempt": 3}}, "expected a table of attempts, backoff, base, factor, cap, jitter"),
        ({"timeout": 0}, "timeout: 0 is not a usable duration: expected more than zero"),
        ({"timeout": "ten"}, "timeout: 'ten' is no duration"),
        ({"timeout": float("inf")}, "timeout: inf is no duration"),
        ({"max_silence": -1}, "max_silence: -1 is not a usable duration"),
        ({"expires": float("nan")}, "expires: nan is no duration"),
        ({"keep": 5}, 'keep: 5: expected Keep(completed="1d"'),
        ({"keep": {"days": 5}}, "keep: {'days': 5}: expected Keep("),
        ({"keep": {"count": -1}}, "keep: Keep(count=-1): expected a whole number, 0 or more"),
        ({"keep": {"count": 1.5}}, "keep: Keep(count=1.5)"),
        ({"keep": {"completed": "soon"}}, "keep: Keep(completed): 'soon' is no duration"),
        ({"keep": {"count": True}}, "keep: Keep(count=True): expected a whole number, 0 or more"),
        ({"unique": ""}, "unique: Unique(key): '': expected printable text of 1 to 500 characters"),
        ({"unique": {"by": []}}, "unique: Unique(by=[]): expected at least one payload field"),
        ({"unique": True}, "unique: True: expected Unique("),
        ({"rate_limit": ""}, "rate_limit: '' is no rate limit: expected a count"),
        ({"rate_limit": True}, "rate_limit: True is no rate limit"),
        ({"breaker": ""}, "breaker: '' is no name of a breaker: expected printable text"),
        ({"breaker": {"name": "a", "failure_threshold": True}}, "breaker: Breaker(failure_threshold): True: expected"),
        ({"tags": "billing"}, "tags: 'billing': expected at most 20 printable texts"),
        ({"tags": ["\ud800"]}, "tags: ['\\ud800']: expected at most 20 printable texts"),
        ({"tiemout": 5}, "tiemout: no policy of a job; expected one of name, queue,"),
    ],
    ids=repr,
)
def test_a_wrong_policy_is_told_with_its_name_and_what_was_expected(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policies(**given)

    assert told in str(caught.value)


def test_a_function_without_a_usable_name_needs_name() -> None:
    nameless = job(name="fine")(lambda: None)
    bare = job(lambda: None)

    assert make_job("fleet", nameless).name == "fleet.fine"
    with pytest.raises(ConfigError, match="'<lambda>' is no name of a job"):
        make_job("fleet", bare)


def test_what_is_kept_can_be_zero() -> None:
    keep = Keep(completed=0, failed=0, count=0)

    assert keep.as_json() == {"completed": 0, "failed": 0, "count": 0}
    assert Keep(**keep.as_json()) == keep
