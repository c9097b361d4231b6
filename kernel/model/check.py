"""What a plugin, or the kernel, says of the health of something: a job, a partner, a disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kernel.model.run import iso

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict, as ``healthy``, ``late`` or ``failing``. ``since``: epoch seconds from when it has held.

    What is not ``ok`` makes ``mainspring health`` and readiness fail. ``details`` are JSON values; tables show
    ``last_success_at``, ``p50_seconds``, ``p95_seconds`` and ``next_at`` of them.
    """

    subject: str
    verdict: str
    ok: bool
    text: str = ""
    since: float | None = None
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def as_json(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "verdict": self.verdict,
            "ok": self.ok,
            "text": self.text,
            "since": iso(self.since),
            "details": dict(self.details),
        }
