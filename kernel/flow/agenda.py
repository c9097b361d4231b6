"""The store's schedules as this kernel knows them, in the order in which it has to look at them. Kept by the scheduler."""

from __future__ import annotations

import heapq
import logging
from typing import TYPE_CHECKING

from kernel.flow.schedule_entry import Entry
from kernel.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kernel.contracts.clock import Clock
    from kernel.model.schedule import Result, ScheduleRow

log = logging.getLogger(__name__)

_PAUSED_LOOK_SECONDS = 60.0


class Agenda:
    """``entries`` by name. ``why_off`` and ``is_left`` say of one how it stands, whenever it is put where it belongs."""

    def __init__(
        self, clock: Clock, *, why_off: Callable[[Entry], tuple[Result, str] | None], is_left: Callable[[Entry], bool]
    ) -> None:
        self._clock = clock
        self._why_off = why_off
        self._is_left = is_left
        self.entries: dict[str, Entry] = {}
        self._unusable: dict[str, ScheduleRow] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._serials = 0

    def row(self, name: str) -> ScheduleRow | None:
        """What is in the store of this name, whether it can be used or not."""
        entry = self.entries.get(name)
        return self._unusable.get(name) if entry is None else entry.row

    def take_all(self, rows: Iterable[ScheduleRow]) -> None:
        """These, and no others, are in the store."""
        by_name = {row.name: row for row in rows}
        for name in [name for name in (*self.entries, *self._unusable) if name not in by_name]:
            self.drop(name)
        for row in by_name.values():
            self.take(row)

    def take(self, row: ScheduleRow) -> None:
        """What is in the store of one; only what has changed is looked into."""
        entry = self.entries.get(row.name)
        if entry is None:
            if self._unusable.get(row.name) != row:
                self.put(row)
        elif not entry.holds(row):
            self.put(row)
        elif entry.row != row:
            entry.row = row
            self.push(entry)

    def put(self, row: ScheduleRow) -> None:
        entry = self.entries.get(row.name)
        try:
            if entry is None:
                entry = Entry(row)
            else:
                entry.take(row)
            self.push(entry)
        except (ConfigError, TypeError, ValueError) as error:
            # Written by hand, by another version, or for a time zone that is no more: the others go on.
            log.error("the schedule %s is left out, for its definition cannot be used: %s", row.name, error)  # noqa: TRY400 - the message says it all
            self.entries.pop(row.name, None)
            self._unusable[row.name] = row
        else:
            self.entries[row.name] = entry
            self._unusable.pop(row.name, None)

    def drop(self, name: str) -> None:
        self.entries.pop(name, None)
        self._unusable.pop(name, None)

    def push(self, entry: Entry) -> None:
        """Puts it where it belongs: what another kernel looks at, nowhere."""
        self._serials += 1
        entry.serial = self._serials
        entry.is_left = self._is_left(entry)
        entry.off = None if entry.is_left else self._why_off(entry)
        if entry.is_left:
            return
        look_at = entry.find_next()
        if look_at is None and entry.waits_for_finish:
            # Its end is told, but for one that came by another kernel, by hand, or by expiring: asked for now and then.
            look_at = self._clock.now() + min(max(entry.schedule.interval, 1.0), 60.0)
        elif look_at is not None and entry.off is not None:
            # Nothing is to be run: many ticks go into one line, a minute at a time.
            look_at = max(look_at, self._clock.now() + _PAUSED_LOOK_SECONDS)
        if look_at is not None:
            heapq.heappush(self._heap, (look_at, entry.serial, entry.row.name))

    def pop_due(self, now: float) -> list[Entry]:
        due = []
        while self._heap and self._heap[0][0] <= now:
            _, serial, name = heapq.heappop(self._heap)
            entry = self.entries.get(name)
            if entry is not None and entry.serial == serial:
                due.append(entry)
        return due

    def next_look(self) -> float | None:
        """When the first of them is to be looked at."""
        while self._heap:
            at, serial, name = self._heap[0]
            entry = self.entries.get(name)
            if entry is not None and entry.serial == serial:
                return at
            heapq.heappop(self._heap)
        return None
