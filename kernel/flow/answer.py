"""How an attempt made elsewhere has ended, as text: written there, read here, where it is checked like anything foreign."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.flow.runner import clean, may_retry
from kernel.model.errors import AttemptError, ConfigError, shown
from kernel.model.outcome import Cancelled, Completed, Failed, Interrupted, Outcome, Snoozed
from kernel.model.payload import MAX_BYTES, NotJsonError, encode
from kernel.model.run import Failure

if TYPE_CHECKING:
    from kernel.model.job import Job

_CHARACTERS = 16_000


class AnswerError(AttemptError):
    """What an executor gave as the answer is none."""

    def __init__(self, found: object, problem: str) -> None:
        super().__init__(f"the executor's answer {shown(found)} is none: {problem}; expected what the attempt gave")


class Answer(NamedTuple):
    """``has_seen``: the job knows that it was to end, so that its end may be an early one."""

    outcome: Outcome
    has_seen: bool = False


def as_text(outcome: Outcome, *, has_seen: bool = False) -> str:
    return json.dumps({"kind": type(outcome).__name__.lower(), "has_seen": has_seen} | outcome._asdict())


def unloadable(error: ConfigError) -> str:
    """The answer when the job could not even be called: its code did not load."""
    return json.dumps({"kind": "unloadable", "type": type(error).__name__, "message": str(error)})


def from_text(text: Any, job: Job, max_result: int = MAX_BYTES) -> Answer:
    """The answer in the text; AnswerError when there is none in it."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise AnswerError(text, "it is no JSON") from None
    try:
        outcome = _outcome_in(found, job, max_result)
    except NotJsonError as error:
        raise AnswerError(text, f"its result is wrong: {error}") from None
    if outcome is None:
        raise AnswerError(text, "it has another form")
    return Answer(outcome, found.get("has_seen") is True)


def _outcome_in(found: Any, job: Job, max_result: int) -> Outcome | None:  # noqa: PLR0911 - one for each outcome
    match found:
        case {"kind": "completed", "result": str() | None as result, "notes": list(notes)}:
            return Completed(
                None if result is None else _json(result, max_result), tuple(_clean(note) for note in notes)
            )
        case {"kind": "failed", "failure": [str(kind), str(message), str(traceback)], "may_retry": bool(again)}:
            failure = Failure(_clean(kind), _clean(message), clean(traceback)[-_CHARACTERS:])
            return Failed(failure, again, _wait_in(found))
        case {"kind": "snoozed", "wait_seconds": int() | float()} if (wait := _wait_in(found)) is not None:
            return Snoozed(wait)
        case {"kind": "cancelled", "reason": str(reason)}:
            return Cancelled(_clean(reason))
        case {"kind": "interrupted", "reason": str(reason)}:
            return Interrupted(_clean(reason))
        case {"kind": "unloadable", "type": str(kind), "message": str(message)}:
            return Failed(Failure(_clean(kind), _clean(message)), may_retry=may_retry(ConfigError(message), job))
    return None


def _json(text: str, max_result: int) -> str:
    try:
        return encode(json.loads(text), limit=max_result)
    except (ValueError, RecursionError):
        raise NotJsonError("", shown(text)) from None


def _wait_in(found: dict[str, Any]) -> float | None:
    wait = found.get("wait_seconds")
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not math.isfinite(wait) or wait < 0:
        return None
    return float(wait)


def _clean(text: Any) -> str:
    return clean(str(text))[:_CHARACTERS]
