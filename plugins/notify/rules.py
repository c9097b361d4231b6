"""Which notice goes to which channels: pure."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_GRAVITY = {"info": 0, "warning": 1, "error": 2}


class Rule(NamedTuple):
    """``severity``: the least. ``jobs`` and ``kinds`` are patterns as ``fleet.*``, and all when there are none."""

    to: tuple[str, ...]
    severity: str
    jobs: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def fits(self, severity: str, job: str, kind: str) -> bool:
        return (
            _GRAVITY[severity] >= _GRAVITY[self.severity]
            and (not self.jobs or any(fnmatchcase(job, pattern) for pattern in self.jobs))
            and (not self.kinds or any(fnmatchcase(kind, pattern) for pattern in self.kinds))
        )


def channels_for(rules: Sequence[Rule], severity: str, job: str, kind: str) -> list[str]:
    """Every channel of every rule that fits, once."""
    return list(dict.fromkeys(name for rule in rules if rule.fits(severity, job, kind) for name in rule.to))
