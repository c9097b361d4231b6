"""Where the metrics may be offered, and what is said of other places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.config import parse_config
from kernel.plugin_settings import check_settings
from plugins.metrics.settings import Settings, address_of

if TYPE_CHECKING:
    from pathlib import Path


def checked(folder: Path, *lines: str) -> tuple[Settings | None, list[str]]:
    text = "\n".join(["[kernel]", "[plugins.metrics]", *lines])
    config = parse_config(text, folder / "plugins.toml", {})
    found = check_settings("metrics", Settings, config.plugins["metrics"].settings, config.source)
    return found.settings, [problem.text.removeprefix(f"{folder}/") for problem in found.problems]


def test_without_an_address_nothing_listens(tmp_path: Path) -> None:
    settings, problems = checked(tmp_path)

    assert settings is not None
    assert (settings.listen, problems) == (None, [])


@pytest.mark.parametrize("address", ["127.0.0.1:9321", "127.8.8.8:1", "[::1]:9321", "localhost:0"])
def test_an_address_of_this_machine_alone_is_taken(tmp_path: Path, address: str) -> None:
    settings, problems = checked(tmp_path, f'listen = "{address}"')

    assert problems == []
    assert settings is not None
    assert address_of(settings.listen or "")[0] in ("127.0.0.1", "127.8.8.8", "::1")


@pytest.mark.parametrize("address", ["0.0.0.0:9321", "192.0.2.1:9321", "[::]:9321"])
def test_another_address_must_be_said_on_purpose(tmp_path: Path, address: str) -> None:
    _, [problem] = checked(tmp_path, f'listen = "{address}"')
    allowed, problems = checked(tmp_path, f'listen = "{address}"', "public = true")

    assert problem.startswith("plugins.toml:3: [plugins.metrics] listen: ")
    assert "other machines can reach" in problem
    assert "public = true" in problem
    assert allowed is not None
    assert problems == []


@pytest.mark.parametrize(
    "address",
    ["9321", "127.0.0.1", "127.0.0.1:99999", "999.0.0.1:1", "http://127.0.0.1:1", "[x]:1", "metrics:9321", ""],
)
def test_what_is_no_address_is_refused_with_its_line(tmp_path: Path, address: str) -> None:
    _, [problem] = checked(tmp_path, f'listen = "{address}"')

    assert problem.startswith("plugins.toml:3: [plugins.metrics] listen: ")
    assert 'expected an address and a port, as "127.0.0.1:9321"' in problem


def test_a_misspelt_key_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    _, [problem] = checked(tmp_path, 'lisen = "127.0.0.1:9321"')

    assert problem == (
        "plugins.toml:3: [plugins.metrics] lisen: no setting of this name; expected one of public, listen."
        ' Did you mean "listen"?'
    )
