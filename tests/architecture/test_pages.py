"""The docs name what the code has: events with their fields, hooks, policies, options, keys; and links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from kernel import hooks
from kernel.config import KernelConfig
from kernel.model import events, job, request, schedule

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OF_ALL = {"at"}
OF_RUNS = {"run", "job", "queue"}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def rows_of(text: str, heading: str) -> dict[str, str]:
    """First column (without backticks) -> second column of the table below ``heading``."""
    section = text.split(heading, 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^\| `([^`]+)`(?:, `[^|]*)? \| ([^|]*)\|", section, re.MULTILINE)
    return {name: cell.strip() for name, cell in found}


def test_every_toml_block_of_the_docs_is_toml() -> None:
    blocks = [
        (file.name, block)
        for file in PAGES
        for block in re.findall(r"^```toml\n(.*?)^```", file.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    ]

    wrong = []
    for name, block in blocks:
        try:
            tomllib.loads(block)
        except tomllib.TOMLDecodeError as error:
            wrong.append(f"{name}: {error}: {block[:60]}")
    assert len(blocks) > 20
    assert not wrong


def test_every_event_stands_in_the_docs_with_its_fields() -> None:
    told = rows_of(page("plugins.md"), "## Events")

    expected = {
        kind.__name__: ", ".join(
            name
            for name in events.fields_of(kind)
            if name not in OF_ALL and not (issubclass(kind, events.RunEvent) and name in OF_RUNS)
        )
        for kind in events.event_types()
    }
    assert told == expected


def test_every_hook_stands_in_the_docs() -> None:
    text = page("plugins.md").split("## Hooks", 1)[1].split("\n## ", 1)[0]
    names = [name for name in vars(hooks.Hooks) if not name.startswith("_")]

    assert [name for name in names if f"`{name}(" not in text] == []


def test_every_policy_of_a_job_stands_in_the_docs() -> None:
    assert set(rows_of(page("jobs.md"), "## Policies of a job")) == set(job.POLICY_NAMES)


def test_every_option_of_a_schedule_stands_in_the_docs() -> None:
    text = page("jobs.md").split("## Schedules", 1)[1].split("\n## ", 1)[0]

    assert [
        option for option in schedule.SCHEDULE_OPTIONS if f"`{option}" not in text and f"{option}=" not in text
    ] == []


def test_every_option_of_enqueue_stands_in_the_docs() -> None:
    text = page("jobs.md")

    assert [option for option in request.OPTIONS if f"`{option}`" not in text] == []


def test_every_key_of_the_kernel_table_stands_in_the_docs() -> None:
    keys = {field.name.removesuffix("_seconds") for field in fields(KernelConfig)}

    assert set(rows_of(page("configuration.md"), "## `[kernel]`")) == keys


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_links_between_pages_lead_to_files(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]

    assert [link for link in links if not (file.parent / link).exists()] == []


def test_the_flow_folder_tells_of_each_of_its_files() -> None:
    folder = ROOT / "kernel" / "flow"
    told = (folder / "__init__.py").read_text(encoding="utf-8")

    files = sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__")
    assert [name for name in files if f"\n{name} " not in told] == []
