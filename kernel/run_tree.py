"""What a run depends on, and what depends on it: the runs around one, up and down, as far as a person can read."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import RunQuery

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernel.contracts.store import Edge, Store
    from kernel.model.run import Run

MOST_LEVELS = 5
MOST_BRANCHES = 10
"""Of one run that are told by name, those first for which it still waits; of the others there is a count."""
MOST_RUNS = 100
"""In one direction."""

Json = dict[str, Any]


class RunTree:
    """Reads the edges level by level. A run to which several ways lead is told with its branches the first time only."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def around(self, run: str) -> Json:
        """``depends_on`` and ``needed_by``: each a list of branches, and how many ``more`` there are."""
        return {
            "run": run,
            "depends_on": await self._grown(run, is_up=True),
            "needed_by": await self._grown(run, is_up=False),
        }

    async def _grown(self, run: str, *, is_up: bool) -> Json:
        root: Json = {"run": run}
        level, told = [root], 0
        seen = {run}
        for _ in range(MOST_LEVELS):
            links = _links(await self._store.edges([node["run"] for node in level]), is_up=is_up)
            named: list[Json] = []
            for node in level:
                # Those that are open first: they are what is waited for.
                ordered = sorted(links[node["run"]], key=lambda link: (not link[1].is_open, link[0]))
                kept = ordered[: max(0, min(MOST_BRANCHES, MOST_RUNS - told))]
                told += len(kept)
                node["branches"] = [
                    {"run": other, "is_open": edge.is_open, "on_failure": edge.on_failure} for other, edge in kept
                ]
                node["more"] = len(ordered) - len(kept)
                node["states"] = await self._states(other for other, _ in ordered) if node["more"] else {}
                named += node["branches"]
            await self._name(named)
            fresh = {node["run"]: node for node in reversed(named) if node["run"] not in seen}
            level = [*fresh.values()]
            seen |= fresh.keys()
            if not level:
                break
        return {key: root.get(key) for key in ("branches", "more", "states")}

    async def _name(self, nodes: list[Json]) -> None:
        """Job and state of each; None of a run that is no longer kept."""
        ids = list({node["run"] for node in nodes})
        found: dict[str, Run] = (
            {run.id: run for run in await self._store.runs(RunQuery(ids=ids, limit=len(ids)))} if ids else {}
        )
        for node in nodes:
            run = found.get(node["run"])
            node["job"], node["state"] = (run.job, str(run.state)) if run is not None else (None, None)

    async def _states(self, ids: Iterable[str]) -> dict[str, int]:
        return await self._store.count(RunQuery(ids=list(ids)))


def _links(edges: Iterable[Edge], *, is_up: bool) -> defaultdict[str, list[tuple[str, Edge]]]:
    """Run -> the runs it depends on, or with ``is_up`` False those that depend on it, with the edge."""
    links: defaultdict[str, list[tuple[str, Edge]]] = defaultdict(list)
    for edge in edges:
        here, other = (edge.child, edge.parent) if is_up else (edge.parent, edge.child)
        links[here].append((other, edge))
    return links
