"""The fleet's cars in their database; the only file that knows what is asked of it."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from . import car_sql
from .car import Car, CarStatus, CarUpdate, Reminder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

POSTGRES_SCHEMES = ("postgresql://", "postgres://")
SQLITE_SCHEME = "sqlite:///"


class CarStoreError(Exception):
    """The fleet's database cannot be opened, or is not open."""


class Database(Protocol):
    """What the store asks of a database; a call that returns has been committed."""

    async def open(self, schema: str) -> None: ...

    async def close(self) -> None: ...

    async def fetch(self, sql: str, *values: object) -> list[tuple[Any, ...]]: ...

    async def execute(self, sql: str, *values: object) -> int:
        """The number of rows that changed."""

    async def execute_all(self, sql: str, rows: Sequence[Sequence[object]]) -> int:
        """``execute`` for each of the rows, in one transaction: all of them or none."""


def make_car_store(database: str) -> CarStore:
    """A store, not yet open: on PostgreSQL for a ``postgresql://`` URL, else on this path's SQLite file."""
    if database.startswith(POSTGRES_SCHEMES):
        from .database_postgres import PostgresDatabase  # noqa: PLC0415 - asyncpg is slow to import

        return CarStore(PostgresDatabase(database))
    from .database_sqlite import SqliteDatabase  # noqa: PLC0415 - in line with the other one

    return CarStore(SqliteDatabase(Path(database.removeprefix(SQLITE_SCHEME))))


class CarStore:
    """Every write may be done twice and leaves the same as once, since a run may be executed twice."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self) -> None:
        """Connect, and create the tables that are missing; CarStoreError when that cannot be done."""
        await self._database.open(car_sql.SCHEMA)

    async def close(self) -> None:
        await self._database.close()

    async def fill_if_empty(self, cars: Iterable[Car]) -> int:
        """How many cars were added: none when there was one already."""
        if await self.count() > 0:
            return 0
        return await self._database.execute_all(car_sql.INSERT_CAR, [_row_of(car) for car in cars])

    async def count(self) -> int:
        return await self._number(car_sql.COUNT)

    async def count_available(self) -> int:
        return await self._number(car_sql.COUNT_AVAILABLE)

    async def by_id(self, car_id: str) -> Car | None:
        cars = await self._cars(car_sql.BY_ID, car_id)
        return cars[0] if cars else None

    async def needing_maintenance(self, before: datetime) -> list[Car]:
        """The available cars whose last maintenance was before this instant, the longest waiting first."""
        return await self._cars(car_sql.NEEDING_MAINTENANCE, _aware(before))

    async def maintenance_alerts(self, before: datetime) -> list[Car]:
        """As ``needing_maintenance``, with the cars that are out with a customer."""
        return await self._cars(car_sql.MAINTENANCE_ALERTS, _aware(before))

    async def needing_sync(self, limit: int) -> list[Car]:
        return await self._cars(car_sql.NEEDING_SYNC, limit)

    async def mark_synced(self, cars: Iterable[Car]) -> int:
        """How many were marked; a car that changed since it was read still needs its sync."""
        rows = sorted((car.id, car.status.value, car.price) for car in cars)
        return await self._database.execute_all(car_sql.MARK_SYNCED, rows)

    async def latest_update(self) -> int:
        """The number of the last update that changed a car, 0 before the first."""
        return await self._number(car_sql.LATEST_UPDATE)

    async def apply_updates(self, updates: Iterable[CarUpdate]) -> int:
        """How many were news, not of an unknown car nor applied before; their cars need a sync now."""
        # Sorted, so that two kernels lock a car's row in the same order and never wait for each other.
        news = sorted(updates, key=lambda update: (update.car_id, update.number))
        rows = [(update.car_id, update.price, update.number) for update in news]
        return await self._database.execute_all(car_sql.APPLY_UPDATE, rows)

    async def revenue(self) -> dict[str, int]:
        """What the rented cars earn in a day, in cents, by origin."""
        return dict(await self._database.fetch(car_sql.REVENUE))

    async def add_reminder(self, reminder: Reminder) -> bool:
        """Whether it is new: False when the car has one of that day already."""
        row = (reminder.car_id, reminder.day, _aware(reminder.sent_at), reminder.message)
        return await self._database.execute(car_sql.ADD_REMINDER, *row) == 1

    async def reminders_of(self, car_id: str) -> list[Reminder]:
        rows = await self._database.fetch(car_sql.REMINDERS_OF, car_id)
        return [Reminder(row[0], _day(row[1]), _instant(row[2]), row[3]) for row in rows]

    async def record_computation(self, car_id: str, value: float, computed_at: datetime) -> None:
        """Keep the latest value of a known car."""
        await self._database.execute(car_sql.RECORD_COMPUTATION, car_id, value, _aware(computed_at))

    async def computation_of(self, car_id: str) -> float | None:
        rows = await self._database.fetch(car_sql.COMPUTATION_OF, car_id)
        return rows[0][0] if rows else None

    async def _number(self, sql: str) -> int:
        rows = await self._database.fetch(sql)
        return int(rows[0][0])

    async def _cars(self, sql: str, *values: object) -> list[Car]:
        return [_car_of(row) for row in await self._database.fetch(sql, *values)]


def _row_of(car: Car) -> tuple[object, ...]:
    return (
        car.id,
        car.title,
        car.status.value,
        _aware(car.last_maintenance_at),
        car.needs_sync,
        car.price,
        car.origin,
        car.year,
        car.horsepower,
        car.weight,
    )


def _car_of(row: tuple[Any, ...]) -> Car:
    car_id, title, status, last_maintenance_at, needs_sync, *rest = row
    return Car(car_id, title, CarStatus(status), _instant(last_maintenance_at), bool(needs_sync), *rest)


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no time zone")
    return instant


# SQLite has no type for dates and gives back the text that it was given.
def _instant(value: datetime | str) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _day(value: date | str) -> date:
    return date.fromisoformat(value) if isinstance(value, str) else value
