"""The fleet in a real kernel, on SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from kernel import Kernel, RequestError, RunState
from kernel.config import load_config
from kernel.events import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    Notified,
    RunCompleted,
    RunFailed,
    RunProgressed,
    RunRetrying,
)
from kernel.testing import START, FakeClock, settle, until
from plugins.fleet.car_store import CarStore
from plugins.fleet.demo import demo_cars
from plugins.fleet.partner_api import PartnerApi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from kernel.events import Event

SHIPPED = Path(__file__).parents[2] / "plugins.toml"
NOW = datetime.fromtimestamp(START, UTC)


@pytest.fixture
async def partner_url() -> AsyncIterator[str]:
    partner = PartnerApi(demo_cars(NOW))
    yield await partner.start()
    await partner.stop()


@asynccontextmanager
async def running(
    folder: Path, *, clock: FakeClock | None = None, partner_url: str = "", database: str = "fleet.db"
) -> AsyncIterator[Kernel]:
    """A kernel with the fleet, on files in this folder."""
    lines = [
        "[kernel]",
        'store = "sqlite:///kernel.db"',
        "[queues.car-processing]",
        "concurrency = 5",
        "[plugins.fleet]",
        f'database = "{database}"',
        f'partner_url = "{partner_url}"' if partner_url else "",
    ]
    file = folder / "plugins.toml"
    file.write_text("\n".join(lines))
    async with Kernel(load_config(file), clock=clock) as kernel:
        yield kernel


def heard(kernel: Kernel, *kinds: type[Event]) -> list[Any]:
    """The events of these kinds, as they come."""
    events: list[Event] = []

    async def hear(news: Sequence[Event]) -> None:
        events.extend(news)

    kernel.bus.subscribe("test", kinds, hear)
    return events


def rows(folder: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "fleet.db")) as connection:
        return connection.execute(sql).fetchall()


async def test_twenty_cars_are_processed_five_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[str] = []
    most = 0
    opened = asyncio.Event()
    computation_of = CarStore.computation_of

    async def gate(store: CarStore, car_id: str) -> float | None:
        nonlocal most
        inside.append(car_id)
        most = max(most, len(inside))
        await opened.wait()
        try:
            return await computation_of(store, car_id)
        finally:
            inside.remove(car_id)

    monkeypatch.setattr(CarStore, "computation_of", gate)
    async with running(tmp_path) as kernel:
        runs = await kernel.enqueue_many([("fleet.process-car", {"car_id": str(car)}) for car in range(1, 21)])

        await until(lambda: len(inside) == 5)
        await settle()
        opened.set()
        done = [await kernel.wait(run.id, timeout="20s") for run in runs]

    assert most == 5
    assert [run.state for run in done] == [RunState.COMPLETED] * 20
    recorded = dict(rows(tmp_path, "SELECT car_id, value FROM computations"))
    assert {run.payload["car_id"]: run.result for run in done} == recorded


async def test_a_sync_that_the_partner_refuses_is_tried_thrice_and_waits_longer_each_time(
    tmp_path: Path, partner_url: str
) -> None:
    clock = FakeClock()
    await tell_partner(partner_url, mode="error")
    async with running(tmp_path, clock=clock, partner_url=partner_url) as kernel:
        failures = heard(kernel, RunRetrying, RunFailed)
        notices = heard(kernel, Notified)
        run = await kernel.schedules.trigger("fleet.sync_with_retry")

        await until(lambda: len(failures) == 1)
        await clock.advance(1)
        await until(lambda: len(failures) == 2)
        await clock.advance(2)
        failed = await kernel.wait(run["id"], timeout="10s")
        await until(lambda: len(failures) == 3 and len(notices) == 3)

    first, second, last = failures
    # A tenth less at the most: the jitter.
    assert 0.9 <= first.due - first.at <= 1
    assert 1.8 <= second.due - second.at <= 2
    assert isinstance(last, RunFailed)
    assert (failed.state, failed.attempt) == (RunState.FAILED, 3)
    assert failed.error is not None
    assert failed.error.type == "PartnerError"
    assert [notice.level for notice in notices] == ["error"] * 3
    assert {notice.context["operation"] for notice in notices} == {"sync_with_retry"}


async def test_a_partner_that_recovers_is_synced_at_the_next_attempt(tmp_path: Path, partner_url: str) -> None:
    clock = FakeClock()
    await tell_partner(partner_url, mode="rate-limit", times=1, seconds=30)
    async with running(tmp_path, clock=clock, partner_url=partner_url) as kernel:
        failures = heard(kernel, RunRetrying)
        run = await kernel.schedules.trigger("fleet.sync_with_retry")

        await until(lambda: len(failures) == 1)
        await clock.advance(30)
        done = await kernel.wait(run["id"], timeout="10s")

    assert failures[0].due - failures[0].at == pytest.approx(30)
    assert (done.state, done.attempt) == (RunState.COMPLETED, 2)
    assert done.result["applied"] == 5


async def test_an_external_sync_is_skipped_while_its_breaker_is_open_and_goes_on_when_probes_succeed(
    tmp_path: Path, partner_url: str
) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock=clock, partner_url=partner_url) as kernel:
        await kernel.schedules.pause("fleet.sync_car_data")  # every minute it would ask the partner too
        breaker = heard(kernel, BreakerOpened, BreakerHalfOpened, BreakerClosed)
        notices = heard(kernel, Notified)

        async def sync() -> str:
            """What the run's log has."""
            run = await kernel.schedules.trigger("fleet.sync_with_external_api")
            done = await kernel.wait(run["id"], timeout="10s")
            assert done.state == RunState.COMPLETED
            return (await kernel.store.log(run["id"])).text

        await tell_partner(partner_url, mode="error")
        for _ in range(5):
            assert "skipped" not in await sync()
        assert await answered(partner_url) == {"error": 5}
        assert "the sync with the external API is skipped: the circuit breaker partner is open" in await sync()
        await clock.advance(59)
        assert "is skipped" in await sync()
        assert await answered(partner_url) == {"error": 5}

        await clock.advance(2)
        assert "skipped" not in await sync()  # the probe
        assert "is skipped" in await sync()
        assert await answered(partner_url) == {"error": 6}

        await tell_partner(partner_url, mode="none")
        await clock.advance(61)
        for _ in range(3):
            assert "skipped" not in await sync()
        await until(lambda: isinstance(breaker[-1], BreakerClosed))
        assert await answered(partner_url) == {"error": 6, "updates": 3}

    kinds = [type(event) for event in breaker]
    assert kinds == [BreakerOpened, BreakerHalfOpened, BreakerOpened, BreakerHalfOpened, BreakerClosed]
    assert {event.breaker for event in breaker} == {"partner"}
    # What failed was told; what was skipped was not.
    assert [notice.level for notice in notices if notice.context["operation"] == "sync_with_external_api"] == [
        *["error"] * 6, *["info"] * 3,
    ]  # fmt: skip


