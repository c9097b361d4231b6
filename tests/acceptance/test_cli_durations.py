"""Durations on the command line and in plugins.toml that are none: the error names the option as it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.cli_program import CONFIG, Place

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLE = 'is no duration: expected a duration such as "1.5s", "10m", "25h", "7d"'
TABLES = """
[kernel]
shutdown_grace = "soon"

[queues.held]
rate_limit = "5/soon"

[breakers.partner]
recovery_timeout = "soon"
"""


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("enqueue shop.nap", "--delay"),
        ("enqueue shop.nap", "--expires"),
        ("enqueue shop.nap --wait", "--timeout"),
        ("queues pause naps", "--for"),
        ("schedules add x shop.nap", "--every"),
        ("schedules add x shop.nap --every 1m", "--jitter"),
        ("schedules add x shop.nap --every 1m", "--catch-up-window"),
    ],
)
def test_an_option_that_is_no_duration_is_named(tmp_path: Path, command: str, option: str) -> None:
    place = Place(tmp_path)

    done = place.run(*command.split(), option, "soon")

    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"{option}: 'soon' {EXAMPLE}")
    assert not place.store.exists()


def test_a_timeout_without_any_text_is_no_timeout_of_zero(tmp_path: Path) -> None:
    done = Place(tmp_path).run("enqueue", "shop.nap", "--wait", "--timeout", "")

    assert (done.status, done.err[:14]) == (2, "--timeout: '' ")


def test_a_key_of_plugins_toml_is_named_with_file_and_line(tmp_path: Path) -> None:
    place = Place(tmp_path, CONFIG.partition("[kernel]")[0] + TABLES)

    done = place.run("check")

    assert done.status == 2
    assert [line.partition(" is no ")[0] for line in done.err.splitlines()] == [
        "plugins.toml:4: [kernel] shutdown_grace: 'soon'",
        "plugins.toml:7: [queues.held] rate_limit: '5/soon'",
        "plugins.toml:10: [breakers.partner] recovery_timeout: 'soon'",
    ]
    assert 'as "100/1m"' in done.err
