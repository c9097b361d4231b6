"""What a run tells while it goes on, seen from outside: `runs show`, `--follow`, `events`, `enqueue --wait`, `health`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.cli_program import Place, Terminal, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLUGIN = '''
import asyncio, logging, pathlib

from kernel import Context, hookimpl, job

HERE = pathlib.Path(__file__).parent
log = logging.getLogger("shop.stock")


async def until_there_is(name: str) -> None:
    while not (HERE / name).exists():
        await asyncio.sleep(0.01)


@job
async def stocktake(ctx: Context) -> str:
    """Goes on when it is told."""
    shelves = await ctx.step("count shelves", lambda: {"shelves": 40})
    ctx.log.info("%d shelves", shelves["shelves"])
    await ctx.progress(0.4, "sixteen of them")
    await until_there_is("go on")
    log.warning("one shelf is empty\\nand dusty")
    await ctx.progress(0.9, "nearly")
    await until_there_is("end")
    return "all counted"


@job
async def report(ctx: Context) -> str:
    def weather() -> str:
        raise ConnectionError("no answer")

    return f"prices and {await ctx.optional('weather', weather, fallback='no weather')}"


@job
def report_hostile(ctx: Context) -> None:
    ctx.progress(0.5, "\\x1b]0;owned\\x07 half [bold]\\x1b[31m")
    ctx.log.warning("\\x1b[2Jcleared? [red]")
    ctx.step("\\u00e4rger", lambda: "\\x1b[2J")


@job
async def big(ctx: Context, text: str) -> str:
    return await ctx.step("twice", lambda: text + text)


@hookimpl
def register_jobs():
    return [stocktake, report, report_hostile, big]
'''
CONFIG = """\
[kernel]
store = "{store}"
run_dir = "var"
shutdown_grace = "1s"

