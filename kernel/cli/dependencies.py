"""Draws what a run depends on, and what depends on it."""

import sys
from collections.abc import Iterator
from typing import Any

from kernel.cli.output import clean, say

Json = dict[str, Any]

_LINES = ("\u251c\u2500 ", "\u2514\u2500 ", "\u2502  ")
_PLAIN = ("|- ", "`- ", "|  ")


def print_tree(tree: Json) -> None:
    """Nothing, when there are no such runs."""
    for name in ("depends_on", "needed_by"):
        lines = list(_drawn(tree[name], _marks()))
        if lines:
            say("\n".join([name.replace("_", " "), *(f"    {line}" for line in lines)]))


def _marks() -> tuple[str, str, str]:
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return _LINES if is_utf8 else _PLAIN


def _drawn(node: Json, marks: tuple[str, str, str], before: str = "") -> Iterator[str]:
    branch, last, trunk = marks
    branches, more = node.get("branches") or [], node.get("more") or 0
    for at, one in enumerate(branches):
        is_last = at == len(branches) - 1 and not more
        yield f"{before}{last if is_last else branch}{_line(one)}"
        yield from _drawn(one, marks, before + ("   " if is_last else trunk))
    if more:
        states = ", ".join(f"{count:,} {state}" for state, count in sorted(node["states"].items()))
        yield f"{before}{last}and {more:,} more; of all {states or 'none is kept any more'}"


def _line(node: Json) -> str:
    if node["state"] is None:
        return f"{node['run']} no longer kept"
    way = " (goes on though that fails)" if node["on_failure"] == "run" else ""
    return clean(f"{node['run']} {node['state']} {node['job']}{way}")
