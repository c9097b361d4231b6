"""What the pages show is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.docs_example import Example, carry_out, examples_of

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = [example for page in sorted(DOCS.glob("*.md")) for example in examples_of(page)]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 11


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.page}: {example.title}")
def test_the_example_does_what_the_page_says(example: Example, tmp_path: Path) -> None:
    carry_out(example, tmp_path)
