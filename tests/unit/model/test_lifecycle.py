"""What follows from each outcome: state, token, attempt, failures, due and urgency."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.lifecycle import settle
from kernel.model.outcome import Cancelled, Completed, Failed, Interrupted, NotBegun, Outcome, Snoozed
from kernel.model.retry import Retry
from kernel.model.run import AGING_SECONDS, FINAL, Change, Claimed, Failure, RunExtra, RunState, urgency_of

NOW = 2_000.0
DUE = 1_000.0
BOOM = Failure("ValueError", "boom")
RETRY = Retry(attempts=3, base="10s", jitter=0.5)

OUTCOMES: list[Outcome] = [
    Completed(),
    Completed('{"a":1}', ("degraded",)),
    Failed(BOOM),
    Failed(BOOM, may_retry=False),
    Failed(BOOM, wait_seconds=30.0),
    Snoozed(60.0),
    Cancelled("by hand"),
    Interrupted("the kernel stops"),
    NotBegun("queue paused"),
]


def run(**given: Any) -> Claimed:
    first = Claimed(
        "id", "demo.job", "default", 5, "{}", enqueued=900.0, due=DUE, urgency=urgency_of(DUE, 5), token=7, attempt=4,
        failures=1, extra=None,
    )  # fmt: skip
    return first._replace(**given)


def after(outcome: Outcome, claimed: Claimed | None = None, retry: Retry = RETRY, spread: float = 0.0) -> Change:
    return settle(claimed or run(), outcome, retry, NOW, spread)


def test_a_completed_run_keeps_its_result_and_says_when_it_ended() -> None:
    change = after(Completed('{"a":1}'))

    assert (change.state, change.finished, change.result) == (RunState.COMPLETED, NOW, '{"a":1}')
    assert (change.notes, change.error, change.reason) == (None, None, None)


def test_a_degraded_completion_keeps_its_notes() -> None:
    assert after(Completed(None, ("a", "b"))).notes == '["a", "b"]'


def test_a_failure_that_leaves_attempts_waits_for_its_retry() -> None:
    change = after(Failed(BOOM), run(failures=0))

    assert (change.state, change.due, change.failures) == (RunState.RETRYING, NOW + 10, 1)
    assert change.finished is None
    assert Failure.from_text(change.error or "") == BOOM


def test_the_wait_for_a_retry_grows_and_takes_the_jitter() -> None:
    change = after(Failed(BOOM), run(failures=1), spread=0.5)

    assert change.due == NOW + 20 * 0.75


def test_the_failure_that_uses_up_the_attempts_is_final() -> None:
    change = after(Failed(BOOM), run(failures=2))

    assert (change.state, change.reason, change.failures) == (RunState.FAILED, "attempts used up", 3)
    assert change.finished == NOW
    assert Failure.from_text(change.error or "") == BOOM


def test_a_failure_that_may_not_be_retried_is_final_at_once() -> None:
    change = after(Failed(BOOM, may_retry=False), run(failures=0))

    assert (change.state, change.reason, change.failures) == (RunState.FAILED, "given up", 1)


def test_attempts_are_counted_by_failures_and_not_by_executions() -> None:
    change = after(Failed(BOOM), run(attempt=100, failures=0))

    assert change.state == RunState.RETRYING


def test_a_wait_that_the_job_asked_for_goes_before_the_backoff() -> None:
    change = after(Failed(BOOM, wait_seconds=30.0), run(failures=0), spread=0.9)

    assert (change.state, change.due) == (RunState.RETRYING, NOW + 30)


def test_a_wait_of_zero_that_the_job_asked_for_is_no_backoff_either() -> None:
    assert after(Failed(BOOM, wait_seconds=0.0), run(failures=0)).due == NOW


def test_a_wait_that_the_job_asked_for_gives_no_attempt_more() -> None:
    assert after(Failed(BOOM, wait_seconds=30.0), run(failures=2)).state == RunState.FAILED


def test_a_snoozed_run_is_put_off_and_has_no_failure_more() -> None:
    change = after(Snoozed(60.0), run(failures=2))

    assert (change.state, change.due, change.failures, change.attempt) == (RunState.SCHEDULED, NOW + 60, 2, 4)
    assert (change.finished, change.error) == (None, None)


def test_a_cancelled_run_ends_with_its_reason() -> None:
    change = after(Cancelled("by hand"))

    assert (change.state, change.reason, change.finished) == (RunState.CANCELLED, "by hand", NOW)


def test_an_interrupted_run_is_queued_where_it_stood_and_has_no_failure_more() -> None:
    change = after(Interrupted("the kernel stops"), run(failures=2))

    assert (change.state, change.due, change.urgency) == (RunState.QUEUED, DUE, urgency_of(DUE, 5))
    assert (change.failures, change.attempt, change.finished) == (2, 4, None)


def test_a_run_that_was_not_begun_is_queued_as_if_it_had_not_been_claimed() -> None:
    change = after(NotBegun("queue paused"))

    assert (change.state, change.due, change.urgency) == (RunState.QUEUED, DUE, urgency_of(DUE, 5))
    assert (change.attempt, change.failures) == (3, 1)


def test_a_run_that_waits_anew_gets_its_urgency_by_its_new_due_instant_and_its_priority() -> None:
    retried = after(Failed(BOOM), run(priority=2, failures=0))
    snoozed = after(Snoozed(60.0), run(priority=9))

    assert retried.urgency == NOW + 10 + 2 * AGING_SECONDS
    assert snoozed.urgency == NOW + 60 + 9 * AGING_SECONDS


@pytest.mark.parametrize("outcome", OUTCOMES, ids=repr)
def test_the_claims_token_fences_every_change(outcome: Outcome) -> None:
    change = after(outcome)

    assert (change.id, change.token) == ("id", 7)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=repr)
def test_a_change_is_final_exactly_when_it_says_when_the_run_ended(outcome: Outcome) -> None:
    change = after(outcome)

    assert (change.finished is not None) == (change.state in FINAL)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=repr)
def test_a_change_names_the_schedule_of_its_run(outcome: Outcome) -> None:
    assert after(outcome).schedule is None
    assert after(outcome, run(extra=RunExtra(tags=("a",)))).schedule is None
    assert after(outcome, run(extra=RunExtra(schedule="nightly"))).schedule == "nightly"


@given(
    outcome=st.sampled_from(OUTCOMES),
    attempt=st.integers(1, 100),
    failures=st.integers(0, 100),
    priority=st.integers(0, 9),
)
def test_no_outcome_makes_a_run_that_waits_more_urgent_than_its_due_instant_and_priority_say(
    outcome: Outcome, attempt: int, failures: int, priority: int
) -> None:
    claimed = run(attempt=attempt, failures=failures, priority=priority, urgency=urgency_of(DUE, priority))

    change = after(outcome, claimed)

    if change.state not in FINAL:
        assert change.urgency == urgency_of(change.due, priority)
        assert change.due >= DUE
    assert failures <= change.failures <= failures + 1
    assert attempt - 1 <= change.attempt <= attempt


def test_what_is_no_outcome_is_refused() -> None:
    with pytest.raises(TypeError, match="'done' is no outcome"):
        settle(run(), "done", RETRY, NOW, 0.0)  # type: ignore[arg-type] # what this is about
