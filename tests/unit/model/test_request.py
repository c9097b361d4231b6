"""A wish to enqueue, made into a run: its options, and what is wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest

from kernel.model.errors import PayloadError, RequestError
from kernel.model.job import Policies, policies
from kernel.model.parameters import Parameters
from kernel.model.request import OPTIONS, make_run, payload_text
from kernel.model.run import AGING_SECONDS, NewRun, RunExtra, RunState, Terms, as_run
from kernel.model.unique import Unique
from tests.case_names import name_of

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


class Floating(tzinfo):
    """A zone that does not say how far it is from UTC."""

    def utcoffset(self, at: datetime | None) -> timedelta | None:
        return None

    def tzname(self, at: datetime | None) -> str | None:
        return None

    def dst(self, at: datetime | None) -> timedelta | None:
        return None


def process_car(car_id: str = "none", speed: float = 1.0) -> None: ...


def made(*, given: Policies | None = None, payload: str = "{}", **options: Any) -> NewRun:
    return make_run("id", "demo.job", given or Policies(), payload, options, NOW, Parameters.of(process_car))


def extra(**options: Any) -> RunExtra:
    found = made(**options).extra
    assert found is not None
    return found


def refusal(**options: Any) -> str:
    with pytest.raises(RequestError) as caught:
        made(**options)
    return str(caught.value)


# The payload


def test_no_payload_is_an_empty_one() -> None:
    assert payload_text("demo.job", None) == "{}"


@pytest.mark.parametrize("payload", [[], "text", 5, ("a",), b"{}", [("a", 1)]])
def test_a_payload_that_is_no_object_is_refused_with_its_type(payload: Any) -> None:
    with pytest.raises(PayloadError, match=rf"demo\.job: payload: .*\({type(payload).__name__}\); expected an object"):
        payload_text("demo.job", payload)


def test_a_payload_that_json_cannot_carry_is_refused_with_job_and_path() -> None:
    with pytest.raises(PayloadError) as caught:
        payload_text("demo.job", {"cars": [{"price": float("nan")}]})

    assert str(caught.value) == "demo.job: payload.cars[0].price: nan; expected a finite number"


# Without options


def test_a_run_takes_queue_and_priority_of_its_job_and_is_due_now() -> None:
    run = made(given=policies(queue="cars", priority=2))

    assert run == NewRun("id", "demo.job", "cars", 2, "{}", RunState.QUEUED, NOW, NOW, NOW + 2 * AGING_SECONDS)


def test_a_run_takes_tags_and_expiry_of_its_job() -> None:
    run = made(given=policies(tags=["billing"], expires="1h"))

    assert run.extra == RunExtra(expires=NOW + 3600, tags=("billing",))


def test_options_of_none_are_as_good_as_no_options() -> None:
    nothing: dict[str, Any] = dict.fromkeys(OPTIONS)

    assert made(**nothing) == made()


def test_the_new_run_can_be_shown_as_it_stands() -> None:
    shown = as_run(made(delay="1h", tags=["a"], expires="1m")).as_json()

    assert shown["state"] == "scheduled"
    assert shown["due_at"] == "2026-01-01T01:00:00+00:00"
    assert shown["expires_at"] == "2026-01-01T01:01:00+00:00"


# Options


def test_queue_and_priority_may_be_given_for_one_run() -> None:
    run = made(queue="other", priority=0)

    assert (run.queue, run.priority, run.urgency) == ("other", 0, NOW)


@pytest.mark.parametrize("delay", ["90s", 90, timedelta(seconds=90)])
def test_a_delay_puts_the_run_off(delay: Any) -> None:
    run = made(delay=delay)

    assert (run.state, run.due, run.urgency) == (RunState.SCHEDULED, NOW + 90, NOW + 90 + 5 * AGING_SECONDS)


def test_a_delay_of_zero_is_now() -> None:
    assert made(delay=0) == made()


@pytest.mark.parametrize(
    "at",
    [
        "2026-01-01T09:00:00+01:00",
        "2026-01-01T08:00:00Z",
        datetime(2026, 1, 1, 8, tzinfo=UTC),
        datetime(2026, 1, 1, 3, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_an_instant_puts_the_run_off_until_then(at: Any) -> None:
    run = made(at=at)

    assert (run.state, run.due) == (RunState.SCHEDULED, NOW + 8 * 3600)


@pytest.mark.parametrize(
    "at", [datetime(2020, 1, 1, tzinfo=UTC), datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))]
)
def test_an_instant_in_the_past_is_now(at: datetime) -> None:
    run = made(at=at)

    assert (run.state, run.due) == (RunState.QUEUED, NOW)


def test_expiry_counts_from_when_the_run_is_due() -> None:
    assert extra(delay="1h", expires="10m").expires == NOW + 4200


def test_expiry_of_one_run_goes_before_that_of_its_job() -> None:
    assert extra(given=policies(expires="1h"), expires="10m").expires == NOW + 600


def test_tags_of_one_run_come_after_those_of_its_job_and_none_comes_twice() -> None:
    assert extra(given=policies(tags=["a", "b"]), tags=["b", "c"]).tags == ("a", "b", "c")


# Unique


def test_a_unique_key_is_kept_and_needs_no_terms() -> None:
    run = made(unique="car-42")

    assert run.extra == RunExtra(unique="car-42")
    assert run.terms is None


def test_the_policy_of_the_job_makes_the_key_of_the_fields_of_the_payload() -> None:
    policy = policies(unique=Unique(by=["car_id"], within="10m"))

    run = made(given=policy, payload='{"speed":3.5,"car_id":"42"}')

    assert run.extra == RunExtra(unique='{"car_id":"42"}')
    assert run.terms == Terms(unique_until=NOW + 600)


def test_without_key_and_fields_the_whole_payload_is_the_key_in_whatever_order_it_is_given() -> None:
    policy = policies(unique=Unique())

    keys = {extra(given=policy, payload=text).unique for text in ('{"a":1,"b":2}', '{"b":2,"a":1}')}

    assert len(keys) == 1


def test_a_parameter_that_is_left_out_counts_as_its_default() -> None:
    policy = policies(unique=Unique(by=["car_id"]), concurrency=1, concurrency_by="speed")

    left_out, given = (extra(given=policy, payload=text) for text in ("{}", '{"car_id":"none","speed":1.0}'))

    assert left_out == given == RunExtra(unique='{"car_id":"none"}', concurrency_key="1.0")


def test_a_text_is_the_key_and_the_policy_says_period_and_conflict() -> None:
    policy = policies(unique=Unique(by=["car_id"], within="1m", on_conflict="replace"))

    run = made(given=policy, unique="mine")

    assert run.extra == RunExtra(unique="mine")
    assert run.terms == Terms(unique_until=NOW + 60, on_conflict="replace")


def test_unique_in_the_call_stands_for_the_whole_policy() -> None:
    policy = policies(unique=Unique(by=["car_id"], within="1m", on_conflict="replace"))

    run = made(given=policy, unique=Unique("mine"))

    assert (run.extra, run.terms) == (RunExtra(unique="mine"), None)


def test_unique_may_be_a_table_as_it_comes_over_a_socket() -> None:
    run = made(unique={"by": ["car_id"], "within": 5}, payload='{"car_id":"1"}')

    assert (run.extra, run.terms) == (RunExtra(unique='{"car_id":"1"}'), Terms(unique_until=NOW + 5))


def test_a_debounced_run_is_due_after_the_quiet_time_the_first_one_too() -> None:
    run = made(unique=Unique("k", within="10s", on_conflict="debounce"))

    assert (run.state, run.due) == (RunState.SCHEDULED, NOW + 10)
    assert run.terms == Terms(unique_until=NOW + 10, on_conflict="debounce")


def test_a_debounced_run_with_a_delay_is_due_when_that_says() -> None:
    run = made(unique=Unique("k", within="10s", on_conflict="debounce"), delay="1h", expires="1m")

    assert run.due == NOW + 3600
    assert run.extra == RunExtra(expires=NOW + 3660, unique="k")


# Keys of limits


def test_a_run_has_the_keys_by_which_its_job_is_limited() -> None:
    policy = policies(concurrency=1, concurrency_by="car_id", rate_limit="1/1s", rate_limit_by="speed")

    assert extra(given=policy, payload='{"car_id":"ä","speed":null}') == RunExtra(
        concurrency_key='"\\u00e4"', rate_key="null"
    )


def test_a_long_value_has_a_short_key_of_its_own() -> None:
    policy = policies(concurrency=1, concurrency_by="car_id")

    keys = [extra(given=policy, payload=f'{{"car_id":"{"x" * 1000}{end}"}}').concurrency_key or "" for end in "ab"]

    assert keys[0] != keys[1]
    assert max(map(len, keys)) < 100


# Dependencies


def test_a_run_that_depends_on_others_enters_blocked_and_names_each_once() -> None:
    parent = as_run(made())

    run = made(depends_on=[parent, "b", "b", "id"], on_parent_failure="run", delay="1h")

    assert (run.state, run.due) == (RunState.BLOCKED, NOW + 3600)
    assert run.terms == Terms(depends_on=("id", "b"), on_parent_failure="run")
    assert run.extra is None


def test_a_run_that_depends_on_nothing_is_one_like_any_other() -> None:
    assert made(depends_on=[]) == made()


def test_ten_thousand_parents_are_not_too_many() -> None:
    terms = made(depends_on=[f"id{number}" for number in range(10_000)]).terms

    assert terms is not None
    assert len(terms.depends_on) == 10_000


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"priority": 10}, "10 is no priority: expected a whole number from 0 (first) to 9 (last)"),
        ({"priority": -1}, "is no priority"),
        ({"priority": True}, "is no priority"),
        ({"priority": 1.0}, "is no priority"),
        ({"priority": "1"}, "is no priority"),
        ({"delay": "soon"}, "is no duration"),
        ({"delay": -1}, "expected zero or more"),
        ({"delay": float("nan")}, "is no duration"),
        ({"delay": "101w", "at": "2026-01-01T00:00:00Z"}, "delay and at: expected one of the two"),
        ({"at": "tomorrow"}, "at: 'tomorrow': expected an instant such as"),
        ({"at": 5}, "at: 5: expected a datetime with its time zone"),
        ({"at": "2026-01-01T00:00:00"}, "has no time zone"),
        ({"at": datetime(2026, 1, 1)}, "has no time zone"),  # noqa: DTZ001 - what this is about
        ({"at": datetime(2026, 1, 1, tzinfo=Floating())}, "has no time zone"),
        ({"at": "2126-01-03T00:00:00Z"}, "is too far away: expected an instant within 100 years"),
        ({"at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))}, "is too far away"),
        ({"queue": ""}, "is no name of a queue"),
        ({"queue": "a b"}, "is no name of a queue"),
        ({"queue": 5}, "is no name of a queue"),
        ({"queue": "q" * 101}, "is no name of a queue"),
        ({"unique": ""}, "unique: '': expected printable text of 1 to 500 characters"),
        ({"unique": "a\nb"}, "expected printable text"),
        ({"unique": "\ud800"}, "expected printable text"),
        ({"unique": "k" * 501}, "expected printable text"),
        ({"unique": 42}, 'unique: 42: expected Unique(by=["car_id"], within="10m") or a table of its fields'),
        ({"expires": 0}, "expected more than zero"),
        ({"expires": "never"}, "is no duration"),
        ({"unique": {"keys": "a"}}, "unique: {'keys': 'a'}: expected Unique("),
        ({"unique": {"on_conflict": "debounce"}}, "expected within too: the quiet time"),
        (
            {"unique": Unique(by="card_id")},
            "unique: 'card_id' is no parameter of the job; expected one of car_id, speed",
        ),
        ({"depends_on": "an-id"}, "depends_on: 'an-id': expected a list of at most 10,000 runs, or of their ids"),
        ({"depends_on": [""]}, "expected a list of at most 10,000 runs"),
        ({"depends_on": ["a\nb"]}, "expected a list of at most 10,000 runs"),
        ({"depends_on": [5]}, "expected a list of at most 10,000 runs"),
        ({"depends_on": ["id"] * 10_001}, "expected a list of at most 10,000 runs"),
        ({"depends_on": as_run(NewRun("a", "demo.job", "q", 5, "{}", "queued", 0, 0, 0))}, "expected a list of"),
        ({"depends_on": ["a"], "on_parent_failure": "go"}, "on_parent_failure: 'go': expected one of cancel, run"),
        ({"on_parent_failure": "run"}, "on_parent_failure: expected together with depends_on"),
        ({"depends_on": [], "on_parent_failure": "run"}, "on_parent_failure: expected together with depends_on"),
        (
            {"depends_on": ["a"], "unique": Unique("k", on_conflict="replace")},
            "depends_on: not together with unique runs that replace one another",
        ),
        ({"tags": "billing"}, "expected at most 20 printable texts of 1 to 100 characters"),
        ({"tags": [1]}, "expected at most 20"),
        ({"tags": [""]}, "expected at most 20"),
        ({"tags": ["\ud800"]}, "expected at most 20"),
        ({"tags": ["a\x00"]}, "expected at most 20"),
        ({"tags": ["t"] * 21}, "expected at most 20"),
        ({"tags": ["t" * 101]}, "expected at most 20"),
    ],
    ids=name_of,
)
def test_a_wrong_option_is_an_error_of_the_caller_that_names_it(options: dict[str, Any], told: str) -> None:
    message = refusal(**options)

    assert message.startswith("enqueue demo.job: ")
    assert told in message
    assert message.isprintable()


def test_an_unknown_option_is_told_with_the_nearest_one() -> None:
    message = refusal(delai="5s")

    assert message.startswith("enqueue: no option named 'delai'; expected priority, delay, at, ")
    assert message.endswith(' Did you mean "delay"?')


def test_options_whose_names_are_no_text_are_refused_like_any_unknown_one() -> None:
    with pytest.raises(RequestError, match="no option named '1'"):
        make_run("id", "demo.job", Policies(), "{}", {1: 2, "zone": 3}, NOW)  # type: ignore[dict-item] # what this is about
