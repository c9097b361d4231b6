"""A lane of runs that a key's limit may hold back, or of suspects: the runs of each key stand apart in it, so that a
full key is passed over in one step, however many of its runs wait.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from .lane import TIDY_FROM, Key, Lane
from .rows import ID, URGENCY, keys_of, place_of

if TYPE_CHECKING:
    from .key_limits import KeyLimits
    from .rows import Keys, Place, Waits

KeyedPlace = tuple[str, str, int, bool]
"""Queue, job, priority, and whether it is one of suspects."""


class Group(Lane):
    """The runs of a lane that have the same keys."""

    __slots__ = ("entry", "is_held", "keys")

    def __init__(self, place: Place, keys: Keys, runs: dict[str, Waits]) -> None:
        super().__init__(place, runs)
        self.keys = keys
        self.entry: Key | None = None
        """Its entry in the heap of its lane that counts; None when it is held back."""
        self.is_held = False


class KeyedLane:
    """The groups of one queue, job and priority; those that are held back stand in no order until they are let go."""

    def __init__(self, place: KeyedPlace, runs: dict[str, Waits], limits: KeyLimits) -> None:
        self.place = place
        self.queue, self.job, self.priority, self.is_suspect = place
        self._runs = runs
        self._limits = limits
        self._groups: dict[Keys, Group] = {}
        self._heap: list[tuple[float, str, int, Group]] = []
        self._pushed = 0

    def __len__(self) -> int:
        """0 when no run stands here."""
        return len(self._groups)

    def add(self, run: Waits) -> None:
        keys = keys_of(run)
        group = self._groups.get(keys)
        if group is None:
            group = self._groups[keys] = Group(place_of(run), keys, self._runs)
        group.add(run)
        if not group.is_held and (group.entry is None or (run[URGENCY], run[ID]) < group.entry):
            self._push(group, (run[URGENCY], run[ID]))

    def leave_one(self, run: Waits) -> None:
        """``run`` is not among the waiting ones any more."""
        group = self._groups[keys_of(run)]
        group.leave()
        if not group:
            self._drop(group)

    def head(self) -> Key | None:
        """The key of the first run that is not held back."""
        group = self._top()
        return None if group is None else group.entry

    def oldest(self) -> Key | None:
        """The key of the first run, held back or not."""
        return min((head for group in self._groups.values() if (head := group.head()) is not None), default=None)

    def take(self, into: list[Waits], most: int, bound: Key | None) -> Key | None:
        """Moves the first runs that nothing holds back; as ``Lane.take``."""
        group = self._top()
        while group is not None and most > 0 and group.entry is not None and (bound is None or group.entry < bound):
            if self._limits.may_begin(self, group):
                head = group.take(into, 1, None)
                self._limits.begin(self.job, group.keys)
                most -= 1
                if head is None:
                    self._drop(group)
                else:
                    self._push(group, head)
            group = self._top()
        return None if group is None else group.entry

    def hold(self, group: Group) -> None:
        group.is_held = True
        group.entry = None

    def let_go(self, group: Group) -> None:
        """``group`` is held back no longer."""
        group.is_held = False
        head = group.head()
        if head is not None:
            self._push(group, head)

    def _top(self) -> Group | None:
        """The group of the first run that is not held back."""
        heap = self._heap
        while heap:
            urgency, run_id, _, group = heap[0]
            if group.entry == (urgency, run_id):
                head = group.head()
                if head == group.entry:
                    return group
                if head is not None:
                    self._push(group, head)
                    continue
            heappop(heap)
        return None

    def _push(self, group: Group, entry: Key) -> None:
        group.entry = entry
        self._pushed += 1
        heappush(self._heap, (*entry, self._pushed, group))
        if len(self._heap) > TIDY_FROM + 2 * len(self._groups):
            self._heap[:] = [
                (*one.entry, n, one) for n, one in enumerate(self._groups.values()) if one.entry is not None
            ]
            heapify(self._heap)

    def _drop(self, group: Group) -> None:
        group.entry = None
        del self._groups[group.keys]
        if group.is_held:
            self._limits.forget(self.job, group)
