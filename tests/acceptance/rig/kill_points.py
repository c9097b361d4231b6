"""Where the kernel writes to its store, read from its source: a new place is a new kill point by itself."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

from kernel.contracts.store import Store

ROOT = Path(__file__).parents[3]

READING = frozenset(
    {
        "url", "is_durable", "is_shared", "may_start", "lease_losses", "clock_offset", "on_change", "signals", "cancels",
        "runs", "count", "queues", "schedules", "ticks", "kernels", "members", "announced", "announced_elsewhere",
        "get", "steps", "log", "edges", "breakers", "rate_room_at", "attempts", "ticks_of",
    }
)  # fmt: skip
"""The calls of a store that change nothing; all others do."""

CHANGING = frozenset(name for name in vars(Store) if not name.startswith("_")) - READING
_NAMES = {"store", "_store"}


class Point(NamedTuple):
    """A place in the source. ``is_passed``: the call is handed over there, to be made by somebody else."""

    file: str
    function: str
    call: str
    is_passed: bool


def kill_points() -> list[Point]:
    """Every place outside of the command line where a store is told to change something, each once."""
    return sorted({point for file in source_files() for point in points_in(file) if point.call in CHANGING})


def source_files() -> list[Path]:
    """The kernel's, but for the command line's, which does what control and clients do."""
    return [file for file in (ROOT / "kernel").rglob("*.py") if "cli" not in file.relative_to(ROOT).parts]


def points_in(file: Path) -> list[Point]:
    reader = _Reader(str(file.relative_to(ROOT)))
    reader.visit(ast.parse(file.read_text("utf-8")))
    return reader.points


class _Reader(ast.NodeVisitor):
    """Follows the names of classes and functions as Python does in ``__qualname__``."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._names: list[str] = []
        self._called: set[int] = set()
        self.points: list[Point] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._within(node, node.name)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._within(node, node.name, "<locals>")

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._within(node, node.name, "<locals>")

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._within(node, "<lambda>", "<locals>")

    def _within(self, node: ast.AST, *names: str) -> None:
        self._names += names
        self.generic_visit(node)
        del self._names[-len(names) :]

    def visit_Call(self, node: ast.Call) -> None:
        self._called.add(id(node.func))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if (isinstance(node.value, ast.Attribute) and node.value.attr in _NAMES) or (
            isinstance(node.value, ast.Name) and node.value.id in _NAMES
        ):
            function = ".".join(self._names).removesuffix(".<locals>")
            self.points.append(Point(self._file, function, node.attr, id(node) not in self._called))
        self.generic_visit(node)
