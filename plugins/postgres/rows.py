"""Between the model's rows and the tables' columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.model.run import Claimed, NewRun, Run, RunExtra, RunState

if TYPE_CHECKING:
    from collections.abc import Sequence

STATE_OF: dict[int, str] = {
    0: RunState.QUEUED,
    1: RunState.SCHEDULED,
    2: RunState.RETRYING,
    3: RunState.BLOCKED,
    4: RunState.QUEUED,
    5: RunState.RUNNING,
    6: RunState.COMPLETED,
    7: RunState.FAILED,
    8: RunState.CANCELLED,
    9: RunState.EXPIRED,
}
CODE_OF: dict[str, int] = {str(state): code for code, state in STATE_OF.items()}
PARKED, BLOCKED, QUEUED, RUNNING, COMPLETED, CANCELLED = 0, 3, 4, 5, 6, 8

_PLAIN = RunExtra()
_NO_EXTRA = (None,) * 8


def state_name(code: int) -> str:
    return str(STATE_OF[code])


def codes_of(states: Sequence[str]) -> list[int]:
    """Parked runs are queued ones."""
    wanted = set(states)
    return [code for code, state in STATE_OF.items() if state in wanted]


def plain_columns(runs: Sequence[NewRun]) -> list[Sequence[Any]]:
    """As ``enqueue.sql`` takes them, a list for each column; without what ``extra`` says."""
    ids, jobs, queues, priorities, payloads, states, enqueued, dues, urgencies, _, _ = zip(*runs, strict=True)
    return [ids, jobs, queues, priorities, payloads, [CODE_OF[state] for state in states], enqueued, dues, urgencies]


def whole_columns(runs: Sequence[NewRun]) -> list[Sequence[Any]]:
    """As ``enqueue_whole.sql`` takes them; tags come as one text for each run, see ``tags_text``."""
    extras = [run.extra or _PLAIN for run in runs]
    expires, unique, tags, schedules, ticks, folded, concurrency_keys, rate_keys = zip(*extras, strict=True)
    return [
        *plain_columns(runs), expires, unique, [tags_text(one) for one in tags], schedules, ticks,
        [many or None for many in folded], concurrency_keys, rate_keys,
    ]  # fmt: skip


def tags_text(tags: Sequence[str]) -> str | None:
    """As PostgreSQL writes an array: a list of lists of different lengths is no value that it takes."""
    if not tags:
        return None
    quoted = (tag.replace("\\", "\\\\").replace('"', '\\"') for tag in tags)
    return "{" + ",".join(f'"{tag}"' for tag in quoted) + "}"


def claimed_of(row: Sequence[Any]) -> Claimed:
    """The first columns of a row of ``claim.sql``."""
    return Claimed._make((*row[:11], extra_of(tuple(row[12:20])), row[11]))


def run_of(row: Sequence[Any]) -> Run:
    """A row of one of the statements that give whole runs."""
    (
        run_id, job, queue, priority, payload, state, enqueued, due, urgency, token, attempt, failures, kernel, started,
        finished, result, error, reason, notes, cancel_reason, stuck, losses, progress, progress_text, *extra,
    ) = row  # fmt: skip
    return Run(
        run_id, job, queue, priority, payload, state_name(state), enqueued, due, urgency, extra_of(tuple(extra)), token,
        attempt, failures, kernel, started, finished, result, error, reason, notes, cancel_reason, stuck, losses,
        progress, progress_text,
    )  # fmt: skip


def extra_of(columns: tuple[Any, ...]) -> RunExtra | None:
    """Expires, unique key, schedule, tick, folded, tags and the keys of limits."""
    if columns == _NO_EXTRA:
        return None
    expires, unique, schedule, tick, folded, tags, concurrency_key, rate_key = columns
    return RunExtra(
        expires, unique, tuple(tags) if tags else (), schedule, tick, folded or 0, concurrency_key, rate_key
    )


def clean(text: str | None) -> str | None:
    """A text as PostgreSQL can keep it: what has no place in it, a zero or half a character, is written out."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def ascii_lower(text: str) -> str:
    """As SQL's ``lower`` in the collation "C", of a text as PostgreSQL can keep it."""
    return (clean(text) or "").encode("utf-8").lower().decode("utf-8")
