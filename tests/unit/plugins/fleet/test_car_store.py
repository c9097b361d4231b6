"""What the fleet's store promises, on each database: PostgreSQL joins when MAINSPRING_TEST_DSN names one."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from plugins.fleet.car import Car, CarStatus, CarUpdate, Reminder
from plugins.fleet.car_store import CarStore, CarStoreError, make_car_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEFORE = NOW - timedelta(days=90)
DSN = os.environ.get("MAINSPRING_TEST_DSN", "")
DATABASES = ["sqlite", "postgresql"] if DSN else ["sqlite"]


@pytest.fixture(params=DATABASES)
async def location(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Where an empty database is."""
    if request.param == "sqlite":
        yield str(tmp_path / "fleet.db")
        return
    async with _schema_of_its_own() as url:
        yield url


@pytest.fixture
async def store(location: str) -> AsyncIterator[CarStore]:
    async with _opened(location) as store:
        yield store


@asynccontextmanager
async def _opened(location: str) -> AsyncIterator[CarStore]:
    store = make_car_store(location)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def _schema_of_its_own() -> AsyncIterator[str]:
    import asyncpg  # noqa: PLC0415 - needed only with a server

    schema = f"fleet_{uuid4().hex}"
    connection = await asyncpg.connect(DSN)
    try:
        await connection.execute(f"CREATE SCHEMA {schema}")
        yield f"{DSN}{'&' if '?' in DSN else '?'}search_path={schema}"
        await connection.execute(f"DROP SCHEMA {schema} CASCADE")
    finally:
        await connection.close()


def car(car_id: str, **changes: Any) -> Car:
    ordinary = Car(
        id=car_id,
        title=f"car {car_id}",
        status=CarStatus.AVAILABLE,
        last_maintenance_at=NOW,
        needs_sync=False,
        price=2900,
        origin="Europe",
        year=1978,
        horsepower=110,
        weight=2600,
    )
    return replace(ordinary, **changes)


async def test_a_car_comes_back_as_it_was_stored(store: CarStore) -> None:
    precise = NOW + timedelta(microseconds=1)
    kept = car("7", title="volvo 264gl", last_maintenance_at=precise, needs_sync=True, horsepower=None)

    await store.fill_if_empty([kept])

    assert await store.by_id("7") == kept


async def test_a_title_with_quotes_and_semicolons_is_only_text(store: CarStore) -> None:
    kept = car("7", title="plymouth 'cuda 340\"; DROP TABLE cars; --")

    await store.fill_if_empty([kept])

    assert await store.by_id("7") == kept


async def test_an_unknown_car_is_none(store: CarStore) -> None:
    assert await store.by_id("'; --") is None


async def test_an_instant_of_another_time_zone_is_the_same_instant(store: CarStore) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=-5)))

    await store.fill_if_empty([car("7", last_maintenance_at=elsewhere)])

    assert await store.by_id("7") == car("7")
    assert await store.needing_maintenance(elsewhere) == []
    assert len(await store.needing_maintenance(elsewhere + timedelta(microseconds=1))) == 1


async def test_only_an_empty_table_is_filled(store: CarStore) -> None:
    added = await store.fill_if_empty([car("1"), car("2")])
    added_again = await store.fill_if_empty([car("3")])

    assert (added, added_again) == (2, 0)
    assert await store.count() == 2


async def test_a_fill_that_fails_leaves_the_table_empty(store: CarStore) -> None:
    with pytest.raises(Exception, match="price"):
        await store.fill_if_empty([car("1"), car("2", price=-1)])

    assert await store.count() == 0
    assert await store.fill_if_empty([car("1")]) == 1


async def test_available_cars_are_counted_apart(store: CarStore) -> None:
    await store.fill_if_empty([car(str(number), status=status) for number, status in enumerate(CarStatus)])

    assert (await store.count(), await store.count_available()) == (4, 1)


async def test_available_cars_need_maintenance_when_the_last_one_is_too_old(store: CarStore) -> None:
    old, older = BEFORE - timedelta(microseconds=1), BEFORE - timedelta(days=1)
    await store.fill_if_empty(
        [
            car("in time", last_maintenance_at=BEFORE),
            car("old", last_maintenance_at=old),
            car("older", last_maintenance_at=older),
            *(car(status, status=status, last_maintenance_at=old) for status in list(CarStatus)[1:]),
        ]
    )

    needing = await store.needing_maintenance(BEFORE)

    assert [each.id for each in needing] == ["older", "old"]


