"""Counts as people say them."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """`1 run`, `1,234 runs`; ``many`` where it is more than an `s` behind ``one``, as `runs are` behind `run is`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
