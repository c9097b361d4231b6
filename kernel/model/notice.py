"""Notices: messages for people. Notification plugins make them of events and send them on."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Severity = Literal["info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message. ``at``: epoch seconds. ``kind`` groups what is alike, as ``failed`` or ``maintenance_reminder``.

    ``context``: operation, counts, duration and so on, as the job told them. ``error`` and ``traceback`` of a failure;
    ``log``: the last lines of the run. ``key``: notices of one incident have the same.
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
