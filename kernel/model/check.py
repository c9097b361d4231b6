"""What a plugin says of the health of something: a job, a partner, a disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kernel.model.run import iso


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict, as ``healthy``, ``late`` or ``failing``. ``since``: epoch seconds from when it has held.

    What is not ``ok`` makes ``mainspring health`` and readiness fail.
    """

    subject: str
    verdict: str
    ok: bool
    text: str = ""
    since: float | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "verdict": self.verdict,
            "ok": self.ok,
            "text": self.text,
            "since": iso(self.since),
        }
