"""What the kernel and its plugins say of health, sorted for pages: of jobs, of the kernel itself, of all else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .site import Site

Check = dict[str, Any]
_WORST = ("stuck", "failing", "late", "unknown", "long", "degraded", "paused")


class Judged(NamedTuple):
    """``jobs``: the checks of jobs by their names, empty while the plugin health is not on. ``others``: by plugin."""

    whole: dict[str, Any]
    jobs: dict[str, Check]
    own: list[Check]
    others: dict[str, list[Check]]

    @property
    def has_jobs(self) -> bool:
        return bool(self.jobs)


async def judged(site: Site) -> Judged:
    whole = await site.kernel.control.health()
    return sorted_out(whole)


def sorted_out(whole: dict[str, Any]) -> Judged:
    jobs: dict[str, Check] = {}
    own: list[Check] = []
    others: dict[str, list[Check]] = {}
    for check in whole["checks"]:
        if check["plugin"] is None:
            own.append(check)
        elif check["plugin"] == "health" and "failures" in check["details"]:
            jobs[check["subject"]] = check
        else:
            others.setdefault(check["plugin"], []).append(check)
    return Judged(whole, jobs, own, others)


def worst_first(checks: list[Check]) -> list[Check]:
    """What somebody has to look at before all else."""
    return sorted(checks, key=lambda check: (check["ok"], _rank(check["verdict"]), check["subject"]))


def _rank(verdict: str) -> int:
    return _WORST.index(verdict) if verdict in _WORST else len(_WORST)
