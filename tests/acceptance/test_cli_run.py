"""`mainspring run` from outside: signals, exit statuses, what it says, and jobs that try to end it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.cli_program import CONFIG, LIMIT, Place, Terminal, wait_until

if TYPE_CHECKING:
    from pathlib import Path

TERM, INT, HUP, USR1 = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def running(place: Place, *arguments: str) -> str:
    """The id of a run that has begun."""
    run = place.enqueue(*arguments)
    wait_until(lambda: place.state_of(run) == "running")
    return run


# Signals


@pytest.mark.parametrize("number", [TERM, INT], ids=lambda number: number.name)
def test_the_first_signal_lets_attempts_end_by_themselves(place: Place, number: signal.Signals) -> None:
    with place.kernel() as kernel:
        run = running(place, "shop.nap", "--payload", '{"seconds": 1.5}')
        kernel.send(number)

        assert kernel.end() == 0
        assert place.state_of(run) == "completed"


def test_the_second_signal_cancels_what_runs_and_it_is_queued_again(place: Place) -> None:
    with place.kernel() as kernel:
        run = running(place, "shop.nap")
        kernel.send(INT)
        kernel.wait_for("stopping")
        began = time.monotonic()
        kernel.send(INT)

        assert kernel.end() == 1
        assert time.monotonic() - began < 5
        found = place.good("runs", "show", run, "--json").json
        assert (found["state"], found["failures"]) == ("queued", 0)


def test_an_attempt_that_outlives_the_grace_is_cut_short_with_status_1(tmp_path: Path) -> None:
    place = Place(tmp_path, CONFIG.replace('"20s"', '"200ms"'))
    with place.kernel() as kernel:
        run = running(place, "shop.nap")

        assert kernel.stop() == 1
        assert place.state_of(run) == "queued"


@pytest.mark.parametrize("job", ["shop.block", "shop.block_loop"])
def test_the_second_signal_ends_a_kernel_whose_thread_or_loop_is_stuck(place: Place, job: str) -> None:
    with place.kernel() as kernel:
        place.enqueue(job)
        wait_until(
            lambda: (
                (place.folder / "plugins" / "shop" / "blocking").exists()
                or (job == "shop.block" and place.good("runs", "list", "--state", "running", "--json").json)
            )
        )
        # Equal signals that have not been delivered yet become one.
        kernel.send(TERM)
        began = time.monotonic()
        kernel.send(INT)

        assert kernel.end() == 1
        assert time.monotonic() - began < 6


def test_the_third_signal_ends_the_process_at_once(place: Place) -> None:
    with place.kernel() as kernel:
        place.enqueue("shop.block_loop")
        wait_until((place.folder / "plugins" / "shop" / "blocking").exists)
        # The loop is blocked, so that nothing but the third signal ends it that soon.
        wait_until(lambda: kernel.has_ended_after(TERM), limit=2.0)

        assert kernel.end() == 1


def test_a_signal_during_the_start_ends_it_with_status_0(place: Place) -> None:
    package = place.write_plugin(
        "slow", "import pathlib, time\npathlib.Path(__file__).with_name('begun').touch()\ntime.sleep(600)\n"
    )
    place.config.write_text(CONFIG + "[plugins.slow]\n")
    with place.start("run") as kernel:
        wait_until((package / "begun").exists)
        kernel.send(TERM)

        assert kernel.end() == 0
        kernel.wait_for("stopped before it had started")


def test_sighup_reads_the_configuration_again(place: Place) -> None:
    with place.kernel() as kernel:
        place.write_plugin("extra", "")
        place.config.write_text(CONFIG + "[plugins.extra]\n")
        kernel.send(HUP)
        kernel.wait_for("plugin extra enabled")

        assert kernel.stop() == 0


def test_a_bad_edit_is_told_and_changes_nothing(place: Place) -> None:
    with place.kernel() as kernel:
        place.config.write_text(CONFIG + "[plugins.shoop]\n")
        kernel.send(HUP)
        assert 'Did you mean \\"shop\\"' in kernel.wait_for("nothing has changed")

        place.config.write_text(CONFIG)
        assert place.good("enqueue", "shop.greet", "--payload", '{"name": "Ada"}', "--wait").lines[1] == "completed"
        assert kernel.stop() == 0


def test_sigusr1_prints_what_every_thread_and_task_does_and_nothing_ends(place: Place) -> None:
    with place.kernel() as kernel:
        running(place, "shop.nap", "--payload", '{"seconds": 3}')
        kernel.send(USR1)
        kernel.wait_for("most recent call first")
        kernel.wait_for(" tasks, each from")
        kernel.wait_for("mainspring:worker-1")
        kernel.wait_for("await asyncio.sleep(seconds)")
        kernel.err.clear()

        assert place.good("health").status == 0
        assert kernel.stop() == 0


# Jobs that try to end the kernel


def test_a_job_that_exits_from_a_task_or_stops_the_loop_does_not_end_the_kernel(place: Place) -> None:
    with place.kernel() as kernel:
        done = place.good("enqueue", "shop.leave", "--wait")

        assert done.lines[1:] == ["completed", '"still here"']
        assert "a task has raised SystemExit" in kernel.wait_for("plugins/shop/__init__.py")
        kernel.wait_for("a job has called stop() of the event loop")
        assert place.good("health").status == 0
        assert kernel.stop() == 0


# One store, one kernel


def test_a_second_kernel_on_the_same_file_is_refused_with_the_pid_of_the_first(place: Place) -> None:
    with place.kernel() as kernel:
        done = place.run("run")

        assert done.status == 2
        assert f"process {kernel.pid}" in done.err
        kernel.kill()
    with place.kernel() as kernel:
        assert kernel.stop() == 0


def test_what_ran_when_the_kernel_was_killed_runs_again(place: Place) -> None:
    with place.kernel() as kernel:
        run = running(place, "shop.nap", "--payload", '{"seconds": 2}')
        kernel.kill()
    with place.kernel() as kernel:
        wait_until(lambda: place.state_of(run) == "completed")
        assert kernel.stop() == 0


# What it says


def test_the_log_is_pairs_that_name_job_run_and_attempt(place: Place) -> None:
    with place.kernel() as kernel:
        run = place.good("enqueue", "shop.greet", "--payload", '{"name": "Ada"}', "--wait").lines[0]
        ready = kernel.wait_for("ready")
        said = kernel.wait_for("greeting Ada")
        ended = kernel.wait_for("run completed")
        assert kernel.stop() == 0

    assert re.match(r"timestamp=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z level=info logger=kernel event=\"ready", ready)
    assert f"pid={kernel.pid}" in ready
    for line in (said, ended):
        assert f"job=shop.greet run={run} attempt=1" in line


def test_the_log_may_be_json(place: Place) -> None:
    with place.kernel("--log-format", "json") as kernel:
        run = place.run("enqueue", "shop.fail", "--wait").lines[0]
        kernel.wait_for("run failed")
        assert kernel.stop() == 0

    records = [json.loads(line) for line in kernel.out]
    assert list(records[0])[:4] == ["timestamp", "level", "logger", "event"]
    failed = next(record for record in records if record.get("state") == "failed")
    assert (failed["level"], failed["job"], failed["run"], failed["attempt"]) == ("warning", "shop.fail", run, 1)
    assert "ValueError: no luck" in failed["event"]


def test_the_configuration_may_ask_for_json(tmp_path: Path) -> None:
    place = Place(tmp_path, CONFIG.replace("[kernel]\n", '[kernel]\nlog_format = "json"\n'))
    with place.kernel() as kernel:
        assert json.loads(kernel.wait_for("ready"))["pid"] == kernel.pid
        assert kernel.stop() == 0


def test_away_from_a_terminal_a_broken_plugin_is_one_error_in_the_log(place: Place) -> None:
    sick = place.write_plugin("sick", "raise ValueError('a fever')\n")
    place.write_plugin("ill", "raise ValueError('a cough')\n")
    place.config.write_text(CONFIG + "[plugins.sick]\n")
    with place.kernel("--log-format", "json") as kernel:
        told = [json.loads(line) for line in kernel.out if "a fever" in line]
        enabled = place.run("plugins", "enable", "ill")
        later = json.loads(kernel.wait_for("a cough"))
        assert kernel.stop() == 0

    said = f"plugin sick is broken: import: ValueError: a fever ({sick}/__init__.py:1)"
    assert [(line["level"], line["event"], line["plugin"]) for line in told] == [("error", said, "sick")]
    assert (later["level"], later["plugin"]) == ("error", "ill")
    assert (enabled.status, enabled.out) == (1, "ill is on in plugins.toml\n")
    assert "plugin ill is broken: import: ValueError: a cough (" in enabled.err


def test_a_configuration_that_is_gone_is_told_once_and_so_is_its_return(place: Place) -> None:
    with place.kernel() as kernel:
        text = place.config.read_text()
        place.config.unlink()
        kernel.wait_for("is gone or cannot be reached: the kernel goes on with what it has read")
        place.config.write_text(text)
        kernel.wait_for("plugins.toml is back")
        assert kernel.stop() == 0

    assert sum("is gone" in line for line in kernel.out) == 1


def test_on_a_terminal_it_shows_what_was_loaded_and_a_line_for_each_run(place: Place) -> None:
    place.write_plugin("sick", "raise ValueError('a fever')\n")
    place.config.write_text(CONFIG + "[plugins.sick]\n")
    with Terminal(place, "run") as terminal:
        terminal.wait_for("Ctrl-C stops it")
        place.run("enqueue", "shop.fail", "--wait")
        place.good("enqueue", "shop.greet", "--payload", '{"name": "Ada"}', "--wait")
        terminal.wait_for("completed")
        terminal.type("\x03")
        assert terminal.end() == 0
        shown = terminal.text

    assert re.search(r"enabled.*shop +8 jobs, 1 schedule\b", shown)
    assert re.search(r"broken.*sick +import: ValueError: a fever \(.*plugins/sick/__init__.py:1\)", shown)
    assert shown.count("a fever") == 1
    assert re.search(r"next \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  shop.hourly  every 1 h", shown)
    assert re.search(r"\d\d:\d\d:\d\d  \x1b\[1;31mfailed.*shop.fail.*attempt 1 .*ValueError: no luck", shown)
    assert re.search(r"\d\d:\d\d:\d\d  \x1b\[32mcompleted.*shop.greet.*attempt 1", shown)
    assert "shop.greet: greeting Ada" in shown


def test_closing_the_terminal_window_stops_the_kernel(place: Place) -> None:
    with Terminal(place, "run") as terminal:
        terminal.wait_for("Ctrl-C stops it")
        terminal.close_window()

        assert terminal.end() == 0
    assert place.run("health").status == 1


def test_no_color_is_honoured(place: Place) -> None:
    with Terminal(place, "run", NO_COLOR="1") as terminal:
        terminal.wait_for("Ctrl-C stops it")
        terminal.type("\x03")
        assert terminal.end() == 0

    assert "\x1b" not in terminal.text


def test_a_log_that_nobody_reads_any_more_stops_nothing(place: Place) -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "kernel", "run"], cwd=place.folder, stdout=writing, stderr=subprocess.PIPE
    ) as process:
        os.close(writing)
        assert b"ready" in os.read(reading, 4096)
        os.close(reading)
        for name in ("Ada", "Eve"):
            place.good("enqueue", "shop.greet", "--payload", json.dumps({"name": name}), "--wait")
        process.send_signal(TERM)
        _, err = process.communicate(timeout=LIMIT)

    assert (process.returncode, err) == (0, b"")


def test_a_log_that_is_never_read_does_not_hold_up_the_end(place: Place) -> None:
    place.write_plugin(
        "flood",
        "from kernel import hookimpl, job\nimport logging\n\n\n@job\nasync def pour() -> None:\n"
        "    for _ in range(300):\n        logging.getLogger('flood').info('x' * 1000)\n\n\n"
        "@hookimpl\ndef register_jobs():\n    return [pour]\n",
    )
    place.config.write_text(CONFIG + "[plugins.flood]\n")
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "kernel", "run"], cwd=place.folder, stdout=writing, stderr=subprocess.PIPE
    ) as process:
        os.close(writing)
        assert b"ready" in os.read(reading, 4096)
        place.good("enqueue", "flood.pour", "--wait")
        process.send_signal(TERM)
        _, err = process.communicate(timeout=LIMIT)
        os.close(reading)

    assert (process.returncode, err) == (0, b"")


# Starting anew


def test_reload_starts_the_kernel_anew_when_code_changes(place: Place) -> None:
    pytest.importorskip("watchfiles")
    file = place.folder / "plugins" / "shop" / "__init__.py"
    with place.start("run", "--reload") as program:
        program.wait_for("ready")
        # Until the watching has begun, a change may pass unseen: so it is made until it is seen.
        wait_until(lambda: _changed(file) and any("is started anew" in line for line in program.err))
        wait_until(lambda: sum("ready" in line for line in program.out) == 2)
        program.send(TERM)

        assert program.end() == 0


def test_reload_waits_for_a_change_when_the_kernel_cannot_start(place: Place) -> None:
    pytest.importorskip("watchfiles")
    place.config.write_text("[kernel\n")
    with place.start("run", "--reload") as program:
        program.wait_for("the kernel ended with status 2")
        place.config.write_text(CONFIG)
        wait_until(lambda: _changed(place.config) and any("ready" in line for line in program.out))
        program.send(INT)

        assert program.end() == 0


def _changed(file: Path) -> bool:
    os.utime(file)
    time.sleep(0.2)
    return True
