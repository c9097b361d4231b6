"""Examples of the docs, carried out as a reader would: files are written, a kernel runs, commands are typed.

Within one ``##`` section of a page: a python block that begins with ``# plugins/NAME/__init__.py`` (or another path) is that
file; one that begins with ``# plugins.toml`` is the configuration. In a console block ``$`` lines are commands, and what
stands below them is what they say: ``…`` in a line stands for any text, alone for any lines. ``$ kill -9`` ends the kernel,
``$ mainspring run`` starts it again.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from tests.acceptance.cli_program import LIMIT, Place, Program, _environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"# ([\w./-]+\.(?:py|toml))\n")


class Example(NamedTuple):
    """A section's files, and its commands with what each should say."""

    page: str
    title: str
    files: dict[str, str]
    commands: list[tuple[str, list[str]]]

    @property
    def plugins(self) -> list[str]:
        return [path.split("/")[1] for path in self.files if path.startswith("plugins/")]


def examples_of(page: Path) -> Iterator[Example]:
    """The sections that have both files and commands."""
    parts = re.split(r"^## (.*)$", page.read_text("utf-8"), flags=re.MULTILINE)
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        files: dict[str, str] = {}
        commands: list[tuple[str, list[str]]] = []
        for kind, block in _BLOCK.findall(text):
            path = _PATH.match(block)
            if kind in ("python", "toml") and path is not None:
                files[path[1]] = block
            elif kind == "console":
                commands += _commands_in(block)
        if files and commands:
            yield Example(page.name, title, files, commands)


def _commands_in(block: str) -> Iterator[tuple[str, list[str]]]:
    command = ""
    said: list[str] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, said
            command, said = line[2:], []
        else:
            said.append(line)
    if command:
        yield command, said


def carry_out(example: Example, folder: Path) -> None:
    """AssertionError with the command and what it said when that is not what the page shows."""
    place = Place(folder, _config_of(example), "")
    for path, text in example.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    kernel = place.kernel()
    try:
        for command, said in example.commands:
            kernel = _type(command, said, place, kernel)
    finally:
        kernel.kill()


def _config_of(example: Example) -> str:
    if "plugins.toml" in example.files:
        return example.files["plugins.toml"]
    return '[kernel]\nstore = "sqlite:///var/mainspring.db"\n' + "".join(
        f"[plugins.{name}]\n" for name in example.plugins
    )


def _type(command: str, said: list[str], place: Place, kernel: Program) -> Program:
    """The kernel that runs afterwards."""
    if command.startswith("kill -9"):
        kernel.kill()
        return kernel
    if command == "mainspring run":
        return place.kernel()
    words = shlex.split(command, comments=True)
    program = [sys.executable, "-m", "kernel"] if words[0] == "mainspring" else [sys.executable]
    ended = subprocess.run(
        [*program, *words[1:]], cwd=place.folder, env=_environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    found = [line.rstrip() for line in ended.stdout.splitlines()]
    if not _fits(said, found):
        raise AssertionError("\n".join([f"$ {command}", *found, "", "the page says:", *said]))
    return kernel


def _fits(expected: list[str], found: list[str]) -> bool:
    lines = [r"(?:.*\n)*?" if line.strip() == "…" else _line_pattern(line) for line in expected]
    text = "".join(f"{line}\n" for line in found)
    return re.fullmatch("".join(lines), text) is not None


def _line_pattern(line: str) -> str:
    parts = [r"\s+".join(map(re.escape, part.split(" "))) if part.strip() else part for part in _squeezed(line)]
    return r"[^\n]*?".join(parts) + r"\s*\n"


def _squeezed(line: str) -> list[str]:
    """The parts between ``…``; runs of blanks count as one, for columns are as wide as what stands in them."""
    return [re.sub(r" +", " ", part) for part in line.rstrip().split("…")]
