"""Between the model's rows and the tables' columns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kernel.model.run import NewRun, Run, RunExtra, RunState, claim_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kernel.model.run import Claimed


class _States(dict[int, str]):
    def __missing__(self, code: int) -> str:
        """Written by hand: shown as it is, and never claimed."""
        return f"unknown ({code})"


STATE_OF = _States(
    enumerate(
        (
            RunState.SCHEDULED,
            RunState.RETRYING,
            RunState.BLOCKED,
            RunState.QUEUED,
            RunState.RUNNING,
            RunState.COMPLETED,
            RunState.FAILED,
            RunState.CANCELLED,
            RunState.EXPIRED,
        ),
        start=1,
    )
)
CODE_OF: dict[str, int] = {str(state): code for code, state in STATE_OF.items()}
BLOCKED, QUEUED, RUNNING, COMPLETED = (CODE_OF[state] for state in ("blocked", "queued", "running", "completed"))
CANCELLED, EXPIRED = CODE_OF["cancelled"], CODE_OF["expired"]
SUSPECT, HELD_BY_RATE, HELD_BY_KEY = -2, -1, 0
"""Queued for everybody to see, and held back: claims of lanes do not meet these."""
STATE_OF.update(dict.fromkeys((SUSPECT, HELD_BY_RATE, HELD_BY_KEY), RunState.QUEUED))

BITS = 4194304
"""Instants of our days are whole multiples of 2**-22 s: times this they pass through JSON whole, fast and exactly."""

_PLAIN = RunExtra()


def plain_columns(runs: Iterable[NewRun]) -> list[tuple[Any, ...]]:
    """As ``enqueue.sql`` takes them; without what ``extra`` says."""
    return [
        (run_id, job, queue, priority, CODE_OF[state], enqueued, due, urgency, payload)
        for run_id, job, queue, priority, payload, state, enqueued, due, urgency, _, _ in runs
    ]


def codes_of(states: Iterable[str]) -> list[int]:
    """All codes that are shown as one of these."""
    wanted = set(states)
    return [code for code, state in STATE_OF.items() if state in wanted]


def whole_columns(runs: Sequence[NewRun]) -> list[tuple[Any, ...]]:
    """As ``enqueue_whole.sql`` takes them."""
    return [
        (
            *plain, extra.expires, extra.unique, extra.schedule, extra.tick, extra.folded or None,
            tags_text(extra.tags), extra.concurrency_key, extra.rate_key,
        )
        for plain, extra in zip(plain_columns(runs), (run.extra or _PLAIN for run in runs), strict=True)
    ]  # fmt: skip


def tags_text(tags: Sequence[str]) -> str | None:
    return json.dumps(tags, separators=(",", ":")) if tags else None


def tag_filter(tag: str | None) -> str | None:
    """What stands in the JSON text of a run's tags, its bracket replaced by a comma, if this is one of them."""
    return None if tag is None else f",{json.dumps(tag)}"


def ascii_lower(text: str) -> str:
    """As SQL's ``lower``. Half a character is in no run: what stands in its place is not either."""
    return text.encode("utf-8", "replace").lower().decode()


def number(value: Any) -> float:
    """A number out of JSON: multiplied by BITS, or as text where that is not exact."""
    return value / BITS if type(value) is int else float(value)


def nested(value: Any) -> Any:
    """JSON within JSON: some ways through a query keep it as such, others make it a text."""
    return json.loads(value) if isinstance(value, str) else value


def claimed_of(row: list[Any], queue: str, job: str) -> Claimed:
    """A row of ``claim_lane.sql``, its leading ``seq`` left out."""
    _, run_id, priority, payload, enqueued, due, urgency, token, attempt, failures, extra = row
    losses = 0
    if extra is not None:
        *columns, losses = nested(extra)
        extra = _extra_of(columns)
    # As ``number``, without the calls: this is done for each run.
    at = enqueued / BITS if type(enqueued) is int else float(enqueued)
    due = due / BITS if type(due) is int else float(due)
    urgency = urgency / BITS if type(urgency) is int else float(urgency)
    return claim_of((run_id, job, queue, priority, payload, at, due, urgency, token, attempt, failures, extra, losses))


def run_of(row: tuple[Any, ...]) -> Run:
    """A row of ``runs.sql``."""
    (
        run_id, job, queue, priority, payload, state, enqueued, due, urgency, token, attempt, failures, losses, kernel,
        started, finished, result, error, reason, notes, cancel_reason, stuck, progress, progress_text, *extra,
    ) = row  # fmt: skip
    return Run(
        run_id, job, queue, priority, payload, str(STATE_OF[state]), enqueued, due, urgency,
        _extra_of(extra),
        token, attempt, failures, kernel, started, finished, result, error, reason, notes, cancel_reason, bool(stuck),
        losses, progress, progress_text,
    )  # fmt: skip


def _float(value: float | str | None) -> float | None:
    """A column, or what SQL's ``quote`` made of it."""
    return None if value is None or value == "NULL" else float(value)


def _extra_of(columns: Sequence[Any]) -> RunExtra | None:
    expires, unique, schedule, tick, folded, tags, concurrency_key, rate_key = columns
    extra = RunExtra(
        expires=_float(expires),
        unique=unique,
        tags=_tags_of(tags) if tags else (),
        schedule=schedule,
        tick=_float(tick),
        folded=folded or 0,
        concurrency_key=concurrency_key,
        rate_key=rate_key,
    )
    return None if extra == _PLAIN else extra


def _tags_of(text: str) -> tuple[str, ...]:
    """What is no list of texts was written by hand: it is one tag, so that the run and those behind it go on."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return (text,)
    return tuple(found) if isinstance(found, list) and all(isinstance(tag, str) for tag in found) else (text,)
