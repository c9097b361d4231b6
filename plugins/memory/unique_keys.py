"""Which run has which unique key: the unfinished one, and for a period after its enqueue the one that has ended."""

from __future__ import annotations

UniqueKey = tuple[str, str]
"""Job and key."""

TIDY_FROM = 1_000
"""Fewer keys of ended runs than this are not worth tidying up."""


class UniqueKeys:
    def __init__(self) -> None:
        self._runs: dict[UniqueKey, str] = {}
        self._until: dict[UniqueKey, float] = {}
        """Of unfinished runs: until when they keep their key though they end."""
        self._ended: dict[UniqueKey, float] = {}
        """Of ended runs that have kept theirs: until when."""
        self._full = TIDY_FROM

    def holder(self, key: UniqueKey, now: float) -> str | None:
        """The run that has the key."""
        until = self._ended.get(key)
        if until is not None and until <= now:
            del self._ended[key], self._runs[key]
        return self._runs.get(key)

    def take(self, key: UniqueKey, run_id: str) -> None:
        """``run_id`` is unfinished, and nobody else has the key."""
        self._runs[key] = run_id
        until = self._ended.pop(key, None)
        if until is not None:
            self._until[key] = until

    def keep(self, key: UniqueKey, until: float) -> None:
        """The unfinished run that has it keeps it until then at least."""
        self._until[key] = max(until, self._until.get(key, until))

    def end(self, key: UniqueKey, now: float, *, cancelled: bool) -> None:
        """The run that has it has ended."""
        until = self._until.pop(key, None)
        if cancelled or until is None or until <= now:
            del self._runs[key]
            return
        self._ended[key] = until
        if len(self._ended) > self._full:
            self.tidy(now)

    def tidy(self, now: float) -> None:
        """Forgets those whose period is over."""
        for key in [key for key, until in self._ended.items() if until <= now]:
            del self._ended[key], self._runs[key]
        self._full = max(TIDY_FROM, 2 * len(self._ended))
