"""A schedule of the store as a kernel has it in memory: how far it was looked at, and when it is due next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.model.schedule import NOT_LATE_SECONDS, Plan, Timing, plan

if TYPE_CHECKING:
    from kernel.model.schedule import Result, ScheduleRow


class Entry:
    """One schedule as it stands in this kernel."""

    __slots__ = ("following", "is_left", "next_at", "off", "row", "schedule", "serial", "timing")

    def __init__(self, row: ScheduleRow) -> None:
        self.serial = 0
        self.off: tuple[Result, str] | None = None
        """Why ticks since the last look do not run, if so; they go by what held then, whatever has come since."""
        self.is_left = False
        """Its job is not here, and another kernel knows it: that one looks at it."""
        self.take(row)

    def take(self, row: ScheduleRow) -> None:
        self.row = row
        self.schedule = row.schedule
        self.timing = Timing(self.schedule, row.anchor)
        self.next_at: float | None = None
        self.following: float | None = None

    def holds(self, row: ScheduleRow) -> bool:
        """Whether the row is the one that is known here, but for how far it was looked at, and whether it is paused."""
        mine = self.row
        return (row.version, row.definition, row.anchor) == (mine.version, mine.definition, mine.anchor)

    def find_next(self) -> float | None:
        """The tick after the last look; the one that follows it is computed too, ahead and off the second."""
        until = self.row.looked_until
        if self.next_at is not None and self.following is not None and self.next_at <= until < self.following:
            self.next_at = self.following
        else:
            self.next_at = self.timing.next_after(until)
        self.following = None if self.next_at is None else self.timing.next_after(self.next_at)
        return self.next_at

    def plan(self, now: float, off: tuple[Result, str] | None) -> Plan:
        """What becomes of the ticks since the last look; nearly always that is one tick, on time."""
        until, at = self.row.looked_until, self.next_at
        is_alone = self.following is None or self.following > now
        if off is None and at is not None and until < at <= now < at + NOT_LATE_SECONDS and is_alone:
            return Plan((at,), 0, (), caught_up=False)
        return plan(self.schedule, self.timing, until, now, off)

    @property
    def is_paused(self) -> bool:
        return self.schedule.paused if self.row.paused is None else self.row.paused

    @property
    def waits_for_finish(self) -> bool:
        """Whether the next tick is known only when the run of the last one has ended."""
        return self.schedule.anchor == "finish" and self.row.anchor <= self.row.looked_until
