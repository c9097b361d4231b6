"""Values counted by size."""

from __future__ import annotations

from kernel.model.tally import Tally


def test_a_value_is_counted_under_the_first_bound_that_is_not_below_it() -> None:
    tally = Tally((1, 10))

    for value in (0.5, 1, 1.5, 10, 11):
        tally.add(value)

    assert tally.counts == [2, 2, 1]
    assert (tally.count, tally.sum) == (5, 24.0)


def test_what_is_told_adds_up_and_ends_with_all_of_them() -> None:
    tally = Tally((1, 10))
    for value in (0, 5, 50):
        tally.add(value)

    assert tally.up_to() == [("1", 1), ("10", 2), ("+Inf", 3)]
    assert tally.as_json() == {"count": 3, "sum": 55.0, "up_to": {"1": 1, "10": 2, "+Inf": 3}}
