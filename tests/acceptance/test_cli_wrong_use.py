"""Wrong use and bad configuration: status 2 and a message that says what to do, never a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from kernel.cli.tree import make_app
from tests.acceptance.cli_program import CONFIG, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRONG_USES = [
    (("run",), ("--log-format", "xml"), "--log-format"),
    (("check",), ("--nope",), "--nope"),
    (("config", "schema"), ("more",), "more"),
    (("plugins", "list"), ("more",), "more"),
    (("plugins", "enable"), ("shopp",), 'Did you mean "shop"?'),
    (("plugins", "disable"), ("nobody",), "no plugin named 'nobody'"),
    (("plugins", "show"), ("shopp",), 'Did you mean "shop"?'),
    (("plugins", "release"), ("shop", "more"), "more"),
    (("plugins", "new"), ("shop",), "there is a plugin shop already"),
    (("plugins", "new"), ("not-a-name",), "'not-a-name' is no name of a plugin"),
    (("jobs",), ("--jsonn",), "--jsonn"),
    (("schedules", "list"), ("--nope",), "--nope"),
    (("schedules", "pause"), ("nobody",), "no schedule named 'nobody'"),
    (("schedules", "resume"), ("nobody",), "no schedule named 'nobody'"),
    (("schedules", "trigger"), ("nobody",), "no schedule named 'nobody'"),
    (("schedules", "add"), ("x", "shop.greet"), "expected one of cron and every"),
    (("schedules", "add"), ("x", "shop.hourly", "--cron", "61 * * * *"), "61"),
    (("schedules", "add"), ("x", "shop.hourly", "--every", "0s"), "more than zero"),
    (("schedules", "add"), ("x", "shop.hourly", "--every", "1h", "--overlap", "maybe"), "overlap"),
    (("schedules", "add"), ("x", "shop.nobody", "--every", "1h"), "no job named 'shop.nobody'"),
    (("schedules", "remove"), ("nobody",), "no schedule named 'nobody'"),
    (("next",), ("* * *",), "* * *"),
    (("next",), ("@hourly", "--tz", "Europe/Nowhere"), "Europe/Nowhere"),
    (("next",), ("@hourly", "--after", "yesterday"), "expected ISO 8601"),
    (("next",), ("@hourly", "--count", "0"), "--count"),
    (("enqueue",), (), "JOB"),
    (("enqueue",), ("shop.gret",), 'Did you mean "shop.greet"?'),
    (("jobs", "show"), ("shop.gret",), 'Did you mean "shop.greet"?'),
    (("enqueue",), ("shop.greet",), "name"),
    (("enqueue",), ("shop.greet", "--payload", "{"), "is not JSON"),
    (("enqueue",), ("shop.greet", "--payload", "[" * 100_000), "nested too deep"),
    (("enqueue",), ("shop.greet", "--payload", "[1]"), "--payload: '[1]' is a list; expected an object"),
    (("enqueue",), ("shop.hourly", "--payload", "null"), "--payload: 'null' is null; expected an object"),
    (("enqueue",), ("shop.greet", "--payload", '{"name": "a", "name": "b"}'), "the key 'name' stands there twice"),
    (("enqueue",), ("shop.greet", "--payload", '{"nam": "Ada"}'), 'expected one of name, loud. Did you mean "name"?'),
    (("schedules", "add"), ("x", "shop.hourly", "--every", "1h", "--payload", "null"), "'null' is null"),
    (("enqueue",), ("shop.greet", "--payload", '{"name": 7}'), "payload.name"),
    (("enqueue",), ("shop.greet", "--payload", '{"name": NaN}'), "payload.name"),
    (("enqueue",), ("shop.hourly", "--priority", "10"), "priority"),
    (("enqueue",), ("shop.hourly", "--priority", "urgent"), "--priority"),
    (("enqueue",), ("shop.hourly", "--delay", "soon"), "expected a duration"),
    (("enqueue",), ("shop.hourly", "--at", "2026-01-01T00:00:00"), "has no time zone"),
    (("enqueue",), ("shop.hourly", "--timeout", "1s"), "--wait"),
    (("enqueue",), ("shop.hourly", "--unique", "k" * 501), "unique: "),
    (("enqueue",), ("shop.hourly", "--depends-on", "nobody"), "there is no run 'nobody'"),
    (("enqueue",), ("shop.hourly", "--depends-on", "x", "--on-parent-failure", "go"), "expected one of cancel, run"),
    (("enqueue",), ("shop.hourly", "--on-parent-failure", "run"), "expected together with depends_on"),
    (("enqueue",), ("shop.hourly", "--wait", "--timeout", "-1"), "zero or more"),
    (("runs", "list"), ("--state", "lost"), "expected one of scheduled"),
    (("runs", "list"), ("--limit", "0"), "limit"),
    (("runs", "show"), ("nobody",), "no run named 'nobody'"),
    (("runs", "cancel"), ("nobody",), "no run named 'nobody'"),
    (("runs", "cancel"), ("--state", "failed"), "to cancel, expected one of scheduled"),
    (("runs", "cancel"), ("nobody", "--job", "shop.greet"), "found ids and --job: expected ids of runs, or some of"),
    (("runs", "retry"), (), "expected ids of runs, or some of --state, --job, --queue, --schedule, --tag"),
    (("runs", "retry"), ("--state", "queued"), "to retry, expected one of failed"),
    (("queues", "list"), ("--nope",), "--nope"),
    (("queues", "pause"), ("q", "--for", "ever"), "expected a duration"),
    (("queues", "pause"), ("nasp",), "no queue named 'nasp'. Did you mean \"naps\"?"),
    (("queues", "resume"), (), "QUEUE"),
    (("queues", "resize"), ("naps", "0"), "expected"),
    (("breakers", "list"), ("more",), "more"),
    (("breakers", "reset"), ("nobody",), "no breaker named 'nobody'"),
    (("explain",), ("nobody",), "no run or schedule named 'nobody'"),
    (("events",), (), "--follow"),
    (("health",), ("--nope",), "--nope"),
    (("kernels", "list"), ("--nope",), "--nope"),
    (("top",), ("--interval", "often"), "--interval: 'often' is no duration"),
    (("top",), ("--interval", "10ms"), "--interval: 10ms is too short: expected 100ms or more"),
    (("top",), ("--interval", "1s", "--once"), "--interval: expected without --once and --json"),
    (("db", "status"), ("--nope",), "--nope"),
    (("db", "upgrade"), ("more",), "more"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("wrong"))


@pytest.mark.parametrize(
    ("command", "arguments", "told"),
    WRONG_USES,
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_wrong_use_ends_with_status_2_and_a_message(
    place: Place, command: tuple[str, ...], arguments: tuple[str, ...], told: str
) -> None:
    done = place.run(*command, *arguments)

    assert (done.status, done.out) == (2, ""), done
    assert told in done.err


def test_every_command_is_wrongly_used_here() -> None:
    used = {command for command, _, _ in WRONG_USES}

    assert set(_leaves(get_command(make_app()), ())) - used == set()


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if not hasattr(command, "commands"):
        yield path
        return
    for name, child in command.commands.items():
        yield from _leaves(child, (*path, name))


def test_an_unknown_command_is_told_with_the_nearest(place: Place) -> None:
    done = place.run("enqueu", "shop.greet")

    assert done.status == 2
    assert "'enqueu'" in done.err
    assert "enqueue" in done.err


def test_without_a_command_the_help_is_shown(place: Place) -> None:
    done = place.run()

    assert done.status == 2
    assert "Commands:" in done.out + done.err


BAD_CONFIGS = {
    "no TOML": ("[kernel\n", "plugins.toml:1"),
    "an unknown key": (CONFIG + "enabeld = 1\n[kernl]\n", 'Did you mean "kernel"?'),
    "an unknown plugin": (CONFIG + "[plugins.shoop]\n", 'Did you mean "shop"?'),
    "an unknown store": ('[kernel]\nstore = "sqlit:///x.db"\n', "sqlite:///"),
}


@pytest.mark.parametrize("command", [("run",), ("check",)], ids=" ".join)
@pytest.mark.parametrize("fault", BAD_CONFIGS)
def test_bad_configuration_ends_with_status_2_and_the_place(
    tmp_path: Path, fault: str, command: tuple[str, ...]
) -> None:
    text, told = BAD_CONFIGS[fault]
    place = Place(tmp_path, text)

    done = place.run(*command)

    assert (done.status, done.out) == (2, ""), done
    assert told in done.err


def test_an_option_behind_the_command_that_stands_before_it_is_told_so(place: Place) -> None:
    done = place.run("runs", "list", "--config", "x.toml")

    assert done.status == 2
    assert "--config stands before the command: mainspring --config PATH runs" in done.err


def test_a_missing_configuration_is_told_with_the_way_out(place: Place) -> None:
    done = place.run("--config", "elsewhere.toml", "runs", "list")

    assert done.status == 2
    assert "elsewhere.toml: no such file" in done.err
    assert "--config" in done.err


def test_the_environment_may_name_the_configuration(place: Place) -> None:
    done = place.run("runs", "list", MAINSPRING_CONFIG="from-environment.toml")

    assert "from-environment.toml" in done.err
