"""A loop that stands still for ``max_block`` ends the process, saying where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.acceptance.cli_program import CONFIG, Place

if TYPE_CHECKING:
    from pathlib import Path


def test_a_loop_that_is_blocked_for_max_block_ends_the_process_with_the_stacks(tmp_path: Path) -> None:
    place = Place(tmp_path, CONFIG.replace("shutdown_grace", 'max_block = "2s"\nshutdown_grace', 1))

    with place.kernel() as kernel:
        run = place.enqueue("shop.block_loop")
        status = kernel.end()
        err = "\n".join(kernel.err)

    assert status == 1
    assert "in block_loop" in err
    assert place.state_of(run) in {"running", "queued"}
