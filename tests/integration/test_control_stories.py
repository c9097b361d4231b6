"""What an operator does with many runs, and what is said when a name is wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kernel.model.errors import ConfigError, RequestError, Snooze, UnknownNameError
from kernel.model.events import RunCancelled
from kernel.model.queue import Queue
from kernel.model.rate import RateLimit
from kernel.model.run import NewRun, iso
from kernel.testing import settle, until
from tests.flow_kit import Flow, every, job_of, running

if TYPE_CHECKING:
    from kernel.model.run import Run

attempts: list[int] = []


async def work(number: int = 0) -> None: ...


async def fails(number: int = 0) -> None:
    attempts.append(number)
    raise ValueError(str(number))


async def waits() -> None:
    await asyncio.Event().wait()


JOBS = (work, job_of(fails, retry=1), waits)


async def many(flow: Flow, job: str, count: int, **options: Any) -> list[Run]:
    wishes = [(job, {"number": number}, options) for number in range(count)]
    runs = await flow.engine.intake.enqueue_many(wishes)
    await settle()
    return runs


# Cancelling


async def test_by_filter_waiting_runs_are_cancelled_and_running_ones_are_told_to_end_with_the_reason() -> None:
    async with running(*JOBS) as flow:
        await many(flow, "demo.work", 2500, delay="1h", tags=["old"])
        others = await many(flow, "demo.work", 3, delay="1h")
        running_one = await flow.enqueue("demo.waits", tags=["old"])
        ended_one = await flow.ended(await flow.enqueue("demo.work", tags=["old"]))
        tally = await flow.control.runs_cancel_all(tag="old", reason="the car was sold")
        stopped = await flow.ended(running_one)
        counts = await flow.states(others)
        await until(lambda: len(flow.told(RunCancelled)) >= 2501)
        told = flow.told(RunCancelled)

    assert tally == {"runs": 2501, "cancelled": 2500, "told": 1, "left": 0, "dependents": 0}
    assert counts == ["scheduled"] * 3
    assert (stopped.state, stopped.reason, ended_one.state) == ("cancelled", "the car was sold", "completed")
    assert len(told) == 2501
    assert {event.reason for event in told} == {"the car was sold"}


async def test_what_depended_on_cancelled_runs_is_counted_and_follows_those_that_were_asked_for() -> None:
    async with running(*JOBS) as flow:
        parents = await many(flow, "demo.work", 2, delay="1h", tags=["mine"])
        child = await flow.enqueue(depends_on=parents)
        tally = await flow.control.runs_cancel_all(tag="mine")
        other = await flow.enqueue(delay="1h")
        child_of_other = await flow.enqueue(depends_on=[other])
        ended = await flow.control.runs_cancel(runs=[other.id])
        await settle()
        told = [(event.run, event.reason) for event in flow.told(RunCancelled)][-2:]

    assert [run for run, _ in told] == [other.id, child_of_other.id]
    assert told[0][1] == "cancelled by hand"
    assert other.id in told[1][1]
    assert tally == {"runs": 2, "cancelled": 2, "told": 0, "left": 0, "dependents": 1}
    assert [one["id"] for one in ended] == [other.id, child_of_other.id]
    assert child.state == "blocked"


async def test_of_many_that_are_named_those_that_are_gone_or_have_ended_are_left() -> None:
    async with running(*JOBS) as flow:
        done = await flow.ended(await flow.enqueue())
        tally = await flow.control.runs_cancel_many(runs=[done.id, "gone"])

    assert tally == {"runs": 2, "cancelled": 0, "told": 0, "left": 2, "dependents": 0}


# Retrying


async def test_by_filter_failed_runs_are_retried_once_each_though_they_fail_again_meanwhile() -> None:
    async with running(*JOBS, concurrency=100, listen=False) as flow:
        await many(flow, "demo.fails", 2500)
        await until(lambda: flow.engine.recorder.written == 2500)
        cancelled = await flow.enqueue("demo.fails", delay="1h")
        await flow.cancel(cancelled)
        attempts.clear()
        tally = await flow.control.runs_retry_all(job="demo.fails")
        await until(lambda: flow.engine.recorder.written == 5000)

    assert tally == {"runs": 2500, "retried": 2500, "held": 0, "unready": 0, "left": 0}
    assert sorted(attempts) == list(range(2500))


async def test_cancelled_runs_are_retried_when_that_is_said() -> None:
    async with running(*JOBS) as flow:
        runs = await many(flow, "demo.work", 3, delay="1h")
        await flow.cancel(*runs)
        tally = await flow.control.runs_retry_all(job="demo.work", state="cancelled")
        ended = [(await flow.ended(run)).state for run in runs]

    assert tally["retried"] == 3
    assert ended == ["completed"] * 3


async def test_of_runs_of_one_unique_key_one_is_retried_and_the_others_are_held() -> None:
    async with running(*JOBS) as flow:
        runs = []
        for _ in range(3):
            runs.append(await flow.enqueue(unique="one", delay="1h"))
            await flow.cancel(runs[-1])
        await flow.store.pause_queue("default", 1e12)
        await flow.engine.watch.refresh()
        tally = await flow.control.runs_retry_all(job="demo.work", state="cancelled")
        states = await flow.states(runs)
        with pytest.raises(RequestError) as caught:
            await flow.control.runs_retry(runs=[runs[1].id])

    assert tally == {"runs": 3, "retried": 1, "held": 2, "unready": 0, "left": 0}
    assert states == ["queued", "cancelled", "cancelled"]
    assert str(caught.value) == (
        f"run {runs[1].id} has a unique key that run {runs[0].id} of demo.work holds now: wait for that one, or cancel it"
    )


async def test_when_one_of_the_named_runs_cannot_be_retried_none_is() -> None:
    async with running(*JOBS) as flow:
        failed = await flow.ended(await flow.enqueue("demo.fails"))
        waiting = await flow.enqueue(delay="1h")
        with pytest.raises(RequestError, match=rf"run {waiting.id} is scheduled: expected one that has failed"):
            await flow.control.runs_retry(runs=[failed.id, waiting.id])
        state = (await flow.run(failed)).state

    assert state == "failed"


# What is wrong with a filter


@pytest.mark.parametrize(
    ("operation", "given", "told"),
    [
        ("runs_cancel_all", {}, "cancel: expected ids of runs, or at least one of state, job, queue, schedule, tag"),
        ("runs_retry_all", {}, "retry: expected ids of runs, or at least one of state, job, queue, schedule, tag"),
        (
            "runs_cancel_all",
            {"state": "failed"},
            "state: 'failed': to cancel, expected one of scheduled, blocked, queued",
        ),
        (
            "runs_retry_all",
            {"state": "queued"},
            "state: 'queued': to retry, expected one of failed, cancelled, expired",
        ),
        (
            "runs_retry_all",
            {"jobs": "demo.work"},
            "retry: no filter named 'jobs'; expected state, job, queue, schedule, tag, since",
        ),
        ("runs_select", {"purpose": "delete", "job": "demo.work"}, "purpose: 'delete': expected one of cancel, retry"),
        ("runs_cancel_all", {"job": "demo.wrok"}, "no job named 'demo.wrok'. Did you mean \"demo.work\"?"),
        (
            "runs_list",
            {"state": "failed,expird"},
            'failed, cancelled, expired. Did you mean "expired"?',
        ),
        ("runs_list", {"state": "failed,"}, "state: '': expected one of"),
        ("runs_list", {"state": ["failed"]}, "state: ['failed']: expected one of"),
        ("runs_list", {"state": "failed,degraded"}, "state: 'degraded' is how a list shows"),
        (
            "runs_retry_all",
            {"state": "failed,queued"},
            "'queued': to retry, expected one of failed, cancelled, expired",
        ),
        ("runs_list", {"since": "yesterday"}, "since: 'yesterday': expected ISO 8601, as"),
        ("runs_list", {"until": True}, "until: True: expected ISO 8601"),
        ("runs_list", {"since": "nan"}, "since: 'nan': expected ISO 8601"),
        ("runs_list", {"since": 10**400}, "since: 1000"),
        ("runs_list", {"since": "1h", "until": "2h"}, "until: '2h': expected an instant after since, which is "),
        ("runs_list", {"error": ""}, "error: '': expected a text of 1 to 500 characters"),
        ("runs_list", {"error": ["x"]}, "error: ['x']: expected a text"),
        ("runs_cancel_all", {"since": "x" * 99}, "since: 'xxx"),
        ("runs_list", {"job": "demo.wrok"}, "no job named 'demo.wrok'. Did you mean \"demo.work\"?"),
        ("runs_list", {"queue": "defualt"}, "no queue named 'defualt'. Did you mean \"default\"?"),
        ("runs_list", {"schedule": "demo.wrk"}, "no schedule named 'demo.wrk'. Did you mean \"demo.work\"?"),
        ("queues_pause", {"queue": "slwo"}, "no queue named 'slwo'. Did you mean \"slow\"?"),
        ("queues_resume", {"queue": "slwo"}, "no queue named 'slwo'. Did you mean \"slow\"?"),
    ],
    ids=str,
)
async def test_a_wrong_wish_is_refused_with_what_was_expected(operation: str, given: dict[str, Any], told: str) -> None:
    async with running(*JOBS, queues=[Queue("slow")], schedules=[every(3600)]) as flow:
        with pytest.raises(RequestError) as caught:
            await flow.control.call(operation, given)

    assert told in str(caught.value)


async def test_a_name_that_only_runs_have_is_known() -> None:
    async with running(*JOBS, job_of(work, "other")) as flow:
        run = await flow.enqueue(queue="rare", delay="1h")
        control = flow.control
        flow.catalog.remove("demo", "plugin demo is off")
        assert await control.runs_list(job="demo.work", state="failed") == []
        await control.queues_pause(queue="rare")
        [queue] = [one for one in await control.queues_list() if one["queue"] == "rare"]
        await flow.cancel(run)

    assert queue["paused"]


async def test_where_nobody_has_named_anything_yet_no_name_is_wrong() -> None:
    async with running() as flow:
        assert await flow.control.runs_list(job="demo.work", queue="slow", schedule="nightly") == []


async def test_a_pause_that_ends_by_itself_lets_the_runs_go() -> None:
    async with running(*JOBS) as flow:
        await flow.control.queues_pause(queue="default", duration="10m")
        run = await flow.enqueue()
        await flow.clock.advance(599)
        before = (await flow.run(run)).state
        await flow.clock.advance(2)
        after = await flow.ended(run)

    assert (before, after.state) == ("queued", "completed")


async def test_a_pause_needs_a_duration_that_is_one() -> None:
    async with running(*JOBS) as flow:
        with pytest.raises(ConfigError, match="is no duration"):
            await flow.control.queues_pause(queue="default", duration="ever")


async def test_queues_are_listed_with_their_limits() -> None:
    queues = [Queue("slow", 3, 50, RateLimit(100, "1m")), Queue("own", 2, concurrency_scope="kernel")]
    async with running(*JOBS, queues=queues) as flow:
        own, slow = [one for one in await flow.control.queues_list() if one["queue"] in ("slow", "own")]

    assert (slow["concurrency"], slow["max_waiting"], slow["rate_limit"]) == (3, 50, "100/60s")
    assert (slow["concurrency_scope"], own["concurrency_scope"]) == ("all", "kernel")


async def test_an_enqueue_by_an_operator_says_whether_the_run_is_new() -> None:
    async with running(*JOBS) as flow:
        control = flow.control
        first = await control.enqueue(job="demo.work", options={"unique": "one", "delay": "1h"})
        second = await control.enqueue(job="demo.work", options={"unique": "one"})
        shown = await control.runs_show(run=first["id"])

    assert (first["is_new"], second["is_new"], second["id"]) == (True, False, first["id"])
    assert "is_new" not in shown


async def test_an_unknown_run_is_told_as_one() -> None:
    async with running(*JOBS) as flow:
        with pytest.raises(UnknownNameError, match="no run named 'x'"):
            await flow.control.runs_cancel(runs=["x"])


async def test_a_run_is_not_retried_before_the_one_that_it_depends_on_has_completed() -> None:
    async with running(*JOBS) as flow:
        control = flow.control
        parent = await flow.enqueue("demo.work", delay="1h")
        child = await flow.enqueue("demo.work", depends_on=[parent], tags=["night"])
        await control.runs_cancel(runs=[parent.id])

        with pytest.raises(
            RequestError, match=f"{child.id} depends on run {parent.id}, which is cancelled: retry it when"
        ):
            await control.runs_retry(runs=[child.id])
        tally = await control.runs_retry_all(tag="night", state="cancelled")
        assert tally == {"runs": 1, "retried": 0, "held": 0, "unready": 1, "left": 0}

        await control.runs_retry(runs=[parent.id])
        await flow.ended(parent)
        await control.runs_retry(runs=[child.id])
        assert (await flow.ended(child)).state == "completed"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"every": "10m", "timezone": "Europe/Berlin"},
            "timezone: it goes with cron, or with start and end, not with every",
        ),
        ({"every": "10m", "catch_up": "skip", "catch_up_max": 5}, 'catch_up_max: it goes with catch_up="all" or'),
        ({"cron": "0 3 * * *", "catch_up_max": 5}, 'overlap="queue", not with catch_up="latest"'),
    ],
)
async def test_an_option_that_would_change_nothing_of_a_schedule_is_refused(options: dict[str, Any], said: str) -> None:
    async with running(*JOBS) as flow:
        with pytest.raises(RequestError) as caught:
            await flow.control.schedules_add(name="often", job="demo.work", options=options)
        rows = await flow.store.schedules()

    assert said in str(caught.value)
    assert rows == []


@pytest.mark.parametrize(
    "options",
    [
        {"every": "10m", "timezone": "Europe/Berlin", "start": "2026-01-02T00:00"},
        {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "catch_up": "all", "catch_up_max": 5},
        {"every": "10m", "overlap": "queue", "catch_up_max": 5},
    ],
)
async def test_where_they_change_something_they_are_taken(options: dict[str, Any]) -> None:
    async with running(*JOBS) as flow:
        await flow.control.schedules_add(name="often", job="demo.work", options=options)
        [row] = await flow.store.schedules()

    assert row.name == "often"


async def test_runs_are_listed_and_retried_by_when_they_were_enqueued_and_by_their_error() -> None:
    async with running(*JOBS) as flow:
        control, begin = flow.control, flow.clock.now()
        first = (await many(flow, "demo.fails", 3))[2]
        await flow.clock.advance(7200)
        later = (await many(flow, "demo.fails", 3))[2]
        await flow.clock.advance(60)
        by_error = await control.runs_list(error="VALUEerror: 2")
        by_age = await control.runs_list(error="2", since="1h")
        by_instant = await control.runs_list(error="2", until=iso(begin + 60))
        by_epoch = await control.runs_list(error="2", until=begin + 60, since=str(begin - 1))
        told = await control.runs_select(purpose="retry", error="2", since="1h")
        tally = await control.runs_retry_all(error="2", since="1h")

    assert [run["id"] for run in by_error] == [later.id, first.id]
    assert [run["id"] for run in by_age] == [later.id]
    assert [run["id"] for run in by_instant] == [run["id"] for run in by_epoch] == [first.id]
    assert told == [{"id": later.id, "job": "demo.fails", "state": "failed"}]
    assert tally["retried"] == 1


async def test_runs_in_several_states_are_listed_and_retried_together() -> None:
    async with running(*JOBS) as flow:
        control = flow.control
        [failed] = await many(flow, "demo.fails", 1)
        waiting, other = await many(flow, "demo.work", 2, delay="1h")
        await flow.cancel(waiting)
        listed = await control.runs_list(state="failed, cancelled,failed")
        mixed = await control.runs_list(state="scheduled,failed")
        tally = await control.runs_retry_all(state="failed,cancelled")

    assert [run["id"] for run in listed] == [waiting.id, failed.id]
    assert [run["id"] for run in mixed] == [other.id, failed.id]
    assert tally["retried"] == 2


async def test_a_run_is_shown_with_all_its_attempts_the_one_under_way_and_the_one_that_completed_too() -> None:
    tried: list[int] = []
    go = asyncio.Event()

    async def third() -> None:
        tried.append(1)
        if len(tried) == 1:
            raise ValueError("bad car")
        if len(tried) == 2:
            raise Snooze("5m")
        await go.wait()

    async with running(job_of(third, retry=2), *JOBS) as flow:
        begin, control = flow.clock.now(), flow.control
        run = await flow.enqueue("demo.third")
        await settle()
        await flow.clock.advance(60)
        await flow.clock.advance(600)
        shown = await control.runs_show(run=run.id)
        go.set()
        await flow.ended(run)
        done = await control.runs_show(run=run.id)
        plain = await flow.ended(await flow.enqueue("demo.work"))
        [only] = (await control.runs_show(run=plain.id))["attempts"]
        waiting = await flow.enqueue("demo.work", delay="1h")
        none = (await control.runs_show(run=waiting.id))["attempts"]

    told = [(one["attempt"], one["outcome"], one["reason"], one["kernel"]) for one in shown["attempts"]]
    assert told == [
        (1, "retrying", None, "kernel-1"), (2, "snoozed", "snoozed", "kernel-1"), (3, "running", None, "kernel-1"),
    ]  # fmt: skip
    first, second, last = shown["attempts"]
    assert (first["started_at"], first["ended_at"]) == (iso(begin), iso(begin))
    assert (first["error"]["type"], first["error"]["message"]) == ("ValueError", "bad car")
    assert second["ended_at"] is not None
    assert (second["error"], last["ended_at"]) == (None, None)
    assert [one["outcome"] for one in done["attempts"]] == ["retrying", "snoozed", "completed"]
    assert (done["attempts"][2]["ended_at"], done["attempts"][2]["error"]) == (done["finished_at"], None)
    assert (only["attempt"], only["outcome"], only["started_at"]) == (1, "completed", iso(plain.started))
    assert none == []


async def test_who_lists_the_degraded_runs_is_told_how_they_are_found() -> None:
    async with running(*JOBS) as flow:
        with pytest.raises(RequestError, match="'degraded' is how a list shows a completed run that has notes"):
            await flow.control.runs_list(state="degraded")


async def test_a_run_may_be_cancelled_while_the_kernel_waits_for_it_to_end() -> None:
    async def nap() -> None:
        await asyncio.Event().wait()

    flow = await Flow([nap]).start()
    run = await flow.engine.intake.enqueue("demo.nap")
    await flow.until_state(run, "running")
    stopping = asyncio.create_task(flow.engine.stop(30.0))
    await settle()

    await flow.engine.recorder.cancel([run.id], "by hand")
    await settle()

    assert (await flow.run(run)).state == "cancelled"
    assert await stopping


async def test_the_end_of_an_id_finds_one_of_the_newest_runs_and_not_two() -> None:
    async with running(*JOBS) as flow:
        control = flow.control
        first, second = await many(flow, "demo.work", 2)

        shown = await control.runs_show(run=first.id[-12:])
        explained = await control.explain(subject=second.id[-12:])
        assert (shown["id"], explained["run"]) == (first.id, second.id)
        with pytest.raises(UnknownNameError):
            await control.runs_show(run=first.id[-7:])
        with pytest.raises(UnknownNameError):
            await control.explain(subject="x" * 12)
        twins = [NewRun(f"{name}-0123456789ab", "demo.work", "default", 5, "{}", "queued", 0, 0, 0) for name in "ab"]
        await flow.store.enqueue(twins, {})
        with pytest.raises(RequestError, match="is the end of several runs' ids, as"):
            await control.runs_show(run="0123456789ab")
