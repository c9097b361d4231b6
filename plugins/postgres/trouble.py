"""What is wrong between this process and the server, told once in a while, and how long to wait before trying again."""

from __future__ import annotations

import logging
import random
import time
from threading import Lock

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 4.0
"""A server that is up again is used again within five seconds."""
_TELL_EVERY_SECONDS = 10.0


class Backoff:
    """Waits that double, each shortened by chance, so that many kernels do not come back at one moment."""

    def __init__(self) -> None:
        self._wait = 0.0

    def next(self) -> float:
        self._wait = min(max(self._wait * 2, FIRST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
        return self._wait * random.uniform(0.5, 1.0)  # noqa: S311 - it spreads, it guards nothing

    def reset(self) -> None:
        self._wait = 0.0


class Trouble:
    """Shared by all connections of a store, of every thread: one line in ten seconds, and one when it is over."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = Lock()
        self._told_at = -_TELL_EVERY_SECONDS
        self._since: float | None = None

    def tell(self, what: str) -> None:
        with self._lock:
            now = time.monotonic()
            if self._since is None:
                self._since = now
            if now - self._told_at < _TELL_EVERY_SECONDS:
                return
            self._told_at = now
        log.warning("%s: %s; trying again", self._url, what)

    def over(self) -> None:
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            log.info("%s: reached again after %.1f s", self._url, time.monotonic() - since)
