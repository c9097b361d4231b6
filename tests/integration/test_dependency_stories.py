"""Runs that wait for others: let go when these have completed, cancelled or let go when one has not, and shown as a tree."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kernel.model.errors import RequestError, StoreError
from kernel.model.events import RunCancelled, RunCompleted, RunExpired
from kernel.testing import settle, until
from tests.flow_kit import Flow, TroubledStore, job_of, running

if TYPE_CHECKING:
    from kernel.model.run import Run

PARENTS = 10_000


async def work(name: str = "") -> str:
    return name


async def fails(name: str = "") -> None:
    raise ValueError(name)


async def waits(name: str = "") -> None:
    await asyncio.Event().wait()


JOBS = (work, job_of(fails, retry=1), waits)


async def held(flow: Flow, count: int) -> list[Run]:
    """So many runs in a paused queue."""
    await flow.store.pause_queue("held", 1e12)
    await flow.engine.watch.refresh()
    return await flow.engine.intake.enqueue_many([("demo.work", None, {"queue": "held"})] * count)


async def let_go(flow: Flow) -> None:
    await flow.store.pause_queue("held", None)
    await flow.engine.watch.refresh()


async def test_a_run_waits_until_all_it_depends_on_have_completed() -> None:
    async with running(*JOBS) as flow:
        parents = await held(flow, 3)
        child = await flow.enqueue(depends_on=parents)
        await flow.clock.advance(60)
        before = await flow.run(child)

        await let_go(flow)
        after = await flow.ended(child)
        ends = [event.run for event in flow.told(RunCompleted)]

    assert (child.is_new, child.state, before.state) == (True, "blocked", "blocked")
    assert after.state == "completed"
    assert ends[-1] == child.id
    assert set(ends[:-1]) == {run.id for run in parents}


async def test_a_run_that_depends_on_what_has_completed_goes_at_once() -> None:
    async with running(*JOBS) as flow:
        parent = await flow.ended(await flow.enqueue())
        child = await flow.engine.intake.enqueue("demo.work", depends_on=[parent.id])
        late = await flow.engine.intake.enqueue("demo.work", depends_on=[parent], delay="1h")
        await flow.ended(child)

    assert child.state in ("queued", "running")
    assert late.state == "scheduled"


async def test_a_delay_holds_after_the_parents_have_ended() -> None:
    async with running(*JOBS) as flow:
        [parent] = await held(flow, 1)
        child = await flow.enqueue(depends_on=[parent], delay="1m")
        await let_go(flow)
        await flow.ended(parent)
        state = (await flow.run(child)).state
        await flow.clock.advance(61)
        ended = await flow.ended(child)

    assert (state, ended.state) == ("scheduled", "completed")


async def test_when_a_parent_fails_all_that_depend_on_it_are_cancelled_down_the_line_and_each_is_told_why() -> None:
    async with running(*JOBS) as flow:
        bad = await flow.enqueue("demo.fails", delay="1s")
        child = await flow.enqueue(depends_on=[bad])
        grandchild = await flow.enqueue(depends_on=[child])
        waiting = asyncio.create_task(flow.engine.recorder.endings.wait(grandchild.id, None))
        await settle()
        await flow.clock.advance(2)
        ended = await waiting
        told = {event.run: event.reason for event in flow.told(RunCancelled)}
        first = await flow.run(child)

    assert ended is not None
    assert (first.state, ended.state) == ("cancelled", "cancelled")
    assert bad.id in (first.reason or "")
    assert told == {child.id: first.reason, grandchild.id: ended.reason}


async def test_by_choice_a_run_goes_on_though_its_parents_fail_are_cancelled_or_expire() -> None:
    async with running(*JOBS) as flow:
        [held_one] = await held(flow, 1)
        parents = [
            await flow.enqueue("demo.fails", delay="1s"),
            await flow.enqueue(delay="1h"),
            await flow.enqueue(queue="held", expires="10s"),
        ]
        children = [await flow.enqueue(depends_on=[parent], on_parent_failure="run") for parent in parents]
        await flow.clock.advance(2)
        await flow.cancel(parents[1])
        await flow.clock.advance(10)
        ended = [await flow.ended(child) for child in children]
        states = await flow.states(parents)

    assert states == ["failed", "cancelled", "expired"]
    assert [run.state for run in ended] == ["completed"] * 3
    assert held_one.is_new


async def test_an_expired_parent_cancels_its_children_and_both_are_told() -> None:
    async with running(*JOBS) as flow:
        await held(flow, 1)
        parent = await flow.enqueue(queue="held", expires="10s")
        child = await flow.enqueue(depends_on=[parent])
        await flow.clock.advance(11)
        ended = await flow.ended(child)
        told = [(type(event), event.run) for event in flow.events if isinstance(event, RunExpired | RunCancelled)]

    assert parent.id in (ended.reason or "")
    assert told == [(RunExpired, parent.id), (RunCancelled, child.id)]


async def test_a_run_that_depends_on_what_has_failed_is_cancelled_as_it_comes() -> None:
    async with running(*JOBS) as flow:
        bad = await flow.ended(await flow.enqueue("demo.fails"))
        child = await flow.enqueue(depends_on=[bad])
        told = [event.run for event in flow.told(RunCancelled)]

    assert (child.is_new, child.state) == (True, "cancelled")
    assert bad.id in (child.reason or "")
    assert told == [child.id]


async def test_an_unknown_parent_is_an_error_of_its_own_caller_alone() -> None:
    async with running(*JOBS) as flow:
        wishes = [flow.engine.intake.enqueue("demo.work", {"name": str(number)}) for number in range(20)]
        wishes.insert(7, flow.engine.intake.enqueue("demo.work", depends_on=["nobody"]))
        answers = await asyncio.gather(*wishes, return_exceptions=True)
        runs = await flow.runs()

    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    assert [type(error) for error in errors] == [RequestError]
    assert "nobody" in str(errors[0])
    assert len(runs) == 20


async def test_a_cancelled_child_that_is_retried_by_hand_is_queued_and_one_of_a_retried_parent_stays_cancelled() -> (
    None
):
    async with running(*JOBS) as flow:
        bad = await flow.ended(await flow.enqueue("demo.fails"))
        children = [await flow.enqueue(depends_on=[bad]) for _ in range(2)]
        await flow.engine.recorder.retry([bad.id])
        await settle()
        await flow.engine.recorder.retry([children[0].id])
        ended = await flow.until_state(children[0], "completed")
        other = await flow.run(children[1])

    assert (ended.state, other.state) == ("completed", "cancelled")


async def test_a_fan_in_over_ten_thousand_runs_begins_once_when_the_last_has_ended() -> None:
    async with running(*JOBS, concurrency=100, listen=False) as flow:
        parents = await held(flow, PARENTS)
        child = await flow.enqueue(depends_on=parents)
        reason = (await flow.control.explain(subject=child.id))["text"]
        await let_go(flow)
        ended = await flow.ended(child)
        finished = [run.finished or 0.0 for run in await flow.runs(queue="held")]

    assert f"waits for {PARENTS:,} runs that it depends on: {parents[0].id} of demo.work (queued), " in reason
    assert reason.endswith(f", and {PARENTS - 3:,} more")
    assert (ended.state, ended.attempt) == ("completed", 1)
    assert len(finished) == PARENTS
    assert max(finished) <= (ended.started or 0.0)


async def test_an_outcome_that_was_written_though_the_store_did_not_say_so_lets_the_children_go_all_the_same() -> None:
    store = TroubledStore()
    async with running(*JOBS, store=store) as flow:
        parent = await flow.enqueue(delay="1s")
        child = await flow.enqueue(depends_on=[parent])
        store.lying["finish"] = StoreError("who knows")
        await flow.clock.advance(1)
        store.lying.clear()
        await flow.clock.advance(0.2)
        ended = await flow.ended(child)

    assert ended.state == "completed"


# The tree


async def test_the_tree_shows_what_a_run_depends_on_and_what_depends_on_it() -> None:
    async with running(*JOBS) as flow:
        top = await flow.ended(await flow.enqueue())
        [side] = await held(flow, 1)
        middle = await flow.enqueue(depends_on=[top, side], on_parent_failure="run")
        leaf = await flow.enqueue(depends_on=[middle])
        await settle()
        tree = await flow.control.runs_tree(run=middle.id)
        of_leaf = await flow.control.runs_tree(run=leaf.id)
        alone = await flow.control.runs_tree(run=(await flow.enqueue()).id)

    assert [(node["run"], node["state"], node["is_open"]) for node in tree["depends_on"]["branches"]] == [
        (side.id, "queued", True),
        (top.id, "completed", False),
    ]
    [below] = tree["needed_by"]["branches"]
    assert (below["run"], below["job"], below["state"], below["on_failure"]) == (
        leaf.id,
        "demo.work",
        "blocked",
        "cancel",
    )
    [parent] = of_leaf["depends_on"]["branches"]
    assert [node["run"] for node in parent["branches"]] == [side.id, top.id]
    assert alone["depends_on"] == alone["needed_by"] == {"branches": [], "more": 0, "states": {}}


async def test_of_many_branches_the_tree_names_those_that_are_waited_for_and_counts_the_others() -> None:
    async with running(*JOBS, listen=False) as flow:
        done = await flow.engine.intake.enqueue_many([("demo.work", None)] * 500)
        await until(lambda: flow.engine.recorder.written == 500)
        open_ones = await held(flow, 3)
        child = await flow.enqueue(depends_on=[*done, *open_ones])
        tree = await flow.control.runs_tree(run=child.id)

    side = tree["depends_on"]
    assert [node["run"] for node in side["branches"]][:3] == [run.id for run in open_ones]
    assert (len(side["branches"]), side["more"], side["states"]) == (10, 493, {"completed": 500, "queued": 3})


async def test_a_run_to_which_several_ways_lead_is_drawn_once_with_its_branches() -> None:
    async with running(*JOBS) as flow:
        [root] = await held(flow, 1)
        top = await flow.enqueue(depends_on=[root])
        sides = [await flow.enqueue(depends_on=[top]) for _ in range(2)]
        leaf = await flow.enqueue(depends_on=[top, *sides])
        tree = await flow.control.runs_tree(run=leaf.id)

    first, *others = tree["depends_on"]["branches"]
    again = [side["branches"][0] for side in others]
    assert [node["run"] for node in (first, *again)] == [top.id] * 3
    assert [len(node.get("branches", [])) for node in (first, *again)] == [1, 0, 0]


async def test_a_deep_and_wide_tree_is_cut() -> None:
    async with running(*JOBS, listen=False) as flow:
        level = await held(flow, 8)
        for _ in range(9):
            wishes: list[Any] = [("demo.work", None, {"depends_on": level})] * 8
            level = await flow.engine.intake.enqueue_many(wishes)
        tree = await flow.control.runs_tree(run=level[0].id)

    nodes: list[dict[str, Any]] = []
    todo = [tree["depends_on"]]
    while todo:
        branches = todo.pop().get("branches", [])
        nodes += branches
        todo += branches
    assert 40 <= len(nodes) <= 100


async def test_a_blocked_run_says_why() -> None:
    async with running(*JOBS) as flow:
        [parent] = await held(flow, 1)
        child = await flow.enqueue(depends_on=[parent])
        answer = await flow.control.explain(subject=child.id)

    assert (answer["reason"], answer["until"]) == ("blocked", None)
    assert answer["text"] == f"waits for a run that it depends on: {parent.id} of demo.work (queued)"
