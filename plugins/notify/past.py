"""What the store knows of runs that no event has told, or would have to be told too often."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kernel import Notice

from .sources import FAILED

if TYPE_CHECKING:
    from kernel.control import Control

    from .incidents import Incident

log = logging.getLogger(__name__)

_MOST = 50
_LONGEST_SECONDS = 86400.0


async def is_over(control: Control, incident: Incident) -> bool:
    """Whether a later attempt of the job has completed: one that began after the last failure and has told none itself.

    Asked of the store, not heard of by an event of each run that completes: of those there are very many.
    """
    try:
        runs = await control.runs_list(job=incident.latest.job, state="completed", limit=_MOST)
    except Exception as error:  # noqa: BLE001 - the store is in trouble, or nothing bears this name any more
        log.debug("%s: whether it works again cannot be said: %s", incident.latest.job, error)
        return False
    return any(
        _epoch(run["started_at"]) >= incident.last and incident.failed_in.get(run["id"], 0) < run["attempt"]
        for run in runs
    )


async def missed_failures(control: Control, since: float, now: float) -> list[Notice]:
    """The runs that have failed since the last one that was heard of, oldest first; of a long time the last day."""
    try:
        runs = await control.runs_list(state="failed", limit=_MOST)
    except Exception as error:  # noqa: BLE001 - as above
        log.info("whether runs have failed meanwhile cannot be said: %s", error)
        return []
    since = max(since, now - _LONGEST_SECONDS)
    return [_notice(run) for run in reversed(runs) if _epoch(run["finished_at"]) > since]


def _notice(run: dict[str, Any]) -> Notice:
    failure = run["error"] or {"type": "", "message": run["reason"] or "", "traceback": ""}
    first = (failure["message"].splitlines() or [""])[0]
    text = f"the run failed at attempt {run['attempt']}: {': '.join(part for part in (failure['type'], first) if part)}"
    return Notice(
        at=_epoch(run["finished_at"]), severity="error", kind=FAILED, text=text, job=run["job"], run=run["id"],
        attempt=run["attempt"], error=failure["type"], traceback=failure["traceback"], context={"queue": run["queue"]},
    )  # fmt: skip


def _epoch(iso: str | None) -> float:
    return 0.0 if iso is None else datetime.fromisoformat(iso).timestamp()
