"""Queues: named lanes of runs."""

from __future__ import annotations

from typing import NamedTuple


class Queue(NamedTuple):
    """What plugins.toml says of a queue. ``concurrency`` None is no limit; past ``max_waiting`` enqueue fails."""

    name: str
    concurrency: int | None = None
    max_waiting: int = 1_000_000
