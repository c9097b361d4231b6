"""Rates of `mainspring top`: from how far the kernels' counts are apart between looks."""

from __future__ import annotations

from kernel.cli.top_picture import Rates


def counts(completed: int, failed: int = 0) -> dict[str, int]:
    return {"completed": completed, "failed": failed}


def test_the_first_look_has_none_and_the_second_tells_what_came_between() -> None:
    rates = Rates()

    assert rates.take(100.0, {"a": counts(1000, 10)}) is None
    assert rates.take(102.0, {"a": counts(1010, 11)}) == {"seconds": 2.0, "completed": 5.0, "failed": 0.5}


def test_only_the_last_minute_counts() -> None:
    rates = Rates()
    rates.take(0.0, {"a": counts(0)})
    rates.take(1.0, {"a": counts(600)})
    for second in range(2, 61):
        rates.take(float(second), {"a": counts(600)})

    assert rates.take(60.5, {"a": counts(600)}) == {"seconds": 60.0, "completed": 10.0, "failed": 0.0}
    assert rates.take(61.0, {"a": counts(630)}) == {"seconds": 60.0, "completed": 0.5, "failed": 0.0}


def test_a_kernel_that_starts_meanwhile_counts_from_nothing_and_one_that_is_silent_goes_on_later() -> None:
    rates = Rates()
    rates.take(0.0, {"a": counts(100)})
    rates.take(1.0, {"b": counts(4)})

    assert rates.take(2.0, {"a": counts(110), "b": counts(6)}) == {"seconds": 2.0, "completed": 8.0, "failed": 0.0}


def test_there_are_none_before_a_kernel_has_said_anything() -> None:
    rates = Rates()

    assert [rates.take(0.0, {}), rates.take(5.0, {}), rates.take(6.0, {"a": counts(50)})] == [None, None, None]
    assert rates.take(7.0, {"a": counts(51)}) == {"seconds": 1.0, "completed": 1.0, "failed": 0.0}


def test_a_look_at_the_same_instant_divides_by_nothing() -> None:
    rates = Rates()
    rates.take(5.0, {"a": counts(0)})

    assert rates.take(5.0, {"a": counts(9)}) is None
