"""What the command line does beside a running kernel."""

from __future__ import annotations

import json
import platform
import signal
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.cli_program import CONFIG, Place, Terminal, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


QUEUES = """
[queues.held]
rate_limit = "1000/1s"
"""


@pytest.fixture(scope="module", params=["sqlite", "memory"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place with a kernel, shared: each test uses jobs or queues of its own."""
    text = CONFIG if request.param == "sqlite" else CONFIG.replace("sqlite:///var/store.db", "memory://")
    place = Place(tmp_path_factory.mktemp(request.param), text + QUEUES)
    with place.kernel():
        yield place
        assert place.good("health", "--json").json["healthy"]


def test_a_run_is_waited_for_and_its_result_printed(place: Place) -> None:
    done = place.good("enqueue", "shop.greet", "--payload", '{"name": "Ada", "loud": true}', "--wait")

    assert done.lines[1:] == ["completed", '"ADA"']
    assert place.state_of(done.lines[0]) == "completed"


def test_a_run_that_fails_is_status_1_and_its_error(place: Place) -> None:
    done = place.run("enqueue", "shop.fail", "--wait")

    assert done.status == 1
    assert done.lines[1:] == ["failed: ValueError: no luck"]
    shown = place.good("runs", "show", done.lines[0]).out
    assert "raise ValueError" in shown
    assert "attempts used up" in place.good("explain", done.lines[0]).out


def test_waiting_with_json_prints_one_document(place: Place) -> None:
    done = place.good("enqueue", "shop.greet", "--payload", '{"name": "Ada"}', "--wait", "--json")

    assert (done.json["state"], done.json["result"]) == ("completed", "Ada")


def test_a_running_run_is_explained_and_cancelled(place: Place) -> None:
    run = place.enqueue("shop.nap", "--queue", "cancelled-here")
    wait_until(lambda: place.state_of(run) == "running")

    assert "claimed by kernel" in place.good("explain", run).out
    assert place.good("runs", "cancel", run).lines == [f"{run} is running and is told to end"]
    wait_until(lambda: place.state_of(run) == "cancelled")


def test_explain_asks_the_kernel_who_has_its_slots_and_refuses_an_instant_for_a_run(tmp_path: Path) -> None:
    alone = Place(tmp_path, CONFIG.replace("[kernel]", "[kernel]\nconcurrency = 1"))
    with alone.kernel() as kernel:
        first = alone.enqueue("shop.nap")
        wait_until(lambda: alone.state_of(first) == "running")
        second = alone.enqueue("shop.greet", "--payload", '{"name": "Ada"}')
        wait_until(lambda: f"these are {first} of shop.nap" in alone.good("explain", second).out)
        why = alone.good("explain", second).out
        refused = alone.run("explain", second, "--at", "2026-01-01T00:00")
        alone.good("runs", "cancel", first)
        assert kernel.stop() == 0

    assert "the kernel runs 1 of at most 1 run (concurrency): it begins when one of them ends" in why
    assert refused.status == 2
    assert f"at: {second} is a run: expected the name of a schedule" in refused.err


def test_a_paused_queue_holds_its_runs_back_until_it_is_resumed(place: Place) -> None:
    place.good("queues", "pause", "held")
    run = place.enqueue("shop.hourly", "--queue", "held")

    assert "the queue held is paused until it is resumed" in place.good("explain", run).out
    place.good("queues", "resume", "held")
    wait_until(lambda: place.state_of(run) == "completed")


def test_a_schedule_that_is_triggered_runs_at_once(place: Place) -> None:
    run = place.good("schedules", "trigger", "shop.hourly").lines[0]

    wait_until(lambda: place.state_of(run) == "completed")


def test_a_schedule_that_is_added_ticks_and_is_removed(place: Place) -> None:
    place.good("schedules", "add", "quick", "shop.hourly", "--every", "200ms", "--payload", '{"name": "tick"}')

    wait_until(lambda: place.good("runs", "list", "--schedule", "quick", "--state", "completed", "--json").json)
    place.good("schedules", "remove", "quick")
    assert [one["schedule"] for one in place.good("schedules", "list", "--json").json] == ["shop.hourly"]


def test_a_schedule_of_a_plugin_is_paused_but_not_removed(place: Place) -> None:
    place.good("schedules", "pause", "shop.hourly")
    assert [one["paused"] for one in place.good("schedules", "list", "--json").json if not one["dynamic"]] == [True]
    place.good("schedules", "resume", "shop.hourly")

    done = place.run("schedules", "remove", "shop.hourly")
    assert done.status == 2
    assert "declared by the plugin shop" in done.err


def test_the_plugins_are_those_of_the_kernel(place: Place) -> None:
    states = {plugin["plugin"]: plugin for plugin in place.good("plugins", "list", "--json").json}

    assert states["shop"]["state"] == "enabled"
    assert "shop.greet" in states["shop"]["jobs"]


def test_the_jobs_are_those_that_the_kernel_announced(place: Place) -> None:
    jobs = {job["job"]: job for job in place.good("jobs", "--json").json}

    assert jobs["shop.nap"]["queue"] == "naps"


def test_a_job_is_shown_with_the_next_tick_of_its_schedules(place: Place) -> None:
    assert "schedules  shop.hourly: every 1 h, next at 20" in place.good("jobs", "show", "shop.hourly").out


def test_a_payload_that_does_not_fit_is_refused_by_the_announced_schema(place: Place) -> None:
    done = place.run("enqueue", "shop.greet", "--payload", '{"name": "Ada", "loudly": true}')

    assert done.status == 2
    assert "shop.greet: payload" in done.err


def test_events_are_followed_as_they_happen_until_the_kernel_stops(place: Place) -> None:
    with place.start("events", "--follow", "--json") as events, place.start("events", "--follow") as lines:
        wait_until(lambda: place.enqueue("shop.greet", "--payload", '{"name": "Eve"}') and events.out and lines.out)

        completed = json.loads(events.wait_for('"RunCompleted"'))
        assert (completed["job"], completed["attempt"]) == ("shop.greet", 1)
        assert "job=shop.greet" in lines.wait_for("RunCompleted")


@pytest.mark.parametrize("command", ["enqueue shop.nap --queue left --wait", "events --follow"])
def test_ctrl_c_ends_a_command_that_waits_and_says_nothing(place: Place, command: str) -> None:
    with Terminal(place, *command.split()) as terminal:
        wait_until(lambda: place.enqueue("shop.hourly") and any(word in terminal.text for word in ("running", "Run")))
        terminal.type("\x03")

        assert terminal.end() == 130
        assert "Traceback" not in terminal.text
        assert "Abort" not in terminal.text


def test_health_is_a_table_for_people(place: Place) -> None:
    done = place.good("health")

    assert done.lines[0].split()[:2] == ["STATE", "SUBJECT"]
    assert done.lines[1].startswith("healthy  kernel ")


def test_a_broken_plugin_makes_the_kernel_unhealthy(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = Place(tmp_path_factory.mktemp("sick"), CONFIG + "[plugins.sick]\n")
    place.write_plugin("sick", "raise ValueError('a fever')\n")
    with place.kernel() as kernel:
        done = place.run("health")

        assert done.status == 1
        assert done.lines[1].startswith("unhealthy")
        assert "plugin sick is broken" in done.err
        assert kernel.stop() == 0


def test_a_kernel_that_stands_still_is_told_instead_of_waited_for(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.kernel() as kernel:
        kernel.send(signal.SIGSTOP)
        done = place.run("health")

        assert done.status == 1
        assert "does not answer within 5 s" in done.err


def test_a_kernel_that_was_killed_is_not_taken_for_alive(tmp_path_factory: pytest.TempPathFactory) -> None:
    for store in ("sqlite:///var/store.db", "memory://"):
        place = Place(tmp_path_factory.mktemp("dead"), CONFIG.replace("sqlite:///var/store.db", store))
        with place.kernel() as kernel:
            kernel.kill()

        assert place.run("health", "--json").json == {"healthy": False, "kernels": []}
        assert place.run("events", "--follow").status == 1


def test_the_kernel_is_listed(place: Place) -> None:
    run = place.enqueue("shop.nap", "--queue", "listed-here")
    wait_until(lambda: place.state_of(run) == "running")

    [found] = place.good("kernels", "list", "--json").json
    title, row = place.good("kernels", "list").lines

    assert (found["state"], found["host"]) == ("alive", platform.node())
    assert found["running"] >= 1
    assert 0.0 <= found["seen_seconds"] < 30.0
    assert found["started_at"] <= found["seen_at"]
    assert title.split() == ["KERNEL", "STATE", "HOST", "PID", "STARTED", "SEEN", "RUNNING"]
    assert row.split()[:4] == [found["kernel"], "alive", found["host"], str(found["pid"])]
    place.good("runs", "cancel", run)


def test_a_kernel_is_listed_as_stopping_while_it_drains_and_as_lost_when_it_was_killed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    before = place.good("kernels", "list")
    with place.kernel() as kernel:
        run = place.enqueue("shop.nap")
        wait_until(lambda: place.state_of(run) == "running")
        kernel.send(signal.SIGTERM)
        wait_until(lambda: [one["state"] for one in place.good("kernels", "list", "--json").json] == ["stopping"])
        kernel.kill()

    [found] = place.good("kernels", "list", "--json").json
    assert before.out == ""
    assert "no kernel is alive" in before.err
    assert (found["state"], found["running"], found["pid"]) == ("lost", 1, kernel.pid)

    with place.kernel() as kernel:
        wait_until(lambda: place.state_of(run) == "running")
        [found] = place.good("kernels", "list", "--json").json
        assert (found["state"], found["running"]) == ("alive", 1)
        place.good("runs", "cancel", run)
        wait_until(lambda: place.state_of(run) == "cancelled")
        assert kernel.stop() == 0

    assert place.good("kernels", "list", "--json").json == []


# One run for another, and runs that wait for others


def test_enqueue_says_when_the_run_is_there_already(place: Place) -> None:
    first = place.good("enqueue", "shop.hourly", "--delay", "1h", "--unique", "once")
    second = place.good("enqueue", "shop.hourly", "--unique", "once")
    third = place.good("enqueue", "shop.hourly", "--unique", "once", "--json").json

    assert (second.out, first.err) == (first.out, "")
    assert second.err == f"not a new run: {first.lines[0]} has its unique key, and is scheduled\n"
    assert (third["id"], third["is_new"]) == (first.lines[0], False)


def test_a_run_waits_for_those_it_depends_on_and_show_draws_them(place: Place) -> None:
    parents = [place.enqueue("shop.hourly", "--delay", "1h") for _ in range(2)]
    child = place.enqueue("shop.hourly", "--depends-on", parents[0], "--depends-on", parents[1])
    leaf = place.enqueue("shop.hourly", "--depends-on", child, "--on-parent-failure", "run")

    shown = place.good("runs", "show", child).lines
    why = place.good("explain", child).out
    cancelled = place.good("runs", "cancel", parents[0]).lines
    end = place.good("runs", "show", child, "--json").json

    drawn = shown[shown.index("depends on") :]
    assert drawn == [
        "depends on",
        f"    \u251c\u2500 {parents[0]} scheduled shop.hourly",
        f"    \u2514\u2500 {parents[1]} scheduled shop.hourly",
        "needed by",
        f"    \u2514\u2500 {leaf} blocked shop.hourly (goes on though that fails)",
    ]
    assert f"waits for 2 runs that it depends on: {parents[0]} of shop.hourly (scheduled)" in why
    assert cancelled == [f"{parents[0]} is cancelled", f"{child} depended on it: cancelled"]
    assert (end["state"], [one["run"] for one in end["tree"]["needed_by"]["branches"]]) == ("cancelled", [leaf])
    wait_until(lambda: place.state_of(leaf) == "completed")
    place.good("runs", "cancel", parents[1])


def test_a_run_that_depends_on_nobody_knows_whom_is_refused(place: Place) -> None:
    done = place.run("enqueue", "shop.hourly", "--depends-on", "nobody")

    assert (done.status, done.out) == (2, "")
    assert "nobody" in done.err


# Many runs


def test_runs_are_cancelled_by_what_they_are_once_that_is_confirmed(place: Place) -> None:
    runs = [place.enqueue("shop.hourly", "--delay", "1h", "--tag", "old") for _ in range(3)]

    asked = place.run("runs", "cancel", "--tag", "old")
    states = {place.state_of(run) for run in runs}
    done = place.good("runs", "cancel", "--tag", "old", "--reason", "too old", "--yes")
    again = place.good("runs", "cancel", "--tag", "old", "--yes", "--json")

    assert (asked.status, states) == (2, {"scheduled"})
    assert "this would cancel 3 runs: 3 scheduled, of shop.hourly: expected --yes" in asked.err
    assert done.lines == ["3 cancelled"]
    assert place.good("runs", "show", runs[0], "--json").json["reason"] == "too old"
    assert again.json == {"runs": 0, "cancelled": 0, "told": 0, "left": 0, "dependents": 0}


def test_on_a_terminal_it_is_asked_first(place: Place) -> None:
    run = place.enqueue("shop.hourly", "--delay", "1h", "--tag", "asked")

    with Terminal(place, "runs", "cancel", "--tag", "asked") as terminal:
        terminal.wait_for("cancel 1 run: 1 scheduled, of shop.hourly? [y/N]")
        terminal.type("n\n")
        terminal.wait_for("nothing has changed")
        status = terminal.end()
    state = place.state_of(run)
    with Terminal(place, "runs", "cancel", "--tag", "asked") as terminal:
        terminal.wait_for("[y/N]")
        terminal.type("y\n")
        terminal.wait_for("1 cancelled")
        sure = terminal.end()

    assert (status, state) == (1, "scheduled")
    assert (sure, place.state_of(run)) == (0, "cancelled")


def test_failed_runs_are_retried_by_what_they_are(place: Place) -> None:
    runs = [place.enqueue("shop.fail", "--tag", "again") for _ in range(3)]
    wait_until(lambda: all(place.state_of(run) == "failed" for run in runs))

    done = place.good("runs", "retry", "--tag", "again", "--yes")

    assert done.lines == ["3 queued again"]
    wait_until(lambda: all(place.good("runs", "show", run, "--json").json["attempt"] == 2 for run in runs))


def test_nothing_to_do_is_said(place: Place) -> None:
    done = place.good("runs", "retry", "--job", "shop.nap", "--tag", "never")

    assert (done.out, done.err) == ("", "no runs\n")


def test_queues_and_jobs_show_their_limits(place: Place) -> None:
    queues = {one["queue"]: one for one in place.good("queues", "list", "--json").json}
    table = place.good("queues", "list").lines

    assert queues["held"]["rate_limit"] == "1000/1s"
    assert "RATE LIMIT" in table[0]
    assert "LIMITS" in place.good("jobs").lines[0]
