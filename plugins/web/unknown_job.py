"""Why nobody knows a job: the plugin that had it is off, or broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .site import Site


class Absent(NamedTuple):
    """A plugin whose jobs nobody knows at present. ``word``: off or broken."""

    plugin: str
    word: str


async def absent_of(site: Site) -> dict[str, Absent]:
    """By name."""
    return {
        one["plugin"]: Absent(one["plugin"], one["state"])
        for one in await site.kernel.control.plugins()
        if one["state"] in {"off", "broken"}
    }


def absent_for(job: str, plugin: str | None, absent: dict[str, Absent]) -> Absent | None:
    """The one that has the job: ``plugin``, as a schedule names it, or what stands before the first dot of the job's name."""
    return absent.get(plugin or "") or absent.get(job.partition(".")[0])
