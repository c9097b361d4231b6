"""Circuit breakers from outside: listed and closed by commands, and kept over ``kill -9`` on a SQLite file."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.cli_program import CONFIG, Place, wait_until

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = """
import asyncio, pathlib
from kernel import Breaker, hookimpl, job

HERE = pathlib.Path(__file__).parent


async def ask() -> str:
    if (HERE / "down").exists():
        raise ConnectionError("the partner does not answer")
    while (HERE / "slow").exists():
        await asyncio.sleep(0.02)
    return "answer"


@job(retry=1, breaker=Breaker("partner", failure_threshold=2, recovery_timeout="1h", success_threshold=1))
async def fetch() -> str:
    return await ask()


@job(retry=1, breaker=Breaker("quick", failure_threshold=1, recovery_timeout="300ms", success_threshold=1))
async def hurry() -> str:
    return await ask()


@hookimpl
def register_jobs():
    return [fetch, hurry]
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, CONFIG, PLUGIN)


def mark(place: Place, name: str, *, there: bool) -> None:
    file = place.folder / "plugins" / "shop" / name
    file.touch() if there else file.unlink(missing_ok=True)


def breaker(place: Place, name: str = "partner") -> dict[str, Any]:
    found: list[dict[str, Any]] = place.good("breakers", "list", "--json").json
    return next(one for one in found if one["breaker"] == name)


def states(place: Place, runs: list[str]) -> list[str]:
    found = {run["id"]: run["state"] for run in place.good("runs", "list", "--json").json}
    return [found[run] for run in runs]


def fail(place: Place, job: str, times: int) -> None:
    mark(place, "down", there=True)
    for _ in range(times):
        assert place.run("enqueue", job, "--wait").status == 1
    mark(place, "down", there=False)


def test_an_open_breaker_is_still_open_after_kill_9_and_holds_runs_back_until_it_is_closed_by_hand(
    place: Place,
) -> None:
    with place.kernel() as kernel:
        fail(place, "shop.fetch", 1)
        assert (breaker(place)["state"], breaker(place)["failures"]) == ("closed", 1)
        fail(place, "shop.fetch", 1)
        assert "the breaker partner is open" in place.good("health").err
        kernel.send(signal.SIGKILL)
    opened = breaker(place)
    assert (opened["error"], opened["jobs"]) == ("ConnectionError: the partner does not answer", ["shop.fetch"])

    with place.kernel() as kernel:
        run = place.enqueue("shop.fetch")
        assert breaker(place) == opened
        wait_until(lambda: "the breaker partner is open since" in place.good("explain", run).out)
        assert place.good("runs", "show", run, "--json").json["attempt"] == 0

        assert place.good("breakers", "reset", "partner").lines == ["partner is closed"]
        wait_until(lambda: place.state_of(run) == "completed")
        assert kernel.stop() == 0
    row = next(line for line in place.good("breakers", "list").lines if line.startswith("partner"))
    assert row.split()[1] == "closed"


def test_a_kernel_killed_in_the_middle_of_a_probe_keeps_nobody_waiting(place: Place) -> None:
    with place.kernel() as kernel:
        fail(place, "shop.hurry", 1)
        mark(place, "slow", there=True)
        runs = [place.enqueue("shop.hurry") for _ in range(2)]
        wait_until(lambda: states(place, runs) == ["running", "queued"])
        assert breaker(place, "quick")["state"] == "half_open"
        kernel.send(signal.SIGKILL)
    killed = breaker(place, "quick")
    assert (killed["state"], killed["probe"]) == ("half_open", None)

    with place.kernel():
        wait_until(lambda: breaker(place, "quick")["probe"] is not None)
        assert states(place, runs) == ["running", "queued"]
        mark(place, "slow", there=False)
        wait_until(lambda: states(place, runs) == ["completed"] * 2)
        wait_until(lambda: breaker(place, "quick")["state"] == "closed")


def test_a_name_that_nobody_uses_is_status_2_with_the_nearest(place: Place) -> None:
    with place.kernel():
        pass

    done = place.run("breakers", "reset", "partnr")

    assert (done.status, done.out) == (2, "")
    assert "no breaker named 'partnr'. Did you mean \"partner\"?" in done.err


def test_thresholds_that_do_not_agree_are_found_by_check(place: Place) -> None:
    place.write_plugin("other", PLUGIN.replace("failure_threshold=2", "failure_threshold=3"))
    place.config.write_text(CONFIG + "\n[plugins.other]\n")

    done = place.run("check")

    assert done.status == 2
    assert "plugin other is broken" in done.err or "plugin shop is broken" in done.err
    assert "failure_threshold=3" in done.err
    assert "failure_threshold=2" in done.err
    assert "plugins/shop/__init__.py:" in done.err
    assert "plugins/other/__init__.py:" in done.err
