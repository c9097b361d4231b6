"""What a kernel's death costs its runs: nothing the first time, a trial alone from the second, the end after three of these."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.model.loss import End, Machine, after_loss, end_of, lost_in_words
from kernel.model.run import Change, Run, RunExtra, RunState, urgency_of

NOW = 2_000.0
DUE = 1_000.0


def run(name: str = "a", **given: Any) -> Run:
    first = Run(
        name, "demo.job", "default", 5, "{}", RunState.RUNNING, 900.0, DUE, urgency_of(DUE, 5), token=7, attempt=4,
        failures=1, kernel="dead", started=1_500.0,
    )  # fmt: skip
    return first._replace(**given)


def crashed(*runs: Run) -> list[Change]:
    return after_loss(runs, End.CRASH, NOW)


def test_a_first_loss_costs_a_run_nothing_but_that_it_is_counted() -> None:
    [change] = crashed(run())

    assert (change.state, change.due, change.urgency) == (RunState.QUEUED, DUE, urgency_of(DUE, 5))
    assert (change.attempt, change.failures, change.token, change.losses) == (4, 1, 7, 1)
    assert change.reason == "lost with its kernel"


def test_a_second_loss_makes_a_suspect_that_is_tried_ten_seconds_later() -> None:
    [change] = crashed(run(losses=1))

    assert (change.state, change.due, change.losses) == (RunState.SCHEDULED, NOW + 10, 2)
    assert change.urgency == urgency_of(NOW + 10, 5)
    assert change.reason == "lost with its kernel twice; it is tried alone"
    assert (change.attempt, change.failures) == (4, 1)


@pytest.mark.parametrize("losses", [2, 3])
def test_after_each_further_loss_a_suspect_is_tried_thirty_seconds_later(losses: int) -> None:
    [change] = crashed(run(losses=losses))

    assert (change.state, change.due, change.losses) == (RunState.SCHEDULED, NOW + 30, losses + 1)


def test_the_fifth_loss_is_the_end_of_it() -> None:
    [change] = crashed(run(losses=4, extra=RunExtra(schedule="nightly")))

    assert (change.state, change.finished, change.reason, change.losses) == (RunState.FAILED, NOW, "lost", 5)
    assert (change.attempt, change.failures, change.schedule) == (4, 1, "nightly")
    assert change.error is not None
    assert "its kernel died 5 times" in change.error


def test_what_ran_beside_a_suspect_is_not_charged() -> None:
    changes = {change.id: change for change in crashed(run("a"), run("b", losses=3), run("c", losses=1))}

    assert [changes[name].losses for name in "abc"] == [None, 4, None]
    assert [changes[name].state for name in "abc"] == [RunState.QUEUED, RunState.SCHEDULED, RunState.QUEUED]
    assert changes["a"].reason == "its kernel died while b was tried alone"


@pytest.mark.parametrize("end", [End.RESTART, End.ORDER])
@pytest.mark.parametrize("losses", [0, 1, 4])
def test_a_machine_that_was_restarted_and_a_kernel_that_was_stopped_cost_nothing(end: End, losses: int) -> None:
    [change] = after_loss([run(losses=losses)], end, NOW)

    assert (change.state, change.due, change.losses, change.reason) == (RunState.QUEUED, DUE, None, str(end))


@pytest.mark.parametrize("losses", [0, 1, 3, 4])
def test_a_lost_run_that_is_to_be_cancelled_is_and_does_not_fail(losses: int) -> None:
    [change] = crashed(run(losses=losses, cancel_reason="by hand"))

    assert (change.state, change.finished, change.reason, change.error) == (RunState.CANCELLED, NOW, "by hand", None)


def test_what_a_kernel_left_that_ended_in_order_is_cancelled_where_somebody_wanted_that() -> None:
    changes = after_loss([run("a", cancel_reason="by hand"), run("b")], End.ORDER, NOW)

    assert [(change.state, change.reason) for change in changes] == [
        (RunState.CANCELLED, "by hand"),
        (RunState.QUEUED, "its kernel was stopped"),
    ]


def test_how_a_kernel_came_to_its_end_is_seen_by_its_boot_id() -> None:
    here = Machine("here", "boot-1")

    assert end_of(here, [here]) == End.CRASH
    assert end_of(here, [Machine("here", "boot-2")]) == End.RESTART
    assert end_of(None, [here]) == End.ORDER


def test_that_another_machine_was_restarted_is_known_once_a_kernel_has_come_up_on_it() -> None:
    here, there = Machine("here", "boot-1"), Machine("there", "boot-7")

    assert end_of(there, [here]) == End.CRASH
    assert end_of(there, [here, Machine("there", "boot-8")]) == End.RESTART


def test_a_machine_on_which_another_kernel_lives_on_was_not_restarted() -> None:
    dead = Machine("web-1", "boot-1")
    renamed_meanwhile, of_the_same_name = Machine("web-2", "boot-1"), Machine("web-1", "boot-9")

    assert end_of(dead, [of_the_same_name, renamed_meanwhile]) == End.CRASH


def test_where_the_system_tells_no_boot_id_a_death_is_taken_for_a_crash() -> None:
    assert end_of(Machine("here", ""), [Machine("here", "")]) == End.CRASH


def test_losses_are_told_in_words() -> None:
    assert [lost_in_words(losses) for losses in (1, 2, 3)] == [
        "lost with its kernel",
        "lost with its kernel twice",
        "lost with its kernel 3 times",
    ]
