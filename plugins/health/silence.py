"""How long a job may go without a success: as its policy says, else by its schedules, else as the settings say."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel import ConfigError, longest_gap

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST_GRACE = 5.0
_MOST_GRACE = 300.0


class Silence(NamedTuple):
    """``seconds`` may pass, and ``why`` so many. ``needs_success``: it counts only once the job has succeeded."""

    seconds: float
    why: str
    needs_success: bool = False


class Gaps:
    """The longest gaps of cron schedules, each sought once, in a thread."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], float | None] = {}

    async def learn(self, schedules: Sequence[dict[str, Any]], now: float) -> None:
        """Those of these schedules that are not known yet."""
        wanted = {_key(one) for one in schedules if one["kind"] == "cron"} - self._found.keys()
        if wanted:
            self._found |= await asyncio.to_thread(_gaps_of, wanted, datetime.fromtimestamp(now, UTC))

    def of(self, schedule: dict[str, Any]) -> float | None:
        """The longest time between two of its ticks; None for a schedule that has none to come."""
        if schedule["kind"] == "after" or schedule["next_at"] is None:
            return None
        gap = float(schedule["spec"]) if schedule["kind"] == "every" else self._found.get(_key(schedule))
        return None if gap is None else gap + schedule["jitter_seconds"]


def _key(schedule: dict[str, Any]) -> tuple[str, str, str]:
    # What H stands for depends on the name.
    name = schedule["schedule"] if "H" in schedule["spec"].upper() else ""
    return schedule["spec"], schedule["timezone"], name


def _gaps_of(keys: set[tuple[str, str, str]], after: datetime) -> dict[tuple[str, str, str], float | None]:
    return {key: _gap_of(*key, after) for key in keys}


def _gap_of(spec: str, timezone: str, name: str, after: datetime) -> float | None:
    try:
        found = longest_gap(spec, timezone=timezone, name=name, after=after)
    except ConfigError:  # written by hand, or for a zone that is no more: the kernel tells of it
        return None
    return None if found is None else found.total_seconds()


def silence_of(
    job: dict[str, Any], gaps: Sequence[float | None], usual_seconds: float | None, default: float | None
) -> Silence | None:
    """``gaps``: of its schedules. ``usual_seconds``: how long nearly all its runs take. None: it is never late.

    Derived it is the longest gap, the job's usual time and some grace: a tenth of the gap, from 5 s to 5 min. Of several
    schedules the one that ticks most often counts.
    """
    if job["max_silence_seconds"] is not None:
        return Silence(job["max_silence_seconds"], "its max_silence")
    known = [gap for gap in gaps if gap is not None]
    if known:
        gap = min(known)
        grace = min(max(gap / 10, _LEAST_GRACE), _MOST_GRACE)
        return Silence(gap + (usual_seconds or 0.0) + grace, "what its schedule lets expect")
    if default is not None and not gaps:
        return Silence(default, "default_max_silence", needs_success=True)
    return None
