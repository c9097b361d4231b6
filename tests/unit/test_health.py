"""What the kernel says of its own health, and how it takes what its plugins say of theirs."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from kernel.health import judge_health
from kernel.model.check import Check
from kernel.model.errors import StoreError
from kernel.model.retry import Retry
from kernel.plugin_error import PluginError
from kernel.testing import START
from tests.flow_kit import Flow, TroubledStore, every, job_of, running

if TYPE_CHECKING:
    from kernel import Context

WORDS = {
    "record": "the store does not take the progress, log and steps of runs; they wait in memory",
    "steps": "the store does not give back the recorded steps of runs; the runs wait for them",
    "finish": "the store does not take the outcomes of runs; 1 waits in memory, and no run begins meanwhile",
    "claim": "the store does not hand out runs; none begins meanwhile",
}


async def problems_of(flow: Flow) -> list[str]:
    # The clock is the test's, and the lag of the loop is that of the machine.
    found = (await judge_health(flow.engine, [], flow.clock.now()))["problems"]
    return [problem for problem in found if "event loop" not in problem]


async def work(ctx: Context) -> None:
    if ctx.attempt == 1:
        ctx.log.info("begun")
        raise ValueError("again")
    await ctx.step("it", str, "x")


@pytest.mark.parametrize("failing", list(WORDS))
async def test_a_store_in_trouble_is_told_in_words_for_each_thing_that_it_does_not_do(failing: str) -> None:
    store = TroubledStore()
    store.failing[failing] = StoreError("locked")
    async with running(job_of(work, retry=Retry(2, base="1s", jitter=0)), store=store) as flow:
        run = await flow.enqueue()
        await flow.clock.advance(2)
        told = await problems_of(flow)
        del store.failing[failing]
        await flow.clock.advance(10)
        await flow.ended(run)
        await flow.clock.advance(1)

        assert WORDS[failing] in told
        assert await problems_of(flow) == []


async def test_a_run_that_no_longer_waits_for_its_steps_is_no_reason_to_be_unhealthy() -> None:
    store = TroubledStore()
    store.failing["steps"] = StoreError("locked")
    async with running(job_of(work, retry=Retry(2, base="1s", jitter=0)), store=store) as flow:
        run = await flow.enqueue()
        await flow.clock.advance(2)
        before = await problems_of(flow)
        await flow.cancel(run)
        await flow.ended(run)
        await asyncio.sleep(0)

        assert (before, await problems_of(flow)) == ([WORDS["steps"]], [])


class Told(NamedTuple):
    """What a plugin's hook gave back."""

    plugin: str
    value: Any = None
    error: PluginError | None = None


