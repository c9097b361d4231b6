"""What a run wrote down while it ran, as it is shown: its recorded steps and its log."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import AttemptRow
from kernel.model.run import Failure, RunState, iso

if TYPE_CHECKING:
    from kernel.contracts.store import Store
    from kernel.model.run import Run

MOST_CHARACTERS = 1_000_000
"""Of steps, names and results together; of more, the last ones are shown."""


async def record_of(store: Store, run: str) -> dict[str, Any]:
    """``steps`` and ``log`` in the order in which they were written; what is no JSON is shown as the text it is."""
    steps = await store.steps(run)
    log = await store.log(run)
    shown = _last_of(steps)
    return {
        "steps": [{"name": name, "result": _json_or_text(steps[name])} for name in shown],
        "steps_left_out": len(steps) - len(shown),
        "log": [_line(text) for text in log.text.split("\n") if text],
        "log_is_cut": log.is_cut,
    }


async def attempts_of(store: Store, run: Run) -> list[dict[str, Any]]:
    """The newest attempts of the run, oldest first; the last one is that of which the run's own row tells."""
    rows = await store.attempts(run.id)
    if run.started is not None and run.attempt > (rows[-1].attempt if rows else 0):
        # Nothing is written of one that runs or has completed, nor was of any before attempts were kept.
        if run.state == RunState.RUNNING:
            rows.append(AttemptRow(run.attempt, run.started, math.nan, str(run.state), kernel=run.kernel))
        elif run.finished is not None:
            error = None if run.state == RunState.COMPLETED else run.error_text
            rows.append(
                AttemptRow(run.attempt, run.started, run.finished, str(run.state), error, run.reason, run.kernel)
            )
    return [
        {
            "attempt": row.attempt,
            "started_at": iso(row.started),
            "ended_at": None if math.isnan(row.ended) else iso(row.ended),
            "outcome": row.outcome,
            "error": None if row.error is None else Failure.from_text(row.error)._asdict(),
            "reason": row.reason,
            "kernel": row.kernel,
        }
        for row in rows
    ]


def _last_of(steps: dict[str, str]) -> list[str]:
    names, room = [], MOST_CHARACTERS
    for name in reversed(steps):
        room -= len(name) + len(steps[name])
        if room < 0:
            break
        names.append(name)
    return names[::-1]


def _line(text: str) -> dict[str, Any]:
    match _json_or_text(text):
        case {"at": str() as at, "attempt": int() as attempt, "level": str() as level, "text": str() as said}:
            return {"at": at, "attempt": attempt, "level": level, "text": said}
        case _:
            return {"at": None, "attempt": None, "level": None, "text": text}


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
