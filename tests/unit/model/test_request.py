"""A wish to enqueue, made into a run: its options, and what is wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest

from kernel.model.errors import PayloadError, RequestError
from kernel.model.job import Policies, policies
from kernel.model.request import make_run, payload_text
from kernel.model.run import AGING_SECONDS, NewRun, RunExtra, RunState, as_run

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


class Floating(tzinfo):
    """A zone that does not say how far it is from UTC."""

    def utcoffset(self, at: datetime | None) -> timedelta | None:
        return None

    def tzname(self, at: datetime | None) -> str | None:
        return None

    def dst(self, at: datetime | None) -> timedelta | None:
        return None


def made(*, given: Policies | None = None, **options: Any) -> NewRun:
    return make_run("id", "demo.job", given or Policies(), "{}", options, NOW)


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
    names = ("priority", "delay", "at", "queue", "unique", "expires", "tags")

    assert made(**dict.fromkeys(names)) == made()


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


def test_a_unique_key_is_kept() -> None:
    assert extra(unique="car-42").unique == "car-42"


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
        ({"unique": 42}, "expected printable text"),
        ({"expires": 0}, "expected more than zero"),
        ({"expires": "never"}, "is no duration"),
        ({"tags": "billing"}, "expected at most 20 printable texts of 1 to 100 characters"),
        ({"tags": [1]}, "expected at most 20"),
        ({"tags": [""]}, "expected at most 20"),
        ({"tags": ["\ud800"]}, "expected at most 20"),
        ({"tags": ["a\x00"]}, "expected at most 20"),
        ({"tags": ["t"] * 21}, "expected at most 20"),
        ({"tags": ["t" * 101]}, "expected at most 20"),
    ],
    ids=repr,
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
