"""Cancels or retries many runs: which they are is fixed first, so that each is done once; then it goes in batches."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from kernel.contracts.store import RunQuery
from kernel.model.errors import RequestError, nearest, shown
from kernel.model.run import FINAL, RunState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.contracts.store import Store
    from kernel.flow.recorder import Recorder
    from kernel.model.run import Run

AT_ONCE = 1_000
UNFINISHED = tuple(state for state in RunState if state not in FINAL)
RETRYABLE = (RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED)
_STATES = {"cancel": (UNFINISHED, UNFINISHED), "retry": ((RunState.FAILED,), RETRYABLE)}
"""Purpose -> the states that are meant when none is named, and those that may be named."""
FILTERS = ("state", "job", "queue", "schedule", "tag", "since", "until", "error")


class Bulk:
    """Over one store. A tally says how many runs there were, and what became of how many of them."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder

    async def select(self, purpose: str, state: str | None, query: RunQuery) -> list[Run]:
        """A page of them, newest first. ``purpose``: cancel or retry; ``query``: the other filters.

        RequestError when neither a state nor a filter is given.
        """
        query = query._replace(states=_states(purpose, state), limit=AT_ONCE)
        if state is None and all(getattr(query, name) is None for name in FILTERS if name != "state"):
            raise RequestError(f"{purpose}: expected ids of runs, or at least one of {', '.join(FILTERS)}")
        return await self._store.runs(query)

    async def cancel(self, ids: Sequence[str], reason: str) -> dict[str, int]:
        """``told``: those that run, and are told to end; ``dependents``: others, that depended on these."""
        tally: Counter[str] = Counter()
        for at in range(0, len(ids), AT_ONCE):
            batch = set(ids[at : at + AT_ONCE])
            for one in await self._recorder.cancel(list(ids[at : at + AT_ONCE]), reason):
                if one.id not in batch:
                    tally["dependents"] += 1
                elif one.before == RunState.RUNNING:
                    tally["told"] += 1
                elif one.after != one.before:
                    tally["cancelled"] += 1
        left = len(ids) - tally["told"] - tally["cancelled"]
        return {
            "runs": len(ids), "cancelled": tally["cancelled"], "told": tally["told"], "left": left,
            "dependents": tally["dependents"],
        }  # fmt: skip

    async def retry(self, ids: Sequence[str]) -> dict[str, int]:
        """``held``: those left alone because another run holds their unique key.

        ``unready``: because a run that they depend on has not completed.
        """
        tally: Counter[str] = Counter()
        for at in range(0, len(ids), AT_ONCE):
            batch = ids[at : at + AT_ONCE]
            unready = await self.unready(batch)
            tally["unready"] += len(unready)
            for one in await self._recorder.retry([run for run in batch if run not in unready]):
                tally["retried"] += one.after != one.before
                tally["held"] += one.held_by is not None
        left = len(ids) - tally["retried"] - tally["held"] - tally["unready"]
        return {
            "runs": len(ids), "retried": tally["retried"], "held": tally["held"], "unready": tally["unready"],
            "left": left,
        }  # fmt: skip

    async def unready(self, ids: Sequence[str]) -> dict[str, Run]:
        """Of these the runs that may not go before another one has completed, and that one; what is gone holds up nobody."""
        mine = set(ids)
        edges = [one for one in await self._store.edges(list(ids)) if one.child in mine and one.on_failure == "cancel"]
        wanted = sorted({edge.parent for edge in edges})
        parents: dict[str, Run] = {}
        for at in range(0, len(wanted), AT_ONCE):
            query = RunQuery(ids=wanted[at : at + AT_ONCE], limit=AT_ONCE)
            parents |= {run.id: run for run in await self._store.runs(query)}
        return {
            edge.child: parents[edge.parent]
            for edge in edges
            if edge.parent in parents and parents[edge.parent].state != RunState.COMPLETED
        }


def _states(purpose: str, state: str | None) -> list[str]:
    if purpose not in _STATES:
        raise RequestError(f"purpose: {shown(purpose)}: expected one of {', '.join(_STATES)}")
    meant, allowed = _STATES[purpose]
    return [*meant] if state is None else states_of(state, allowed, f"to {purpose}, ")


def states_of(text: object, allowed: Sequence[RunState], purpose: str = "") -> list[str]:
    """One state, or several with commas between them, each of them ``allowed``; RequestError otherwise."""
    found = list(dict.fromkeys(part.strip() for part in text.split(","))) if isinstance(text, str) else [text]
    for state in found:
        if state == "degraded" and RunState.COMPLETED in allowed:
            raise RequestError(
                "state: 'degraded' is how a list shows a completed run that has notes: expected completed, "
                "and of these take the ones that the list calls degraded"
            )
        if state not in allowed:
            near = nearest(state, allowed) if isinstance(state, str) else ""
            raise RequestError(
                f"state: {shown(state)}: {purpose}expected one of {', '.join(allowed)}{near and '.' + near}"
            )
    return [str(state) for state in found]
