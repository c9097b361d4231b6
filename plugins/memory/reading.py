"""Which runs a query asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.model.run import WAITING, Claimed, Run, RunExtra, RunState

from . import rows
from .rows import EXTRA, JOB, QUEUE, STATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kernel.contracts.store import RunQuery

    from .rows import Done, Held, Waits


class Reader:
    """Reads what the three dicts of a store hold: waiting, held and ended runs by id."""

    def __init__(self, waiting: dict[str, Waits], held: dict[str, Held], ended: dict[str, Done]) -> None:
        self._waiting = waiting
        self._held = held
        self._ended = ended

    def runs(self, query: RunQuery) -> Iterator[Run]:
        """Newest first, all pages on from the query's."""
        for run_id in sorted(self._ids(query), reverse=True):
            if (query.before is None or run_id < query.before) and self._matches(run_id, query):
                yield self.run(run_id)

    def count(self, query: RunQuery) -> dict[str, int]:
        counts: dict[str, int] = {}
        for run_id in self._ids(query):
            if self._matches(run_id, query):
                state = str(self.state_of(run_id))
                counts[state] = counts.get(state, 0) + 1
        return counts

    def run(self, run_id: str) -> Run:
        if run_id in self._waiting:
            return rows.waiting(self._waiting[run_id])
        if run_id in self._held:
            return rows.running(self._held[run_id])
        return rows.ended(self._ended[run_id])

    def state_of(self, run_id: str) -> str | None:
        """None when there is no such run."""
        if run_id in self._waiting:
            return self._waiting[run_id][STATE]
        if run_id in self._held:
            return RunState.RUNNING
        return rows.end_of(self._ended[run_id]).state if run_id in self._ended else None

    def _ids(self, query: RunQuery) -> Iterable[str]:
        """All that may match, each once."""
        if query.ids is not None:
            return set(query.ids)
        found: list[str] = []
        states = None if query.states is None else set(query.states)
        if states is None or states & WAITING:
            found += self._waiting
        if states is None or RunState.RUNNING in states:
            found += self._held
        if states is None or states - WAITING - {RunState.RUNNING}:
            found += self._ended
        return found

    def _matches(self, run_id: str, query: RunQuery) -> bool:
        state = self.state_of(run_id)
        if state is None or (query.states is not None and state not in query.states):
            return False
        job, queue, extra = self._facts(run_id)
        return (
            (query.job is None or job == query.job)
            and (query.queue is None or queue == query.queue)
            and (query.schedule is None or (extra is not None and extra.schedule == query.schedule))
            and (query.tag is None or (extra is not None and query.tag in extra.tags))
        )

    def _facts(self, run_id: str) -> tuple[str, str, RunExtra | None]:
        """The job, the queue and the extra of a run."""
        if run_id in self._waiting:
            waits = self._waiting[run_id]
            return waits[JOB], waits[QUEUE], waits[EXTRA]
        if run_id in self._held:
            return _facts_of(self._held[run_id][0])
        done = self._ended[run_id]
        return _facts_of(done if isinstance(done, Run) else done[1][0])


def _facts_of(run: Run | Claimed) -> tuple[str, str, RunExtra | None]:
    return run.job, run.queue, run.extra
