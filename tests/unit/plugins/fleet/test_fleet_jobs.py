"""The fleet's jobs called as the functions they are, on a real file of cars and a partner on loopback."""

from __future__ import annotations

import logging
import socket
import sqlite3
import threading
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from kernel import BreakerOpen, GiveUp, RetryAfter
from kernel.testing import until
from plugins.fleet import Plugin
from plugins.fleet.car import CarStatus
from plugins.fleet.demo import demo_cars
from plugins.fleet.fleet import Fleet
from plugins.fleet.maintenance import Maintenance
from plugins.fleet.partner_api import PartnerApi
from plugins.fleet.partner_client import PartnerClient, PartnerError
from plugins.fleet.processing import Processing, demand_of, yearly_earnings
from plugins.fleet.report import Report
from plugins.fleet.settings import Settings
from plugins.fleet.sync import Sync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
NINETY_DAYS = timedelta(days=90)
DEMO = {car.id: car for car in demo_cars(NOW)}
NEEDING_MAINTENANCE = [
    car.id for car in DEMO.values() if car.status is CarStatus.AVAILABLE and car.last_maintenance_at < NOW - NINETY_DAYS
]
NEEDING_SYNC = [car.id for car in DEMO.values() if car.needs_sync]


class FakeContext:
    """What a job of the fleet asks of its ``ctx``; keeps what it told people."""

    def __init__(self, due_at: datetime | None = NOW) -> None:
        self.tick = SimpleNamespace(due_at=due_at) if due_at else None
        self.run = SimpleNamespace(enqueued_at=NOW)
        self.log = logging.getLogger("test")
        self.infos: list[tuple[str, dict[str, Any]]] = []
        self.errors: list[tuple[BaseException, dict[str, Any]]] = []
        self.notes: tuple[str, ...] = ()
        self.reported: list[tuple[float, str]] = []
        self.breaker_is_open = False
        self.incident: str | None = None

    async def progress(self, fraction: float, text: str) -> None:
        self.reported.append((fraction, text))

    async def optional(self, label: str, function: Any, *args: Any, fallback: Any = None) -> Any:
        try:
            return await function(*args)
        except Exception as error:  # noqa: BLE001 - as the real one
            self.notes = (*self.notes, f"{label}: {type(error).__name__}: {error}")
            return fallback

    def breaker(self, name: str, **_thresholds: Any) -> Any:
        async def call(function: Any, *args: Any) -> Any:
            if self.breaker_is_open:
                raise BreakerOpen(name, 0.0, 60.0)
            return await function(*args)

        return SimpleNamespace(call=call)

    def notify_info(self, text: str, **context: Any) -> None:
        self.infos.append((text, context))

    def notify_error(self, error: BaseException, **context: Any) -> None:
        self.errors.append((error, context))

    def told(self) -> tuple[str, dict[str, Any]]:
        """The text and the facts of the only notice there is that is of no kind of its own, but for its duration."""
        told: list[tuple[object, dict[str, Any]]] = [*self.infos, *self.errors]
        [(said, context)] = [(said, context) for said, context in told if "kind" not in context]
        assert context.pop("duration_seconds") >= 0
        self.incident = context.pop("incident", None)
        return str(said), context

    def told_of(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        return [
            (text, {name: value for name, value in context.items() if name != "kind"})
            for text, context in self.infos
            if context.get("kind") == kind
        ]


@pytest.fixture
async def ctx() -> Any:
    return FakeContext()


@pytest.fixture
async def partner_url() -> AsyncIterator[str]:
    partner = PartnerApi(list(DEMO.values()))
    yield await partner.start()
    await partner.stop()


@pytest.fixture
async def fleet(tmp_path: Path, partner_url: str) -> AsyncIterator[Fleet]:
    async with _opened(tmp_path, partner_url=partner_url) as fleet:
        yield fleet


@asynccontextmanager
async def _opened(folder: Path, **settings: Any) -> AsyncIterator[Fleet]:
    fleet = Fleet(Settings.model_validate({"database": "fleet.db", **settings}))
    await fleet.open(folder, NOW)
    try:
        yield fleet
    finally:
        await fleet.close()


async def tell_partner(url: str, **fault: Any) -> None:
    async with ClientSession() as http, http.put(f"{url}/fail", json=fault) as response:
        assert response.ok


def change(folder: Path, sql: str) -> None:
    """Another program at the cars."""
    with closing(sqlite3.connect(folder / "fleet.db")) as connection, connection:
        connection.execute(sql)


# The daily check


async def test_every_available_car_without_maintenance_gets_a_reminder(fleet: Fleet, ctx: Any) -> None:
    result = await Maintenance(fleet, NINETY_DAYS).daily_maintenance_check(ctx)

    assert result == {"processed": len(NEEDING_MAINTENANCE), "errors": 0}
    assert ctx.told() == (
        "daily maintenance check completed",
        {"operation": "daily_maintenance_check", "processed": len(NEEDING_MAINTENANCE), "errors": 0},
    )
    reminded = [car_id for car_id in DEMO if await fleet.cars.reminders_of(car_id)]
    assert reminded == NEEDING_MAINTENANCE
    assert sorted(text for _, text in ctx.reported) == sorted(DEMO[car_id].title for car_id in reminded)
    assert [fraction for fraction, _ in ctx.reported] == sorted({fraction for fraction, _ in ctx.reported})
    [reminder] = await fleet.cars.reminders_of(reminded[0])
    assert reminder.day == NOW.date()
    assert reminder.message.startswith(f"{DEMO[reminded[0]].title} needs maintenance: the last was on 202")


async def test_people_are_reminded_of_each_car_once_with_its_title(fleet: Fleet) -> None:
    maintenance: Any = Maintenance(fleet, NINETY_DAYS)
    contexts = [FakeContext(), FakeContext()]

    for ctx in contexts:
        await maintenance.daily_maintenance_check(ctx)

    first, second = (ctx.told_of("maintenance_reminder") for ctx in contexts)
    assert {facts["car"]: facts["title"] for _, facts in first} == {one: DEMO[one].title for one in NEEDING_MAINTENANCE}
    assert all(text.startswith(f"{facts['title']} needs maintenance: the last was on 202") for text, facts in first)
    assert second == []


async def test_a_check_that_is_done_twice_reminds_once(fleet: Fleet) -> None:
    maintenance: Any = Maintenance(fleet, NINETY_DAYS)

    await maintenance.daily_maintenance_check(FakeContext())
    await maintenance.daily_maintenance_check(FakeContext(due_at=None))

    assert len(await fleet.cars.reminders_of(NEEDING_MAINTENANCE[0])) == 1


async def test_the_reminder_is_of_the_day_that_was_due(fleet: Fleet) -> None:
    maintenance: Any = Maintenance(fleet, NINETY_DAYS)
    the_day_before = NOW - timedelta(days=1)

    await maintenance.daily_maintenance_check(FakeContext(due_at=the_day_before))

    [reminder] = await fleet.cars.reminders_of(NEEDING_MAINTENANCE[0])
    assert reminder.day == the_day_before.date()


async def test_one_bad_car_does_not_stop_the_others(fleet: Fleet, ctx: Any, tmp_path: Path) -> None:
    bad, *others = NEEDING_MAINTENANCE
    refuse = f"CREATE TRIGGER bad BEFORE INSERT ON reminders WHEN new.car_id = '{bad}'"
    change(tmp_path, f"{refuse} BEGIN SELECT raise(ABORT, 'a bad car'); END")

    result = await Maintenance(fleet, NINETY_DAYS).daily_maintenance_check(ctx)

    assert result == {"processed": len(others), "errors": 1}
    assert ctx.told()[1]["errors"] == 1
    assert [len(await fleet.cars.reminders_of(car_id)) for car_id in (bad, others[0], others[-1])] == [0, 1, 1]


async def test_without_its_cars_the_check_fails_and_says_so(fleet: Fleet, ctx: Any, tmp_path: Path) -> None:
    change(tmp_path, "ALTER TABLE cars RENAME TO gone")

    with pytest.raises(sqlite3.OperationalError, match="no such table: cars"):
        await Maintenance(fleet, NINETY_DAYS).daily_maintenance_check(ctx)

    assert ctx.told() == (
        "no such table: cars",
        {"operation": "daily_maintenance_check", "processed": 0, "errors": 0},
    )


# The syncs


async def test_the_cars_that_changed_go_to_the_partner(fleet: Fleet, ctx: Any) -> None:
    await Sync(fleet).sync_car_data(ctx)

    told = {"operation": "sync_car_data", "sent": len(NEEDING_SYNC)}
    assert ctx.told() == ("sync car data completed", told)
    assert await fleet.cars.needing_sync(1) == []


async def test_a_partner_that_fails_is_told_and_the_rest_is_left_for_the_next_tick(
    fleet: Fleet, ctx: Any, partner_url: str
) -> None:
    await tell_partner(partner_url, mode="error")

    await Sync(fleet).sync_car_data(ctx)

    error = f"partner: POST /cars/{min(NEEDING_SYNC)}/sync: answered 503 Service Unavailable"
    assert ctx.told() == (error, {"operation": "sync_car_data", "sent": 0})
    assert len(await fleet.cars.needing_sync(500)) == len(NEEDING_SYNC)


@pytest.mark.parametrize("job", ["sync_car_data", "sync_with_retry", "sync_with_external_api"])
async def test_a_partner_that_fails_is_one_incident_of_all_jobs_and_one_that_answers_ends_it(
    fleet: Fleet, partner_url: str, job: str
) -> None:
    incidents = []
    for mode in ("error", "none", "none", "error"):
        ctx = FakeContext()
        await tell_partner(partner_url, mode=mode)
        with suppress(PartnerError):
            await getattr(Sync(fleet), job)(ctx)
        ctx.told()
        incidents.append((ctx.incident, len(ctx.errors)))

    # The third time there is nothing to send: the partner is asked all the same, and so the fourth is noticed.
    assert incidents == [("partner", 1), ("partner", 0), ("partner", 0), ("partner", 1)]


async def test_a_failure_of_the_fleets_own_is_no_incident_of_the_partner(
    fleet: Fleet, ctx: Any, tmp_path: Path
) -> None:
    change(tmp_path, "ALTER TABLE cars RENAME TO gone")

    with pytest.raises(sqlite3.OperationalError):
        await Sync(fleet).sync_with_retry(ctx)

    ctx.told()
    assert ctx.incident is None


async def test_what_was_sent_before_a_failure_is_not_sent_again(fleet: Fleet, ctx: Any, tmp_path: Path) -> None:
    third = sorted(NEEDING_SYNC)[2]
    refuse = f"CREATE TRIGGER bad BEFORE UPDATE ON cars WHEN new.id = '{third}'"
    change(tmp_path, f"{refuse} BEGIN SELECT raise(ABORT, 'a bad car'); END")

    with pytest.raises(sqlite3.IntegrityError, match="a bad car"):
        await Sync(fleet).sync_car_data(ctx)

    assert ctx.told() == ("a bad car", {"operation": "sync_car_data", "sent": 2})
    assert len(await fleet.cars.needing_sync(500)) == len(NEEDING_SYNC) - 2


async def test_the_sync_with_retry_goes_both_ways(fleet: Fleet, ctx: Any) -> None:
    result = await Sync(fleet).sync_with_retry(ctx)

    assert result == {"sent": len(NEEDING_SYNC), "received": 5, "applied": 5}
    assert ctx.told() == ("sync with retry completed", {"operation": "sync_with_retry", **result})


async def test_a_sync_with_retry_that_fails_leaves_the_retry_to_the_kernel(
    fleet: Fleet, ctx: Any, partner_url: str
) -> None:
    await tell_partner(partner_url, mode="error")

    with pytest.raises(PartnerError, match="503"):
        await Sync(fleet).sync_with_retry(ctx)

    assert ctx.told()[1] == {"operation": "sync_with_retry", "sent": 0, "received": 0, "applied": 0}


async def test_a_partner_that_asks_for_a_wait_gets_it(fleet: Fleet, ctx: Any, partner_url: str) -> None:
    await tell_partner(partner_url, mode="rate-limit", seconds=30)

    with pytest.raises(RetryAfter) as caught:
        await Sync(fleet).sync_with_retry(ctx)

    assert caught.value.wait_seconds == 30
    assert "429" in ctx.told()[0]


async def test_updates_are_taken_once_each(fleet: Fleet) -> None:
    contexts: list[Any] = [FakeContext(), FakeContext()]

    for ctx in contexts:
        await Sync(fleet).sync_with_external_api(ctx)

    told = {"operation": "sync_with_external_api", "received": 5, "applied": 5}
    assert [ctx.told()[1] for ctx in contexts] == [told, told]
    assert await fleet.cars.latest_update() == 10


async def test_an_external_api_that_fails_is_told_and_no_more(fleet: Fleet, ctx: Any, partner_url: str) -> None:
    await tell_partner(partner_url, mode="error")

    await Sync(fleet).sync_with_external_api(ctx)

    assert ctx.told()[0] == "partner: GET /updates?since=0: answered 503 Service Unavailable"


async def test_an_external_api_behind_an_open_breaker_is_left_alone_with_a_warning(
    fleet: Fleet, ctx: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ctx.breaker_is_open = True

    await Sync(fleet).sync_with_external_api(ctx)

    assert (ctx.infos, ctx.errors) == ([], [])
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.getMessage().startswith(
        "the sync with the external API is skipped: the circuit breaker partner is open"
    )
    assert await fleet.cars.latest_update() == 0


# The report


async def test_a_report_says_how_the_fleet_stands(fleet: Fleet, ctx: Any) -> None:
    report = await Report(fleet, NINETY_DAYS).generate_weekly_report(ctx)

    assert report["day"] == "2026-03-02"
    assert report["car_count"] == len(DEMO)
    assert report["available_count"] == sum(car.status is CarStatus.AVAILABLE for car in DEMO.values())
    assert len(report["maintenance_alerts"]) > len(NEEDING_MAINTENANCE)
    assert set(report["revenue"]) == {"USA", "Europe", "Japan"}
    assert report["notes"] == ""
    assert ctx.told() == (
        "generate weekly report completed",
        {"operation": "generate_weekly_report", "section": "all", "gaps": []},
    )


async def test_where_the_partner_fails_the_report_has_no_revenue(fleet: Fleet, ctx: Any, partner_url: str) -> None:
    await tell_partner(partner_url, mode="error")

    report = await Report(fleet, NINETY_DAYS).generate_weekly_report(ctx)

    assert report["car_count"] == len(DEMO)
    assert report["maintenance_alerts"]
    assert (report["revenue"], report["notes"]) == (None, "Some data is missing: revenue")
    assert ctx.told()[1]["gaps"] == ["revenue"]
    [(text, facts)] = ctx.told_of("weekly_report")
    assert text.endswith("\nSome data is missing: revenue")
    assert facts == report


async def test_a_report_may_have_two_gaps(fleet: Fleet, ctx: Any, partner_url: str, tmp_path: Path) -> None:
    change(tmp_path, "UPDATE cars SET last_maintenance_at = '!' WHERE id = '1'")
    await tell_partner(partner_url, mode="error")

    report = await Report(fleet, NINETY_DAYS).generate_weekly_report(ctx)

    assert (report["maintenance_alerts"], report["revenue"]) == ([], None)
    assert report["notes"] == "Some data is missing: maintenance alerts, revenue"


async def test_without_its_counts_there_is_no_report(fleet: Fleet, ctx: Any, tmp_path: Path) -> None:
    change(tmp_path, "ALTER TABLE cars RENAME TO gone")

    with pytest.raises(sqlite3.OperationalError):
        await Report(fleet, NINETY_DAYS).generate_weekly_report(ctx)

    told = {"operation": "generate_weekly_report", "section": "critical_data", "gaps": []}
    assert ctx.told() == ("no such table: cars", told)


# The processing


async def test_a_car_is_processed_and_what_came_out_is_kept(fleet: Fleet, ctx: Any) -> None:
    value = await Processing(fleet).process_car(ctx, "42")

    assert value == yearly_earnings(DEMO["42"], demand_of(await fleet.cars.revenue()))
    assert await fleet.cars.computation_of("42") == value > 0
    told = {"operation": "process_car", "car_id": "42", "computed": True}
    assert ctx.told() == ("process car completed", told)


async def test_a_car_is_worked_out_again_only_by_force(fleet: Fleet) -> None:
    processing: Any = Processing(fleet)
    await fleet.cars.record_computation("42", 1.5, NOW)

    kept = await processing.process_car(FakeContext(), "42")
    anew = await processing.process_car(FakeContext(), "42", force=True)

    assert kept == 1.5
    assert anew == await fleet.cars.computation_of("42") != 1.5


async def test_a_car_that_there_is_not_is_given_up(fleet: Fleet, ctx: Any) -> None:
    with pytest.raises(GiveUp, match="the fleet has no car '4711'"):
        await Processing(fleet).process_car(ctx, "4711")

    told = {"operation": "process_car", "car_id": "4711", "computed": False}
    assert ctx.told() == ("the fleet has no car '4711'", told)


async def test_the_warm_cache_is_what_cars_are_processed_by(fleet: Fleet, ctx: Any, tmp_path: Path) -> None:
    processing: Any = Processing(fleet)
    demand = demand_of(await fleet.cars.revenue())

    await processing.initialize_cache(ctx)
    change(tmp_path, "UPDATE cars SET price = 1 WHERE status = 'RENTED' AND origin = 'Japan'")
    available = next(car for car in DEMO.values() if car.status is CarStatus.AVAILABLE)
    value = await processing.process_car(FakeContext(), available.id)

    assert ctx.told() == ("initialize cache completed", {"operation": "initialize_cache", "origins": 3})
    assert value == yearly_earnings(available, demand)


async def test_a_cache_that_cannot_be_filled_is_told(fleet: Fleet, ctx: Any, tmp_path: Path) -> None:
    change(tmp_path, "ALTER TABLE cars RENAME TO gone")

    with pytest.raises(sqlite3.OperationalError):
        await Processing(fleet).initialize_cache(ctx)

    assert ctx.told()[1] == {"operation": "initialize_cache", "origins": 0}


def test_a_car_earns_by_its_price_its_demand_and_its_power() -> None:
    by_hand = {"price": 1000, "origin": "Japan", "weight": 2000, "status": CarStatus.AVAILABLE, "horsepower": None}
    car: Any = SimpleNamespace(**by_hand)
    retired: Any = SimpleNamespace(**{**by_hand, "status": CarStatus.RETIRED})

    assert demand_of({"Japan": 300, "USA": 100}) == {"Japan": 0.75, "USA": 0.25}
    assert demand_of({}) == {}
    assert yearly_earnings(car, {"Japan": 0.75}) == pytest.approx(1000 * 365 * 0.75 * 1.05)
    assert yearly_earnings(car, {}) == pytest.approx(1000 * 365 * 0.3 * 1.05)
    assert yearly_earnings(retired, {"Japan": 0.75}) == 0


# The plugin and its fleet


async def test_the_plugin_has_the_seven_jobs() -> None:
    names = [function.__name__ for function in Plugin(Settings()).register_jobs()]

    assert sorted(names) == [
        "daily_maintenance_check",
        "generate_weekly_report",
        "initialize_cache",
        "process_car",
        "sync_car_data",
        "sync_with_external_api",
        "sync_with_retry",
    ]


async def test_started_it_has_the_demo_and_a_partner_and_stopped_nothing(tmp_path: Path) -> None:
    clock = SimpleNamespace(now=NOW.timestamp)
    kernel: Any = SimpleNamespace(clock=clock, config=SimpleNamespace(source=SimpleNamespace(folder=tmp_path)))
    plugin = Plugin(Settings.model_validate({"database": "var/fleet.db"}))
    [sync_with_external_api] = [job for job in plugin.register_jobs() if job.__name__ == "sync_with_external_api"]
    ctx = FakeContext()

    await plugin.start(kernel)
    await sync_with_external_api(ctx)
    await plugin.stop()

    assert ctx.told()[1]["applied"] == 5
    assert (tmp_path / "var" / "fleet.db").exists()
    await until(_no_database_is_open)


async def test_a_fleet_can_be_opened_again(tmp_path: Path) -> None:
    fleet = Fleet(Settings.model_validate({"database": "fleet.db"}))

    for _ in range(2):
        await fleet.open(tmp_path, NOW)
        assert await fleet.cars.count() == len(DEMO)
        assert await fleet.partner.fetch_revenue()
        await fleet.close()

    await until(_no_database_is_open)


async def test_without_the_demo_the_table_stays_empty_and_the_partner_knows_no_car(tmp_path: Path) -> None:
    async with _opened(tmp_path, demo=False) as fleet:
        assert await fleet.cars.count() == 0
        assert await fleet.partner.fetch_car_updates() == []


async def test_a_demo_partner_whose_port_is_taken_takes_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with _opened(tmp_path, partner_port=port) as fleet:
            assert await fleet.partner.fetch_revenue()

    assert f"the demo partner cannot have port {port}" in caplog.text


async def test_a_start_that_fails_half_way_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_: PartnerApi) -> str:
        raise OSError("no port at all")

    monkeypatch.setattr(PartnerApi, "start", refuse)

    with pytest.raises(OSError, match="no port at all"):
        async with _opened(tmp_path, partner_port=8322):
            pass

    await until(_no_database_is_open)


async def test_a_postgresql_url_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def note(database: str) -> Any:
        asked.append(database)
        raise LookupError

    monkeypatch.setattr("plugins.fleet.fleet.make_car_store", note)

    for database in ("postgresql://host/cars", "sqlite:////srv/cars.db", "sqlite:///cars.db", "cars.db"):
        with pytest.raises(LookupError):
            async with _opened(tmp_path, database=database):
                pass

    own = str(tmp_path / "cars.db")
    assert asked == ["postgresql://host/cars", "/srv/cars.db", own, own]


async def test_a_partner_of_ones_own_is_asked_at_its_url(tmp_path: Path, partner_url: str) -> None:
    async with _opened(tmp_path, partner_url=partner_url) as fleet:
        await fleet.partner.sync_car(DEMO["1"])

    async with ClientSession() as http, http.get(partner_url) as response:
        assert (await response.json())["answered"] == {"sync": 1}
    assert isinstance(fleet.partner, PartnerClient)


def _no_database_is_open() -> bool:
    return not any(thread.name.startswith("fleet-database") for thread in threading.enumerate())
