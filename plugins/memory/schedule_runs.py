"""Which runs of a schedule are unfinished, and which of the blocked ones goes next."""

from __future__ import annotations


class Members:
    """The unfinished runs of one schedule: blocked ones by their (tick, id), and the others."""

    __slots__ = ("blocked", "open")

    def __init__(self) -> None:
        self.blocked: dict[str, tuple[float, str]] = {}
        self.open: set[str] = set()


class ScheduleRuns:
    """The unfinished runs of every schedule."""

    def __init__(self) -> None:
        self._members: dict[str, Members] = {}

    def add(self, schedule: str, run_id: str, tick: float | None, *, blocked: bool) -> None:
        members = self._members.setdefault(schedule, Members())
        if blocked:
            members.blocked[run_id] = (0.0 if tick is None else tick, run_id)
        else:
            members.open.add(run_id)

    def remove(self, schedule: str, run_id: str) -> None:
        members = self._members[schedule]
        members.open.discard(run_id)
        members.blocked.pop(run_id, None)
        if not members.open and not members.blocked:
            del self._members[schedule]

    def of(self, schedule: str) -> list[str]:
        """All of the schedule's, oldest first."""
        members = self._members.get(schedule)
        return [] if members is None else sorted(members.open.union(members.blocked))

    def next_to_go(self, schedule: str) -> str | None:
        """The blocked run of the oldest tick, when no other run is unfinished; it counts as one of the others now."""
        members = self._members.get(schedule)
        if members is None or members.open:
            return None
        _, run_id = min(members.blocked.values())
        del members.blocked[run_id]
        members.open.add(run_id)
        return run_id
