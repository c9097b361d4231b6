"""What was made by others is what they made, and their licences stand beside it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import plugins.web

VENDOR = Path(plugins.web.__file__).parent / "static" / "vendor"
SUMS = {
    name: digest
    for digest, name in (line.split() for line in (VENDOR / "SHA256SUMS").read_text(encoding="ascii").splitlines())
}


def library_of(name: str) -> str:
    """Name and version, which a library's files share: ``uplot-1.6.32``."""
    match = re.match(r"[a-z]+-\d+\.\d+\.\d+(?=\.)", name)
    assert match, name
    return match[0]


def test_every_file_has_its_checksum_and_every_checksum_its_file() -> None:
    assert {path.name for path in VENDOR.iterdir()} - {"SHA256SUMS"} == SUMS.keys()


@pytest.mark.parametrize("name", sorted(SUMS))
def test_a_file_is_as_it_was_taken_over(name: str) -> None:
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == SUMS[name]


@pytest.mark.parametrize("name", sorted(name for name in SUMS if not name.endswith(".LICENSE")))
def test_a_file_has_its_licence_beside_it(name: str) -> None:
    licence = (VENDOR / f"{library_of(name)}.LICENSE").read_text(encoding="utf-8")

    assert "Permission" in licence
    assert "copyright" in licence.lower() or "BSD" in licence


def test_pages_ask_for_the_files_that_are_there() -> None:
    templates = (VENDOR.parents[1] / "templates").glob("*.html")
    asked = {name for page in templates for name in re.findall(r"/static/vendor/([^\"']+)", page.read_text("utf-8"))}

    assert asked == {name for name in SUMS if not name.endswith(".LICENSE")}
