"""How many runs ended in each minute of the last hour, of all kernels on the store: for the charts.

Counted from events, which cost a run nothing more than it does already; kept in the store, so that a restart forgets no
more than the last seconds.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from kernel import Periodic, StoreError
from kernel.events import RunFailed, RunsCompleted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernel import Kernel

    from .heard import Ended

MINUTES = 60
WRITE_SECONDS = 10.0
READ_SECONDS = 5.0
_MINUTE = 60.0


class Minute(NamedTuple):
    """``at``: its first second, epoch seconds."""

    at: float
    completed: int
    failed: int


class Traffic:
    """Each kernel writes a row of its own; who asks sees the sum of all rows."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._values = kernel.values("web")
        self._own: dict[int, list[int]] = {}
        self._others: dict[int, list[int]] = {}
        self._read_at = -READ_SECONDS
        self._row = ""
        self._writing = Periodic("web", WRITE_SECONDS, self.write, kernel.clock)

    async def start(self) -> None:
        """Goes on with what was counted before, where the plugin was off for a moment: its settings have changed, say."""
        self._row = f"minutes {self._kernel.id}"
        rows = await self._values.get()
        self._own |= {minute: [*counts] for minute, counts in _counts_in(rows.get(self._row)).items()}
        await self._writing.start()

    async def stop(self) -> None:
        await self._writing.stop()
        with contextlib.suppress(StoreError):
            await self.write()

    def take(self, event: Ended) -> None:
        if isinstance(event, RunsCompleted):
            for end in event.ends:
                self._minute(end.at)[0] += 1
        elif isinstance(event, RunFailed):
            self._minute(event.at)[1] += 1

    def _minute(self, at: float) -> list[int]:
        return self._own.setdefault(int(at // _MINUTE), [0, 0])

    async def write(self) -> None:
        """Writes what this kernel has counted, and forgets rows of kernels that have counted nothing for an hour."""
        first = int(self._kernel.clock.now() // _MINUTE) - MINUTES
        self._own = {minute: counts for minute, counts in self._own.items() if minute > first}
        rows = await self._values.get()
        over = [
            key
            for key, row in rows.items()
            if key.startswith("minutes ") and key != self._row and _newest(row) <= first
        ]
        await self._values.put(
            {self._row: {str(minute): counts for minute, counts in self._own.items()}} | dict.fromkeys(over)
        )

    async def minutes(self) -> list[Minute]:
        """The last sixty minutes, oldest first; the last one goes on."""
        elapsed = self._kernel.clock.elapsed()
        if elapsed - self._read_at >= READ_SECONDS:
            self._read_at = elapsed
            self._others = _sum_of(row for key, row in (await self._values.get()).items() if key != self._row)
        last = int(self._kernel.clock.now() // _MINUTE)
        found = []
        for minute in range(last - MINUTES + 1, last + 1):
            own, others = self._own.get(minute, (0, 0)), self._others.get(minute, (0, 0))
            found.append(Minute(minute * _MINUTE, own[0] + others[0], own[1] + others[1]))
        return found


def _newest(row: object) -> int:
    return max(_counts_in(row), default=0)


def _sum_of(rows: Iterable[object]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for row in rows:
        for minute, (completed, failed) in _counts_in(row).items():
            counts = found.setdefault(minute, [0, 0])
            counts[0] += completed
            counts[1] += failed
    return found


def _counts_in(row: object) -> dict[int, tuple[int, int]]:
    """What is not as it was written is left out."""
    found = {}
    for minute, counts in row.items() if isinstance(row, dict) else ():
        match counts:
            case [int() as completed, int() as failed] if str(minute).isdecimal():
                found[int(minute)] = (completed, failed)
    return found
