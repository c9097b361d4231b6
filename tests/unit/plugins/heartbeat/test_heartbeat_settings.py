"""What may stand in [plugins.heartbeat], and what is said of the rest; a URL is a secret, and never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.config import parse_config
from kernel.plugin_settings import check_settings
from plugins.heartbeat.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "c4na-ry"  # noqa: S105 - no real one


def checked(folder: Path, *lines: str) -> tuple[Settings | None, list[str]]:
    text = "\n".join(["[kernel]", "[plugins.heartbeat]", *lines])
    config = parse_config(text, folder / "plugins.toml", {})
    found = check_settings("heartbeat", Settings, config.plugins["heartbeat"].settings, config.source)
    return found.settings, [problem.text.removeprefix(f"{folder}/") for problem in found.problems]


def test_a_url_is_enough_where_its_host_tells_the_dialect(tmp_path: Path) -> None:
    settings, problems = checked(
        tmp_path,
        f'kernel = "https://hc-ping.com/{SECRET}"',
        "[plugins.heartbeat.watched]",
        f'"fleet.sync" = "https://cronitor.link/p/{SECRET}/x"',
        f'"fleet.report" = {{ url = "https://example.com/{SECRET}", dialect = "healthchecks" }}',
    )

    assert problems == []
    assert settings is not None
    assert settings.every == 60
    assert sorted(settings.watched) == ["fleet.report", "fleet.sync"]
    assert settings.watched["fleet.report"].dialect == "healthchecks"
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings.model_dump())


REFUSED = {
    "no URL": (f'kernel = "hc-ping.com/{SECRET}"', ":3: [plugins.heartbeat.kernel] url: ", "beginning with https://"),
    "another scheme": (f'kernel = "ftp://hc-ping.com/{SECRET}"', ":3: ", "beginning with https://"),
    "an unknown host": (f'kernel = "https://example.com/{SECRET}"', ":3: ", "example.com does not tell which service"),
    "a misspelt dialect": (
        f'kernel = {{ url = "https://example.com/{SECRET}", dialect = "cronitr" }}',
        ":3: [plugins.heartbeat.kernel] dialect: 'cronitr': ",
        'uptime-kuma. Did you mean "cronitor"?',
    ),
    "a number": ("kernel = 3", ":3: [plugins.heartbeat] kernel: ", "expected a URL as text, or a table"),
    "a key too many": (
        f'kernel = {{ url = "https://hc-ping.com/{SECRET}", dialct = "x" }}', ":3: ", 'Did you mean "dialect"?',
    ),
    "no URL in a table": ('kernel = { dialect = "cronitor" }', ":3: [plugins.heartbeat.kernel] url: ", "is missing"),
    "a bad URL of a job": (
        f'watched."fleet.sync" = "https://[{SECRET}"', ":3: [plugins.heartbeat.watched.", "beginning with https://",
    ),
    "a bad dialect of a job": (
        f'watched."fleet.sync" = {{ url = "https://x/{SECRET}", dialect = "hc" }}', "dialect: 'hc': ", "expected one of",
    ),
    "too often": ('every = "100ms"', ":3: [plugins.heartbeat] every: '100ms': ", "expected at least a second"),
    "no duration": ('every = "soon"', ":3: [plugins.heartbeat] every: 'soon' is no duration: ", "expected a duration such as"),
    "a misspelt key": ("wached = {}", ":3: [plugins.heartbeat] wached: ", 'Did you mean "watched"?'),
}  # fmt: skip


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_is_wrong_is_told_with_its_line_and_without_the_secret(tmp_path: Path, case: str) -> None:
    line, place, said = REFUSED[case]

    _, problems = checked(tmp_path, line)

    assert len(problems) == 1
    assert problems[0].startswith("plugins.toml:3: ")
    assert place in problems[0]
    assert said in problems[0]
    assert SECRET not in problems[0]
