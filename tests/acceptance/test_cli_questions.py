"""Questions that a command asks on a terminal, and Ctrl-C as the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.cli_program import PLUGIN, Place, Terminal

if TYPE_CHECKING:
    from pathlib import Path

ASKING = (
    PLUGIN
    + '''
@hookimpl
def register_commands(cli):
    import typer

    @cli.command()
    def ask() -> None:
        """Asks."""
        typer.confirm("shall I?", abort=True)
        print("done")
'''
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, plugin=ASKING)


@pytest.mark.parametrize("command", ["cancel", "retry"])
def test_ctrl_c_at_a_question_ends_with_130_and_changes_nothing(place: Place, command: str) -> None:
    run = place.enqueue("shop.hourly", "--tag", "asked")
    before = "queued"
    if command == "retry":
        place.good("runs", "cancel", run)
        before = "cancelled"

    with Terminal(place, "runs", command, "--tag", "asked", *(["--state", before])) as terminal:
        terminal.wait_for("[y/N]:")
        terminal.type("\x03")
        status = terminal.end()

    said = terminal.text.rpartition("[y/N]:")[2].split("\r\n")
    assert status == 130
    assert [line for line in said[1:] if line] == ["stopped: nothing has changed"]
    assert place.state_of(run) == before


def test_the_end_of_the_input_at_a_question_is_a_no(place: Place) -> None:
    run = place.enqueue("shop.hourly", "--tag", "asked")

    with Terminal(place, "runs", "cancel", "--tag", "asked") as terminal:
        terminal.wait_for("[y/N]:")
        terminal.type("\x04")
        status = terminal.end()

    assert status == 1
    assert "nothing has changed" in terminal.text
    assert "Aborted" not in terminal.text
    assert place.state_of(run) == "queued"


def test_ctrl_c_at_the_question_of_a_plugins_command_ends_with_130_too(place: Place) -> None:
    with Terminal(place, "ask") as terminal:
        terminal.wait_for("[y/N]:")
        terminal.type("\x03")

        assert terminal.end() == 130
    assert terminal.text.endswith("stopped\r\n")
    with Terminal(place, "ask") as terminal:
        terminal.wait_for("[y/N]:")
        terminal.type("n\n")

        assert terminal.end() == 1
