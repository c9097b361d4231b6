"""Where the runs around one stand, and what is drawn between them."""

from __future__ import annotations

from typing import Any

from plugins.web.graph import GAP_X, WIDTH, Graph, draw

NOTHING: dict[str, Any] = {"branches": [], "more": 0, "states": {}}


def branch(run: str, *branches: dict[str, Any], more: int = 0, **changed: Any) -> dict[str, Any]:
    one = {"run": run, "job": f"demo.{run}", "state": "completed", "is_open": False, "on_failure": "cancel"}
    return one | side(*branches, more=more) | changed


def side(*branches: dict[str, Any], more: int = 0) -> dict[str, Any]:
    return {"branches": list(branches), "more": more, "states": {"completed": more} if more else {}}


def drawn(up: dict[str, Any], down: dict[str, Any]) -> Graph:
    graph = draw({"run": "me", "depends_on": up, "needed_by": down}, "demo.me", "running")
    assert graph is not None
    return graph


def columns(graph: Graph) -> dict[str, int]:
    return {node.key: node.column for node in graph.nodes}


def pairs(graph: Graph) -> set[tuple[str, str]]:
    return {(link.from_key, link.to_key) for link in graph.links}


def test_a_run_that_stands_alone_is_not_drawn() -> None:
    assert draw({"run": "me", "depends_on": NOTHING, "needed_by": NOTHING}, "demo.me", "running") is None


def test_parents_stand_left_and_children_right_and_lines_go_from_left_to_right() -> None:
    graph = drawn(side(branch("a", branch("b"))), side(branch("c")))

    assert columns(graph) == {"b": -2, "a": -1, "me": 0, "c": 1}
    assert pairs(graph) == {("b", "a"), ("a", "me"), ("me", "c")}
    x = {node.key: node.x for node in graph.nodes}
    assert x["b"] < x["a"] < x["me"] < x["c"]
    assert graph.width >= 4 * WIDTH + 3 * GAP_X


def test_a_run_to_which_two_ways_lead_stands_once_beyond_the_longer_one() -> None:
    again = {"run": "d", "job": "demo.d", "state": "completed", "is_open": False, "on_failure": "cancel"}
    graph = drawn(NOTHING, side(branch("d", branch("e")), branch("c", again)))

    assert columns(graph) == {"me": 0, "c": 1, "d": 2, "e": 3}
    assert pairs(graph) == {("me", "d"), ("me", "c"), ("c", "d"), ("d", "e")}


def test_no_two_runs_lie_upon_each_other_and_all_are_inside() -> None:
    graph = drawn(
        side(*(branch(f"p{n}", *(branch(f"p{n}{m}") for m in range(4))) for n in range(5)), more=3),
        side(*(branch(f"c{n}") for n in range(10)), more=120),
    )

    places = {(node.x, node.y) for node in graph.nodes}
    assert len(places) == len(graph.nodes) == 1 + 5 + 20 + 1 + 10 + 1
    assert all(0 <= x <= graph.width - WIDTH and 0 <= y <= graph.height for x, y in places)


def test_many_children_are_folded_into_one_place() -> None:
    graph = drawn(NOTHING, side(branch("c", is_open=True), more=120))

    (folded,) = [node for node in graph.nodes if node.more]
    assert (folded.more, folded.run, folded.column) == (120, "", 1)
    assert [link.is_open for link in graph.links] == [True, True]


def test_a_run_that_is_kept_no_longer_has_its_place() -> None:
    graph = drawn(side(branch("gone", job=None, state=None)), NOTHING)

    assert [(node.run, node.job) for node in graph.nodes if node.column == -1] == [("gone", None)]
