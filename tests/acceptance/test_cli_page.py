"""docs/command-line.md against the real commands, and every command that stands in any page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from kernel.cli.plugin_commands import commands_of_plugins
from kernel.cli.tree import ORDER, make_app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its full name; a group may do something by itself too."""
    if not hasattr(command, "commands"):
        yield " ".join(path), command
        return
    if command.invoke_without_command and path:
        yield " ".join(path), command
    for name, child in command.commands.items():
        yield from leaves(child, (*path, name))


TREE = get_command(make_app())
COMMANDS = dict(leaves(TREE))
OF_PLUGINS = commands_of_plugins(ROOT / "plugins.toml")


def sections() -> dict[str, str]:
    """Command -> what stands below its heading."""
    parts = re.split(r"^#+ (.*)$", PAGE, flags=re.MULTILINE)
    found = zip(parts[1::2], parts[2::2], strict=True)
    return {title.strip("`").removeprefix("mainspring "): text for title, text in found if title.startswith("`")}


def options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts if option.startswith("--")}


def test_every_command_has_its_section_and_no_section_is_without_one() -> None:
    assert sorted(sections()) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_section_of_a_command_has_an_example_and_all_its_options(name: str) -> None:
    text = sections()[name]

    assert f"\nmainspring {name}" in text
    missing = [option for option in options_of(COMMANDS[name]) - {"--help"} if f"`{option}" not in text]
    assert missing == []


def test_the_options_before_the_command_stand_in_the_page() -> None:
    before = PAGE.split("## Before the command", 1)[1].split("\n## ", 1)[0]

    assert [option for option in options_of(TREE) if f"`{option}" not in before] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_text_ends_with_an_example_of_the_command(name: str) -> None:
    command = COMMANDS[name]

    examples = [line.strip() for line in command.epilog.splitlines() if line.strip().startswith("mainspring")]
    assert examples
    assert [line for line in examples if used_wrongly(line)] == []
    # What the list of commands shows of it is not cut.
    assert len(command.get_short_help_str(60).removesuffix("...")) == len(command.get_short_help_str(60))


def test_the_help_lists_all_commands_in_their_order() -> None:
    assert set(ORDER) == set(TREE.commands)  # type: ignore[attr-defined] # it is a group


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_that_pages_show_exist_with_their_options(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    shown = [line for line in lines if line.startswith("mainspring ")]
    shown += [one for one in re.findall(r"`(mainspring [^`\n]*)`", text) if "…" not in one]

    assert [line for line in shown if used_wrongly(line)] == []


def used_wrongly(line: str) -> bool:
    """Whether a shown line names a command or an option that does not exist."""
    words = shlex.split(re.split(r" [|>] ", line)[0], comments=True)[1:]
    if words[:1] == ["--config"]:
        words = words[2:]
    command: Any = OF_PLUGINS[words.pop(0)] if words and words[0] in OF_PLUGINS else TREE
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    is_group = hasattr(command, "commands")
    return bool(given - options_of(command) - {"--help"}) or (is_group and bool(set(words) - given) and command is TREE)
