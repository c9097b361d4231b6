"""Which runs a list is about: as an address has it, as control takes it, and as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = ("state", "job", "queue", "schedule", "tag", "since", "until", "error")
WAITING = "scheduled,queued,retrying,blocked"
TABS = {
    "": "All", "running": "Running", "waiting": "Waiting", "failed": "Failed", "completed": "Completed",
    "cancelled": "Cancelled", "expired": "Expired",
}  # fmt: skip
SPANS = {"1h": "last hour", "1d": "last day", "7d": "last week", "30d": "last 30 days"}
MOST_CHARACTERS = 500

Filter = dict[str, str]


def filter_of(query: Mapping[str, str]) -> Filter:
    """What is given, by name; ``from`` is an instant that somebody wrote where ``since`` is a choice, and goes before it."""
    given = {name: query.get(name, "").strip()[: MOST_CHARACTERS + 1] for name in NAMES}
    given["since"] = query.get("from", "").strip()[:MOST_CHARACTERS] or given["since"]
    return {name: value for name, value in given.items() if value}


def for_control(given: Filter) -> Filter:
    return given | {"state": WAITING} if given.get("state") == "waiting" else given


def in_words(given: Filter) -> dict[str, str]:
    """Each filter by name as it reads: ``{"job": "job fleet.sync", "since": "last hour"}``."""
    labels = {"since": "since {}", "until": "until {}", "error": "error “{}”"}
    return {
        name: SPANS[value] if name == "since" and value in SPANS else labels.get(name, name + " {}").format(value)
        for name, value in given.items()
    }


def may_fit(purpose: str, state: str) -> bool:
    """Whether runs in this state could be cancelled, or retried."""
    if purpose == "cancel":
        return state not in {"completed", "failed", "cancelled", "expired"}
    return state in {"", "failed", "cancelled", "expired"}
