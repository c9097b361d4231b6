"""Lengths of time as people write them, and as they are said to people."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.breaker import Breaker
from kernel.model.duration import seconds, words
from kernel.model.errors import ConfigError, MainspringError, RetryAfter, Snooze
from kernel.model.job import Keep, Policies, policies
from kernel.model.rate import RateLimit
from kernel.model.request import make_run
from kernel.model.retry import Retry
from kernel.model.schedule import make_schedule
from kernel.model.unique import Unique

if TYPE_CHECKING:
    from collections.abc import Callable

CENTURY = 100 * 365.25 * 86400


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("250ms", 0.25), ("1.5s", 1.5), (".5s", 0.5), ("10m", 600.0), ("25h", 90_000.0), ("7d", 604_800.0),
        ("2w", 1_209_600.0), (" 10 m ", 600.0), (30, 30.0), (0.1, 0.1), (timedelta(minutes=2), 120.0),
    ],
)  # fmt: skip
def test_a_length_is_read_in_each_of_its_forms(written: Any, meant: float) -> None:
    assert seconds(written) == pytest.approx(meant)


@pytest.mark.parametrize(
    "written",
    [
        "", "s", "10", "ten minutes", "1h30m", "-1s", "+1s", "1e3s", "1_000s", "1,5s", "10M", "10 m s", "1s\x00",
        "\u0661s", "inf", "nan s", "9" * 40 + "s", None, True, [], b"10s", math.nan, math.inf, -math.inf, 10**400,
    ],
)  # fmt: skip
def test_what_is_no_length_is_refused_with_an_example(written: Any) -> None:
    with pytest.raises(ConfigError, match=r'is no duration: expected a duration such as "1\.5s", "10m"'):
        seconds(written)


@pytest.mark.parametrize("written", ["0s", "0ms", 0, 0.0, -0.0, timedelta()])
def test_zero_is_refused_unless_it_is_allowed(written: Any) -> None:
    with pytest.raises(ConfigError, match="expected more than zero"):
        seconds(written)

    assert seconds(written, zero=True) == 0


@pytest.mark.parametrize("written", [-1, -0.001, timedelta(seconds=-1)])
def test_a_negative_length_is_refused_even_where_zero_is_allowed(written: Any) -> None:
    with pytest.raises(ConfigError, match="expected zero or more"):
        seconds(written, zero=True)


@pytest.mark.parametrize("written", [CENTURY + 1, "36526d", timedelta.max, 10**300])
def test_more_than_a_century_is_refused(written: Any) -> None:
    with pytest.raises(ConfigError, match="expected at most 100 years"):
        seconds(written)


def test_a_century_itself_is_a_length() -> None:
    assert seconds("36525d") == CENTURY


@given(st.floats(min_value=0.001, max_value=CENTURY))
def test_a_number_of_seconds_and_a_timedelta_of_it_are_the_same_length(length: float) -> None:
    assert seconds(length) == length
    assert seconds(timedelta(seconds=length)) == pytest.approx(length, abs=1e-6)


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (0, "0 ms"), (0.35, "350 ms"), (1, "1 s"), (1.5, "1.5 s"), (10, "10 s"), (59.9, "59.9 s"), (60, "1 m"),
        (600, "10 m"), (3600, "1 h"), (9000, "2 h 30 m"), (604_800, "7 d"), (90_061, "1 d 1 h"), (-90, "-1 m 30 s"),
    ],
)  # fmt: skip
def test_a_length_is_said_in_at_most_two_units(length: float, said: str) -> None:
    assert words(length) == said


@pytest.mark.parametrize(("length", "said"), [(0.9999, "1 s"), (59.99, "1 m"), (3599.6, "1 h")])
def test_a_length_that_rounds_up_to_a_whole_unit_is_said_as_that_unit(length: float, said: str) -> None:
    assert words(length) == said


PLACES: dict[str, Callable[[], object]] = {
    "Retry(base): ": lambda: Retry(base="soon"),
    "Retry(cap): ": lambda: Retry(cap="soon"),
    "Keep(completed): ": lambda: Keep(completed="soon"),
    "Keep(failed): ": lambda: Keep(failed="soon"),
    "Unique(within): ": lambda: Unique(within="soon"),
    "Breaker(recovery_timeout): ": lambda: Breaker("partner", recovery_timeout="soon"),
    "RateLimit(per): ": lambda: RateLimit(5, "soon"),
    "RetryAfter: ": lambda: RetryAfter("soon"),
    "Snooze: ": lambda: Snooze("soon"),
    "timeout: ": lambda: policies(timeout="soon"),
    "max_silence: ": lambda: policies(max_silence="soon"),
    "expires: ": lambda: policies(expires="soon"),
    "retry: Retry(base): ": lambda: policies(retry={"base": "soon"}),
    "unique: Unique(within): ": lambda: policies(unique={"within": "soon"}),
    "every: ": lambda: make_schedule("a", "a", "every", "soon"),
    "after: ": lambda: make_schedule("a", "a", "after", "soon"),
    "jitter: ": lambda: make_schedule("a", "a", "every", "1m", jitter="soon"),
    "catch_up_window: ": lambda: make_schedule("a", "a", "every", "1m", catch_up_window="soon"),
    "enqueue a.b: delay: ": lambda: make_run("id", "a.b", Policies(), "{}", {"delay": "soon"}, 0.0),
    "enqueue a.b: expires: ": lambda: make_run("id", "a.b", Policies(), "{}", {"expires": "soon"}, 0.0),
}


@pytest.mark.parametrize(("place", "give"), PLACES.items(), ids=list(PLACES))
def test_wherever_a_duration_is_given_the_error_names_its_option_and_an_example(
    place: str, give: Callable[[], object]
) -> None:
    with pytest.raises(MainspringError) as caught:
        give()

    assert str(caught.value).startswith(f'{place}\'soon\' is no duration: expected a duration such as "1.5s", "10m"')


@pytest.mark.parametrize("rate", ["5/soon", "0/1m", "often", "5/0s"])
def test_a_rate_that_is_none_is_told_as_a_whole_with_an_example(rate: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policies(rate_limit=rate)

    assert str(caught.value) == (
        f"rate_limit: '{rate}' is no rate limit: expected a count from 1 to 1,000,000 and a duration, as \"100/1m\""
    )


@pytest.mark.parametrize("value", [0, -1, "1000000d"])
def test_a_duration_out_of_bounds_is_told_with_an_example(value: Any) -> None:
    with pytest.raises(ConfigError, match=r'as .*"(10m|7d)"$'):
        seconds(value)
