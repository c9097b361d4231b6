"""Schedules: their rows, and the ledger of their ticks."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.contracts.store import Look
    from kernel.model.schedule import ScheduleRow, Tick


class Rows:
    """The schedules by name, and how often an operator has changed one."""

    def __init__(self) -> None:
        self.by_name: dict[str, ScheduleRow] = {}
        self.changes = 0

    def put(self, rows: Sequence[ScheduleRow], *, back: bool) -> list[bool]:
        """Whether each was written: the version that is there has to be the one before."""
        answer = []
        for row in rows:
            old = self.by_name.get(row.name)
            is_next = row.version == (1 if old is None else old.version + 1)
            answer.append(is_next)
            if not is_next:
                continue
            if old is None:
                self.by_name[row.name] = row
            else:
                until = row.looked_until if back else max(row.looked_until, old.looked_until)
                self.by_name[row.name] = row._replace(paused=old.paused, looked_until=until)
        self.changes += any(answer)
        return answer

    def remove(self, names: Sequence[str]) -> None:
        gone = [self.by_name.pop(name, None) for name in names]
        self.changes += any(gone)

    def counts(self, look: Look) -> bool:
        """False for a look that was made already, or that goes by what holds no longer."""
        row = self.by_name.get(look.schedule)
        return row is not None and (row.looked_until, row.version) == (look.expected, look.version)

    def look(self, look: Look) -> None:
        self.by_name[look.schedule] = self.by_name[look.schedule]._replace(looked_until=look.until)

    def pause(self, name: str, paused: bool | None) -> bool:
        row = self.by_name.get(name)
        if row is None:
            return False
        self.by_name[name] = row._replace(paused=paused)
        self.changes += 1
        return True


class Ledger:
    """What became of each tick: a line for each run, a range for what ended alike one after another."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Tick]] = {}

    def write(self, ticks: Sequence[Tick]) -> None:
        for tick in ticks:
            lines = self._lines.setdefault(tick.schedule, deque())
            if lines and _alike(lines[-1], tick):
                last = lines[-1]
                lines[-1] = last._replace(last=max(last.last, tick.last), count=last.count + tick.count)
            else:
                lines.append(tick)

    def between(self, schedule: str, since: float, until: float, limit: int) -> list[Tick]:
        lines = reversed(self._lines.get(schedule, ()))
        return list(islice((line for line in lines if line.first <= until and line.last >= since), limit))

    def prune(self, before: float, limit: int) -> int:
        """Drops lines that ended before this instant, at most so many; returns how many."""
        dropped = 0
        for schedule, lines in list(self._lines.items()):
            while lines and dropped < limit and lines[0].last < before:
                lines.popleft()
                dropped += 1
            if not lines:
                del self._lines[schedule]
        return dropped


def _alike(last: Tick, tick: Tick) -> bool:
    return last.run is None and tick.run is None and last.result == tick.result and last.reason == tick.reason
