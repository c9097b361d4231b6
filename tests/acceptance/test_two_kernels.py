"""A second kernel on the same SQLite file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from kernel import ConfigError, Kernel
from kernel.testing import until
from tests.acceptance.rig.program import Program, url_of, write_config

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_second_kernel_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    write_config(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "plugins.toml").write_text(f'[kernel]\nstore = "{url_of(tmp_path)}"\n')
    with Program(tmp_path) as first:
        await first.ready()
        before = time.monotonic()

        with pytest.raises(ConfigError, match=rf"\b{first.process.pid}\b"):
            await Kernel.from_toml(elsewhere / "plugins.toml").start()

        assert time.monotonic() - before < 1.0
        works_still = len(first.journal)
        await until(lambda: len(first.journal) > works_still)


async def test_the_lock_of_a_kernel_that_was_killed_is_free_at_once(tmp_path: Path) -> None:
    write_config(tmp_path)
    with Program(tmp_path) as first:
        await first.ready()
        first.kill()

    with Program(tmp_path, 1) as second:
        await second.ready()

        await until(lambda: bool(second.journal))
