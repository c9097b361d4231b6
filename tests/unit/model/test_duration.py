"""Lengths of time as people write them, and as they are said to people."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.duration import seconds, words
from kernel.model.errors import ConfigError

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