async def test_alerts_are_also_about_rented_cars(store: CarStore) -> None:
    old = BEFORE - timedelta(days=1)
    await store.fill_if_empty(
        [car(status, status=status, last_maintenance_at=old) for status in CarStatus]
        + [car("in time", status=CarStatus.RENTED)]
    )

    alerts = await store.maintenance_alerts(BEFORE)

    assert [each.id for each in alerts] == ["AVAILABLE", "RENTED"]


async def test_a_synced_car_needs_no_sync_any_more(store: CarStore) -> None:
    await store.fill_if_empty([car("1", needs_sync=True), car("2", needs_sync=True), car("3")])
    (first,) = await store.needing_sync(limit=1)

    marked = await store.mark_synced([first])

    assert marked == 1
    assert [each.id for each in await store.needing_sync(limit=10)] == ["2"]


async def test_a_car_that_changed_while_it_was_synced_still_needs_its_sync(store: CarStore) -> None:
    await store.fill_if_empty([car("1", needs_sync=True)])
    as_read = await store.needing_sync(limit=1)
    await store.apply_updates([CarUpdate(1, "1", 3300)])

    marked = await store.mark_synced(as_read)

    assert marked == 0
    assert [each.price for each in await store.needing_sync(limit=1)] == [3300]


async def test_an_update_changes_the_price_and_asks_for_a_sync(store: CarStore) -> None:
    await store.fill_if_empty([car("1"), car("2")])

    news = await store.apply_updates([CarUpdate(8, "1", 3300), CarUpdate(9, "unknown", 1)])

    assert news == 1
    assert await store.by_id("1") == car("1", price=3300, needs_sync=True)
    assert await store.by_id("2") == car("2")


async def test_an_update_that_comes_twice_or_late_undoes_no_newer_one(store: CarStore) -> None:
    await store.fill_if_empty([car("1")])
    older, newer = CarUpdate(1, "1", 3000), CarUpdate(2, "1", 3300)

    news = [await store.apply_updates(updates) for updates in ([newer, older], [older], [newer], [])]

    assert news == [2, 0, 0, 0]
    assert await store.by_id("1") == car("1", price=3300, needs_sync=True)
    assert await store.latest_update() == 2


async def test_updates_are_applied_all_or_none(store: CarStore) -> None:
    await store.fill_if_empty([car("1"), car("2")])

    with pytest.raises(Exception, match="price"):
        await store.apply_updates([CarUpdate(1, "1", 3300), CarUpdate(2, "2", -1)])

    assert await store.by_id("1") == car("1")
    assert await store.latest_update() == 0


async def test_revenue_is_what_rented_cars_earn_by_origin(store: CarStore) -> None:
    rented = CarStatus.RENTED
    await store.fill_if_empty(
        [
            car("1", status=rented, price=1000),
            car("2", status=rented, price=500),
            car("3", status=rented, price=700, origin="Japan"),
            car("4", price=9999),
        ]
    )

    assert await store.revenue() == {"Europe": 1500, "Japan": 700}


async def test_a_car_gets_one_reminder_a_day(store: CarStore) -> None:
    await store.fill_if_empty([car("1")])
    first = Reminder("1", date(2026, 3, 1), NOW, "the first")

    added = [
        await store.add_reminder(first),
        await store.add_reminder(replace(first, message="again", sent_at=NOW + timedelta(hours=1))),
        await store.add_reminder(replace(first, day=date(2026, 3, 2))),
    ]

    assert added == [True, False, True]
    assert await store.reminders_of("1") == [first, replace(first, day=date(2026, 3, 2))]


async def test_the_latest_computation_of_a_car_is_kept(store: CarStore) -> None:
    await store.fill_if_empty([car("1")])

    before = await store.computation_of("1")
    await store.record_computation("1", 0.5, NOW)
    await store.record_computation("1", 0.75, NOW)

    assert (before, await store.computation_of("1")) == (None, 0.75)


