"""The circuit breakers as an operator sees them, and how one is closed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.contracts.store import BreakerRow
from kernel.model.breaker import CLOSED, OPEN, Breaker, Thresholds
from kernel.model.errors import StoreError, UnknownNameError
from kernel.model.run import iso

if TYPE_CHECKING:
    from collections.abc import Collection

    from kernel.contracts.store import Store
    from kernel.flow.breakers import Breakers
    from kernel.flow.catalog import Catalog

Answer = dict[str, Any]
_TRIES = 20


async def list_breakers(store: Store, catalog: Catalog, jobs: list[Answer], breakers: Breakers | None) -> list[Answer]:
    """By name: those that are jobs' policies, those that have ever opened, and those that this kernel has seen in use.

    ``breakers`` are the kernel's own; without them failures in a row are None. So are thresholds that only a call in the
    code of a job names, until one has been made. ``probe``: the kernel that tries, while it is alive.
    """
    rows = {row.name: row for row in await store.breakers()}
    alive = {row.id for row in await store.kernels()} if any(row.probe for row in rows.values()) else set()
    users: dict[str, list[Answer]] = {}
    for job in jobs:
        if job.get("breaker"):
            users.setdefault(job["breaker"]["name"], []).append(job)
    failures = breakers.failures() if breakers is not None else {}
    listed = []
    for name in sorted(rows.keys() | users.keys() | failures.keys()):
        row = rows.get(name) or BreakerRow(name, 0, CLOSED)
        listed.append(
            {
                "breaker": name,
                "state": row.state,
                "failures": failures.get(name) if row.state == CLOSED else None,
                "successes": row.successes,
                "opened_at": None if row.state == CLOSED else iso(row.opened),
                "until": iso(row.until) if row.state == OPEN else None,
                "probe": row.probe if row.probe in alive else None,
                "error": row.error,
                **_thresholds(name, users.get(name, []), catalog, breakers),
                "jobs": sorted(job["job"] for job in users.get(name, [])),
            }
        )
    return listed


def _thresholds(name: str, users: list[Answer], catalog: Catalog, breakers: Breakers | None) -> Answer:
    if users:
        return Breaker(**users[0]["breaker"]).thresholds.overruled_by(catalog.breaker_table(name))._asdict()
    known = catalog.breaker_table(name) if breakers is None else breakers.told_thresholds(name)
    return dict.fromkeys(Thresholds._fields) | dict(known)


async def reset_breaker(store: Store, name: str, known: Collection[str]) -> None:
    """Closes it, whatever it was; failures counted so far are forgotten. UnknownNameError when nobody uses the name."""
    if name not in known:
        raise UnknownNameError("breaker", name, known, hint="`mainspring breakers list` shows them.")
    for _ in range(_TRIES):
        rows = {row.name: row for row in await store.breakers()}
        version = rows[name].version if name in rows else 0
        if await store.put_breaker(BreakerRow(name, version + 1, CLOSED)):
            return
    raise StoreError(f"the breaker {name} changes too often to be closed just now; try again")
