"""How an attempt ended, before it is decided what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kernel.model.run import Failure


class Completed(NamedTuple):
    result: str | None = None
    notes: tuple[str, ...] = ()


class Failed(NamedTuple):
    """``wait_seconds`` takes the place of the backoff; a backoff is not shorter than ``at_least_seconds``."""

    failure: Failure
    may_retry: bool = True
    wait_seconds: float | None = None
    at_least_seconds: float = 0.0


class Snoozed(NamedTuple):
    wait_seconds: float


class Cancelled(NamedTuple):
    reason: str


class Interrupted(NamedTuple):
    """Cut short by the kernel's own end (or its plugin's): no fault of the run."""

    reason: str


class NotBegun(NamedTuple):
    """Claimed, yet never started: released as if it had not been claimed."""

    reason: str


Outcome = Completed | Failed | Snoozed | Cancelled | Interrupted | NotBegun
