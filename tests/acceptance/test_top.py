"""`mainspring top` beside a real kernel, on a terminal and in a pipe."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from tests.acceptance.cli_program import CONFIG, Place, Terminal, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TAKES_THE_SCREEN, GIVES_IT_BACK = "\x1b[?1049h", "\x1b[?1049l"
PLUGIN = """
import asyncio
from kernel import Context, every, hookimpl, job


@every("1h")
async def hourly() -> None: ...


@job(queue="wash")
async def wash(ctx: Context) -> None:
    await ctx.progress(0.4, "\\x1b[2J[red]wheel[/red]")
    await asyncio.sleep(600)


@job
async def quick() -> None: ...


@job(retry=1)
async def fail() -> None:
    raise ValueError("no luck\\x1b[2J")


@hookimpl
def register_jobs():
    return [hourly, wash, quick, fail]
"""


@pytest.fixture(params=["sqlite", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """With a kernel."""
    text = CONFIG if request.param == "sqlite" else CONFIG.replace("sqlite:///var/store.db", "memory://")
    place = Place(tmp_path, text, PLUGIN)
    with place.kernel():
        yield place


def frame(terminal: Terminal) -> list[str]:
    """The lines of what was painted last, as far as it is there."""
    last = terminal.text.rpartition("\x1b[H")[2].partition("\x1b[?7h")[0]
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", last).replace("\r", "").split("\n")]


def wait_for_frame(terminal: Terminal, text: str) -> None:
    wait_until(lambda: text in "\n".join(frame(terminal)))


def test_it_appears_changes_as_runs_come_and_gives_the_terminal_back(place: Place) -> None:
    with Terminal(place, "top", "--interval", "200ms", columns=80, rows=24) as terminal:
        wait_for_frame(terminal, "nothing runs")
        place.enqueue("shop.wash")
        wait_for_frame(terminal, "40%")
        place.run("enqueue", "shop.fail", "--wait")
        wait_for_frame(terminal, "ValueError: no luck")
        wait_until(lambda: re.search(r"\d+/min failed", "\n".join(frame(terminal))))
        wait_until(lambda: len(frame(terminal)) == 24)
        lines = frame(terminal)
        terminal.type("q")
        assert terminal.end() == 0
        modes = terminal.modes()

    assert max(cell_len(line) for line in lines) <= 80
    assert lines[1].startswith("healthy")
    assert lines[2].startswith("1 of 100 running")
    assert [line.split()[0] for line in lines if line and line.split()[0].isupper()][:4] == [
        "RUNNING", "FAILED", "NEXT", "QUEUE",
    ]  # fmt: skip
    assert "[2J[red]wheel[/red]" in "\n".join(lines)
    assert "\x1b[2J" not in terminal.text.replace("\x1b[2J\x1b[H", "")
    assert (terminal.text.count(TAKES_THE_SCREEN), terminal.text.count(GIVES_IT_BACK)) == (1, 1)
    assert terminal.text.endswith(GIVES_IT_BACK)
    assert modes == terminal.modes_before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_as_q_does(place: Place, number: signal.Signals) -> None:
    with Terminal(place, "top", columns=80, rows=24) as terminal:
        wait_for_frame(terminal, "nothing runs")
        assert terminal.modes() != terminal.modes_before
        if number == signal.SIGINT:
            terminal.type("\x03")
        else:
            terminal.send(number)
        assert terminal.end() == 0
        assert terminal.modes() == terminal.modes_before

    assert terminal.text.endswith(GIVES_IT_BACK)


def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(place: Place) -> None:
    with Terminal(place, "top", columns=80, rows=24) as terminal:
        wait_for_frame(terminal, "nothing runs")
        terminal.type("\x1a")
        wait_until(lambda: terminal.text.endswith(GIVES_IT_BACK))
        assert terminal.modes() == terminal.modes_before
        terminal.send(signal.SIGCONT)
        wait_until(lambda: terminal.text.count(TAKES_THE_SCREEN) == 2)
        wait_for_frame(terminal, "nothing runs")
        terminal.type("q")
        assert terminal.end() == 0


def test_a_kernel_that_does_not_answer_holds_up_neither_the_page_nor_q(tmp_path: Path) -> None:
    place = Place(tmp_path, plugin=PLUGIN)
    with place.kernel() as kernel, Terminal(place, "top", "--interval", "200ms", columns=80, rows=24) as terminal:
        wait_for_frame(terminal, "healthy")
        kernel.send(signal.SIGSTOP)
        run = place.enqueue("shop.quick", "--queue", "later")
        wait_until(lambda: re.search(r"later +1 ", "\n".join(frame(terminal))))
        wait_for_frame(terminal, "does not answer within 5 s")
        kernel.send(signal.SIGCONT)
        wait_until(lambda: "LATE OR WRONG" not in "\n".join(frame(terminal)) and "healthy" in frame(terminal)[1])
        wait_until(lambda: place.state_of(run) == "completed")
        kernel.send(signal.SIGSTOP)
        terminal.type("q")
        assert terminal.end() == 0


def test_the_page_follows_the_terminals_size_at_once(place: Place) -> None:
    with Terminal(place, "top", "--interval", "1h", columns=80, rows=24) as terminal:
        wait_until(lambda: "q ends it" in "\n".join(frame(terminal)) and len(frame(terminal)) == 24)
        terminal.resize(50, 10)
        wait_until(lambda: len(frame(terminal)) == 10)
        wait_for_frame(terminal, "q ends it")
        assert max(cell_len(line) for line in frame(terminal)) <= 50
        terminal.type("q")
        assert terminal.end() == 0


def test_it_says_that_the_kernel_is_gone_and_goes_on_trying(tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, text in (("file", CONFIG), ("memory", CONFIG.replace("sqlite:///var/store.db", "memory://"))):
        folder = tmp_path_factory.mktemp(name)  # a short path: a socket's has a limit
        place = Place(folder, text, PLUGIN)
        with Terminal(place, "top", "--interval", "200ms", columns=80, rows=24) as terminal:
            wait_for_frame(terminal, "no store at" if name == "file" else "no kernel is alive in")
            with place.kernel() as kernel:
                wait_for_frame(terminal, "healthy")
                kernel.kill()
            wait_for_frame(terminal, "no kernel is alive")
            with place.kernel():
                wait_for_frame(terminal, "healthy")
            terminal.type("q")
            assert terminal.end() == 0


def test_without_colours_there_are_none(place: Place) -> None:
    place.run("enqueue", "shop.fail", "--wait")
    with Terminal(place, "top", columns=80, rows=24, NO_COLOR="1") as terminal:
        wait_for_frame(terminal, "ValueError: no luck")
        terminal.type("q")
        assert terminal.end() == 0

    styles = re.findall(r"\x1b\[([0-9;]*)m", terminal.text)
    assert {number for style in styles for number in style.split(";")} <= {"", "0", "1", "2"}


def test_in_a_pipe_and_with_once_it_is_printed_plain_and_ends(place: Place) -> None:
    run = place.enqueue("shop.wash")
    failed = place.run("enqueue", "shop.fail", "--wait").lines[0]
    wait_until(lambda: place.state_of(run) == "running")
    piped = place.good("top").out
    with Terminal(place, "top", "--once") as terminal:
        assert terminal.end() == 0

    for text in (piped, terminal.text.replace("\r", "")):
        assert text.isprintable() or all(line.isprintable() for line in text.splitlines())
        assert re.search(rf"^{run}  shop.wash +\d+ s ", text, re.MULTILINE)
        assert re.search(rf"^{failed}  shop.fail +\d+ s  ValueError: no luck", text, re.MULTILINE)
        assert re.search(r"^shop.hourly +59 m \d+ s  every 1 h", text, re.MULTILINE)
        assert re.search(r"^1 of 100 running", text, re.MULTILINE)


def test_as_json_it_is_one_document_of_the_same(place: Place) -> None:
    run = place.enqueue("shop.wash")
    place.run("enqueue", "shop.fail", "--wait")
    wait_until(lambda: place.state_of(run) == "running")

    found = place.good("top", "--json").json

    assert (found["healthy"], found["running"], found["concurrency"], found["failed"]) == (True, 1, 100, 1)
    assert ([one["id"] for one in found["runs"]], found["rates"], found["trouble"]) == ([run], None, None)
    assert [one["error"] for one in found["failures"]] == [{"type": "ValueError", "message": "no luck\x1b[2J"}]
    assert [one["schedule"] for one in found["next"]] == ["shop.hourly"]
    assert "wash" in [one["queue"] for one in found["queues"]]
    assert [one["state"] for one in found["kernels"]] == ["alive"]


def test_without_a_kernel_the_store_tells_what_it_knows(tmp_path: Path) -> None:
    place = Place(tmp_path, plugin=PLUGIN)
    nothing = place.good("top")
    assert "no store at" in nothing.out
    assert not place.store.exists()

    place.enqueue("shop.quick", "--queue", "later")
    waiting = place.good("top").lines

    assert waiting[1:3] == ["no kernel is alive: start one by `mainspring run`", "0 running · 1 waiting"]
    assert any(line.startswith("later") for line in waiting)


def test_with_the_memory_store_and_no_kernel_it_is_status_1(tmp_path: Path) -> None:
    done = Place(tmp_path, CONFIG.replace("sqlite:///var/store.db", "memory://"), PLUGIN).run("top", "--once")

    assert (done.status, done.out) == (1, "")
    assert "with memory:// all runs live in the kernel" in done.err


def test_a_wrong_configuration_ends_it_with_status_2_and_the_terminal_as_it_was(tmp_path: Path) -> None:
    place = Place(tmp_path, CONFIG + "[kernl]\n", PLUGIN)
    with Terminal(place, "top") as terminal:
        assert terminal.end() == 2
        assert terminal.modes() == terminal.modes_before

    assert 'Did you mean "kernel"?' in terminal.text.rpartition(GIVES_IT_BACK)[2]
