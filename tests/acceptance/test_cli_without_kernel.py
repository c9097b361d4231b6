"""What the command line does while no kernel runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.cli_program import CONFIG, Place, Terminal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_help_loads_nothing_that_is_slow(place: Place) -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "kernel", "--help"],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip

    modules = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "Commands:" in ended.stdout
    assert (
        modules & {"asyncio", "pydantic", "rich", "structlog", "jsonschema", "tomlkit", "aiohttp", "sqlite3"} == set()
    )


def test_the_version_is_that_of_the_package(place: Place) -> None:
    assert place.good("--version").out.startswith("mainspring 0.")


@pytest.mark.parametrize("command", ["runs list", "schedules list", "queues list"])
def test_a_list_without_a_store_is_empty_says_so_and_makes_none(place: Place, command: str) -> None:
    done = place.good(*command.split(), "--json")

    assert done.json == []
    assert f"no store at {place.store} yet" in done.err
    assert not place.store.parent.exists()


def test_jobs_and_plugins_are_known_before_any_kernel_ran(place: Place) -> None:
    jobs = place.good("jobs", "--json").json
    plugins = {plugin["plugin"]: plugin for plugin in place.good("plugins", "list", "--json").json}

    assert [job["job"] for job in jobs if job["job"].startswith("shop.n")] == ["shop.nap"]
    assert plugins["shop"]["state"] == "enabled"
    assert plugins["fleet"]["state"] == "off"
    assert not place.store.parent.exists()


def test_a_job_is_shown_before_any_kernel_ran_with_an_example_that_works(place: Place) -> None:
    shown = place.good("jobs", "show", "shop.greet").out
    hourly = place.good("jobs", "show", "shop.hourly").out

    assert "retry     3 attempts, exponential: 2 s times 2 after each failure" in shown
    assert '"required": [' in shown
    assert "schedules  shop.hourly: every 1 h\n" in hourly
    example = shlex.split(shown.splitlines()[-1])[1:]
    assert example[:2] == ["mainspring", "enqueue"]
    assert place.good(*example[1:]).lines


def test_a_job_is_shown_as_json_with_all_that_is_announced_of_it(place: Place) -> None:
    shown = place.good("jobs", "show", "shop.nap", "--json").json

    assert (shown["job"], shown["queue"], shown["schedules"], shown["example"]) == ("shop.nap", "naps", [], {})
    assert shown["payload"]["properties"].keys() == {"seconds"}


def test_a_run_is_enqueued_before_any_kernel_ran_and_found_again(place: Place) -> None:
    run = place.enqueue("shop.greet", "--payload", '{"name": "Ada"}', "--priority", "2", "--tag", "one", "--tag", "two")

    found = place.good("runs", "list", "--tag", "two", "--json").json
    assert [(one["id"], one["state"], one["priority"], one["payload"]) for one in found] == [
        (run, "queued", 2, {"name": "Ada"})
    ]
    assert "no kernel is alive" in place.good("explain", run).out


def test_a_payload_may_come_from_stdin(place: Place) -> None:
    done = place.good("enqueue", "shop.greet", "--payload", "-", "--json", stdin='{"name": "Grace"}')

    assert done.json["payload"] == {"name": "Grace"}


def test_waiting_runs_are_cancelled_and_queued_again(place: Place) -> None:
    first, second = place.enqueue("shop.hourly"), place.enqueue("shop.hourly", "--delay", "1h")

    cancelled = place.good("runs", "cancel", first, second, "--reason", "not today")
    again = place.good("runs", "retry", first)

    assert cancelled.lines == [f"{first} is cancelled", f"{second} is cancelled"]
    assert again.lines == [f"{first} is queued"]
    assert "not today" in place.good("explain", second).out


def test_a_run_that_waits_cannot_be_retried(place: Place) -> None:
    run = place.enqueue("shop.hourly")

    done = place.run("runs", "retry", run)

    assert done.status == 2
    assert f"run {run} is queued" in done.err


def test_a_queue_that_no_job_has_is_noted_by_check_and_is_no_error(place: Place) -> None:
    place.config.write_text(CONFIG + "\n[queues.nap]\nconcurrency = 1\n", encoding="utf-8")

    done = place.good("check")

    assert "note: [queues.nap]: no job of an enabled plugin has this queue" in done.err
    assert 'Did you mean "naps"?' in done.err
    assert "the configuration is good" in done.out


WATCHED = """
[plugins.off]
enabled = false

