"""Commands that wait for a run while there is no kernel that could bring it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.cli_program import CONFIG, Place, wait_until

if TYPE_CHECKING:
    from pathlib import Path

NONE = "no kernel is alive: the run waits in the store until there is one; `mainspring run` starts it"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_waiting_without_a_kernel_is_said_and_goes_on_until_there_is_one(place: Place) -> None:
    with place.start("enqueue", "shop.hourly", "--wait") as waiting:
        waiting.wait_for(NONE)
        with place.kernel():
            assert waiting.end() == 0

    assert waiting.out[1:] == ["completed", '"nobody"']
    assert waiting.err.count(NONE) == 1


def test_at_the_end_of_the_timeout_it_is_said_that_the_run_waits_for_a_kernel(place: Place) -> None:
    done = place.run("enqueue", "shop.hourly", "--wait", "--timeout", "100ms")

    assert (done.status, done.lines[1:]) == (1, ["queued"])
    assert done.err.splitlines() == [NONE, f"run {done.lines[0]} is queued after 0.1 s; it waits for a kernel"]


def test_with_a_kernel_the_run_goes_on_after_the_timeout(place: Place) -> None:
    with place.kernel():
        done = place.run("enqueue", "shop.nap", "--wait", "--timeout", "100ms")

    assert (done.status, NONE in done.err) == (1, False)
    assert "it goes on without this command" in done.err


def test_following_a_run_says_that_the_kernel_has_died_and_goes_on_with_the_next_one(place: Place) -> None:
    with place.kernel() as kernel:
        run = place.enqueue("shop.nap")
        wait_until(lambda: place.state_of(run) == "running")
        with place.start("runs", "show", run, "--follow") as following:
            following.wait_for("running, attempt 1")
            kernel.kill()
            following.wait_for(NONE)
            with place.kernel():
                following.wait_for("a kernel is alive again")
                following.wait_for("running, attempt 2")
                place.good("runs", "cancel", run)
                assert following.end() == 0

    assert "cancelled" in " ".join(following.out)


def test_following_a_run_in_memory_ends_with_its_kernel(tmp_path: Path) -> None:
    place = Place(tmp_path, CONFIG.replace("sqlite:///var/store.db", "memory://"))
    with place.kernel() as kernel:
        run = place.enqueue("shop.nap")
        with place.start("runs", "show", run, "--follow") as following:
            following.wait_for("running, attempt 1")
            kernel.kill()
            assert following.end() == 1

    assert "no kernel is alive" in following.err[-1] or "hung up before it answered" in following.err[-1]