async def judged(flow: Flow, *answers: Told, plugins: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    async def asked() -> list[Told]:
        return [*answers]

    return await judge_health(flow.engine, plugins or [], flow.clock.now(), asked)


def by_subject(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["subject"]: check for check in found["checks"]}


async def test_each_thing_that_the_kernel_looks_after_is_a_check_and_healthy_at_first() -> None:
    async with running(job_of(work)) as flow:
        found = by_subject(await judged(flow))

    assert {subject: check["verdict"] for subject, check in found.items() if subject != "loop"} == {
        "schedules": "healthy", "store": "healthy", "plugins": "healthy",
    }  # fmt: skip
    assert all(check["plugin"] is None for check in found.values())


async def test_a_broken_plugin_and_a_quarantined_one_are_checks_of_their_own() -> None:
    states = [
        {"plugin": "sick", "state": "broken", "reason": "a fever"},
        {"plugin": "lame", "state": "quarantined", "reason": "five faults"},
        {"plugin": "well", "state": "enabled", "reason": ""},
    ]
    async with running(job_of(work)) as flow:
        found = await judged(flow, plugins=states)

    checks = by_subject(found)
    assert (checks["plugin sick"]["verdict"], checks["plugin lame"]["verdict"]) == ("broken", "quarantined")
    assert "plugin well" not in checks
    assert not found["healthy"]


async def test_schedules_that_nobody_looks_at_are_late() -> None:
    async with running(job_of(work), schedules=[every(60)]) as flow:
        flow.clock.skip(66.5)
        found = await judged(flow)

    assert by_subject(found)["schedules"]["verdict"] == "late"
    assert "the schedules have not been looked at for 6 s after a tick was due" in found["problems"]


async def test_a_loop_that_answers_late_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def late() -> float:
        return 1.5

    monkeypatch.setattr("kernel.health._loop_lag", late)
    async with running(job_of(work)) as flow:
        found = await judged(flow)

    assert by_subject(found)["loop"]["verdict"] == "blocked"
    assert found["problems"] == ["the event loop answers 1.5 s late"]


async def test_what_a_plugin_says_stands_beside_the_kernels_own_with_its_name() -> None:
    good = Check("partner", "healthy", ok=True, text="answers in 20 ms", details={"p50_seconds": 0.02})
    bad = Check("disk", "full", ok=False, text="0 bytes left", since=START)
    async with running(job_of(work)) as flow:
        found = await judged(flow, Told("shop", [good, bad]), Told("silent"))

    checks = by_subject(found)
    assert checks["partner"] == {"plugin": "shop", **good.as_json()}
    assert checks["disk"]["since"] == "2026-01-01T00:00:00+00:00"
    assert "disk is full: 0 bytes left" in found["problems"]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Told("shop", error=PluginError("check_health: ValueError: no")), "check_health: ValueError: no"),
        (Told("shop", "fine"), "check_health gave 'fine'; expected a list of Check"),
        (Told("shop", ["fine"]), "check_health gave"),
        (Told("shop", [Check("disk", "full", ok="no")]), "the check of 'disk' cannot be told"),  # type: ignore[arg-type] # it is wrong
        (Told("shop", [Check("disk", "full", ok=True, details={"x": object()})]), "the check of 'disk' cannot be told"),
        (Told("shop", [Check("disk", "full", ok=True, details={"x": float("nan")})]), "'disk' cannot be told"),
        (Told("shop", [Check("disk", "full", ok=True, since="then")]), "'disk' cannot be told"),  # type: ignore[arg-type] # it is wrong
        (Told("shop", [Check("\ud800", "full", ok=True)]), "cannot be told"),
        (Told("shop", [Check(b"disk", "full", ok=True)]), "the check of 'a bytes' cannot be told"),  # type: ignore[arg-type] # it is wrong
    ],
)  # fmt: skip
async def test_a_plugin_that_fails_to_say_how_it_is_is_a_check_that_is_not_ok(answer: Told, text: str) -> None:
    async with running(job_of(work)) as flow:
        found = await judged(flow, answer)

    check = by_subject(found)["plugin shop"]
    assert (check["ok"], check["plugin"]) == (False, "shop")
    assert text in check["text"]
    assert not found["healthy"]
    json.dumps(found, allow_nan=False).encode()


async def test_of_endless_checks_the_first_ones_are_shown() -> None:
    async with running(job_of(work)) as flow:
        found = await judged(
            flow, Told("shop", [Check(f"disk {number}", "healthy", ok=True) for number in range(10_001)])
        )

    shown = [check for check in found["checks"] if check["plugin"] == "shop"]
    assert len(shown) == 10_001
    assert "gave 10,001 checks; the first 10,000 are shown" in shown[-1]["text"]


async def test_how_many_runs_it_has_brought_to_their_end_is_counted_since_the_start() -> None:
    async with running(job_of(work, retry=Retry(2, base="1s", jitter=0)), job_of(work, name="doomed", retry=1)) as flow:
        before = (await judged(flow))["ended"]
        for job in ("demo.work", "demo.work", "demo.doomed"):
            run = await flow.enqueue(job)
            await flow.clock.advance(2)
            await flow.ended(run)
        found = await judged(flow)

    assert before == {"completed": 0, "failed": 0}
    assert (found["ended"], found["running"]) == ({"completed": 2, "failed": 1}, 0)
    assert found["concurrency"] >= 1
