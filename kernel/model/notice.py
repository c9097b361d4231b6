"""Notices: messages for people. Notification plugins make them of events and send them on."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from kernel.model.run import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

Severity = Literal["info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")
State = Literal["", "failing", "still failing", "recovered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message. ``at``: epoch seconds. ``kind`` groups what is alike, as ``failed`` or ``maintenance_reminder``.

    ``context``: operation, counts, duration and so on, as the job told them. ``error`` and ``traceback`` of a failure;
    ``log``: the last lines of the run. ``key``: notices of one incident have the same; ``state`` is where in it this one
    stands, and empty for what is no incident. ``times``: how often it has happened by now, ``since`` when. ``held_back``: how
    often since the last notice of it, without one.
    """

    at: float
    severity: Severity
    kind: str
    text: str
    job: str = ""
    run: str = ""
    attempt: int = 0
    error: str = ""
    traceback: str = ""
    context: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    log: tuple[str, ...] = ()
    key: str = ""
    state: State = ""
    times: int = 1
    since: float | None = None
    held_back: int = 0

    def as_json(self) -> dict[str, Any]:
        """The notice for channels that send JSON; instants are ISO 8601 in UTC."""
        return {
            "at": iso(self.at),
            "severity": self.severity,
            "kind": self.kind,
            "state": self.state,
            "text": self.text,
            "job": self.job,
            "run": self.run,
            "attempt": self.attempt,
            "error": self.error,
            "traceback": self.traceback,
            "context": dict(self.context),
            "log": list(self.log),
            "key": self.key,
            "times": self.times,
            "since": iso(self.since),
            "held_back": self.held_back,
        }
