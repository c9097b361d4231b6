"""The attempts of a run on one line of time: where each bar begins, how wide it is, and what it waited for before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from .visible import line
from .wording import epoch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NARROWEST = 0.8
"""Of 100: what took no time is still seen."""
MOST_SHOWN = 20
_LONGEST_WAIT = 0.5
"""The share of the whole that the wait before the first attempt may take; of a longer one the rest is left out."""
_TONES = {"completed": "good", "failed": "bad", "lost": "bad", "running": "live", "interrupted": "warn", "stuck": "bad"}


class Bar(NamedTuple):
    """One attempt. ``wait_x``, ``x`` and ``width`` are of 100; from ``wait_x`` to ``x`` it waited."""

    attempt: int
    outcome: str
    tone: str
    wait_x: float
    x: float
    width: float
    started: float
    ended: float | None
    seconds: float
    wait_seconds: float | None
    error: str
    kernel: str | None


class Timeline(NamedTuple):
    """``bars`` oldest first; ``left_out`` older ones are not among them. ``is_cut``: the first wait is longer than it looks."""

    bars: list[Bar]
    left_out: int
    begin: float
    end: float
    is_cut: bool

    @property
    def end_form(self) -> str:
        """How ``end`` is told: without the day where that is the day of ``begin``."""
        begin, end = (datetime.fromtimestamp(at, UTC).date() for at in (self.begin, self.end))
        return "%H:%M:%S" if begin == end else "%Y-%m-%d %H:%M:%S"


def attempts_of(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those that are kept; of a run from before attempts were kept its last one, as far as the run tells."""
    if run.get("attempts"):
        return [*run["attempts"]]
    if run["started_at"] is None or not run["attempt"]:
        return []
    is_running = run["state"] == "running"
    ended = None if is_running else run["finished_at"]
    outcome = run["state"] if is_running or run["finished_at"] else "failed" if run["error"] else "ended"
    only = {
        "attempt": run["attempt"], "started_at": run["started_at"], "ended_at": ended, "outcome": outcome,
        "error": run["error"], "kernel": run["kernel"],
    }  # fmt: skip
    return [only]


def failed_of(attempts: Sequence[Mapping[str, Any]]) -> int:
    """How many of them failed, those before a retry by hand too, which the run itself no longer counts."""
    return sum(one["outcome"] in {"failed", "retrying"} for one in attempts)


def arrange(attempts: Sequence[Mapping[str, Any]], ready: Any, now: float, next_at: Any = None) -> Timeline | None:
    """None where nothing has begun. ``ready``: since when the first could have begun; ``next_at``: when one more begins."""
    shown = [one for one in attempts if epoch(one["started_at"]) is not None][-MOST_SHOWN:]
    if not shown:
        return None
    left_out = len(attempts) - len(shown)
    spans = [_span(one, now) for one in shown]
    first, last = spans[0][0], max(end for _, end in spans)
    following = epoch(next_at)
    end = max(last, following or last, first + 0.001)
    since = None if left_out else epoch(ready)
    begin = first if since is None else min(since, first)
    is_cut = first - begin > _LONGEST_WAIT * (end - begin)
    if is_cut:
        begin = first - (end - first) * 0.25
    whole = end - begin

    def place(at: float) -> float:
        return round(min(max((at - begin) / whole * 100, 0.0), 100.0), 2)

    bars, free = [], since
    for one, (started, ended) in zip(shown, spans, strict=True):
        x = min(place(started), 100.0 - NARROWEST)
        is_over = one["ended_at"] is not None
        outcome = str(one["outcome"] or ("ended" if is_over else "running"))
        outcome = "failed" if outcome == "retrying" else outcome  # what the attempt came to, not what the run did next
        bars.append(
            Bar(
                one["attempt"], outcome, _TONES.get(outcome, "quiet"), x if free is None else min(place(free), x), x,
                round(min(max(place(ended) - x, NARROWEST), 100.0 - x), 2), started, ended if is_over else None,
                max(ended - started, 0.0), None if free is None else max(started - free, 0.0), _said(one["error"]),
                one["kernel"],
            )
        )  # fmt: skip
        free = ended
    return Timeline(bars, left_out, begin, end, is_cut)


def _span(attempt: Mapping[str, Any], now: float) -> tuple[float, float]:
    started = epoch(attempt["started_at"]) or 0.0
    ended = epoch(attempt["ended_at"])
    return started, max(started, now if ended is None else ended)


def _said(error: Any) -> str:
    return line(f"{error['type']}: {error['message']}" if isinstance(error, dict) else error or "")
