"""Which runs a query asks for."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

from kernel.model.run import WAITING, Claimed, Run, RunExtra, RunState

from . import rows
from .rows import EXTRA, JOB, QUEUE, STATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kernel.contracts.store import RunQuery

    from .rows import Done, Held, Waits
    from .waiting import Waiting

Facts = tuple[str, str, str, RunExtra | None]
"""The state, the job, the queue and the extra of a run: what it is filtered by."""


class Reader:
    """Reads what the three dicts of a store hold: waiting, held and ended runs by id."""

    def __init__(self, waiting: Waiting, held: dict[str, Held], ended: dict[str, Done]) -> None:
        self._waiting = waiting.runs
        self._sizes = waiting.sizes
        self._held = held
        self._ended = ended

    def runs(self, query: RunQuery) -> Iterator[Run]:
        """Newest first; those of the query's page and of all later ones."""
        for run_id in sorted(self._ids(query), reverse=True):
            if query.before is None or run_id < query.before:
                facts = self.facts(run_id)
                if facts is not None and _matches(facts, query) and self._is_wanted(run_id, query):
                    yield self.run(run_id)

    def _is_wanted(self, run_id: str, query: RunQuery) -> bool:
        """By what few queries ask for."""
        if (query.since, query.until, query.error) == (None, None, None):
            return True
        run = self.run(run_id)
        return (
            (query.since is None or run.enqueued >= query.since)
            and (query.until is None or run.enqueued < query.until)
            and (query.error is None or _says(run, query.error))
        )

    def count(self, query: RunQuery) -> dict[str, int]:
        if (query.since, query.until, query.error) != (None, None, None):
            return dict(Counter(str(run.state) for run in self.runs(query._replace(before=None))))
        if query.ids is None and query.job is query.schedule is query.tag is None:
            counts = self._count_waiting(query)
            counts.update(_count(chain(self._facts_of_held(), self._facts_of_ended()), query))
            return dict(counts)
        return dict(_count(self._all_facts(query), query))

    def _count_waiting(self, query: RunQuery) -> Counter[str]:
        """The waiting runs by state, without going through what may be a million of them."""
        counts = Counter[str]()
        for queue, size in self._sizes.items():
            counts.update(
                {
                    str(state): count
                    for state, count in size.by_state()
                    if count and _matches((state, "", queue, None), query)
                }
            )
        return counts

    def run(self, run_id: str) -> Run:
        if run_id in self._waiting:
            return rows.waiting(self._waiting[run_id])
        if run_id in self._held:
            return rows.running(self._held[run_id])
        return rows.ended(self._ended[run_id])

    def state_of(self, run_id: str) -> str | None:
        """None when there is no such run."""
        facts = self.facts(run_id)
        return None if facts is None else facts[0]

    def _ids(self, query: RunQuery) -> Iterable[str]:
        """All that may match, each once."""
        if query.ids is not None:
            return set(query.ids)
        states = None if query.wanted_states is None else set(query.wanted_states)
        places: list[Iterable[str]] = []
        if states is None or states & WAITING:
            places.append(self._waiting)
        if states is None or RunState.RUNNING in states:
            places.append(self._held)
        if states is None or states - WAITING - {RunState.RUNNING}:
            places.append(self._ended)
        return chain.from_iterable(places)

    def facts(self, run_id: str) -> Facts | None:
        if run_id in self._waiting:
            return _of_waiting(self._waiting[run_id])
        if run_id in self._held:
            return _of_held(self._held[run_id])
        return _of_ended(self._ended[run_id]) if run_id in self._ended else None

    def _all_facts(self, query: RunQuery) -> Iterable[Facts]:
        if query.ids is not None:
            found = (self.facts(run_id) for run_id in set(query.ids))
            return (facts for facts in found if facts is not None)
        return chain(map(_of_waiting, self._waiting.values()), self._facts_of_held(), self._facts_of_ended())

    def _facts_of_held(self) -> Iterable[Facts]:
        return map(_of_held, self._held.values())

    def _facts_of_ended(self) -> Iterable[Facts]:
        return map(_of_ended, self._ended.values())


def _count(found: Iterable[Facts], query: RunQuery) -> Counter[str]:
    return Counter(str(facts[0]) for facts in found if _matches(facts, query))


def _of_waiting(run: Waits) -> Facts:
    return run[STATE], run[JOB], run[QUEUE], run[EXTRA]


def _of_held(held: Held) -> Facts:
    return RunState.RUNNING, held[0].job, held[0].queue, held[0].extra


def _of_ended(done: Done) -> Facts:
    run: Run | Claimed = done if isinstance(done, Run) else done[1][0]
    return rows.end_of(done).state, run.job, run.queue, run.extra


def _matches(facts: Facts, query: RunQuery) -> bool:
    state, job, queue, extra = facts
    states = query.wanted_states
    return (
        (states is None or state in states)
        and (query.job is None or job == query.job)
        and (query.queue is None or queue == query.queue)
        and (query.schedule is None or (extra is not None and extra.schedule == query.schedule))
        and (query.tag is None or (extra is not None and query.tag in extra.tags))
    )


def _says(run: Run, text: str) -> bool:
    """Whether the run's error or reason has this text in it, whatever the case of A to Z."""
    wanted = _folded(text)
    return any(wanted in _folded(said) for said in (str(run.error or ""), run.reason or ""))


def _folded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass").lower()
