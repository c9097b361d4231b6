"""Which runs depend on which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.contracts.store import Edge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Dependent:
    """One run that depends on others."""

    __slots__ = ("on_failure", "open", "parents")

    def __init__(self, parents: Mapping[str, bool], on_failure: str) -> None:
        self.parents = dict(parents)
        """Parent -> whether that has not ended yet."""
        self.on_failure = on_failure
        self.open = sum(parents.values())


class Edges:
    """An edge is open until its parent has ended, or its child no longer waits for that; it goes with the child."""

    def __init__(self) -> None:
        self.open: dict[str, set[str]] = {}
        """Parent -> the children that wait for it."""
        self._children: dict[str, set[str]] = {}
        self._dependents: dict[str, Dependent] = {}

    def add(self, child: str, parents: Mapping[str, bool], on_failure: str) -> None:
        """``parents``: whether each is still to end."""
        self._dependents[child] = Dependent(parents, on_failure)
        for parent, is_open in parents.items():
            self._children.setdefault(parent, set()).add(child)
            if is_open:
                self.open.setdefault(parent, set()).add(child)

    def close(self, parent: str) -> list[str]:
        """``parent`` has ended: those that waited for it, by id."""
        children = sorted(self.open.pop(parent, ()))
        for child in children:
            dependent = self._dependents[child]
            dependent.parents[parent] = False
            dependent.open -= 1
        return children

    def leave(self, child: str) -> None:
        """``child`` waits for nothing any more."""
        dependent = self._dependents.get(child)
        if dependent is None or not dependent.open:
            return
        for parent in [parent for parent, is_open in dependent.parents.items() if is_open]:
            self._close(parent, child)
            dependent.parents[parent] = False
        dependent.open = 0

    def forget(self, child: str) -> None:
        """``child`` depends on nothing any more, as if it never had."""
        self.leave(child)
        dependent = self._dependents.pop(child, None)
        for parent in () if dependent is None else dependent.parents:
            children = self._children[parent]
            children.discard(child)
            if not children:
                del self._children[parent]

    def is_waiting(self, child: str) -> bool:
        dependent = self._dependents.get(child)
        return dependent is not None and dependent.open > 0

    def is_cancelled_with(self, child: str) -> bool:
        """Whether ``child`` is cancelled when a parent of it fails."""
        return self._dependents[child].on_failure == "cancel"

    def waits_for(self, child: str) -> list[str]:
        dependent = self._dependents.get(child)
        return [] if dependent is None else [parent for parent, is_open in dependent.parents.items() if is_open]

    def of(self, runs: Iterable[str]) -> list[Edge]:
        """All of which one of these is child or parent; by child, then parent."""
        found: set[tuple[str, str]] = set()
        for run in runs:
            dependent = self._dependents.get(run)
            if dependent is not None:
                found.update((run, parent) for parent in dependent.parents)
            found.update((child, run) for child in self._children.get(run, ()))
        return [self._edge(child, parent) for child, parent in sorted(found)]

    def _edge(self, child: str, parent: str) -> Edge:
        dependent = self._dependents[child]
        return Edge(child, parent, dependent.parents[parent], dependent.on_failure)

    def _close(self, parent: str, child: str) -> None:
        children = self.open[parent]
        children.discard(child)
        if not children:
            del self.open[parent]
