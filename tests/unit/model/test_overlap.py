"""What becomes of a tick while earlier runs of its schedule are unfinished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kernel.model.overlap import Verdict, judge
from kernel.model.run import NewRun, RunExtra
from kernel.model.schedule import Plan, Tick, make_schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

TICK = 1000.0
FOLDED = Tick("demo.tick", 900.0, 990.0, 10, "folded", "a later tick runs for it")


def plan_of(*ticks: float, caught_up: bool = False, lines: tuple[Tick, ...] = (), folded: int = 0) -> Plan:
    return Plan(ticks, folded, lines, caught_up=caught_up)


def runs_for(plan: Plan, state: str = "queued") -> list[NewRun]:
    return [
        NewRun(f"new{at}", "demo.job", "default", 5, "{}", state, tick, tick, tick, RunExtra(tick=tick))
        for at, tick in enumerate(plan.runs)
    ]


def judged(overlap: str, unfinished: Sequence[tuple[str, str]], plan: Plan | None = None, **options: Any) -> Verdict:
    schedule = make_schedule("demo.tick", "demo.job", "every", "10s", overlap=overlap, **options)
    plan = plan or plan_of(TICK)
    return judge(schedule, plan, runs_for(plan), unfinished)


def states(verdict: Verdict) -> list[str]:
    return [run.state for run in verdict.runs]


@pytest.mark.parametrize("overlap", ["skip", "queue", "allow", "replace"])
def test_with_nothing_unfinished_the_tick_runs_whatever_the_policy(overlap: str) -> None:
    verdict = judged(overlap, [])

    assert states(verdict) == ["queued"]
    assert verdict.ticks == (Tick("demo.tick", TICK, TICK, 1, "run", None, "new0"),)
    assert verdict.cancel == ()


@pytest.mark.parametrize("state", ["scheduled", "blocked", "queued", "running", "retrying"])
def test_skip_counts_a_run_in_any_unfinished_state_and_says_which(state: str) -> None:
    verdict = judged("skip", [("old", state)])

    assert verdict.runs == ()
    assert verdict.ticks == (Tick("demo.tick", TICK, TICK, 1, "skipped", f"run old was {state}"),)


def test_allow_runs_beside_what_is_unfinished() -> None:
    assert states(judged("allow", [("old", "running")])) == ["queued"]


def test_queue_lets_the_run_wait_until_the_others_have_ended() -> None:
    verdict = judged("queue", [("old", "running"), ("older", "blocked")])

    assert states(verdict) == ["blocked"]
    assert verdict.ticks[0].result == "run"


def test_queue_keeps_no_more_waiting_than_catch_up_max() -> None:
    waiting = [("old", "running"), ("a", "blocked"), ("b", "blocked")]

    assert states(judged("queue", waiting, catch_up_max=3)) == ["blocked"]
    verdict = judged("queue", waiting, catch_up_max=2)
    assert verdict.runs == ()
    assert verdict.ticks[0][4:6] == ("skipped", "2 runs of this schedule were waiting already")


def test_replace_cancels_all_that_is_unfinished_and_waits_while_something_runs() -> None:
    verdict = judged("replace", [("old", "running"), ("older", "blocked")])

    assert verdict.cancel == ("old", "older")
    assert states(verdict) == ["blocked"]


@pytest.mark.parametrize("state", ["scheduled", "queued", "retrying", "blocked"])
def test_replace_starts_at_once_when_nothing_runs(state: str) -> None:
    verdict = judged("replace", [("old", state)])

    assert verdict.cancel == ("old",)
    assert states(verdict) == ["queued"]


@pytest.mark.parametrize("overlap", ["skip", "queue", "allow", "replace"])
def test_ticks_that_are_caught_up_run_one_after_another_whatever_the_policy(overlap: str) -> None:
    plan = plan_of(10.0, 20.0, 30.0, caught_up=True)

    alone = judged(overlap, [], plan)
    behind = judged(overlap, [("old", "running")], plan)

    assert states(alone) == ["queued", "blocked", "blocked"]
    assert states(behind) == ["blocked", "blocked", "blocked"]
    assert [line.first for line in behind.ticks] == [10.0, 20.0, 30.0]
    assert behind.cancel == ()


@pytest.mark.parametrize("overlap", ["skip", "queue", "allow", "replace"])
@pytest.mark.parametrize("unfinished", [[], [("old", "running")]])
def test_lines_of_ticks_that_do_not_run_are_written_before_that_of_the_run(
    overlap: str, unfinished: list[tuple[str, str]]
) -> None:
    verdict = judged(overlap, unfinished, plan_of(TICK, lines=(FOLDED,), folded=10))

    assert verdict.ticks[0] == FOLDED
    assert len(verdict.ticks) == 2


def test_the_line_of_a_run_says_how_many_ticks_were_folded_into_it() -> None:
    verdict = judged("skip", [], plan_of(TICK, lines=(FOLDED,), folded=10))

    assert verdict.ticks[1] == Tick("demo.tick", TICK, TICK, 1, "run", "10 earlier ones folded into it", "new0")


@pytest.mark.parametrize("unfinished", [[], [("old", "running")]])
def test_a_look_that_runs_nothing_writes_its_lines_and_no_more(unfinished: list[tuple[str, str]]) -> None:
    verdict = judged("replace", unfinished, plan_of(lines=(FOLDED,)))

    assert verdict == Verdict((), (FOLDED,))


def test_a_tick_without_its_run_is_an_error_and_not_lost() -> None:
    schedule = make_schedule("demo.tick", "demo.job", "every", "10s")

    with pytest.raises(ValueError, match="zip"):
        judge(schedule, plan_of(TICK), [], [])
