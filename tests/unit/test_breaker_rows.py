"""The circuit breakers as an operator sees them: thresholds that are known, and when a call is let through to try."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from kernel.breaker_rows import list_breakers
from kernel.cli.breakers import next_probe
from kernel.contracts.store import BreakerRow
from kernel.decorators import job
from kernel.explain import Explainer
from kernel.flow.catalog import Catalog
from kernel.model.announcement import describe_job
from kernel.model.breaker import CLOSED, HALF_OPEN, OPEN, Breaker, Thresholds
from kernel.model.queue import Queue
from kernel.testing import FakeClock
from plugins.memory.store import MemoryStore
from tests.flow_kit import Flow, running

if TYPE_CHECKING:
    from kernel.flow.context import Context

UNKNOWN = {"failure_threshold": None, "recovery_seconds": None, "success_threshold": None}


@job(retry=1)
async def work(ctx: Context) -> None:
    await ctx.breaker("partner", failure_threshold=2, recovery_timeout="10m", success_threshold=1).call(succeed)


@job(breaker=Breaker("partner", failure_threshold=7, recovery_timeout="2m", success_threshold=4))
async def guarded() -> None: ...


def succeed() -> None: ...


async def store_with(**row: Any) -> tuple[MemoryStore, FakeClock]:
    store, clock = MemoryStore(), FakeClock()
    now = clock.now()
    given: dict[str, Any] = {
        "state": OPEN,
        "opened": now - 90,
        "until": now + 510,
        "error": "ConnectionError: down",
    } | row
    await store.put_breaker(BreakerRow("partner", 1, **given))
    return store, clock


async def listed(flow: Flow) -> dict[str, Any]:
    jobs = [describe_job(one, Queue("default")) for one in flow.catalog.jobs.values()]
    [found] = await list_breakers(flow.store, flow.catalog, jobs, flow.engine.breakers)
    return found


def thresholds(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in UNKNOWN}


async def test_after_a_restart_thresholds_that_only_a_call_names_are_not_guessed() -> None:
    store, clock = await store_with(state=CLOSED)
    async with running(work, store=store, clock=clock) as flow:
        before = thresholds(await listed(flow))
        await flow.ended(await flow.enqueue())

        assert before == UNKNOWN
        assert thresholds(await listed(flow)) == {
            "failure_threshold": 2, "recovery_seconds": 600.0, "success_threshold": 1,
        }  # fmt: skip


async def test_thresholds_that_no_call_names_are_the_defaults_once_one_was_made() -> None:
    @job(name="work")
    async def careless(ctx: Context) -> None:
        await ctx.breaker("partner").call(succeed)

    store, clock = await store_with(state=CLOSED)
    async with running(careless, store=store, clock=clock) as flow:
        before = thresholds(await listed(flow))
        await flow.ended(await flow.enqueue())

        assert before == UNKNOWN
        assert thresholds(await listed(flow)) == Thresholds()._asdict()


async def test_after_a_restart_the_policy_of_a_job_and_the_operators_table_are_known() -> None:
    store, clock = await store_with()
    async with running(guarded, store=store, clock=clock) as flow:
        flow.catalog.set_breakers({"partner": {"success_threshold": 9}})

        assert thresholds(await listed(flow)) == {
            "failure_threshold": 7, "recovery_seconds": 120.0, "success_threshold": 9,
        }  # fmt: skip


async def test_without_a_kernel_the_announced_policy_and_the_operators_table_are_known() -> None:
    store, _ = await store_with()
    catalog = Catalog()
    catalog.set_breakers({"partner": {"success_threshold": 9}})
    async with running(guarded) as flow:
        announced = [describe_job(one, Queue("default")) for one in flow.catalog.jobs.values()]

    [of_job] = await list_breakers(store, catalog, announced, None)
    [of_table] = await list_breakers(store, catalog, [], None)

    assert thresholds(of_job) == {"failure_threshold": 7, "recovery_seconds": 120.0, "success_threshold": 9}
    assert thresholds(of_table) == UNKNOWN | {"success_threshold": 9}


async def test_a_breaker_whose_thresholds_are_not_known_yet_stays_open_as_long_as_it_was_meant_to() -> None:
    store, clock = await store_with()
    async with running(work, store=store, clock=clock) as flow:
        await clock.advance(509)
        early = await flow.ended(await flow.enqueue())
        await clock.advance(1)
        late = await flow.ended(await flow.enqueue())

    assert (early.error.type if early.error else None, late.state) == ("BreakerOpen", "completed")


async def test_the_probe_of_a_kernel_that_has_died_is_not_under_way() -> None:
    store, _ = await store_with(state=HALF_OPEN, probe="dead")

    [found] = await list_breakers(store, Catalog(), [], None)

    assert next_probe(found) == "now, at the next call"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "one run may begin, to try, now"), (60, "one run may begin, to try, at 2026-01-01T00:01")],
)
async def test_explain_says_from_when_a_run_may_begin_to_try(seconds: float, text: str) -> None:
    async with running(guarded) as flow:
        now = flow.clock.now()
        run = await flow.enqueue("demo.guarded", delay="1h")
        # The kernel has not heard of it.
        await flow.store.put_breaker(BreakerRow("partner", 1, OPEN, now - 60, now + seconds, 0, None, "down"))
        jobs = [describe_job(one, Queue("default")) for one in flow.catalog.jobs.values()]

        answer = await Explainer(flow.store, flow.clock).run(run._replace(due=now), jobs, {})

    assert text in answer["text"]
    assert (answer["until"] is None) == (seconds < 0)


async def test_explain_counts_the_tries_by_what_the_operator_has_set() -> None:
    async with running(guarded) as flow:
        now = flow.clock.now()
        run = await flow.enqueue("demo.guarded", delay="1h")
        await flow.store.put_breaker(BreakerRow("partner", 1, HALF_OPEN, now - 60, now, 0, None, "down"))
        jobs = [describe_job(one, Queue("default")) for one in flow.catalog.jobs.values()]

        explainer = Explainer(flow.store, flow.clock, lambda _: {"success_threshold": 1})
        answer = await explainer.run(run._replace(due=now), jobs, {})

    assert "0 of 1 try has succeeded" in answer["text"]


@pytest.mark.parametrize(
    ("state", "ahead", "probe", "said"),
    [
        ("closed", None, None, "-"),
        ("open", 60.0, None, "20"),
        ("open", -60.0, None, "now, at the next call"),
        ("half_open", None, None, "now, at the next call"),
        ("half_open", None, "kernel-1", "under way"),
    ],
)
def test_the_next_probe_is_no_instant_that_has_passed(
    state: str, ahead: float | None, probe: str | None, said: str
) -> None:
    until = None if ahead is None else (datetime.now(UTC) + timedelta(seconds=ahead)).isoformat()

    assert next_probe({"state": state, "until": until, "probe": probe}).startswith(said)
