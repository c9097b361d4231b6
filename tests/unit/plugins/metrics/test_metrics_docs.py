"""The dashboard, the alerts and the page name metrics and labels that there are, and no others."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kernel.events import LoopBlocked
from kernel.testing import until
from tests.unit.plugins.metrics.metrics_kit import plugin_of, running, scrape

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[4] / "docs"
OF_PROMETHEUS = {"le", "instance", "job"}
NAME = re.compile(r"\b(?:mainspring|process)_[a-z_]+\b")
_SUFFIXES = ("_bucket", "_sum", "_count")


def dashboard() -> Any:
    return json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))


def panels() -> list[Any]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def alerts() -> list[Any]:
    yaml = importlib.import_module("yaml")  # it comes with apprise, and has no types here
    [group] = yaml.safe_load((DOCS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    rules: list[Any] = group["rules"]
    return rules


def expressions() -> Iterator[str]:
    yield from (target["expr"] for panel in panels() for target in panel["targets"])
    yield from (rule["expr"] for rule in alerts())


@pytest.fixture
async def exposed(tmp_path: Path) -> dict[str, set[str]]:
    """Name of a series -> the labels that it has, of a kernel in which everything has happened."""
    async with running(tmp_path) as kernel:
        await kernel.enqueue("demo.calls")
        kernel.publish(LoopBlocked(1.0, "demo", "demo.work", "01a", "demo.py:3", 1.5))
        metrics = plugin_of(kernel)
        await until(lambda: kernel.engine.breakers.shut() != [] and len(metrics._runs._blocks) == 1)
        kernel.engine.recorder.ticks["run"] += 1
        metrics._runs._jobs["demo.calls"].last_completed = 1.0
        found: dict[str, set[str]] = {}
        for name, labels in await scrape(kernel):
            found.setdefault(name, set()).update(dict(labels))
    return found


async def test_every_metric_of_the_dashboard_and_the_alerts_exists(exposed: dict[str, set[str]]) -> None:
    used = {name for expression in expressions() for name in NAME.findall(expression)}

    assert len(used) > 20
    assert sorted(used - exposed.keys()) == []


async def test_every_label_of_the_dashboard_and_the_alerts_exists(exposed: dict[str, set[str]]) -> None:
    wrong = []
    for expression in expressions():
        for name, matchers in re.findall(r"((?:mainspring|process)_[a-z_]+)\{([^}]*)\}", expression):
            used = set(re.findall(r"(\w+)(?:=~|!=|=)", matchers))
            wrong += [f"{name}: {label}" for label in used - exposed[name] - OF_PROMETHEUS]
        names = NAME.findall(expression)
        for labels in re.findall(r"(?:by|on) \(([^)]*)\)", expression):
            known = OF_PROMETHEUS.union(*(exposed[name] for name in names))
            wrong += [f"{expression}: {label}" for label in re.split(r", *", labels) if label not in known]

    assert wrong == []


async def test_every_value_of_an_outcome_or_state_exists(tmp_path: Path) -> None:
    async with running(tmp_path) as kernel:
        await kernel.enqueue("demo.calls")
        await until(lambda: kernel.engine.breakers.shut() != [])
        found = {pair for _, labels in await scrape(kernel) for pair in labels}

    used = {
        (label, value)
        for expression in expressions()
        for label, values in re.findall(r'(outcome|state)=~?"([^"]*)"', expression)
        for value in values.split("|")
    }
    assert len(used) > 4
    assert used - found == set()


async def test_the_page_tells_of_every_metric_with_its_labels(exposed: dict[str, set[str]]) -> None:
    text = (DOCS / "metrics.md").read_text(encoding="utf-8").split("## What there is", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (`mainspring_[^|]*) \|([^|]*)\|", text, re.MULTILINE)
    told = {
        name: {label for label in re.split(r", *", labels.strip()) if label}
        for names, labels in rows
        for name in re.findall(r"`([^`]*)`", names)
    }

    def family(name: str) -> str:
        suffix = next((one for one in _SUFFIXES if name.endswith(one)), "")
        return name.removesuffix(suffix)

    there: dict[str, set[str]] = {}
    for name, labels in exposed.items():
        if name.startswith("mainspring_"):
            there.setdefault(family(name), set()).update(labels - {"le"})
    assert told == there


def test_the_dashboard_is_whole() -> None:
    board = dashboard()
    ids = [panel["id"] for panel in board["panels"]]
    places = [panel["gridPos"] for panel in board["panels"]]

    assert len(ids) == len(set(ids)) > 20
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert all(panel["title"] and panel["targets"] for panel in panels())
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    variables = {f"${one['name']}" for one in board["templating"]["list"]} | {"$__rate_interval"}
    used = {name for target in expressions() for name in re.findall(r"\$\w+", target)}
    assert used <= variables


def test_every_alert_says_what_is_wrong_and_how_bad_that_is() -> None:
    rules = alerts()

    assert len({rule["alert"] for rule in rules}) == len(rules) > 10
    assert {rule["labels"]["severity"] for rule in rules} == {"critical", "warning"}
    assert all(rule["annotations"]["summary"] for rule in rules)
    assert all(expression.count("(") == expression.count(")") for expression in expressions())