[plugins.heartbeat.watched]
"shop.hourly" = "https://hc-ping.com/1"
"shop.hourlie" = "https://hc-ping.com/2"
"off.job" = "https://hc-ping.com/3"
"gone.job" = "https://hc-ping.com/4"
"""


def test_a_setting_that_names_a_job_that_is_none_is_a_problem_and_a_note_where_its_plugin_is_off(place: Place) -> None:
    place.config.write_text(CONFIG + WATCHED, encoding="utf-8")
    (place.config.parent / "plugins/off.py").write_text("", encoding="utf-8")

    done = place.run("check")

    line = (CONFIG + WATCHED).splitlines().index('"shop.hourlie" = "https://hc-ping.com/2"') + 1
    where = "[plugins.heartbeat.watched]"
    first = f"plugins.toml:{line}: {where} 'shop.hourlie': no job named 'shop.hourlie'. Did you mean \"shop.hourly\"?"
    assert done.status == 2
    assert done.err.splitlines()[0].endswith(first)
    assert f"plugins.toml:{line + 2}: {where} 'gone.job': no job named 'gone.job'." in done.err
    assert f"plugins.toml:{line + 1}: {where} 'off.job': the plugin off is off, so no job of this name runs" in done.err
    assert "note: " in next(text for text in done.err.splitlines() if "off.job" in text)
    assert "'shop.hourly'" not in done.err


def test_waiting_without_a_kernel_ends_with_the_timeout(place: Place) -> None:
    done = place.run("enqueue", "shop.hourly", "--wait", "--timeout", "0s")

    assert done.status == 1
    assert done.lines[1:] == ["queued"]
    assert "it waits for a kernel" in done.err


def test_a_duration_without_a_unit_is_seconds(place: Place) -> None:
    run = place.enqueue("shop.hourly", "--delay", "90")

    found = place.good("runs", "show", run, "--json").json
    due, enqueued = (datetime.fromisoformat(found[key]) for key in ("due_at", "enqueued_at"))
    assert (due - enqueued).total_seconds() == 90


def test_a_unique_run_is_answered_with_the_one_that_waits(place: Place) -> None:
    assert place.enqueue("shop.hourly", "--unique", "k") == place.enqueue("shop.hourly", "--unique", "k")


def test_tables_that_are_piped_are_never_cut(place: Place) -> None:
    run = place.enqueue("shop.greet", "--payload", json.dumps({"name": "x" * 200}), "--queue", "q" * 90)

    lines = place.good("runs", "list").lines
    assert lines[0].split() == ["ID", "STATE", "JOB", "QUEUE", "DUE", "TOOK", "ATTEMPT", "NOTE"]
    assert lines[1].split()[:4] == [run, "queued", "shop.greet", "q" * 90]


def test_control_characters_do_not_reach_the_terminal(place: Place) -> None:
    place.write_plugin("evil", '"""About \x1b[31m"""\nraise ValueError("\\x1b[2J red")\n')
    place.config.write_text(CONFIG + "[plugins.evil]\n")

    done = place.run("plugins", "list")

    assert "\x1b" not in done.out + done.err
    assert "broken" in done.out


def test_a_schedule_is_added_paused_resumed_triggered_and_removed(place: Place) -> None:
    added = place.good("schedules", "add", "nightly", "shop.greet", "--cron", "0 3 * * *", "--timezone", "Europe/Berlin",
                       "--payload", '{"name": "Ada"}', "--json").json  # fmt: skip
    assert (added["schedule"], added["timezone"], added["dynamic"]) == ("nightly", "Europe/Berlin", True)

    place.good("schedules", "pause", "nightly")
    assert [one["paused"] for one in place.good("schedules", "list", "--json").json] == [True]
    place.good("schedules", "resume", "nightly")
    assert [one["paused"] for one in place.good("schedules", "list", "--json").json] == [False]
    run = place.good("schedules", "trigger", "nightly").lines[0]
    assert [one["id"] for one in place.good("runs", "list", "--schedule", "nightly", "--json").json] == [run]
    assert place.run("schedules", "add", "nightly", "shop.hourly", "--every", "1h").status == 2
    place.good("schedules", "remove", "nightly")
    assert place.good("schedules", "list", "--json").json == []


def test_a_cron_schedule_that_names_no_zone_gets_the_one_of_the_configuration(place: Place) -> None:
    place.config.write_text(CONFIG.replace("[kernel]\n", '[kernel]\ntimezone = "Asia/Tokyo"\n'))

    added = place.good("schedules", "add", "n", "shop.hourly", "--cron", "0 3 * * *", "--json").json

    assert added["timezone"] == "Asia/Tokyo"


def test_a_queue_is_paused_for_a_while_and_resumed(place: Place) -> None:
    place.good("queues", "pause", "naps", "--for", "1h")
    assert [(one["queue"], one["paused"]) for one in place.good("queues", "list", "--json").json] == [("naps", True)]

    place.good("queues", "resume", "naps")
    assert not any(one["paused"] for one in place.good("queues", "list", "--json").json)


def test_a_job_of_a_plugin_that_is_off_or_broken_is_refused_with_the_reason(place: Place) -> None:
    place.write_plugin("off", "from kernel import job\n")
    place.write_plugin("sick", "raise ValueError('a fever')\n")
    place.config.write_text(CONFIG + "[plugins.sick]\n")

    off, broken = place.run("enqueue", "off.work"), place.run("enqueue", "sick.work")

    assert (off.status, broken.status) == (2, 2)
    assert "plugin off is off; `mainspring plugins enable off` switches it on" in off.err
    assert "plugin sick is broken: import: ValueError: a fever" in broken.err
    assert f"{place.folder}/plugins/sick/__init__.py:1" in broken.err


def test_health_without_a_kernel_is_status_1(place: Place) -> None:
    done = place.run("health", "--json")

    assert done.status == 1
    assert done.json == {"healthy": False, "kernels": []}


def test_events_without_a_kernel_are_status_1(place: Place) -> None:
    done = place.run("events", "--follow")

    assert (done.status, done.err) == (1, "no kernel is alive: start one by `mainspring run`\n")


def test_with_the_memory_store_every_command_needs_a_kernel(place: Place) -> None:
    place.config.write_text(CONFIG.replace("sqlite:///var/store.db", "memory://"))

    done = place.run("runs", "list")

    assert (done.status, done.out) == (1, "")
    assert "with memory:// all runs live in the kernel" in done.err


def test_the_schema_of_the_store_is_shown_and_brought_up_to_date(place: Place) -> None:
    assert "no store at" in place.good("db", "status").err
    place.enqueue("shop.hourly")

    status = place.good("db", "status", "--check", "--json").json
    upgraded = place.good("db", "upgrade")

    assert status["version"] == status["newest_version"]
    assert (status["integrity"], status["runs"]) == ("ok", {"queued": 1})
    assert upgraded.lines == [f"the schema is version {status['version']} already"]


def test_a_table_on_a_narrow_terminal_keeps_ids_whole_and_has_colours(place: Place) -> None:
    run = place.enqueue("shop.greet", "--payload", '{"name": "Ada"}')
    place.good("runs", "cancel", run, "--reason", "a long story " * 10)

    with Terminal(place, "runs", "list", columns=60) as terminal:
        assert terminal.end() == 0

    assert run in terminal.text
    assert "\x1b[35mcancelled" in terminal.text
    assert "".join(re.findall(r"long|story", terminal.text)) == "longstory" * 10


# Configuration and plugins


def test_check_lists_what_a_kernel_would_run_and_makes_no_store(place: Place) -> None:
    done = place.good("check")
    found = place.good("check", "--json").json

    assert done.lines[0] == "the configuration is good; 1 plugin is enabled"
    assert {"schedule": "shop.hourly", "job": "shop.hourly", "when": "every 1 h"} in found["schedules"]
    assert found["problems"] == []
    assert not place.store.parent.exists()


def test_check_tells_every_problem_at_once(place: Place) -> None:
    place.write_plugin("sick", "raise ValueError('a fever')\n")
    place.config.write_text(
        CONFIG
        + '[plugins.shop.jobs.nap]\ntimout = "1s"\n[queues.x]\nconcurrency = 0\n[plugins.sick]\n[plugins.shoop]\n'
    )

    done = place.run("check")

    assert (done.status, done.out) == (2, "")
    for told in ("timout", "concurrency", "a fever", "shoop"):
        assert told in done.err
    assert done.err.count("plugins.toml:") == 3
    assert place.run("check", "--json").json["problems"] == done.err.splitlines()


def test_check_tells_of_a_schedule_whose_job_is_gone(place: Place) -> None:
    place.good("schedules", "add", "nightly", "shop.hourly", "--every", "1h")
    place.write_plugin("shop", "")

    done = place.good("check")

    assert "note: the schedule nightly, added by hand, runs nothing: no plugin provides its job shop.hourly" in done.err


def test_what_plugins_print_while_they_are_loaded_stays_out_of_the_output(place: Place) -> None:
    place.write_plugin("loud", "print('importing')\n")
    place.config.write_text(CONFIG + "[plugins.loud]\n")

    done = place.good("check", "--json")

    assert "importing" in done.err
    assert done.json["problems"] == []


def test_a_plugin_that_leaves_a_thread_behind_does_not_hold_up_the_command(place: Place) -> None:
    place.write_plugin("busy", "import threading\nthreading.Thread(target=threading.Event().wait).start()\n")
    place.config.write_text(CONFIG + "[plugins.busy]\n")

    assert place.good("check", "--json").json["problems"] == []


def test_the_schema_of_the_configuration_knows_keys_and_plugins(place: Place) -> None:
    schema = place.good("config", "schema").json

    assert "shutdown_grace" in schema["properties"]["kernel"]["properties"]
    assert set(schema["properties"]["plugins"]["properties"]) >= {"shop", "fleet"}


def test_a_plugin_is_switched_on_and_off_and_comments_are_kept(place: Place) -> None:
    before = place.config.read_text()

    assert "shop is off" in place.good("plugins", "disable", "shop").out
    assert place.good("jobs", "--json").json == []
    assert "was off already" in place.good("plugins", "disable", "shop").out
    place.good("plugins", "enable", "shop")

    for comment in ("# what this file is for", "# beside this file", "# the shop"):
        assert comment in before
        assert comment in place.config.read_text()
    assert len(place.good("jobs", "--json").json) > 1


def test_a_new_plugin_passes_its_own_test_and_can_be_enabled(place: Place) -> None:
    made = place.good("plugins", "new", "hello")
    assert made.lines == [
        f"{place.folder}/plugins/hello/__init__.py",
        f"{place.folder}/plugins/hello/test_hello.py",
    ]
    assert "mainspring plugins enable hello" in made.err

    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "plugins/hello"],
        cwd=place.folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout
    place.good("plugins", "enable", "hello")
    place.good("enqueue", "hello.welcome", "--payload", '{"name": "Ada", "loud": true}')


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("class", "is a keyword of Python"),
        ("json", "is a module of Python's standard library"),
        ("kernel", "is a module of Mainspring"),
        ("plugins", "is a module of Mainspring"),
    ],
)
def test_a_new_plugin_takes_no_name_that_python_would_stumble_over(place: Place, name: str, reason: str) -> None:
    done = place.run("plugins", "new", name)

    assert (done.status, done.out) == (2, "")
    assert f"'{name}' {reason}" in done.err
    assert not (place.folder / "plugins" / name).exists()


def test_a_page_after_a_run_that_is_not_there_is_an_error(place: Place) -> None:
    place.enqueue("shop.nap")

    done = place.run("runs", "list", "--before", "nope")

    assert (done.status, done.out) == (2, "")
    assert "no run named 'nope'" in done.err


@pytest.mark.parametrize("options", [(), ("--json",), ("--wait", "--timeout", "0")])
def test_a_run_whose_id_cannot_be_printed_is_told_on_stderr(place: Place, options: tuple[str, ...]) -> None:
    if not os.path.exists("/dev/full"):  # noqa: PTH110 - a device
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:  # noqa: PTH123 - as a shell would
        done = subprocess.run(
            [sys.executable, "-m", "kernel", "enqueue", "shop.nap", *options],
            cwd=place.folder, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip

    (run,) = place.good("runs", "list", "--json").json
    said = f"the output could not be written: No space left on device; run {run['id']} of shop.nap is queued\n"
    assert (done.returncode, done.stderr.count("could not be written")) == (1, 1)
    assert said in done.stderr


def test_a_new_plugin_overwrites_nothing(place: Place) -> None:
    (place.folder / "plugins" / "notes").mkdir()
    for name in ("shop", "fleet", "notes"):
        assert place.run("plugins", "new", name).status == 2
    assert list((place.folder / "plugins" / "notes").iterdir()) == []


def test_a_command_of_a_plugin_is_found(place: Place) -> None:
    place.write_plugin(
        "extra",
        "import typer\nfrom kernel import hookimpl\n\n\n@hookimpl\ndef register_commands(cli):\n"
        "    @cli.command()\n    def hello(name: str):\n        print(f'hello, {name}')\n",
    )
    place.config.write_text(CONFIG + "[plugins.extra]\n")

    assert place.good("hello", "Ada").out == "hello, Ada\n"
    assert place.run("hello").status == 2
    assert place.run("hullo", "Ada").status == 2


# next


def test_next_prints_instants_with_their_offset_through_a_clock_change(place: Place) -> None:
    done = place.good("next", "30 2 * * *", "--tz", "Europe/Berlin", "--after", "2026-03-28T00:00:00", "--count", "3")

    assert done.lines == ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]


def test_next_as_json_is_one_list(place: Place) -> None:
    done = place.good("next", "@daily", "--after", "2026-01-01T12:00:00+00:00", "--count", "1", "--json")

    assert done.json == ["2026-01-02T00:00:00+00:00"]


# Streams


def test_a_reader_that_goes_away_is_no_error_worth_a_word(place: Place) -> None:
    ended = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m kernel next '* * * * * *' --count 100000 | head -n 1"],
        cwd=place.folder, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip

    assert len(ended.stdout.splitlines()) == 1
    assert ended.stderr == ""


def test_a_closed_stdout_is_no_error(place: Place) -> None:
    ended = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m kernel plugins list >&-"],
        cwd=place.folder, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip

    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_disk_that_is_full_is_told(place: Place) -> None:
    if not os.path.exists("/dev/full"):  # noqa: PTH110 - a device
        pytest.skip("no /dev/full here")
    ended = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m kernel plugins list > /dev/full"],
        cwd=place.folder, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip

    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_output_that_knows_ascii_only_is_written_to_all_the_same(place: Place) -> None:
    place.enqueue("shop.greet", "--payload", '{"name": "Zoë"}')

    done = place.run("runs", "list", "--json", PYTHONIOENCODING="ascii")

    assert done.status == 0
    assert done.json[0]["payload"] == {"name": "Zoë"}


def test_an_argument_that_is_no_text_is_shown_escaped(place: Place) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "kernel", "runs", "show", b"\xff\xfe"],
        cwd=place.folder, capture_output=True, check=False, timeout=30,
    )  # fmt: skip

    assert ended.returncode == 2
    assert b"no run named" in ended.stderr
