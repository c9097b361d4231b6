"""The runs around one as a drawing: those it depends on to its left, those that depend on it to its right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WIDTH, HEIGHT = 200, 46
GAP_X, GAP_Y = 56, 12
_EDGE = 6
"""Room around all, for the outline of what has the focus."""


class Node(NamedTuple):
    """A run, or (``run`` is "") ``more`` of them that are not named. ``x`` and ``y``: of its upper left corner, in pixels."""

    key: str
    run: str
    job: str | None
    state: str | None
    more: int
    states: Mapping[str, int]
    column: int
    x: float = 0.0
    y: float = 0.0


class Link(NamedTuple):
    """From a run to one that depends on it. ``is_open``: the other still waits for it."""

    from_key: str
    to_key: str
    is_open: bool
    path: str = ""


class Graph(NamedTuple):
    nodes: list[Node]
    links: list[Link]
    width: int
    height: int


def draw(tree: Mapping[str, Any], job: str, state: str) -> Graph | None:
    """Of what ``runs_tree`` answers for a run of this ``job`` and ``state``; None where it depends on nothing, nor others on it.

    A run to which several ways lead stands once, as far from the middle as the longest of them.
    """
    nodes: dict[str, Node] = {}
    links: dict[tuple[str, str], Link] = {}
    for side, direction in (("depends_on", -1), ("needed_by", 1)):
        _walk(tree["run"], tree[side], direction, nodes, links)
    if not nodes:
        return None
    nodes[tree["run"]] = Node(tree["run"], tree["run"], job, state, 0, {}, 0)
    return _placed(nodes, links)


def _walk(
    root: str, branch: Mapping[str, Any], direction: int, nodes: dict[str, Node], links: dict[tuple[str, str], Link]
) -> None:
    """Level by level, so that who is nearer comes first in its column; then what hangs on it is moved outwards."""
    level = [(root, branch)]
    inner: dict[str, list[str]] = {}
    while level:
        following = []
        for key, at in level:
            for one in at.get("branches") or ():
                inner.setdefault(one["run"], []).append(key)
                known = nodes.get(one["run"])
                nodes[one["run"]] = known or Node(one["run"], one["run"], one["job"], one["state"], 0, {}, direction)
                _link(links, key, one["run"], direction, is_open=one["is_open"])
                following.append((one["run"], one))
            if at.get("more"):
                rest = f"more {direction} {key}"
                inner.setdefault(rest, []).append(key)
                nodes[rest] = Node(rest, "", None, None, at["more"], at.get("states") or {}, direction)
                _link(links, key, rest, direction, is_open=any(one["is_open"] for one in at["branches"]))
        level = following
    depths = {root: 0}
    for _ in range(len(inner)):  # a way is no longer than there are runs; more often it ends after the second round
        deeper = {key: 1 + max(depths.get(near, 0) for near in nears) for key, nears in inner.items()} | {root: 0}
        if deeper == depths:
            break
        depths = deeper
    for key in inner:
        nodes[key] = nodes[key]._replace(column=direction * depths[key])


def _link(links: dict[tuple[str, str], Link], near: str, far: str, direction: int, *, is_open: bool) -> None:
    pair = (near, far) if direction > 0 else (far, near)
    links[pair] = Link(*pair, is_open=is_open)


def _placed(nodes: dict[str, Node], links: dict[tuple[str, str], Link]) -> Graph:
    columns: dict[int, list[Node]] = {}
    for node in nodes.values():
        columns.setdefault(node.column, []).append(node)
    least = min(columns)
    tallest = max(len(column) for column in columns.values())
    height = tallest * (HEIGHT + GAP_Y) - GAP_Y
    middles: dict[str, float] = {}
    placed: dict[str, Node] = {}
    for number in sorted(columns, key=lambda column: (abs(column), column)):  # from the middle outwards
        column = sorted(columns[number], key=lambda node: _mean(_near(node.key, number, links, middles)))
        top = (height - (len(column) * (HEIGHT + GAP_Y) - GAP_Y)) / 2
        for row, node in enumerate(column):
            y = _EDGE + top + row * (HEIGHT + GAP_Y)
            middles[node.key] = y + HEIGHT / 2
            placed[node.key] = node._replace(x=_EDGE + (number - least) * (WIDTH + GAP_X), y=y)
    drawn = [link._replace(path=_path(placed[link.from_key], placed[link.to_key])) for link in links.values()]
    width = len(range(least, max(columns) + 1)) * (WIDTH + GAP_X) - GAP_X
    return Graph([*placed.values()], drawn, width + 2 * _EDGE, int(height) + 2 * _EDGE)


def _near(key: str, column: int, links: Iterable[tuple[str, str]], middles: Mapping[str, float]) -> list[float]:
    """How high those stand that are nearer to the middle and linked to it."""
    if column < 0:
        return [middles[to] for of, to in links if of == key and to in middles]
    return [middles[of] for of, to in links if to == key and of in middles]


def _mean(heights: list[float]) -> float:
    return sum(heights) / len(heights) if heights else 0.0


def _path(left: Node, right: Node) -> str:
    x1, y1, x2, y2 = left.x + WIDTH, left.y + HEIGHT / 2, right.x, right.y + HEIGHT / 2
    bend = max((x2 - x1) / 2, GAP_X / 2)
    return f"M{x1:g} {y1:g} C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