[plugins.shop]
"""
STORES = ["sqlite:///var/store.db", "memory://"]


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """With a kernel, on a file unless the test asks for memory."""
    made = Place(tmp_path, CONFIG.format(store=getattr(request, "param", STORES[0])), PLUGIN)
    with made.kernel():
        yield made


def say(place: Place, name: str) -> None:
    (place.folder / "plugins" / "shop" / name).touch()


def show(place: Place, run: str) -> Any:
    return place.good("runs", "show", run, "--json").json


@pytest.mark.parametrize("place", STORES, indirect=True)
def test_progress_steps_and_log_of_a_run_are_shown_while_it_goes_on(place: Place) -> None:
    run = place.enqueue("shop.stocktake")
    wait_until(lambda: show(place, run)["progress"] == 0.4 and show(place, run)["log"])
    during, text = show(place, run), place.good("runs", "show", run).out
    say(place, "go on")
    say(place, "end")
    wait_until(lambda: place.state_of(run) == "completed")
    after = show(place, run)

    assert (during["state"], during["progress"], during["progress_text"]) == ("running", 0.4, "sixteen of them")
    assert during["steps"] == [{"name": "count shelves", "result": {"shelves": 40}}]
    assert [(line["attempt"], line["level"], line["text"]) for line in during["log"]] == [(1, "info", "40 shelves")]
    assert during["log_is_cut"] is False
    assert "40%  sixteen of them" in text
    assert 'count shelves  {"shelves": 40}' in text
    assert "attempt 1  info     40 shelves" in text
    assert [line["text"] for line in after["log"]] == ["40 shelves", "one shelf is empty\nand dusty"]
    assert (after["progress"], after["result"]) == (0.9, "all counted")


@pytest.mark.parametrize("place", STORES, indirect=True)
def test_a_run_is_followed_until_it_has_ended(place: Place) -> None:
    run = place.enqueue("shop.stocktake")

    with place.start("runs", "show", run, "--follow") as following:
        following.wait_for("40 shelves")
        following.wait_for("40%  sixteen of them")
        say(place, "go on")
        following.wait_for("one shelf is empty")
        following.wait_for("90%  nearly")
        say(place, "end")
        status = following.end()

    lines = following.out
    assert status == 0
    assert lines[0] == "running, attempt 1"
    assert sum("40 shelves" in line for line in lines) == 1
    assert "    and dusty" in lines
    assert any(line.split() == ["result", '"all', 'counted"'] for line in lines)


def test_following_gives_no_json(place: Place) -> None:
    run = place.enqueue("shop.report", "--wait")

    done = place.run("runs", "show", run, "--follow", "--json")

    assert (done.status, done.out) == (2, "")
    assert "events --follow --json" in done.err


def test_events_show_progress_and_log_as_they_come(place: Place) -> None:
    with place.start("events", "--follow") as text, place.start("events", "--follow", "--json") as documents:
        wait_until(lambda: _is_listening(place, text) and _is_listening(place, documents))
        run = place.enqueue("shop.stocktake")
        text.wait_for("RunProgressed")
        text.wait_for("40 shelves")
        documents.wait_for("RunLogged")
        told = {event["event"]: event for event in map(json.loads, documents.out)}

    assert any(f"run={run}" in line and "fraction=0.4" in line and "sixteen of them" in line for line in text.out)
    assert [line.split(maxsplit=1) for line in text.out if "40 shelves" in line] == [["info", "40 shelves"]]
    assert told["RunLogged"]["lines"][0]["text"] == "40 shelves"
    assert (told["RunProgressed"]["run"], told["RunProgressed"]["fraction"]) == (run, 0.4)


def _is_listening(place: Place, program: Any) -> bool:
    """Some event has come: enqueued here, until it has."""
    place.enqueue("shop.report", "--wait")
    return bool(program.out)


def test_a_degraded_run_is_seen_in_every_place(place: Place) -> None:
    with place.start("events", "--follow", "--json") as events:
        wait_until(lambda: _is_listening(place, events))
        done = place.good("enqueue", "shop.report", "--wait")
        events.wait_for("RunCompleted")
        completed = [json.loads(line) for line in events.out if "RunCompleted" in line]
    run = done.lines[0]
    note = "weather: ConnectionError: no answer"
    health = place.good("health", "--json").json["kernels"][0]

    assert done.lines[1:] == [f"completed, degraded: {note}", '"prices and no weather"']
    assert (show(place, run)["degraded"], show(place, run)["notes"]) == (True, [note])
    assert any("degraded" in line and note in line for line in place.good("runs", "list").lines)
    assert (completed[0]["degraded"], completed[0]["notes"]) == (True, [note])
    assert health["healthy"] is True
    assert health["degraded_last_hour"]["shop.report"] >= 2
    assert place.good("health").err == ""  # it is no problem
    assert "done without weather: ConnectionError: no answer" in show(place, run)["log"][0]["text"]


def test_no_character_of_a_job_drives_the_terminal(place: Place) -> None:
    run = place.enqueue("shop.report_hostile", "--wait")
    outputs = [
        place.good("runs", "show", run).out,
        place.good("runs", "show", run, "--follow").out,
        place.good("enqueue", "shop.report_hostile", "--wait").out,
    ]
    with Terminal(place, "runs", "show", run, "--follow", NO_COLOR="1") as terminal:
        terminal.end()

    for out in outputs:
        assert not any(char < " " and char != "\n" for char in out)
    assert "cleared? [red]" in outputs[0]
    assert "\x1b[2J" not in terminal.text
    assert "\x1b[31m" not in terminal.text
    assert "\x07" not in terminal.text
    assert "[red]" in terminal.text


def test_enqueue_and_wait_shows_a_bar_on_a_terminal_and_nothing_of_it_elsewhere(place: Place) -> None:
    with Terminal(place, "enqueue", "shop.stocktake", "--wait") as terminal:
        terminal.wait_for("40%  sixteen of them")
        say(place, "go on")
        terminal.wait_for("90%  nearly")
        say(place, "end")
        status = terminal.end()
    plain = place.good("enqueue", "shop.stocktake", "--wait")

    assert status == 0
    assert "all counted" in terminal.text
    assert "\u2501" in terminal.text  # of which the bar is made
    assert [*plain.lines[1:]] == ["completed", '"all counted"']
    assert plain.err == ""


@pytest.mark.parametrize("store", STORES)
def test_raised_limits_hold_for_payload_step_and_result_and_clients_know_them(store: str, tmp_path: Path) -> None:
    config = CONFIG.format(store=store).replace("[plugins", "max_payload = 100000\nmax_result = 200000\n[plugins")
    place = Place(tmp_path, config, PLUGIN)
    text, too_long = json.dumps({"text": "x" * 90_000}), json.dumps({"text": "x" * 100_000})

    with place.kernel():
        run = json.loads(place.good("enqueue", "shop.big", "--payload", "-", "--wait", "--json", stdin=text).out)
        refused = place.run("enqueue", "shop.big", "--payload", "-", stdin=too_long)
        steps = show(place, run["id"])["steps"]

    assert (run["state"], len(run["result"]), run["notes"]) == ("completed", 180_000, [])
    assert len(steps[0]["result"]) == 180_000
    assert (refused.status, refused.out) == (2, "")
    assert "expected at most 100,000 bytes" in refused.err


@pytest.mark.parametrize("value", ["0", "1023", "16777217", "-5", "true", '"64 KiB"', "1.5"])
def test_a_limit_that_cannot_be_is_told(value: str, tmp_path: Path) -> None:
    config = CONFIG.format(store="memory://").replace("[plugins", f"max_payload = {value}\n[plugins")
    place = Place(tmp_path, config, PLUGIN)

    done = place.run("check")

    assert done.status == 2
    assert "max_payload" in done.err
    assert "expected a number of bytes from 1,024 to 16,777,216" in done.err
