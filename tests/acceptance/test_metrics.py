"""The metrics of a real kernel with the fleet: scraped over HTTP and printed by the command."""

from __future__ import annotations

import re
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.cli_program import Place, wait_until
from tests.unit.plugins.metrics.metrics_kit import read, value

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.plugins.metrics.metrics_kit import Samples

CONFIG = """\
[kernel]
store = "sqlite:///var/store.db"

[queues.car-processing]
concurrency = 5

[plugins.shop]

[plugins.fleet]
database = "var/fleet.db"

[plugins.metrics]
listen = "127.0.0.1:0"
"""
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0"}


def page(url: str, headers: dict[str, str] | None = None) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=20) as answer:  # noqa: S310 - http, on this machine
        text: str = answer.read().decode()
    return text


def scraped(url: str) -> Samples:
    return read(page(url, OPENMETRICS), openmetrics=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, CONFIG)


def test_a_scrape_of_the_fleet_counts_its_runs_and_names_who_blocks_the_loop(place: Place) -> None:
    with place.kernel() as kernel:
        url = re.findall(r"http://[0-9.:]+/metrics", kernel.wait_for("/metrics"))[0]
        place.good("enqueue", "fleet.generate_weekly_report", "--wait")
        place.run("enqueue", "shop.fail", "--wait")
        place.enqueue("shop.block_loop", "--payload", '{"seconds": 1.5}')
        blocked = {"plugin": "shop", "job_name": "shop.block_loop"}
        wait_until(lambda: value(scraped(url), "mainspring_loop_blocks_total", **blocked))
        wait_until(lambda: value(scraped(url), "mainspring_ticks_total", result="run"))
        found = scraped(url)
        plain = read(page(url))
        status = kernel.stop()

    def ended(job: str, outcome: str, queue: str = "default") -> float | None:
        return value(found, "mainspring_runs_total", job_name=job, queue=queue, outcome=outcome)

    assert status == 0
    assert (ended("fleet.generate_weekly_report", "completed") or 0) >= 1
    assert ended("shop.fail", "failed") == 1
    assert ended("shop.greet", "completed") == 0
    assert 1.0 <= (value(found, "mainspring_loop_blocked_seconds_total", **blocked) or 0) < 20
    assert value(found, "mainspring_plugin_state", plugin="fleet", state="enabled") == 1
    assert value(found, "mainspring_queue_paused", queue="car-processing") == 0
    assert (value(found, "mainspring_store_batch_rows_sum", operation="finish") or 0) >= 3
    assert (value(found, "process_resident_memory_bytes") or 0) > 1e6
    assert plain.keys() >= {key for key in found if key[0].startswith("mainspring_")}


def test_the_command_asks_the_running_kernel_and_says_when_there_is_none(place: Place) -> None:
    with place.kernel():
        plain = place.good("metrics")
        openmetrics = place.good("metrics", "--openmetrics")
        unknown = place.run("metrics", "--kernel", "zzz")
    gone = place.run("metrics")
    help_text = place.good("metrics", "--help").out

    assert value(read(plain.out), "mainspring_concurrency") == 100
    assert value(read(openmetrics.out, openmetrics=True), "mainspring_concurrency") == 100
    assert (unknown.status, gone.status) == (2, 1)
    assert "no kernel named 'zzz'" in unknown.err
    assert "no kernel is alive: start one by `mainspring run`" in gone.err
    assert "mainspring metrics --openmetrics" in help_text


def test_an_address_for_everybody_is_refused_by_check_with_its_line(place: Place) -> None:
    place.config.write_text(CONFIG.replace("127.0.0.1:0", "0.0.0.0:9321"), encoding="utf-8")

    done = place.run("check")

    assert done.status == 2
    assert "plugins.toml:13: [plugins.metrics] listen: " in done.err
    assert "public = true" in done.err