async def test_a_report_without_its_optional_parts_is_degraded_and_says_what_it_lacks(
    tmp_path: Path, partner_url: str
) -> None:
    await tell_partner(partner_url, mode="error")
    async with running(tmp_path, clock=FakeClock(), partner_url=partner_url) as kernel:
        run = await kernel.schedules.trigger("fleet.generate_weekly_report")
        without_revenue = await kernel.wait(run["id"], timeout="10s")
        change(tmp_path, "UPDATE cars SET last_maintenance_at = '!' WHERE id = '1'")
        run = await kernel.schedules.trigger("fleet.generate_weekly_report")
        without_both = await kernel.wait(run["id"], timeout="10s")

    assert without_revenue.degraded
    assert without_revenue.result["car_count"] == 406
    assert without_revenue.result["notes"] == "Some data is missing: revenue"
    assert without_revenue.notes[0].startswith("revenue: PartnerError: partner: GET /revenue: answered 503")
    assert without_both.degraded
    assert (without_both.result["maintenance_alerts"], without_both.result["revenue"]) == ([], None)
    assert [note.partition(":")[0] for note in without_both.notes] == ["maintenance alerts", "revenue"]


async def test_a_report_without_its_counts_fails(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock=clock) as kernel:
        change(tmp_path, "ALTER TABLE cars RENAME TO gone")
        failures = heard(kernel, RunRetrying, RunFailed)
        run = await kernel.schedules.trigger("fleet.generate_weekly_report")
        for attempt in range(2):
            await until(lambda: sum(event.run == run["id"] for event in failures) > attempt)  # noqa: B023 - asked at once
            await clock.advance(10)
        failed = await kernel.wait(run["id"], timeout="10s")

    assert (failed.state, failed.attempt) == (RunState.FAILED, 3)


