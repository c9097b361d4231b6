"""Counts as people say them."""

from __future__ import annotations

import pytest

from kernel.model.counted import counted


@pytest.mark.parametrize(
    ("count", "one", "many", "said"),
    [
        (0, "run", "", "0 runs"),
        (1, "run", "", "1 run"),
        (2, "run", "", "2 runs"),
        (12_345, "run", "", "12,345 runs"),
        (1, "success", "successes", "1 success"),
        (3, "plugin is", "plugins are", "3 plugins are"),
    ],
)
def test_one_is_said_otherwise_than_many(count: int, one: str, many: str, said: str) -> None:
    assert counted(count, one, many) == said
