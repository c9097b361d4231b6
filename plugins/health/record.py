"""What is known of the runs of one job: instants, failures in a row, and the durations of the last ones."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_DURATIONS = 100
_MOST_FAILURES = 20


@dataclass(slots=True)
class Record:
    """As one kernel has seen it, or several together. Instants are epoch seconds.

    ``known_at``: when the job was first seen. ``idle_at``: when it was last seen to be paused, or to come back: nothing is missed
    before either. ``streak``: how many failures there were since the last success that was seen; ``failed``: the newest of them.
    ``durations``: of the last completed runs, oldest first: a sample that forgets what was long ago, and is exact.
    ``ends``: whether the last runs completed, as 1 or 0, oldest first.
    """

    known_at: float | None = None
    idle_at: float | None = None
    started_at: float | None = None
    succeeded_at: float | None = None
    failed_at: float | None = None
    error: str = ""
    is_degraded: bool = False
    streak: int = 0
    failed: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_FAILURES))
    durations: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_DURATIONS))
    ends: deque[int] = field(default_factory=lambda: deque(maxlen=MOST_DURATIONS))

    def completed(self, at: float, seconds: float, *, is_degraded: bool) -> None:
        self.succeeded_at, self.started_at = at, at - seconds
        self.is_degraded = is_degraded
        self.durations.append(seconds)
        self.ends.append(1)
        if self.streak:
            self.streak = 0
            self.failed.clear()

    def has_failed(self, at: float, seconds: float, error: str) -> None:
        self.failed_at, self.started_at, self.error = at, at - seconds, error
        self.streak += 1
        self.failed.append(at)
        self.ends.append(0)

    @property
    def success_rate(self) -> float | None:
        """Of the last runs that ended; None before the first one."""
        return sum(self.ends) / len(self.ends) if self.ends else None

    def bound(self) -> None:
        """Keeps the last durations and ends alone: it was merged, and is added to from now on."""
        self.durations = deque(self.durations, maxlen=MOST_DURATIONS)
        self.ends = deque(self.ends, maxlen=MOST_DURATIONS)

    def failures_since(self, succeeded_at: float | None) -> int:
        """How many failures there were after this success, which another kernel may have seen."""
        if succeeded_at is None or not self.failed or succeeded_at < self.failed[0]:
            return self.streak
        return sum(at > succeeded_at for at in self.failed)

    def as_json(self) -> dict[str, Any]:
        found = {
            "known": self.known_at, "idle": self.idle_at, "started": self.started_at, "succeeded": self.succeeded_at,
            "failed_last": self.failed_at, "error": self.error or None, "degraded": self.is_degraded or None,
            "streak": self.streak or None, "failed": list(self.failed) or None,
            "durations": [float(f"{seconds:.4g}") for seconds in list(self.durations)[-MOST_DURATIONS:]] or None,
            "ends": "".join(map(str, list(self.ends)[-MOST_DURATIONS:])) or None,
        }  # fmt: skip
        return {key: value for key, value in found.items() if value is not None}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Record:
        record = cls(
            found.get("known"), found.get("idle"), found.get("started"), found.get("succeeded"),
            found.get("failed_last"), found.get("error", ""), found.get("degraded", False), found.get("streak", 0),
        )  # fmt: skip
        record.failed.extend(found.get("failed", ()))
        record.durations.extend(found.get("durations", ()))
        record.ends.extend(int(one) for one in found.get("ends", ""))
        return record


def merged(records: Iterable[Record]) -> Record:
    """What several kernels have seen, each of other runs, taken together: of each instant the last one counts."""
    found = list(records)
    if len(found) == 1:
        return found[0]
    by_success = sorted(found, key=lambda one: one.succeeded_at or 0.0)
    succeeded_at = _latest(one.succeeded_at for one in found)
    whole = Record(
        known_at=min((one.known_at for one in found if one.known_at is not None), default=None),
        idle_at=_latest(one.idle_at for one in found),
        started_at=_latest(one.started_at for one in found),
        succeeded_at=succeeded_at,
        failed_at=_latest(one.failed_at for one in found),
        is_degraded=bool(by_success) and by_success[-1].is_degraded,
        streak=sum(one.failures_since(succeeded_at) for one in found),
    )
    whole.error = next(
        (one.error for one in found if one.failed_at is not None and one.failed_at == whole.failed_at), ""
    )
    whole.failed.extend(sorted(at for one in found for at in one.failed if succeeded_at is None or at > succeeded_at))
    # All of them: of two kernels that share the work each has its own hundred.
    whole.durations = deque(seconds for one in by_success for seconds in one.durations)
    whole.ends = deque(end for one in by_success for end in one.ends)
    return whole


def quantile(durations: Iterable[float], share: float) -> float | None:
    """The duration that this share of them does not exceed; None when there are none."""
    ordered = sorted(durations)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None


def _latest(instants: Iterable[float | None]) -> float | None:
    return max((at for at in instants if at is not None), default=None)
