"""When a failed attempt is tried again."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.errors import ConfigError
from kernel.model.retry import Retry

retries = st.builds(
    Retry,
    attempts=st.integers(1, 1_000_000),
    backoff=st.sampled_from(["exponential", "linear", "fixed"]),
    base=st.floats(0, 1e6),
    factor=st.floats(1, 100),
    cap=st.floats(0.001, 1e6),
    jitter=st.floats(0, 1),
)


def waits(retry: Retry, count: int = 5) -> list[float]:
    """The waits after the first failures, with no jitter taken."""
    return [retry.wait_after(failures, 0.0) for failures in range(1, count + 1)]


def test_by_default_a_run_is_tried_three_times_and_the_waits_double_from_two_seconds() -> None:
    retry = Retry()

    assert retry.attempts == 3
    assert waits(retry) == [2, 4, 8, 16, 32]


def test_an_exponential_wait_is_the_base_times_the_factor_to_the_power_of_the_failures_before() -> None:
    assert waits(Retry(base="1s", factor=3)) == [1, 3, 9, 27, 81]


def test_a_linear_wait_grows_by_the_base() -> None:
    assert waits(Retry(backoff="linear", base="5s")) == [5, 10, 15, 20, 25]


def test_a_fixed_wait_is_the_base() -> None:
    assert waits(Retry(backoff="fixed", base="5s")) == [5, 5, 5, 5, 5]


@pytest.mark.parametrize("backoff", ["exponential", "linear"])
def test_no_wait_is_longer_than_the_cap(backoff: Any) -> None:
    assert waits(Retry(backoff=backoff, base="4s", cap="10s"))[-2:] == [10, 10]


def test_the_base_itself_is_capped() -> None:
    assert waits(Retry(base="1h", cap="10m"))[0] == 600


def test_jitter_shortens_the_wait_by_up_to_its_fraction() -> None:
    retry = Retry(base="10s", jitter=0.1)

    assert retry.wait_after(1, 0.0) == 10
    assert retry.wait_after(1, 0.5) == pytest.approx(9.5)
    assert 9 <= retry.wait_after(1, math.nextafter(1, 0)) < 9.001


def test_jitter_is_taken_off_the_capped_wait() -> None:
    assert Retry(base="1h", cap="10s", jitter=0.5).wait_after(9, 0.5) == 7.5


def test_a_small_factor_reaches_the_cap_as_well_in_the_end() -> None:
    retry = Retry(attempts=100_000, base="1s", factor=1.01, cap="10m", jitter=0)

    assert retry.wait_after(600, 0.0) == pytest.approx(1.01**599)
    assert retry.wait_after(1_000, 0.0) == 600


@pytest.mark.parametrize("failures", [10_000, 1_000_000])
@pytest.mark.parametrize("factor", [1, 1.5, 2, 100])
def test_the_ten_thousandth_failure_overflows_nothing(failures: int, factor: float) -> None:
    assert Retry(attempts=1_000_000, factor=factor).wait_after(failures, 0.0) == (2 if factor == 1 else 600)


def test_a_base_of_zero_waits_for_nothing_however_often_it_has_failed() -> None:
    assert {Retry(base=0).wait_after(failures, 0.0) for failures in (1, 2, 10_000)} == {0}


@given(retry=retries, failures=st.integers(1, 1_000_000), spread=st.floats(0, 1, exclude_max=True))
def test_every_wait_lies_between_nothing_and_the_cap(retry: Retry, failures: int, spread: float) -> None:
    assert 0 <= retry.wait_after(failures, spread) <= retry.cap_seconds


@given(retry=retries, failures=st.integers(1, 10_000))
def test_a_later_wait_is_never_shorter_but_for_jitter(retry: Retry, failures: int) -> None:
    assert retry.wait_after(failures, 0.0) <= retry.wait_after(failures + 1, 0.0)


def test_only_errors_of_on_are_tried_again() -> None:
    retry = Retry(on=(ConnectionError, TimeoutError))

    assert retry.may_retry(ConnectionResetError())
    assert retry.may_retry(TimeoutError())
    assert not retry.may_retry(ValueError())


def test_an_error_of_give_up_on_is_not_tried_again_though_it_is_of_on() -> None:
    retry = Retry(on=OSError, give_up_on=PermissionError)

    assert retry.may_retry(OSError())
    assert not retry.may_retry(PermissionError())


@given(retries)
def test_its_arguments_make_it_again(retry: Retry) -> None:
    assert Retry(**retry.arguments()) == retry


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"attempts": 0}, "a whole number from 1 to 1,000,000"),
        ({"attempts": True}, "a whole number from 1 to 1,000,000"),
        ({"attempts": 3.0}, "a whole number from 1 to 1,000,000"),
        ({"attempts": 10**7}, "a whole number from 1 to 1,000,000"),
        ({"backoff": "random"}, '"exponential" or "linear" or "fixed"'),
        ({"backoff": ["fixed"]}, '"exponential" or "linear" or "fixed"'),
        ({"factor": 0.5}, "a number from 1 to 100"),
        ({"factor": math.nan}, "a number from 1 to 100"),
        ({"factor": "2"}, "a number from 1 to 100"),
        ({"jitter": 1.5}, "a number from 0 to 1"),
        ({"jitter": -0.1}, "a number from 0 to 1"),
        ({"jitter": False}, "a number from 0 to 1"),
        ({"base": -1}, "zero or more"),
        ({"base": "soon"}, "a duration such as"),
        ({"cap": 0}, "more than zero"),
        ({"on": "ValueError"}, "exception classes"),
        ({"on": (ValueError, 3)}, "exception classes"),
        ({"on": ValueError()}, "exception classes"),
        ({"give_up_on": int}, "exception classes"),
        ({"on": ()}, "at least one exception class; to try once only, expected attempts=1"),
        ({"on": []}, "at least one exception class"),
        ({"jitter": math.nan}, "a number from 0 to 1"),
    ],
)
def test_a_wrong_option_is_told_with_what_was_expected(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        Retry(**options)
