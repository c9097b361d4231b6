"""What a call of enqueue will do: all of it is found out, and found right, before any of it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kernel.model.errors import RequestError, StoreFullError
from kernel.model.run import FINAL, RunState

from . import rows
from .rows import QUEUE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.model.run import NewRun, Terms

    from .edges import Edges
    from .reading import Reader
    from .rows import Done, Held, Waits
    from .unique_keys import UniqueKey, UniqueKeys
    from .waiting import Waiting


class Links(NamedTuple):
    """What a run depends on. ``failed``: the parent, with its state, for which the run is cancelled at once, and when."""

    parents: dict[str, bool]
    """Parent -> whether it is still to end."""
    on_failure: str
    failed: tuple[str, str, float] | None


class Acceptance:
    __slots__ = ("fresh", "ids", "links", "replaced", "unique", "until")

    def __init__(self) -> None:
        self.ids: list[str] = []
        """What each run stands for."""
        self.fresh: dict[str, Waits] = {}
        """Runs to insert."""
        self.replaced: dict[str, Waits] = {}
        """Waiting runs of the store, as they become."""
        self.links: dict[str, Links] = {}
        self.until: dict[UniqueKey, float] = {}
        """Unique key -> until when it stays with its run."""
        self.unique: dict[UniqueKey, str] = {}
        """The keys of ``fresh``."""


class Acceptor:
    def __init__(
        self,
        waiting: Waiting,
        held: dict[str, Held],
        ended: dict[str, Done],
        *,
        read: Reader,
        unique: UniqueKeys,
        edges: Edges,
    ) -> None:
        self._waiting = waiting
        self._held = held
        self._ended = ended
        self._read = read
        self._unique = unique
        self._edges = edges

    def accept(self, runs: Sequence[NewRun], room: Mapping[str, int]) -> Acceptance:
        """RequestError or StoreFullError when it cannot be done."""
        waiting, held, ended = self._waiting.runs, self._held, self._ended
        accepted = Acceptance()
        ids, fresh = accepted.ids, accepted.fresh
        for run in runs:
            run_id = run.id
            ids.append(run_id)
            if run_id in waiting or run_id in held or run_id in ended or run_id in fresh:
                continue
            if run.extra is not None and run.extra.unique is not None:
                key = (run.job, run.extra.unique)
                holder = self._unique.holder(key, run.enqueued) or accepted.unique.get(key)
                if holder is not None:
                    ids[-1] = holder
                    if run.terms is not None and run.terms.on_conflict != "keep":
                        self._replace(accepted, holder, run, run.terms)
                    continue
                accepted.unique[key] = run_id
                if run.terms is not None:
                    _keep(accepted, key, run.terms)
            waits: Waits = run[:10]
            if run.terms is not None and run.terms.depends_on:
                waits = rows.with_state(waits, self._link(accepted, run_id, run, run.terms))
            fresh[run_id] = waits
        self._check_room(accepted, room)
        return accepted

    def _replace(self, accepted: Acceptance, run_id: str, run: NewRun, terms: Terms) -> None:
        """The run that has the key takes what ``run`` brings, if it waits."""
        waits = accepted.fresh.get(run_id) or accepted.replaced.get(run_id) or self._waiting.runs.get(run_id)
        if waits is None:
            return
        accepted.links.pop(run_id, None)
        state = self._link(accepted, run_id, run, terms) if terms.depends_on else run.state
        places = accepted.fresh if run_id in accepted.fresh else accepted.replaced
        places[run_id] = rows.replaced(waits, run, state)
        if run.extra is not None and run.extra.unique is not None:
            _keep(accepted, (run.job, run.extra.unique), terms)

    def _link(self, accepted: Acceptance, run_id: str, run: NewRun, terms: Terms) -> str:
        """Notes what ``run_id`` depends on; the state in which it enters."""
        parents: dict[str, bool] = {}
        failed = None
        for parent in terms.depends_on:
            state = RunState.BLOCKED if parent in accepted.fresh else self._read.state_of(parent)
            if state is None:
                raise RequestError(f"depends_on: there is no run {parent}; expected the id of one that is in the store")
            if run_id in self._waited_for(accepted, parent):
                raise RequestError(f"depends_on: run {parent} waits for run {run_id}, which cannot wait for it too")
            parents[parent] = state not in FINAL
            if state in FINAL and state != RunState.COMPLETED and terms.on_parent_failure == "cancel":
                failed = failed or (parent, state, run.enqueued)
        accepted.links[run_id] = Links(parents, terms.on_parent_failure, failed)
        if failed is not None or any(parents.values()):
            return RunState.BLOCKED
        return RunState.QUEUED if run.due <= run.enqueued else RunState.SCHEDULED

    def _waited_for(self, accepted: Acceptance, run_id: str) -> set[str]:
        """``run_id`` and all that it waits for, nearly always nothing."""
        found = {run_id}
        todo = [run_id]
        while todo:
            one = todo.pop()
            links = accepted.links.get(one)
            parents = links.parents if links is not None else self._edges.waits_for(one)
            todo += [parent for parent in parents if parent not in found]
            found.update(parents)
        return found

    def _check_room(self, accepted: Acceptance, room: Mapping[str, int]) -> None:
        for queue, most in room.items():
            size = self._waiting.size(queue)
            if size + len(accepted.fresh) + len(accepted.replaced) > most:
                count = sum(run[QUEUE] == queue for run in accepted.fresh.values())
                for run_id, run in accepted.replaced.items():
                    count += (run[QUEUE] == queue) - (self._waiting.runs[run_id][QUEUE] == queue)
                if count > 0 and size + count > most:
                    raise StoreFullError(f"queue {queue} is full: {size} runs wait, {count} more exceed {most}")


def _keep(accepted: Acceptance, key: UniqueKey, terms: Terms) -> None:
    if terms.unique_until is not None:
        accepted.until[key] = max(terms.unique_until, accepted.until.get(key, terms.unique_until))
