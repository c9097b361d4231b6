"""Queues: named lanes of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kernel.model.rate import RateLimit


class Queue(NamedTuple):
    """What plugins.toml says of a queue. A limit of None is none; past ``max_waiting`` enqueue fails.

    ``concurrency_scope``: whether ``concurrency`` holds over all kernels on the store, or for each kernel.
    """

    name: str
    concurrency: int | None = None
    max_waiting: int = 1_000_000
    rate_limit: RateLimit | None = None
    concurrency_scope: str = "all"
