"""A job, or a hook, that blocks the event loop is named while it does."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from tests.acceptance.cli_program import CONFIG, Place

if TYPE_CHECKING:
    from pathlib import Path

HOOK = """\
import time

from kernel import hookimpl
from kernel.events import RunCompleted


@hookimpl
async def on_event(event: RunCompleted) -> None:
    time.sleep(1.5)
"""


def test_the_job_that_blocks_the_loop_is_named_with_file_and_line_within_a_second(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.kernel() as kernel:
        run = place.enqueue("shop.block_loop", "--payload", '{"seconds": 4}')
        said = kernel.wait_for("the event loop is blocked for")
        began = (tmp_path / "plugins" / "shop" / "blocking").stat().st_mtime

        assert time.time() - began < 2
        seconds = re.search(r"blocked for ([\d.]+) ?(ms|s)", said)
        assert seconds is not None
        assert float(seconds[1]) < (1 if seconds[2] == "s" else 1000)
        assert f"job shop.block_loop, run {run}" in said
        assert re.search(r"plugin shop, at .*plugins/shop/__init__\.py:\d+", said)
        assert "the event loop was blocked for 4" in kernel.wait_for("the event loop was blocked for", 10)
        assert kernel.stop() == 0


def test_a_hook_that_blocks_the_loop_is_named_as_its_plugin(tmp_path: Path) -> None:
    place = Place(tmp_path, CONFIG + "[plugins.sleepy]\n")
    place.write_plugin("sleepy", HOOK)
    with place.kernel() as kernel:
        place.enqueue("shop.greet", "--payload", '{"name": "Ada"}')

        said = kernel.wait_for("the event loop is blocked for")

        assert re.search(r"by plugin sleepy, at .*plugins/sleepy/__init__\.py:9", said)
        kernel.wait_for("the event loop was blocked for 1.")
        assert kernel.stop() == 0
