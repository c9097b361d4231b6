"""The error that `runs show` tells is marked when the run has gone on since."""

from __future__ import annotations

import pytest

from kernel.cli.runs import _error_label


@pytest.mark.parametrize(
    ("state", "attempt", "failures", "label"),
    [
        ("failed", 3, 3, "error"),
        ("retrying", 2, 2, "error"),
        ("completed", 3, 2, "last error, of attempt 2"),
        ("running", 2, 1, "last error, of attempt 1"),
        ("completed", 4, 2, "last error"),  # an attempt between them snoozed, or was cut short: which, nobody knows
        ("completed", 4, 0, "last error"),  # retried by hand
    ],
)
def test_an_error_of_an_earlier_attempt_is_marked_as_that(state: str, attempt: int, failures: int, label: str) -> None:
    assert _error_label({"state": state, "attempt": attempt, "failures": failures}) == label