async def test_how_far_the_work_on_a_car_is_can_be_seen(tmp_path: Path) -> None:
    async with running(tmp_path, clock=FakeClock()) as kernel:
        told = heard(kernel, RunProgressed)
        run = await kernel.enqueue("fleet.process-car", {"car_id": "42"})
        done = await kernel.wait(run.id, timeout="10s")
        await until(lambda: len(told) > 0)

    assert (done.progress, done.progress_text) == (0.8, "records it")
    assert {event.run for event in told} == {run.id}


async def test_at_midnight_the_cars_that_need_it_get_their_reminders(tmp_path: Path) -> None:
    clock = FakeClock(START - 60)
    async with running(tmp_path, clock=clock) as kernel:
        completed = heard(kernel, RunCompleted)

        await clock.advance(60)
        await until(lambda: any(event.job == "fleet.daily_maintenance_check" for event in completed))
        [check] = [event for event in completed if event.job == "fleet.daily_maintenance_check"]
        done = await kernel.wait(check.run, timeout="10s")

    reminders = rows(tmp_path, "SELECT day, count(DISTINCT car_id) FROM reminders GROUP BY day")
    assert done.result["errors"] == 0
    assert reminders == [("2026-01-01", done.result["processed"])]
    assert done.result["processed"] >= 50


async def test_a_check_that_is_triggered_twice_reminds_once(tmp_path: Path) -> None:
    async with running(tmp_path, clock=FakeClock()) as kernel:
        results = []
        for _ in range(2):
            run = await kernel.schedules.trigger("fleet.daily_maintenance_check")
            done = await kernel.wait(run["id"], timeout="10s")
            results.append(done.result)

    assert results[0] == results[1]
    assert rows(tmp_path, "SELECT count(*) FROM reminders") == [(results[0]["processed"],)]


async def test_five_seconds_after_the_start_the_cache_is_warm(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock=clock) as kernel:
        notices = heard(kernel, Notified)

        await clock.advance(5)
        await until(lambda: len(notices) == 1)

    assert notices[0].context["operation"] == "initialize_cache"
    assert notices[0].context["origins"] == 3


async def test_without_its_database_the_fleet_is_broken_and_the_kernel_goes_on(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database, but a text that is long enough to be read as one\n" * 20)

    async with running(tmp_path, database="notes.txt") as kernel:
        states = {state["plugin"]: state for state in kernel.plugin_states()}

        assert states["fleet"]["state"] == "broken"
        assert "notes.txt: file is not a database" in states["fleet"]["reason"]
        assert await kernel.schedules.list() == []


async def test_switched_off_the_fleet_is_closed_and_switched_on_it_works_again(tmp_path: Path) -> None:
    async with running(tmp_path) as kernel:
        file = tmp_path / "plugins.toml"
        on = file.read_text()

        file.write_text(f"{on}\nenabled = false")
        await kernel.reload()
        await until(lambda: "fleet-database_0" not in thread_names())
        with pytest.raises(RequestError):
            await kernel.enqueue("fleet.process-car", {"car_id": "1"})

        file.write_text(on)
        await kernel.reload()
        run = await kernel.enqueue("fleet.process-car", {"car_id": "1"})
        done = await kernel.wait(run.id, timeout="20s")

    assert done.state == RunState.COMPLETED


async def test_the_shipped_configuration_runs(tmp_path: Path) -> None:
    (tmp_path / "plugins.toml").write_bytes(SHIPPED.read_bytes())
    (tmp_path / "plugins").mkdir()

    async with Kernel.from_toml(tmp_path / "plugins.toml") as kernel:
        states = {state["plugin"]: state["state"] for state in kernel.plugin_states()}
        run = await kernel.enqueue("fleet.process-car", {"car_id": "42"})
        done = await kernel.wait(run.id, timeout="20s")

    assert states["fleet"] == "enabled"
    assert done.state == RunState.COMPLETED
    assert (tmp_path / "var" / "fleet.db").exists()


async def tell_partner(url: str, **fault: Any) -> None:
    async with ClientSession() as http, http.put(f"{url}/fail", json=fault) as response:
        assert response.ok


async def answered(url: str) -> dict[str, int]:
    """How often the partner has answered, and what."""
    async with ClientSession() as http, http.get(url) as response:
        counts: dict[str, int] = (await response.json())["answered"]
    return counts


def change(folder: Path, sql: str) -> None:
    """Another program at the cars."""
    with closing(sqlite3.connect(folder / "fleet.db")) as connection, connection:
        connection.execute(sql)


def thread_names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}
