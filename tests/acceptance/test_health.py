"""`mainspring health` with the health plugin, seen from outside: a table, an exit status, a kernel that is killed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.cli_program import CONFIG, Place, wait_until

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = CONFIG + "[plugins.health]\n"
SICK = """
import time
from kernel import Check, hookimpl

class Plugin:
    @hookimpl
    {kind} check_health(self):
        {body}
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, SETTINGS)


def checks(place: Place) -> dict[str, dict[str, Any]]:
    [kernel] = place.run("health", "--json").json["kernels"]
    return {check["subject"]: check for check in kernel["checks"]}


def test_every_job_stands_in_the_table_with_its_last_success_and_how_long_it_takes(place: Place) -> None:
    with place.kernel():
        place.good("enqueue", "shop.greet", "--payload", '{"name": "Ada"}', "--wait")
        done = place.good("health")

    rows = {line.split()[1]: line.split() for line in done.lines[1:]}
    assert done.lines[0].split() == ["STATE", "SUBJECT", "LAST", "SUCCESS", "P50", "P95", "NEXT", "TICK", "SAYS"]
    assert rows["kernel"][0] == "healthy"
    assert {"loop", "schedules", "store", "plugins"} <= rows.keys()
    assert rows["shop.greet"][0] == "healthy"
    assert rows["shop.greet"][3].endswith("Z")
    assert rows["shop.greet"][5] == rows["shop.greet"][7] == "ms"
    assert rows["shop.hourly"][0] == "healthy"
    assert rows["shop.hourly"][6].endswith("Z")


def test_a_failing_job_is_status_1_also_after_the_kernel_was_killed_and_started_again(place: Place) -> None:
    with place.kernel() as kernel:
        before = place.run("health")
        place.run("enqueue", "shop.fail", "--wait")
        failing = place.run("health")
        kernel.kill()
    alone = place.run("health")
    with place.kernel() as kernel:
        again = place.run("health")
        detail = checks(place)["shop.fail"]["details"]
        assert kernel.stop() == 0

    assert (before.status, failing.status, alone.status, again.status) == (0, 1, 1, 1)
    for done in (failing, again):
        assert "shop.fail is failing: the last run has failed: ValueError: no luck" in done.err
        assert any(line.split()[:2] == ["failing", "shop.fail"] for line in done.lines)
    assert alone.err.strip() == "no kernel is alive: start one by `mainspring run`"
    assert detail["failures"] == 1


def test_what_was_written_before_a_kill_and_what_was_not_are_counted_once_each(place: Place) -> None:
    ran = 0
    for _ in range(3):
        with place.kernel() as kernel:
            for _ in range(2):
                place.run("enqueue", "shop.fail", "--wait")
                ran += 1
            assert checks(place)["shop.fail"]["details"]["failures"] == ran
            kernel.kill()


def test_what_changes_is_told_as_an_event(tmp_path: Path) -> None:
    place = Place(tmp_path, SETTINGS + '[plugins.health.schedules.check_job_health]\nevery = "1s"\n')
    with place.kernel(), place.start("events", "--follow", "--json") as events:
        events.wait_for("RunStarted")
        place.run("enqueue", "shop.fail", "--wait")
        line = events.wait_for("HealthChanged")

    assert '"job": "shop.fail"' in line
    assert '"verdict": "failing"' in line
    assert '"before": "healthy"' in line


def test_a_paused_queue_is_paused_and_no_reason_to_be_unhealthy(place: Place) -> None:
    with place.kernel():
        place.good("queues", "pause", "naps")
        wait_until(lambda: checks(place)["shop.nap"]["verdict"] == "paused")
        done = place.good("health")

    assert any(line.split()[:2] == ["paused", "shop.nap"] for line in done.lines)


@pytest.mark.parametrize(
    ("kind", "body", "says"),
    [
        ("def", "raise ValueError('a fever')", "check_health: ValueError: a fever"),
        ("async def", "raise ValueError('a fever')", "check_health: ValueError: a fever"),
        ("def", "time.sleep(60)", "has not returned within 3 s"),
        ("async def", "import asyncio; await asyncio.sleep(60)", "has not returned within 3 s"),
        ("def", "return 'fine'", "expected a list of Check"),
    ],
)
def test_a_plugin_that_cannot_say_how_it_is_is_named_and_holds_up_nothing(
    place: Place, kind: str, body: str, says: str
) -> None:
    place.write_plugin("sick", SICK.format(kind=kind, body=body))
    place.config.write_text(SETTINGS + "[plugins.sick]\n", encoding="utf-8")
    with place.kernel():
        began = time.monotonic()
        done = place.run("health")
        lasted = time.monotonic() - began
        place.good("enqueue", "shop.greet", "--payload", '{"name": "Ada"}', "--wait")

    assert done.status == 1
    assert "plugin sick is failing: " in done.err
    assert says in done.err
    assert any(line.split()[:2] == ["healthy", "shop.greet"] for line in done.lines)
    assert lasted < 10


def test_a_plugin_whose_other_hook_hangs_holds_up_nothing_either(place: Place) -> None:
    text = (
        "import time\nfrom kernel import Check, hookimpl\nfrom kernel.events import RunCompleted\n\n\n"
        "@hookimpl\ndef on_event(event: RunCompleted):\n    time.sleep(60)\n\n\n"
        "@hookimpl\ndef check_health():\n    return [Check('me', 'fine', ok=True)]\n"
    )
    place.write_plugin("sick", text)
    place.config.write_text(SETTINGS + "[plugins.sick]\n", encoding="utf-8")
    with place.kernel():
        before = checks(place)
        place.good("enqueue", "shop.greet", "--payload", '{"name": "Ada"}', "--wait")
        after = checks(place)

    assert before["me"]["ok"]
    assert after["plugin sick"]["text"].endswith("another hook of the plugin has not returned")
    assert after["shop.greet"]["ok"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('default_max_silence = "24 hours"', "'24 hours' is no duration"),
        ("long_factor = 0.5", "expected greater than 1"),
        ("failing_aftr = 2", 'Did you mean "failing_after"?'),
    ],
)
def test_a_wrong_setting_is_told_with_its_line(tmp_path: Path, line: str, says: str) -> None:
    done = Place(tmp_path, f"{SETTINGS}{line}\n").run("check")

    assert done.status == 2
    assert "plugins.toml:8: [plugins.health]" in done.err
    assert says in done.err