async def test_nothing_is_recorded_about_an_unknown_car(store: CarStore) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await store.record_computation("unknown", 0.5, NOW)


async def test_an_instant_without_a_time_zone_is_refused(store: CarStore) -> None:
    naive = NOW.replace(tzinfo=None)

    with pytest.raises(ValueError, match="has no time zone"):
        await store.needing_maintenance(naive)
    with pytest.raises(ValueError, match="has no time zone"):
        await store.fill_if_empty([car("1", last_maintenance_at=naive)])


async def test_a_store_opened_again_has_what_was_written(location: str) -> None:
    async with _opened(location) as store:
        await store.fill_if_empty([car("1")])

    async with _opened(location) as store:
        assert await store.by_id("1") == car("1")


async def test_two_stores_that_open_at_once_create_and_fill_the_tables_once(location: str) -> None:
    async with _opened(location) as one, _opened(location) as other:
        added = await asyncio.gather(*(store.fill_if_empty([car("1"), car("2")]) for store in (one, other)))

        assert sum(added) == 2
        assert await one.count() == 2


async def test_calls_at_the_same_time_do_not_mix(store: CarStore) -> None:
    await store.fill_if_empty([car(str(number)) for number in range(20)])

    news = await asyncio.gather(*(store.apply_updates([CarUpdate(1, str(n), 100 + n)]) for n in range(20)))

    cars = await store.needing_sync(limit=100)
    assert sum(news) == 20
    assert {each.id: each.price for each in cars} == {str(n): 100 + n for n in range(20)}


async def test_closing_twice_or_before_opening_is_harmless(location: str) -> None:
    store = make_car_store(location)
    await store.close()
    async with _opened(location) as store:
        await store.close()


async def test_an_open_that_was_given_up_is_closed_too(location: str) -> None:
    store = make_car_store(location)
    opening = asyncio.ensure_future(store.open())
    await asyncio.sleep(0)
    opening.cancel()

    await asyncio.gather(opening, return_exceptions=True)
    await store.close()


async def test_a_store_that_is_not_open_says_so(location: str) -> None:
    with pytest.raises(CarStoreError, match="is not open"):
        await make_car_store(location).count()


async def test_the_sqlite_file_and_its_new_folders_are_their_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "var" / "deep" / "fleet.db"

    async with _opened(f"sqlite:///{path}"):
        modes = [each.stat().st_mode & 0o777 for each in (path, path.parent, path.parent.parent)]

    assert modes == [0o600, 0o700, 0o700]


async def test_a_file_that_is_no_database_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database, but a text that is long enough to be read as one\n" * 20)
    store = make_car_store(str(path))

    with pytest.raises(CarStoreError, match=r"notes\.txt: file is not a database"):
        await store.open()
    await store.close()


async def test_a_folder_that_cannot_be_made_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = make_car_store(str(tmp_path / "file" / "fleet.db"))

    with pytest.raises(CarStoreError, match=r"cannot open the fleet's database .*fleet\.db"):
        await store.open()
    await store.close()


async def test_the_loop_turns_while_another_program_holds_the_sqlite_file(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    async with _opened(str(path)) as store:
        await store.fill_if_empty([car("1")])
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        waiting = asyncio.ensure_future(store.count())

        for _ in range(100):
            await asyncio.sleep(0)
        turned_meanwhile = not waiting.done()
        other.execute("COMMIT")
        other.close()

        assert turned_meanwhile
        assert await waiting == 1


@pytest.mark.parametrize("url", ["postgresql://fleet:s3cret@host:s3cret/cars", "postgresql://u:s3/cret@h:5432/c"])
async def test_a_malformed_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(CarStoreError, match="postgresql://user:password@host:port/name") as caught:
        await make_car_store(url).open()

    assert "cret" not in str(caught.value)


async def test_a_server_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CarStoreError, match=r"cannot open the fleet's PostgreSQL database: \S") as caught:
        await make_car_store(f"postgresql://fleet:s3cret@/cars?host={tmp_path}").open()

    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_store_is_imported_without_the_slow_libraries() -> None:
    modules = "plugins.fleet.car_store, plugins.fleet.demo, plugins.fleet.settings, plugins.fleet.partner_client"
    program = f"import sys, {modules}; print({{'aiohttp', 'asyncpg'}} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
